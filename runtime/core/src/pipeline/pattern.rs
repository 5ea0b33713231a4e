//! Patterns of keys: `*` within a segment, `**` for any number of segments.

/// Whether a key is meant by a pattern.
pub fn matches(pattern: &str, key: &str) -> bool {
    glob_match::glob_match(pattern, key)
}

/// Whether any key could be meant by both. A segment with a wildcard is taken to match any: it may say yes too often, never no.
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
    let wild = |segment: &str| segment.contains(['*', '?', '[', '{']);
    match (wild(one), wild(two)) {
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
