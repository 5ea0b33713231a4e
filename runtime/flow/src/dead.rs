//! Events that failed for good: why, and with what. They can be tried again or dropped, also from another process.
//!
//! Trying again is deleting the letter: a running flow notices (or the next start does), since nothing is committed then.

use tidemill_core::{Digest, Error, ErrorKind, Put, Result, Trigger};
use tidemill_host::{DeadLetter, Store};

use crate::queue::Item;

pub(crate) fn letter(item: &Item, error: &Error) -> DeadLetter {
    DeadLetter {
        id: item.trigger_id(),
        stage: item.stage.clone(),
        subject: item.subject.clone(),
        trigger: Trigger {
            key: item.key.clone(),
            digest: item.digest.clone(),
        },
        kind: error.kind,
        message: error.message.clone(),
        attempt: item.attempt,
        hops: item.hops,
        dropped: false,
    }
}

/// The event of a letter, to be tried again.
pub(crate) fn item(letter: &DeadLetter) -> Item {
    let mut item = Item::new(
        &letter.stage,
        &letter.subject,
        &letter.trigger.key,
        &letter.trigger.digest,
        letter.hops,
    );
    item.attempt = letter.attempt;
    item
}

/// All of them, by key.
pub async fn dead_letters(store: &Store) -> Result<Vec<DeadLetter>> {
    let mut letters = Vec::new();
    for meta in crate::scan::list_all(store, "dead/").await? {
        match store.get(&meta.key).await {
            Ok(bytes) => letters
                .push(serde_json::from_slice(&bytes).map_err(|e| Error::input(format!("`{}` is not what it should be: {e}", meta.key)))?),
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(letters)
}

/// Makes its event run again, with a new attempt.
pub async fn retry_letter(store: &Store, letter: &DeadLetter) -> Result<()> {
    store.delete(&letter.key()).await.map(drop)
}

/// Keeps it as it is; it no longer counts.
pub async fn drop_letter(store: &Store, letter: &DeadLetter) -> Result<()> {
    let old = store.get(&letter.key()).await?;
    let dropped = DeadLetter {
        dropped: true,
        ..letter.clone()
    };
    match store.swap(&letter.key(), Some(&Digest::of(&old)), dropped.bytes()?.into()).await? {
        Put::Conflict => Err(Error::transient(format!("`{}` changed meanwhile; try again", letter.key()))),
        Put::Written | Put::Unchanged => Ok(()),
    }
}
