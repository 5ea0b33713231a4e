//! SQS batches, whose items succeed and fail separately, and the SNS envelope, which can be inside them.

use serde_json::Value;

use super::{ObjectEvent, excerpt, parse_events, text, unknown_payload};
use crate::{Error, Result};

/// One item of an SQS batch.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueMessage {
    /// The id that names the message in `batchItemFailures`.
    pub id: String,
    /// Number of deliveries, including this one.
    pub receive_count: u32,
    /// The events in the message, or the reason why it cannot be read.
    pub events: Result<Vec<ObjectEvent>>,
}

/// Parses the items of an SQS batch; `None` for any other payload. An item without `messageId` makes the whole batch unreadable, because
/// its failure could not be named.
pub fn parse_messages(payload: &Value) -> Result<Option<Vec<QueueMessage>>> {
    let records = payload.get("Records").and_then(Value::as_array);
    let Some(records) = records.filter(|records| records.iter().any(is_queued)) else {
        return Ok(None);
    };
    records.iter().map(parse_message).collect::<Result<_>>().map(Some)
}

fn is_queued(record: &Value) -> bool {
    text(record, "/eventSource") == Some("aws:sqs") || record.get("body").is_some()
}

fn parse_message(record: &Value) -> Result<QueueMessage> {
    let id =
        text(record, "/messageId").ok_or_else(|| unknown_payload(&format!("a queued item without `messageId`: {}", excerpt(record))))?;
    let receives = text(record, "/attributes/ApproximateReceiveCount").and_then(|count| count.parse().ok());
    let body = text(record, "/body").ok_or_else(|| unknown_payload(&format!("a queued item without `body`: {}", excerpt(record))));
    Ok(QueueMessage {
        id: id.to_owned(),
        receive_count: receives.unwrap_or(1),
        events: body.and_then(parse_body),
    })
}

/// Parses the text of a message.
pub(super) fn parse_body(body: &str) -> Result<Vec<ObjectEvent>> {
    let short: String = body.chars().take(200).collect();
    let value: Value = serde_json::from_str(body).map_err(|e| Error::input(format!("a queued message is not JSON ({e}): `{short}`")))?;
    match value.get("Records").and_then(Value::as_array) {
        Some(records) if records.iter().any(is_queued) => Err(unknown_payload("a queued batch inside a queued message")),
        _ => parse_events(&value),
    }
}

/// Parses an SNS envelope, whose `Message` holds the text.
pub(super) fn parse_sns(envelope: &Value) -> Result<Vec<ObjectEvent>> {
    let message =
        text(envelope, "/Message").ok_or_else(|| unknown_payload(&format!("SNS's envelope without `Message`: {}", excerpt(envelope))))?;
    let value: Value = serde_json::from_str(message).map_err(|e| Error::input(format!("SNS's `Message` is not JSON: {e}")))?;
    match text(&value, "/Type") {
        Some("Notification") => Err(unknown_payload("SNS's envelope inside SNS's envelope")),
        _ => parse_events(&value),
    }
}
