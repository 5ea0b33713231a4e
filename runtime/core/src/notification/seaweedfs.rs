//! SeaweedFS's own webhook, which reports files: a bucket is a folder under `/buckets`.

use serde_json::Value;

use super::{EventKind, ObjectEvent, excerpt, text, unknown_payload};
use crate::Result;

const BUCKETS: &str = "/buckets/";

/// Whether a payload is a SeaweedFS event.
pub(super) fn is_file_event(payload: &Value) -> bool {
    payload.get("event_type").is_some() && payload.get("message").is_some_and(Value::is_object)
}

/// Parses one event. The event of a renamed file carries the old name, but the object is at the new one.
pub(super) fn from_file_event(payload: &Value) -> Result<ObjectEvent> {
    let path = text(payload, "/key").ok_or_else(|| unknown_payload(&format!("a file's event without `key`: {}", excerpt(payload))))?;
    let folder = text(payload, "/message/new_parent_path");
    let (path, kind) = match (folder, text(payload, "/message/new_entry/name")) {
        _ if payload.pointer("/message/new_entry/is_directory") == Some(&Value::Bool(true)) => {
            (path.to_owned(), EventKind::Other("folder".into()))
        }
        (Some(folder), Some(name)) => (format!("{folder}/{name}"), EventKind::Created),
        (None, Some(_)) => (path.to_owned(), EventKind::Created),
        (_, None) => (path.to_owned(), EventKind::Removed),
    };
    let (bucket, key) = path.strip_prefix(BUCKETS).and_then(|rest| rest.split_once('/')).unwrap_or_default();
    Ok(ObjectEvent {
        bucket: if bucket.is_empty() { "(none)".into() } else { bucket.to_owned() },
        key: key.to_owned(),
        kind,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::notification::parse_events;

    fn one(payload: &Value) -> ObjectEvent {
        let mut all = parse_events(payload).unwrap();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    #[test]
    fn files_of_buckets_are_objects() {
        let created = json!({ "event_type": "create", "key": "/buckets/tide/raw/d/a b+c%ü.csv",
            "message": { "new_entry": { "name": "a b+c%ü.csv" }, "new_parent_path": "/buckets/tide/raw/d" } });
        assert_eq!(
            one(&created),
            ObjectEvent {
                bucket: "tide".into(),
                key: "raw/d/a b+c%ü.csv".into(),
                kind: EventKind::Created
            }
        );
        let renamed = json!({ "event_type": "rename", "key": "/buckets/tide/raw/d/x.tmp",
            "message": { "old_entry": { "name": "x.tmp" }, "new_entry": { "name": "x.csv" }, "new_parent_path": "/buckets/tide/raw/e" } });
        assert_eq!(one(&renamed).key, "raw/e/x.csv");
        let removed =
            json!({ "event_type": "delete", "key": "/buckets/tide/raw/d/x.csv", "message": { "old_entry": { "name": "x.csv" } } });
        assert_eq!(one(&removed).kind, EventKind::Removed);
        let folder = json!({ "event_type": "create", "key": "/buckets/tide/raw",
            "message": { "new_entry": { "name": "raw", "is_directory": true }, "new_parent_path": "/buckets/tide" } });
        assert_eq!(one(&folder).kind, EventKind::Other("folder".into()));
        let elsewhere =
            json!({ "event_type": "create", "key": "/etc/x", "message": { "new_entry": { "name": "x" }, "new_parent_path": "/etc" } });
        assert_eq!(one(&elsewhere).bucket, "(none)");
    }
}
