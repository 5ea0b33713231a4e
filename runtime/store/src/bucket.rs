//! The bucket of a store, and the translation of a bucket's keys into the store's: events of a bucket name the former.

use crate::key;

/// A bucket, and the part of it that is the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// The bucket's name.
    pub name: String,
    /// The prefix of each key of the store: empty, or ending in `/`.
    pub prefix: String,
}

impl Bucket {
    /// The store's key of an object in this bucket (its key decoded). `None` if it lies outside of the prefix, or cannot be a key.
    pub fn key_of<'a>(&self, object: &'a str) -> Option<&'a str> {
        let key = object.strip_prefix(&self.prefix)?;
        key::validate(key).is_ok().then_some(key)
    }

    /// `s3://bucket/prefix`.
    pub fn location(&self) -> String {
        format!("s3://{}/{}", self.name, self.prefix).trim_end_matches('/').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_what_stands_behind_the_prefix() {
        let bucket = |prefix: &str| Bucket {
            name: "tide".into(),
            prefix: prefix.into(),
        };
        assert_eq!(bucket("").key_of("raw/a b.csv"), Some("raw/a b.csv"));
        assert_eq!(bucket("mill/").key_of("mill/raw/a.csv"), Some("raw/a.csv"));
        for other in [
            "raw/a.csv",
            "mill",
            "mill/",
            "mill2/raw/a.csv",
            "mill/raw/",
            "mill/raw//a",
            "mill/../a",
        ] {
            assert_eq!(bucket("mill/").key_of(other), None, "{other}");
        }
        assert_eq!(bucket("").location(), "s3://tide");
        assert_eq!(bucket("a/b/").location(), "s3://tide/a/b");
    }
}
