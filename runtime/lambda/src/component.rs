//! The location of a function's component.

use std::path::{Path, PathBuf};

use tidemill_core::{Digest, Error, Result};

/// The location, as `component` of the settings names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComponentSource {
    /// `components/<digest>` in the store.
    Stored(Digest),
    /// A file of the package.
    File(PathBuf),
}

impl ComponentSource {
    /// Parses the name.
    pub fn from_name(name: &str) -> Self {
        let digest = name.strip_prefix("components/").and_then(Digest::parse);
        digest.map_or_else(|| Self::File(name.into()), Self::Stored)
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Vec<u8>> {
        std::fs::read(path).map_err(|e| {
            Error::config(format!(
                "the component `{}` cannot be read: {e}; put it into the package, or name `components/<digest>` of the store",
                path.display()
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let digest = Digest::sha256(b"");
        assert_eq!(
            ComponentSource::from_name(&format!("components/{digest}")),
            ComponentSource::Stored(digest)
        );
        assert_eq!(
            ComponentSource::from_name("components/train.wasm"),
            ComponentSource::File("components/train.wasm".into())
        );
        let error = ComponentSource::read(Path::new("nowhere.wasm")).unwrap_err();
        assert!(error.message.contains("`nowhere.wasm`"), "{error}");
    }
}
