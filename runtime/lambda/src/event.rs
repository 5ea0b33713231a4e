//! What AWS sends, as the keys of the objects that it is about. Keys in S3's own notifications are URL-encoded; in EventBridge's
//! they are not.

use serde_json::Value;
use tidemill_core::{Error, Result};

/// The keys that a payload names, in its order: S3 notifications, EventBridge `Object Created`, either inside SQS, or `{"key": "…"}`.
pub fn keys(payload: &Value) -> Result<Vec<String>> {
    if let Some(key) = payload.get("key").and_then(Value::as_str) {
        return Ok(vec![key.to_owned()]);
    }
    if let Some(key) = payload.pointer("/detail/object/key").and_then(Value::as_str) {
        return match payload.get("detail-type").and_then(Value::as_str) {
            Some("Object Created") => Ok(vec![key.to_owned()]),
            other => Err(unknown(&format!("EventBridge's `{}`", other.unwrap_or("(none)")))),
        };
    }
    match payload.get("Records").and_then(Value::as_array) {
        Some(records) => Ok(records.iter().map(record).collect::<Result<Vec<_>>>()?.concat()),
        // S3 sends this once, when a notification is set up.
        None if payload.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") => Ok(Vec::new()),
        None => Err(unknown(&payload.to_string().chars().take(200).collect::<String>())),
    }
}

fn record(record: &Value) -> Result<Vec<String>> {
    if let Some(key) = record.pointer("/s3/object/key").and_then(Value::as_str) {
        let created = record
            .get("eventName")
            .and_then(Value::as_str)
            .is_none_or(|name| name.contains("ObjectCreated"));
        return if created { Ok(vec![decoded(key)?]) } else { Ok(Vec::new()) };
    }
    let body = record
        .get("body")
        .and_then(Value::as_str)
        .ok_or_else(|| unknown("a record without `s3` and `body`"))?;
    let inner = serde_json::from_str(body).map_err(|e| Error::input(format!("a queued message is not JSON: {e}")))?;
    keys(&inner)
}

/// `+` is a space and `%41` an `A`.
fn decoded(key: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().unwrap_or(b'?'), rest.next().unwrap_or(b'?')];
                let digits = std::str::from_utf8(&digits).unwrap_or("?");
                u8::from_str_radix(digits, 16).map_err(|_| Error::input(format!("key `{key}` has a bad `%` escape")))?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| Error::input(format!("key `{key}` is not UTF-8")))
}

fn unknown(what: &str) -> Error {
    Error::input(format!(
        "an event that no object caused: {what}; known are S3 notifications, EventBridge `Object Created`, SQS messages with these, and `{{\"key\": …}}`"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_event() {
        let s3 = json!({ "Records": [{ "eventName": "ObjectCreated:Put", "s3": { "object": { "key": "raw/d/a+b%2Bc.csv" } } }] });
        let bridge = json!({ "detail-type": "Object Created", "detail": { "object": { "key": "raw/d/a+b.csv" } } });
        let queued = json!({ "Records": [{ "body": s3.to_string() }, { "body": bridge.to_string() }] });
        assert_eq!(keys(&s3).unwrap(), ["raw/d/a b+c.csv"]);
        assert_eq!(keys(&bridge).unwrap(), ["raw/d/a+b.csv"]);
        assert_eq!(keys(&queued).unwrap(), ["raw/d/a b+c.csv", "raw/d/a+b.csv"]);
        assert_eq!(keys(&json!({ "key": "x" })).unwrap(), ["x"]);
    }

    #[test]
    fn removals_and_tests_are_nothing_and_others_teach() {
        let removed = json!({ "Records": [{ "eventName": "ObjectRemoved:Delete", "s3": { "object": { "key": "x" } } }] });
        assert!(keys(&removed).unwrap().is_empty());
        assert!(keys(&json!({ "Event": "s3:TestEvent" })).unwrap().is_empty());
        let error = keys(&json!({ "hello": 1 })).unwrap_err();
        assert!(
            error.message.contains("hello") && error.message.contains("Object Created"),
            "{error}"
        );
        assert!(keys(&json!({ "Records": [{ "s3": { "object": { "key": "%zz" } } }] })).is_err());
    }
}
