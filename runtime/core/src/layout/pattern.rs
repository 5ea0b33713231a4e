//! Patterns of keys: `*` within a segment, `**` for any number of segments, `?`, `[…]` and `{…}`.

const WILDCARDS: [char; 4] = ['*', '?', '[', '{'];

/// Whether a key matches a pattern.
///
/// ```
/// use tidemill_core::layout::matches;
///
/// assert!(matches("raw/flights/**", "raw/flights/2013/05.csv"));
/// assert!(!matches("raw/flights/*", "raw/flights/2013/05.csv"));
/// ```
pub fn matches(pattern: &str, key: &str) -> bool {
    glob_match::glob_match(pattern, key)
}

/// The part of a pattern before its first wildcard; all of it if there is none.
///
/// ```
/// assert_eq!(tidemill_core::layout::literal_prefix("raw/flights/20*.csv"), "raw/flights/20");
/// ```
pub fn literal_prefix(pattern: &str) -> &str {
    &pattern[..pattern.find(WILDCARDS).unwrap_or(pattern.len())]
}

/// The folder that holds every key of a pattern, empty or ending in `/`: what a listing for it takes.
///
/// ```
/// assert_eq!(tidemill_core::layout::literal_folder("raw/flights/20*.csv"), "raw/flights/");
/// ```
pub fn literal_folder(pattern: &str) -> &str {
    let prefix = literal_prefix(pattern);
    &prefix[..prefix.rfind('/').map_or(0, |slash| slash + 1)]
}

/// Whether a pattern segment or a pattern has a wildcard.
pub fn has_wildcard(pattern: &str) -> bool {
    pattern.contains(WILDCARDS)
}

/// Whether some key could match both patterns. A segment with a wildcard counts as matching any: the answer may be yes too often, never no.
pub fn may_overlap(one: &str, two: &str) -> bool {
    let split = |pattern: &str| pattern.split('/').map(str::to_owned).collect::<Vec<_>>();
    overlap(&split(one), &split(two))
}

fn overlap(one: &[String], two: &[String]) -> bool {
    match (one, two) {
        ([], []) => true,
        ([any, rest @ ..], other) if any == "**" => overlap(rest, other) || (!other.is_empty() && overlap(one, &other[1..])),
        (other, [any, ..]) if any == "**" => overlap(two, other),
        ([a, rest_a @ ..], [b, rest_b @ ..]) => segments_overlap(a, b) && overlap(rest_a, rest_b),
        _ => false,
    }
}

fn segments_overlap(one: &str, two: &str) -> bool {
    match (has_wildcard(one), has_wildcard(two)) {
        (false, false) => one == two,
        (true, false) => matches(one, two),
        (false, true) => matches(two, one),
        (true, true) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps() {
        for (one, two, expected) in [
            ("raw/a/**", "raw/b/**", false),
            ("raw/**", "raw/b/**", true),
            ("raw/a/*.csv", "raw/a/x.parquet", false),
            ("**", "a", true),
            ("a/**/z", "a/b/c", false),
            ("a/**/z", "a/b/*", true),
            ("outcomes/validate/flights/*", "outcomes/*/flights/*", true),
            ("a", "a/b", false),
        ] {
            assert_eq!(may_overlap(one, two), expected, "{one} {two}");
            assert_eq!(may_overlap(two, one), expected, "{two} {one}");
        }
    }
}
