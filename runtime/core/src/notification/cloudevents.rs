//! CloudEvents 1.0 about S3 objects over HTTP: structured (the body is the event), binary (the attributes are `ce-…` headers) or batched.
//! Webhooks whose body is an S3 notification are parsed too.
//!
//! The attributes alone can name an object, as in the CloudEvents adapter for S3: `source` ends in the bucket, and `subject` is the key.

use serde_json::{Map, Value};

use super::{EventKind, ObjectEvent, decode_key, excerpt, parse_events, s3, text, unknown_payload};
use crate::{
    Error, Result,
    ingest::{UnsupportedMedia, check_encoding, is_json},
};

/// Rejects a request whose body is not declared as JSON. `header` returns the value of a header by its lower-case name.
///
/// A page in a browser can send what has no type, or that of a form or of plain text, to any server without asking it first. It cannot set the
/// headers of SNS, which sends plain text, or of a CloudEvent, which may have no body.
///
/// # Errors
/// If the body is encoded, or of another type.
pub fn check_media(header: &dyn Fn(&str) -> Option<String>) -> Result<(), UnsupportedMedia> {
    check_encoding(&header("content-encoding").unwrap_or_default())?;
    let kind = header("content-type").unwrap_or_default();
    let is_from_sns = header("x-amz-sns-message-type").is_some();
    let is_event_without_body = kind.is_empty() && header("ce-specversion").is_some();
    if is_json(&kind) || is_from_sns || is_event_without_body {
        return Ok(());
    }
    Err(UnsupportedMedia::Type(format!(
        "the content type is `{kind}`; send `application/json`, `application/cloudevents+json` or `application/cloudevents-batch+json`"
    )))
}

/// Parses the object events of an HTTP request. `header` returns the value of a header by its lower-case name.
pub fn parse_http(header: &dyn Fn(&str) -> Option<String>, body: &[u8]) -> Result<Vec<ObjectEvent>> {
    let kind = header("content-type").unwrap_or_default().to_ascii_lowercase();
    let json = || serde_json::from_slice::<Value>(body).map_err(|e| Error::input(format!("the event is not JSON: {e}")));
    if kind.starts_with("application/cloudevents-batch") {
        let events = json()?;
        let events = events
            .as_array()
            .ok_or_else(|| unknown_payload("a batch of CloudEvents is a list"))?;
        return Ok(events.iter().map(parse_structured).collect::<Result<Vec<_>>>()?.concat());
    }
    if kind.starts_with("application/cloudevents") {
        return parse_structured(&json()?);
    }
    let Some(version) = header("ce-specversion") else {
        return parse_events(&json()?);
    };
    let mut event = Map::from_iter([("specversion".to_owned(), Value::from(version))]);
    for name in ["type", "source", "subject"] {
        if let Some(value) = header(&format!("ce-{name}")) {
            // Headers percent-encode everything that is not plain ASCII.
            event.insert(name.to_owned(), decode_key(&value, false)?.into());
        }
    }
    if !body.is_empty() {
        event.insert("data".to_owned(), json()?);
    }
    parse_structured(&Value::Object(event))
}

/// Parses one event with its attributes and `data`.
pub(super) fn parse_structured(event: &Value) -> Result<Vec<ObjectEvent>> {
    let version = text(event, "/specversion").unwrap_or_default();
    if !version.starts_with("1.") {
        return Err(unknown_payload(&format!("a CloudEvent of version `{version}`, where 1.0 is known")));
    }
    let kind = text(event, "/type").ok_or_else(|| unknown_payload(&format!("a CloudEvent without `type`: {}", excerpt(event))))?;
    let one = |notice: Result<ObjectEvent>| notice.map(|notice| vec![notice]);
    match event.get("data").filter(|data| !data.is_null()) {
        Some(data) if data.get("s3").is_some() => one(s3::from_record(data)),
        Some(data) if data.get("Records").is_some() || data.get("detail-type").is_some() => parse_events(data),
        Some(data) if data.pointer("/object/key").is_some() => one(s3::from_detail(data, EventKind::from_name(kind))),
        _ => one(from_attributes(event, kind)),
    }
}

/// Parses an event by its attributes alone: `source` is `aws:s3.<region>.<bucket>` (or `aws:s3:<region>:<bucket>`), and `subject` is the
/// key as S3 encodes it.
fn from_attributes(event: &Value, kind: &str) -> Result<ObjectEvent> {
    let source = text(event, "/source").unwrap_or_default();
    let rest = source.strip_prefix("aws:s3").filter(|rest| rest.starts_with(['.', ':']));
    let bucket = rest
        .and_then(|rest| rest[1..].split_once(['.', ':']))
        .map(|(_region, bucket)| bucket);
    match (bucket.filter(|bucket| !bucket.is_empty()), text(event, "/subject")) {
        (Some(bucket), Some(key)) => Ok(ObjectEvent {
            bucket: bucket.to_owned(),
            key: decode_key(key, true)?,
            kind: EventKind::from_name(kind),
        }),
        _ => Err(unknown_payload(&format!(
            "a CloudEvent of type `{kind}` whose `data` names no object, nor do `source` (`aws:s3.<region>.<bucket>`) and `subject` (the key)"
        ))),
    }
}
