//! SQS batches, whose items succeed and fail apart, and SNS's envelope, which may be inside them.

use serde_json::Value;

use super::{Notice, notices, shown, text, unknown};
use crate::{Error, Result};

/// One item of an SQS batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Names it in `batchItemFailures`.
    pub id: String,
    /// How often it was delivered, this time too.
    pub receives: u32,
    /// What it says, or why that cannot be read.
    pub notices: Result<Vec<Notice>>,
}

/// The items of an SQS batch; `None` for any other payload. An item that has no `messageId` makes the whole batch unreadable: its
/// failure could not be named.
pub fn messages(payload: &Value) -> Result<Option<Vec<Message>>> {
    let records = payload.get("Records").and_then(Value::as_array);
    let Some(records) = records.filter(|records| records.iter().any(is_queued)) else {
        return Ok(None);
    };
    records.iter().map(message).collect::<Result<_>>().map(Some)
}

fn is_queued(record: &Value) -> bool {
    text(record, "/eventSource") == Some("aws:sqs") || record.get("body").is_some()
}

fn message(record: &Value) -> Result<Message> {
    let id = text(record, "/messageId").ok_or_else(|| unknown(&format!("a queued item without `messageId`: {}", shown(record))))?;
    let receives = text(record, "/attributes/ApproximateReceiveCount").and_then(|count| count.parse().ok());
    let body = text(record, "/body").ok_or_else(|| unknown(&format!("a queued item without `body`: {}", shown(record))));
    Ok(Message {
        id: id.to_owned(),
        receives: receives.unwrap_or(1),
        notices: body.and_then(inner),
    })
}

/// What a message's text says.
pub(super) fn inner(body: &str) -> Result<Vec<Notice>> {
    let short: String = body.chars().take(200).collect();
    let value: Value = serde_json::from_str(body).map_err(|e| Error::input(format!("a queued message is not JSON ({e}): `{short}`")))?;
    match value.get("Records").and_then(Value::as_array) {
        Some(records) if records.iter().any(is_queued) => Err(unknown("a queued batch inside a queued message")),
        _ => notices(&value),
    }
}

/// What SNS passes on: the message's text stands in `Message`.
pub(super) fn announced(envelope: &Value) -> Result<Vec<Notice>> {
    let message = text(envelope, "/Message").ok_or_else(|| unknown(&format!("SNS's envelope without `Message`: {}", shown(envelope))))?;
    let value: Value = serde_json::from_str(message).map_err(|e| Error::input(format!("SNS's `Message` is not JSON: {e}")))?;
    match text(&value, "/Type") {
        Some("Notification") => Err(unknown("SNS's envelope inside SNS's envelope")),
        _ => notices(&value),
    }
}
