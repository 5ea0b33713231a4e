//! Scheduled events: objects that are create-only and named by their time, so that many coordinators write each once.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemill_core::{Result, layout, time::Span};
use tidemill_store::Store;

use crate::ledger::to_json;

/// `schedules/<stage>/<resource>/<time>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ScheduledEvent {
    /// The scheduled time: the clock of the run.
    pub as_of: Timestamp,
    /// `schedule` or `person`.
    pub cause: String,
    /// The user, for a run that a user asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// The user's reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl ScheduledEvent {
    /// The JSON that is stored.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        to_json("a scheduled event", self)
    }
}

/// The key of a scheduled event.
pub fn scheduled_event_key(stage: &str, resource: &str, at: Timestamp) -> String {
    layout::schedule(stage, resource, at)
}

/// Writes the scheduled event of a node that is due at `now`; `None` if it exists.
pub async fn write_scheduled_event(
    store: &Store,
    stage: &str,
    resource: &str,
    every: Span,
    now: Timestamp,
) -> Result<Option<(String, Vec<u8>)>> {
    let at = every.window_start(now);
    let key = layout::schedule(stage, resource, at);
    if store.head(&key).await?.is_some() {
        return Ok(None);
    }
    let event = ScheduledEvent {
        as_of: at,
        cause: "schedule".into(),
        who: None,
        why: None,
    };
    let bytes = event.to_bytes()?;
    store.create(&key, bytes.clone().into()).await?;
    Ok(Some((key, bytes)))
}
