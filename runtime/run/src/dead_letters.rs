//! Events that failed for good: why, and with what. A letter stands where the outcome would, and its event is not tried again.

use serde::{Deserialize, Serialize};
use tidemill_core::{Error, ErrorKind, Result, Trigger};
use tidemill_store::Store;

/// `dead/<stage>/<resource>/<trigger id>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DeadLetter {
    /// The trigger id, which names the letter and would name the outcome.
    pub id: String,
    /// The stage that failed.
    pub stage: String,
    /// The dataset or model that it ran for.
    pub resource: String,
    /// The object that caused the run.
    pub trigger: Trigger,
    /// The error's kind.
    pub kind: ErrorKind,
    /// Why, for a person.
    pub message: String,
    /// Runs made so far.
    pub attempt: u32,
    /// Steps since a person or a schedule put something in.
    pub depth: u32,
    /// Someone decided that it stays as it is.
    #[serde(default)]
    pub dropped: bool,
}

impl DeadLetter {
    /// Where it stands.
    pub fn key(&self) -> String {
        format!("dead/{}/{}/{}.json", self.stage, self.resource, self.id)
    }
    /// As it stands in the store.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|e| Error::bug(format!("a dead letter cannot be written: {e}")))?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// Says that an event failed for good.
pub async fn write_dead_letter(store: &Store, letter: &DeadLetter) -> Result<()> {
    // Another attempt may have failed with other words before: the first letter stands.
    store.create(&letter.key(), letter.to_bytes()?.into()).await.map(drop)
}
