//! Keys that every backend can hold. They are checked before a backend sees them.

use tidemill_core::{Error, Result};

/// The store's own folder, for locks and temporary files. It is never listed, and no key reaches it.
pub(super) const RESERVED_DIR: &str = ".tidemill";

/// Rejects a key that some backend could not hold, or would hold under another name.
pub(super) fn validate(key: &str) -> Result<()> {
    match describe_fault(key) {
        None => Ok(()),
        Some(fault) => Err(Error::input(format!(
            "`{}` cannot be the key of an object: {fault}; write it like `raw/flights/2013-05.csv`",
            key.escape_debug()
        ))),
    }
}

/// A prefix in the form that backends expect: empty, or whole segments ending in `/`.
pub(super) fn normalize_prefix(prefix: &str) -> Result<String> {
    let bare = prefix.strip_suffix('/').unwrap_or(prefix);
    if bare.is_empty() {
        return Ok(String::new());
    }
    validate(bare)?;
    Ok(format!("{bare}/"))
}

fn describe_fault(key: &str) -> Option<String> {
    if key.is_empty() {
        return Some("it is empty".into());
    }
    if key.len() > 1024 {
        return Some(format!("it has {} bytes, at most 1024 are allowed", key.len()));
    }
    if let Some(bad) = key.chars().find(|c| c.is_control() || *c == '\\') {
        return Some(format!("`{}` is not allowed in it", bad.escape_default()));
    }
    key.split('/').enumerate().find_map(|(index, segment)| match segment {
        "" => Some("a segment is empty (`//`, or a `/` at an end)".into()),
        "." | ".." => Some(format!("the segment `{segment}` is not allowed")),
        RESERVED_DIR if index == 0 => Some(format!("`{RESERVED_DIR}/` belongs to the store itself")),
        long if long.len() > 255 => Some(format!("a segment has {} bytes, at most 255 are allowed", long.len())),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portable_keys_only() {
        for good in ["a", "a/b c/ü+%2F.csv", "x/.tidemill", ".hidden/x", "a/..b"] {
            assert!(validate(good).is_ok(), "{good}");
        }
        for bad in ["", "/a", "a/", "a//b", "../a", "a/..", "a/./b", "a\\b", "a\nb", ".tidemill/locks/x"] {
            let error = validate(bad).unwrap_err();
            assert!(error.message.contains("cannot be the key"), "{error}");
        }
        assert!(validate(&"x/".repeat(600)).unwrap_err().message.contains("at most 1024"));
        assert!(validate(&"x".repeat(256)).unwrap_err().message.contains("at most 255"));
    }

    #[test]
    fn prefixes_are_whole_segments() {
        assert_eq!(normalize_prefix("raw").unwrap(), "raw/");
        assert_eq!(normalize_prefix("raw/").unwrap(), "raw/");
        assert_eq!(normalize_prefix("").unwrap(), "");
        assert!(normalize_prefix("../").is_err());
    }
}
