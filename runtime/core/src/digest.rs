//! Names made from content. Equal content has equal names, on every machine and in every year.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256, written as 64 lower-case hex digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// The digest of some bytes.
    pub fn sha256(bytes: &[u8]) -> Self {
        Self(hex(&Sha256::digest(bytes)))
    }
    /// A digest that was computed elsewhere; `None` unless it is 64 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let ok = text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        ok.then(|| Self(text.to_owned()))
    }
    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The first 16 digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..16]
    }
}

/// The digest of bytes that come in pieces.
#[derive(Debug, Clone, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    /// The digest of all that was taken.
    pub fn finish(self) -> Digest {
        Digest(hex(&self.0.finalize()))
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The digest of a value as JSON with its object keys sorted.
pub fn digest_json(value: &impl Serialize) -> Digest {
    let mut value = serde_json::to_value(value).unwrap_or_default();
    sort_keys(&mut value);
    Digest::sha256(value.to_string().as_bytes())
}

fn sort_keys(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            map.sort_keys();
            map.values_mut().for_each(sort_keys);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(sort_keys),
        _ => {}
    }
}

/// Names a run by what determines it: 32 hex digits.
///
/// `component` and `config` are digests, `engines` the versions of what can change the bytes, `trigger` the digest of the trigger's content.
pub fn run_key(stage: &str, resource: &str, component: &Digest, config: &Digest, engines: &str, trigger: &Digest) -> String {
    hash_parts(&[
        "run",
        stage,
        resource,
        component.as_str(),
        config.as_str(),
        engines,
        trigger.as_str(),
    ])
}

/// Names the one outcome that a trigger may have: 32 hex digits. It holds neither code nor configuration,
/// so that new code applies to new triggers only.
pub fn trigger_id(stage: &str, resource: &str, key: &str, digest: &Digest) -> String {
    hash_parts(&["trigger", stage, resource, key, digest.as_str()])
}

fn hash_parts(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize())[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_order_does_not_matter() {
        let one: serde_json::Value = serde_json::from_str(r#"{"a":1,"b":[{"x":1,"y":2}]}"#).unwrap();
        let two: serde_json::Value = serde_json::from_str(r#"{"b":[{"y":2,"x":1}],"a":1}"#).unwrap();
        assert_eq!(digest_json(&one), digest_json(&two));
    }

    #[test]
    fn parts_do_not_run_together() {
        let digest = Digest::sha256(b"");
        assert_ne!(trigger_id("ab", "c", "k", &digest), trigger_id("a", "bc", "k", &digest));
    }

    #[test]
    fn known_digest() {
        assert_eq!(
            Digest::sha256(b"abc").as_str(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(Digest::parse("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD").is_none());
    }
}
