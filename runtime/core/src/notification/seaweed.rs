//! SeaweedFS's own webhook, which speaks of files: a bucket is a folder under `/buckets`.

use serde_json::Value;

use super::{Kind, Notice, shown, text, unknown};
use crate::Result;

const BUCKETS: &str = "/buckets/";

/// Whether a payload is one of these.
pub(super) fn is_one(payload: &Value) -> bool {
    payload.get("event_type").is_some() && payload.get("message").is_some_and(Value::is_object)
}

/// What one event says. A renamed file is announced under its old name, and stands at the new one.
pub(super) fn filed(payload: &Value) -> Result<Notice> {
    let path = text(payload, "/key").ok_or_else(|| unknown(&format!("a file's event without `key`: {}", shown(payload))))?;
    let folder = text(payload, "/message/new_parent_path");
    let (path, kind) = match (folder, text(payload, "/message/new_entry/name")) {
        _ if payload.pointer("/message/new_entry/is_directory") == Some(&Value::Bool(true)) => {
            (path.to_owned(), Kind::Other("folder".into()))
        }
        (Some(folder), Some(name)) => (format!("{folder}/{name}"), Kind::Created),
        (None, Some(_)) => (path.to_owned(), Kind::Created),
        (_, None) => (path.to_owned(), Kind::Removed),
    };
    let (bucket, key) = path.strip_prefix(BUCKETS).and_then(|rest| rest.split_once('/')).unwrap_or_default();
    Ok(Notice {
        bucket: if bucket.is_empty() { "(none)".into() } else { bucket.to_owned() },
        key: key.to_owned(),
        kind,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::notification::notices;

    fn one(payload: &Value) -> Notice {
        let mut all = notices(payload).unwrap();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    #[test]
    fn files_of_buckets_are_objects() {
        let created = json!({ "event_type": "create", "key": "/buckets/tide/raw/d/a b+c%ü.csv",
            "message": { "new_entry": { "name": "a b+c%ü.csv" }, "new_parent_path": "/buckets/tide/raw/d" } });
        assert_eq!(
            one(&created),
            Notice {
                bucket: "tide".into(),
                key: "raw/d/a b+c%ü.csv".into(),
                kind: Kind::Created
            }
        );
        let renamed = json!({ "event_type": "rename", "key": "/buckets/tide/raw/d/x.tmp",
            "message": { "old_entry": { "name": "x.tmp" }, "new_entry": { "name": "x.csv" }, "new_parent_path": "/buckets/tide/raw/e" } });
        assert_eq!(one(&renamed).key, "raw/e/x.csv");
        let removed =
            json!({ "event_type": "delete", "key": "/buckets/tide/raw/d/x.csv", "message": { "old_entry": { "name": "x.csv" } } });
        assert_eq!(one(&removed).kind, Kind::Removed);
        let folder = json!({ "event_type": "create", "key": "/buckets/tide/raw",
            "message": { "new_entry": { "name": "raw", "is_directory": true }, "new_parent_path": "/buckets/tide" } });
        assert_eq!(one(&folder).kind, Kind::Other("folder".into()));
        let elsewhere =
            json!({ "event_type": "create", "key": "/etc/x", "message": { "new_entry": { "name": "x" }, "new_parent_path": "/etc" } });
        assert_eq!(one(&elsewhere).bucket, "(none)");
    }
}
