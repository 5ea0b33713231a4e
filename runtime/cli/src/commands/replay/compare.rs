//! Compares the outputs of two runs by key and digest.

use std::collections::BTreeMap;

use tidemill_core::record::OutputObject as Written;

/// Describes each difference, by key.
pub(super) fn list_differences(then: &[Written], now: &[Written]) -> Vec<String> {
    let index = |outputs: &[Written]| {
        outputs
            .iter()
            .map(|o| (o.key.clone(), o.digest.clone()))
            .collect::<BTreeMap<_, _>>()
    };
    let (then, now) = (index(then), index(now));
    let missing = then
        .keys()
        .filter(|key| !now.contains_key(*key))
        .map(|key| format!("{key} was not written"));
    let extra = now.keys().filter(|key| !then.contains_key(*key)).map(|key| format!("{key} is new"));
    let other = then.iter().filter(|(key, digest)| now.get(*key).is_some_and(|d| d != *digest));
    missing
        .chain(extra)
        .chain(other.map(|(key, digest)| format!("{key} was {}", digest.short())))
        .collect()
}

#[cfg(test)]
mod tests {
    use tidemill_core::Digest;

    use super::*;

    #[test]
    fn each_difference_names_its_object() {
        let output = |key: &str, text: &str| Written {
            key: key.into(),
            digest: Digest::sha256(text.as_bytes()),
            size: 1,
        };
        assert!(list_differences(&[output("a", "1")], &[output("a", "1")]).is_empty());
        let found = list_differences(&[output("a", "1"), output("b", "1")], &[output("a", "2"), output("c", "1")]);
        assert_eq!(found.len(), 3);
    }
}
