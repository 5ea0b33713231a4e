//! Events that failed for good: why, and with what. They can be tried again or dropped, also from another process.
//!
//! Trying again is deleting the letter: a running flow notices (or the next start does), since nothing is committed then.

use tidemill_core::{Digest, Error, ErrorKind, PutResult, Result, Trigger};
use tidemill_host::{DeadLetter, Store};

use crate::queue::QueueItem;

pub(crate) fn letter(item: &QueueItem, error: &Error) -> DeadLetter {
    DeadLetter {
        id: item.trigger_id(),
        stage: item.stage.clone(),
        resource: item.resource.clone(),
        trigger: Trigger {
            key: item.key.clone(),
            digest: item.digest.clone(),
        },
        kind: error.kind,
        message: error.message.clone(),
        attempt: item.attempt,
        depth: item.depth,
        dropped: false,
    }
}

/// The event of a letter, to be tried again.
pub(crate) fn item(letter: &DeadLetter) -> QueueItem {
    let mut item = QueueItem::new(
        &letter.stage,
        &letter.resource,
        &letter.trigger.key,
        &letter.trigger.digest,
        letter.depth,
    );
    item.attempt = letter.attempt;
    item
}

/// All of them, by key.
pub async fn list_dead_letters(store: &Store) -> Result<Vec<DeadLetter>> {
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
pub async fn retry_dead_letter(store: &Store, letter: &DeadLetter) -> Result<()> {
    store.delete(&letter.key()).await.map(drop)
}

/// Keeps it as it is; it no longer counts.
pub async fn drop_dead_letter(store: &Store, letter: &DeadLetter) -> Result<()> {
    let old = store.get(&letter.key()).await?;
    let dropped = DeadLetter {
        dropped: true,
        ..letter.clone()
    };
    match store
        .swap(&letter.key(), Some(&Digest::sha256(&old)), dropped.to_bytes()?.into())
        .await?
    {
        PutResult::Conflict => Err(Error::transient(format!("`{}` changed meanwhile; try again", letter.key()))),
        PutResult::Written | PutResult::Unchanged => Ok(()),
    }
}
