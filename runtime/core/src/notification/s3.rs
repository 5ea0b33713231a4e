//! S3 notifications, and the EventBridge events made from them.

use serde_json::Value;

use super::{EventKind, ObjectEvent, decode_key, excerpt, text, unknown_payload};
use crate::{Error, Result};

/// Parses one record of a notification. AWS's rule for compatible versions: same major version, same or greater minor version.
pub(super) fn from_record(record: &Value) -> Result<ObjectEvent> {
    let version = text(record, "/eventVersion").unwrap_or("2.0");
    if version.split('.').next() != Some("2") {
        return Err(Error::input(format!(
            "an S3 notification of version `{version}` may say other things than it seems to; known are 2.0 to 2.3 and later 2.x: \
             a newer Tidemill may know it"
        )));
    }
    Ok(ObjectEvent {
        bucket: required_text(record, "/s3/bucket/name")?.to_owned(),
        key: decode_key(required_text(record, "/s3/object/key")?, true)?,
        kind: EventKind::from_name(required_text(record, "/eventName")?),
    })
}

/// Parses the event that S3 sends once, when a notification is set up.
pub(super) fn parse_test_event(payload: &Value, kind: &str) -> Result<Vec<ObjectEvent>> {
    if kind != "s3:TestEvent" {
        return Err(unknown_payload(&format!("the `Event` `{kind}`")));
    }
    Ok(vec![ObjectEvent {
        bucket: text(payload, "/Bucket").unwrap_or_default().to_owned(),
        key: String::new(),
        kind: EventKind::Test,
    }])
}

/// Parses an EventBridge event, whose key is not encoded.
pub(super) fn from_event_bridge(payload: &Value) -> Result<ObjectEvent> {
    let source = text(payload, "/source").unwrap_or_default();
    let kind = required_text(payload, "/detail-type")?;
    if source != "aws.s3" {
        return Err(unknown_payload(&format!(
            "EventBridge's `{kind}` of `{source}`, where `aws.s3` is waited for"
        )));
    }
    from_detail(&payload["detail"], EventKind::from_name(kind))
}

/// Parses an event's detail: `{"bucket": {"name": …}, "object": {"key": …}}`.
pub(super) fn from_detail(detail: &Value, kind: EventKind) -> Result<ObjectEvent> {
    Ok(ObjectEvent {
        bucket: required_text(detail, "/bucket/name")?.to_owned(),
        key: required_text(detail, "/object/key")?.to_owned(),
        kind,
    })
}

fn required_text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str> {
    text(value, pointer).ok_or_else(|| {
        let field = pointer.trim_start_matches('/').replace('/', ".");
        Error::input(format!(
            "an event about an object says no `{field}`, which is a text: {}",
            excerpt(value)
        ))
    })
}
