//! Dead letters: events that failed for good. A trigger has an outcome or a dead letter, and its event is not tried again.
//!
//! To try it again is to delete the letter: a running flow notices, or the next start does, because the trigger has no outcome.

use serde::{Deserialize, Serialize};
use tidemill_core::{
    Digest, Error, ErrorKind, PutResult, Result, Trigger,
    layout::{self, Prefix},
};
use tidemill_store::Store;

use crate::{ledger::to_json, warn_passed_over};

/// `dead/<stage>/<resource>/<trigger id>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DeadLetter {
    /// The trigger id, which would name the outcome.
    pub id: String,
    /// The stage that failed.
    pub stage: String,
    /// The dataset or model that it ran for.
    pub resource: String,
    /// The object that triggered the run.
    pub trigger: Trigger,
    /// The error's kind.
    pub kind: ErrorKind,
    /// The error's message.
    pub message: String,
    /// The number of the run, from 1.
    pub attempt: u32,
    /// Steps since a user or a schedule wrote something.
    pub depth: u32,
    /// A user decided that the event stays failed.
    #[serde(default)]
    pub dropped: bool,
}

impl DeadLetter {
    /// The key of the letter.
    pub fn key(&self) -> String {
        layout::dead_letter(&self.stage, &self.resource, &self.id)
    }

    /// The JSON that is stored.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        to_json("a dead letter", self)
    }
}

/// Writes a dead letter, and returns the one in the store: one that exists is kept, for an earlier attempt may have failed with another
/// message.
pub async fn write_dead_letter(store: &Store, letter: &DeadLetter) -> Result<DeadLetter> {
    let key = letter.key();
    let stored = match store.create(&key, letter.to_bytes()?.into()).await? {
        PutResult::Written | PutResult::Unchanged => None,
        PutResult::Conflict => serde_json::from_slice(&store.get_record(&key).await?).ok(),
    };
    Ok(stored.unwrap_or_else(|| letter.clone()))
}

/// All dead letters, by key. What is no letter, or cannot be read, is passed over: the event of a damaged letter stays failed all the same,
/// for the key is what a delivery looks at.
pub async fn list_dead_letters(store: &Store) -> Result<Vec<DeadLetter>> {
    let mut letters = Vec::new();
    for meta in store.list(&Prefix::Dead.root(), None, usize::MAX).await? {
        match read_dead_letter(store, &meta.key).await {
            Ok(letter) => letters.push(letter),
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => warn_passed_over(&meta.key, &error),
        }
    }
    Ok(letters)
}

async fn read_dead_letter(store: &Store, key: &str) -> Result<DeadLetter> {
    let bytes = store.get_record(key).await?;
    let letter: DeadLetter = serde_json::from_slice(&bytes).map_err(|e| Error::input(format!("`{key}` is not a dead letter: {e}")))?;
    match letter.key() == key {
        true => Ok(letter),
        false => Err(Error::input(format!("`{key}` is a copy of the dead letter `{}`", letter.key()))),
    }
}

/// Deletes the letter, so that its event is delivered again: a running flow notices, or the next start does.
pub async fn retry_dead_letter(store: &Store, letter: &DeadLetter) -> Result<()> {
    store.delete(&letter.key()).await.map(drop)
}

/// Marks the letter as dropped: its event stays failed, and no longer counts.
pub async fn drop_dead_letter(store: &Store, letter: &DeadLetter) -> Result<()> {
    let old = store.get_record(&letter.key()).await?;
    let dropped = DeadLetter {
        dropped: true,
        ..letter.clone()
    };
    let swapped = store
        .swap(&letter.key(), Some(&Digest::sha256(&old)), dropped.to_bytes()?.into())
        .await?;
    match swapped {
        PutResult::Conflict => Err(Error::transient(format!("`{}` changed meanwhile; try again", letter.key()))),
        PutResult::Written | PutResult::Unchanged => Ok(()),
    }
}
