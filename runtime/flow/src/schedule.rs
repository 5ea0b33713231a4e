//! Schedules: a tick is an object, create-only, named by its time, so that many workers tick once.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemill_core::{
    Error, Result,
    pipeline::Pipeline,
    time::{Span, key_time},
};
use tidemill_host::Store;

/// `schedules/<stage>/<resource>/<time>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ScheduledEvent {
    /// The tick's time: the clock of the run.
    pub as_of: Timestamp,
    /// `schedule` or `person`.
    pub cause: String,
    /// For a person's: who and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// See `who`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl ScheduledEvent {
    /// As it stands in the store.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|e| Error::bug(format!("a tick cannot be written: {e}")))?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// Where a tick stands.
pub fn scheduled_event_key(stage: &str, resource: &str, at: Timestamp) -> String {
    format!("schedules/{stage}/{resource}/{}.json", key_time(at))
}

/// Writes the ticks that are due at `now`; returns the keys of new ones with their bytes.
/// A time that passed while nothing ran is not made up for: only the latest is written.
pub(crate) async fn write_due_events(pipeline: &Pipeline, store: &Store, now: Timestamp) -> Result<Vec<(String, Vec<u8>)>> {
    let mut written = Vec::new();
    for node in &pipeline.nodes {
        if let Some(every) = node.every.filter(|every| !every.is_zero()) {
            written.extend(write_scheduled_event(store, &node.stage, &node.resource, every, now).await?);
        }
    }
    Ok(written)
}

/// Writes the tick of one stage that is due at `now`; `None` if it is there already.
pub async fn write_scheduled_event(
    store: &Store,
    stage: &str,
    resource: &str,
    every: Span,
    now: Timestamp,
) -> Result<Option<(String, Vec<u8>)>> {
    let at = every.window_start(now);
    let key = scheduled_event_key(stage, resource, at);
    if store.head(&key).await?.is_some() {
        return Ok(None);
    }
    let tick = ScheduledEvent {
        as_of: at,
        cause: "schedule".into(),
        who: None,
        why: None,
    };
    let bytes = tick.to_bytes()?;
    store.create(&key, bytes.clone().into()).await?;
    Ok(Some((key, bytes)))
}
