//! Storage notifications in all formats that are in use, parsed into [`ObjectEvent`]s.
//!
//! Keys in S3's own notifications are URL-encoded (`+` is a space, and some servers encode even `/`); keys in EventBridge events are not.
//! An event is a hint that a key is worth reading; callers must not trust anything else in it.

mod cloudevents;
mod queue;
mod s3;
mod seaweedfs;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::Value;

pub use cloudevents::{check_media, parse_http};
pub use queue::{QueueMessage, parse_messages};

use crate::{Error, Result};

/// An event about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectEvent {
    /// The bucket's name; empty if the payload gives only a key.
    pub bucket: String,
    /// The decoded key; empty in a test event.
    pub key: String,
    /// What happened to the object.
    pub kind: EventKind,
}

/// What happened to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// The object was written, by any method.
    Created,
    /// The object was removed or expired.
    Removed,
    /// S3's test event, sent once to confirm that notifications work.
    Test,
    /// An event that creates no new content, by its name: `ObjectTagging:Put`.
    Other(String),
}

impl EventKind {
    /// The kind of an event by its name, with or without the prefix `s3:`, in S3's or EventBridge's spelling.
    fn from_name(name: &str) -> Self {
        let plain: String = name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_ascii_lowercase();
        if plain.contains("objectcreated") {
            Self::Created
        } else if plain.contains("objectremoved") || plain.contains("objectdeleted") || plain.contains("lifecycleexpiration") {
            Self::Removed
        } else {
            Self::Other(name.to_owned())
        }
    }
}

/// Parses the events in a payload: S3 notifications (2.x; MinIO-style webhooks too), EventBridge events, either of them inside SNS or SQS,
/// a structured CloudEvent, SeaweedFS's webhook, or `{"key": "…"}` from a user. For an SQS batch whose items succeed or fail separately,
/// use [`parse_messages`].
pub fn parse_events(payload: &Value) -> Result<Vec<ObjectEvent>> {
    if let Some(records) = payload.get("Records") {
        let records = records.as_array().ok_or_else(|| unknown_payload("its `Records` are not a list"))?;
        let each = records.iter().enumerate();
        let each = each.map(|(n, record)| parse_record(record).map_err(|e| e.context(format!("record {n}"))));
        return Ok(each.collect::<Result<Vec<_>>>()?.concat());
    }
    if let Some(kind) = text(payload, "/Event") {
        return s3::parse_test_event(payload, kind);
    }
    if payload.get("detail-type").is_some() {
        return s3::from_event_bridge(payload).map(|notice| vec![notice]);
    }
    if payload.get("specversion").is_some() {
        return cloudevents::parse_structured(payload);
    }
    if text(payload, "/Type") == Some("Notification") {
        return queue::parse_sns(payload);
    }
    if let Some(kind) = text(payload, "/Type").filter(|kind| ["SubscriptionConfirmation", "UnsubscribeConfirmation"].contains(kind)) {
        // Only a person can tell whether the topic is theirs: the URL comes from the sender of the payload.
        let open = text(payload, "/SubscribeURL").unwrap_or_default();
        return Ok(vec![ObjectEvent {
            bucket: String::new(),
            key: String::new(),
            kind: EventKind::Other(format!("{kind} of SNS; if the topic is yours, open {open}")),
        }]);
    }
    if seaweedfs::is_file_event(payload) {
        return seaweedfs::from_file_event(payload).map(|notice| vec![notice]);
    }
    match text(payload, "/key") {
        Some(key) => Ok(vec![ObjectEvent {
            bucket: String::new(),
            key: key.to_owned(),
            kind: EventKind::Created,
        }]),
        None => Err(unknown_payload(&excerpt(payload))),
    }
}

/// The time of a schedule's event, from an EventBridge rule or EventBridge Scheduler; `None` for any other payload.
pub fn parse_scheduled_time(payload: &Value) -> Option<Timestamp> {
    let is_schedule = text(payload, "/detail-type") == Some("Scheduled Event");
    let source = text(payload, "/source").filter(|source| ["aws.events", "aws.scheduler"].contains(source));
    source.filter(|_| is_schedule)?;
    text(payload, "/time")?.parse().ok()
}

fn parse_record(record: &Value) -> Result<Vec<ObjectEvent>> {
    if record.get("s3").is_some() {
        s3::from_record(record).map(|notice| vec![notice])
    } else if let Some(body) = text(record, "/body") {
        queue::parse_body(body)
    } else if let Some(announced) = record.get("Sns") {
        queue::parse_sns(announced)
    } else {
        Err(unknown_payload(&format!(
            "a record without `s3`, `body` or `Sns`: {}",
            excerpt(record)
        )))
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

/// The start of a value, for a message.
fn excerpt(value: &Value) -> String {
    let text = value.to_string();
    let short: String = text.chars().take(200).collect();
    format!("`{short}{}`", if short.len() < text.len() { "…" } else { "" })
}

fn unknown_payload(what: &str) -> Error {
    Error::input(format!(
        "this is no event about an object: {what}; known are S3 notifications (versions 2.x), EventBridge's `Object Created`, SQS and SNS \
         messages with these, CloudEvents about S3 objects, SeaweedFS's webhook, and `{{\"key\": \"…\"}}`"
    ))
}

/// Decodes a URL-encoded key: `%41` is an `A`, and `+` is a space in a query's encoding.
fn decode_key(key: &str, plus_is_space: bool) -> Result<String> {
    let bad = |at: &str| {
        Error::input(format!(
            "the key `{key}` is not URL-encoded: `{at}` is no escape, which is `%` and two hexadecimal digits (`%25` for `%` itself)"
        ))
    };
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        bytes.push(match byte {
            b'+' if plus_is_space => b' ',
            b'%' => {
                let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
                let code = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                let code = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                let code = code.ok_or_else(|| bad(&format!("%{}", String::from_utf8_lossy(&after[..after.len().min(2)]))))?;
                rest = &after[2..];
                code
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| Error::input(format!("the key `{key}` is not UTF-8 when it is decoded")))
}
