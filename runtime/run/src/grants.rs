//! The keys and hosts that a stage may use, as `tidemill.toml` grants them. The messages say what to add there.

use tidemill_core::{Error, Result, layout::matches};

/// Patterns of keys that a stage may read and write, and the hosts that it may fetch from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Patterns of keys; a listing must lie inside one of them.
    pub reads: Vec<String>,
    /// Patterns of keys. What may be written may also be read: an output is compared with what is there.
    pub writes: Vec<String>,
    /// Hosts, with `:port` where it is not the usual one: `example.org`.
    pub fetch: Vec<String>,
}

impl Grants {
    /// Whether a key may be read.
    pub fn check_read(&self, key: &str) -> Result<()> {
        let is_granted = self.reads.iter().chain(&self.writes).any(|pattern| matches(pattern, key));
        is_granted
            .then_some(())
            .ok_or_else(|| denied_error("read", key, "reads", &self.reads))
    }

    /// Whether a key may be written.
    pub fn check_write(&self, key: &str) -> Result<()> {
        let is_granted = self.writes.iter().any(|pattern| matches(pattern, key));
        is_granted
            .then_some(())
            .ok_or_else(|| denied_error("write", key, "writes", &self.writes))
    }

    /// Whether all keys under a prefix may be known: the prefix lies inside a pattern.
    pub fn check_list(&self, prefix: &str) -> Result<()> {
        let bare = prefix.trim_end_matches('/');
        let is_granted = self.reads.iter().chain(&self.writes).any(|pattern| covers_listing(pattern, bare));
        is_granted.then_some(()).ok_or_else(|| {
            let wanted = if bare.is_empty() { "**".to_owned() } else { format!("{bare}/**") };
            denied_error("list", &wanted, "reads", &self.reads)
        })
    }

    /// Whether a host may be fetched from.
    pub fn check_fetch(&self, host: &str) -> Result<()> {
        let is_granted = self.fetch.iter().any(|granted| granted.eq_ignore_ascii_case(host));
        is_granted
            .then_some(())
            .ok_or_else(|| denied_error("fetch from", host, "fetch", &self.fetch))
    }
}

/// Whether a listing of `prefix` shows nothing but keys that the pattern is about: each of its segments is matched, and
/// then either `**` follows, or the one last segment.
fn covers_listing(pattern: &str, prefix: &str) -> bool {
    let segments = prefix.split('/').filter(|segment| !segment.is_empty());
    let mut pattern = pattern.split('/').peekable();
    for segment in segments {
        match pattern.next() {
            Some("**") => return true,
            Some(part) if matches(part, segment) => {}
            _ => return false,
        }
    }
    match pattern.next() {
        Some("**") => true,
        Some(last) => last.starts_with('*') && pattern.next().is_none(),
        None => false,
    }
}

fn denied_error(doing: &str, object: &str, field: &str, granted: &[String]) -> Error {
    let list = granted.iter().map(|pattern| format!("`{pattern}`")).collect::<Vec<_>>().join(", ");
    Error::denied(format!(
        "the stage may not {doing} `{object}`: tidemill.toml grants it {field} = [{list}]; add `{object}` to its `{field}` if it should"
    ))
}

#[cfg(test)]
mod tests {
    use tidemill_core::ErrorKind;

    use super::*;

    fn grants() -> Grants {
        Grants {
            reads: vec!["datasets/flights/**".into(), "models/late/versions/*".into()],
            writes: vec!["reports/late/**".into()],
            fetch: vec!["example.org".into()],
        }
    }

    #[test]
    fn keys() {
        let grants = grants();
        assert!(grants.check_read("datasets/flights/a/data.parquet").is_ok());
        assert!(grants.check_read("reports/late/x.json").is_ok());
        assert!(grants.check_write("reports/late/x.json").is_ok());
        let error = grants.check_write("datasets/flights/x").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied);
        assert_eq!(
            error.message,
            "the stage may not write `datasets/flights/x`: tidemill.toml grants it writes = [`reports/late/**`]; \
             add `datasets/flights/x` to its `writes` if it should"
        );
        assert!(grants.check_read("datasets/other/x").is_err());
        assert!(grants.check_fetch("EXAMPLE.org").is_ok());
        assert!(grants.check_fetch("example.org.evil").is_err());
    }

    #[test]
    fn listings_lie_inside_a_grant() {
        let grants = grants();
        for good in ["datasets/flights/", "datasets/flights/a/", "models/late/versions/", "reports/late/"] {
            assert!(grants.check_list(good).is_ok(), "{good}");
        }
        for bad in ["datasets/", "", "datasets/other/", "models/late/", "models/late/versions/deep/"] {
            assert!(grants.check_list(bad).is_err(), "{bad}");
        }
    }
}
