//! Events that failed for good: why, and with what. They can be tried again or dropped, also from another process.
//!
//! Trying again is deleting the letter: a running flow notices (or the next start does), since nothing is committed then.

use serde::{Deserialize, Serialize};
use tidemill_core::{Digest, Error, ErrorKind, Put, Result, Trigger};
use tidemill_host::Store;

use crate::queue::Item;

/// `dead/<stage>/<subject>/<trigger id>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DeadLetter {
    /// The trigger id, which names the letter and would name the outcome.
    pub id: String,
    /// The stage that failed.
    pub stage: String,
    /// The dataset or model that it ran for.
    pub subject: String,
    /// The object that caused the run.
    pub trigger: Trigger,
    /// The error's kind.
    pub kind: ErrorKind,
    /// Why, for a person.
    pub message: String,
    /// Runs made so far.
    pub attempt: u32,
    /// Steps since a person or a schedule put something in.
    pub hops: u32,
    /// Someone decided that it stays as it is.
    #[serde(default)]
    pub dropped: bool,
}

impl DeadLetter {
    pub(crate) fn of(item: &Item, error: &Error) -> Self {
        Self {
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
    /// Where it stands.
    pub fn key(&self) -> String {
        format!("dead/{}/{}/{}.json", self.stage, self.subject, self.id)
    }
    pub(crate) fn item(&self) -> Item {
        let mut item = Item::new(&self.stage, &self.subject, &self.trigger.key, &self.trigger.digest, self.hops);
        item.attempt = self.attempt;
        item
    }
    fn bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|e| Error::bug(format!("a dead letter cannot be written: {e}")))?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// Says that an event failed for good.
pub async fn write_letter(store: &Store, letter: &DeadLetter) -> Result<()> {
    // Another attempt may have failed with other words before: the first letter stands.
    store.create(&letter.key(), letter.bytes()?.into()).await.map(drop)
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
