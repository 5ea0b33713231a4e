//! S3's own notifications, and what EventBridge makes of them.

use serde_json::Value;

use super::{Kind, Notice, decoded, shown, text, unknown};
use crate::{Error, Result};

/// One record of a notification. AWS' rule for its versions: equal major, equal or greater minor.
pub(super) fn recorded(record: &Value) -> Result<Notice> {
    let version = text(record, "/eventVersion").unwrap_or("2.0");
    if version.split('.').next() != Some("2") {
        return Err(Error::input(format!(
            "an S3 notification of version `{version}` may say other things than it seems to; known are 2.0 to 2.3 and later 2.x: \
             a newer Tidemill may know it"
        )));
    }
    Ok(Notice {
        bucket: needed(record, "/s3/bucket/name")?.to_owned(),
        key: decoded(needed(record, "/s3/object/key")?, true)?,
        kind: Kind::named(needed(record, "/eventName")?),
    })
}

/// What is sent once, when a notification is set up.
pub(super) fn test(payload: &Value, kind: &str) -> Result<Vec<Notice>> {
    if kind != "s3:TestEvent" {
        return Err(unknown(&format!("the `Event` `{kind}`")));
    }
    Ok(vec![Notice {
        bucket: text(payload, "/Bucket").unwrap_or_default().to_owned(),
        key: String::new(),
        kind: Kind::Test,
    }])
}

/// EventBridge's event: its key is as it is.
pub(super) fn bridged(payload: &Value) -> Result<Notice> {
    let source = text(payload, "/source").unwrap_or_default();
    let kind = needed(payload, "/detail-type")?;
    if source != "aws.s3" {
        return Err(unknown(&format!(
            "EventBridge's `{kind}` of `{source}`, where `aws.s3` is waited for"
        )));
    }
    detailed(&payload["detail"], Kind::named(kind))
}

/// `{"bucket": {"name": …}, "object": {"key": …}}`
pub(super) fn detailed(detail: &Value, kind: Kind) -> Result<Notice> {
    Ok(Notice {
        bucket: needed(detail, "/bucket/name")?.to_owned(),
        key: needed(detail, "/object/key")?.to_owned(),
        kind,
    })
}

fn needed<'a>(value: &'a Value, pointer: &str) -> Result<&'a str> {
    text(value, pointer).ok_or_else(|| {
        let field = pointer.trim_start_matches('/').replace('/', ".");
        Error::input(format!(
            "an event about an object says no `{field}`, which is a text: {}",
            shown(value)
        ))
    })
}
