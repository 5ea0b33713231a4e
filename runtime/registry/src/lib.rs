//! The model registry: the versions of a model, the aliases that point at them, and the history of each alias.
//!
//! A [`Registry`] reads and writes the records of one model under `models/<model>/` in an object store. Versions are created once and
//! never change. An alias such as `champion` moves by compare-and-swap: of two concurrent moves, one succeeds and the other returns
//! [`ErrorKind::Conflict`](tidemill_core::ErrorKind::Conflict).
//!
//! ```
//! use tidemill_core::record::ModelVersion;
//! use tidemill_registry::{CHAMPION, Registry};
//!
//! # fn version(number: u32) -> ModelVersion {
//! #     let digest = tidemill_core::Digest::sha256(&number.to_le_bytes());
//! #     serde_json::from_value(serde_json::json!({
//! #         "model": "late", "version": number, "as-of": "2013-05-01T00:00:00Z", "task": "binary", "onnx": "model.onnx", "onnx-digest": digest,
//! #         "transform": "transform.json", "transform-digest": digest, "profile": "profile.json", "signature": { "inputs": [], "context": [] },
//! #         "classes": ["0", "1"], "metrics": { "auc": 0.7 }, "evaluation": "evaluation.json", "request": "request.json",
//! #     })).unwrap()
//! # }
//! # fn main() -> tidemill_core::Result<()> {
//! let objects = tidemill_store::Store::memory().blocking();
//! let registry = Registry::new(&objects, "late");
//! registry.create_version(&version(1))?;
//! registry.create_version(&version(2))?;
//!
//! let first = registry.move_alias(CHAMPION, &version(1), None)?;
//! let current = registry.current_alias(CHAMPION)?;
//! registry.move_alias(CHAMPION, &version(2), current.as_ref())?;
//!
//! assert_eq!(registry.version_numbers()?, [1, 2]);
//! assert_eq!(registry.alias_history(CHAMPION)?[0], first);
//! # Ok(())
//! # }
//! ```
//!
//! `tidemill-predict` reads the same records asynchronously: it shares [`VersionSelector`], [`version_number`] and the keys of
//! [`tidemill_core::layout`].

mod alias;
#[cfg(test)]
mod tests;
mod version;

pub use alias::{CHAMPION, CurrentAlias, check_alias_name};
pub use version::{VersionSelector, version_number};

use serde::de::DeserializeOwned;
use tidemill_core::{ErrorKind, Objects, ObjectsExt as _, Result};

/// A record that was listed; `None` if it was removed meanwhile, or is damaged.
fn find_readable<T: DeserializeOwned>(objects: &dyn Objects, key: &str) -> Result<Option<T>> {
    match objects.find_json(key) {
        Err(error) if error.kind == ErrorKind::Input => Ok(None),
        other => other,
    }
}

/// The registry records of one model.
#[derive(Clone, Copy)]
pub struct Registry<'a> {
    objects: &'a dyn Objects,
    model: &'a str,
}

impl<'a> Registry<'a> {
    /// A registry over `objects` for `model`. Nothing is read yet.
    pub fn new(objects: &'a dyn Objects, model: &'a str) -> Self {
        Self { objects, model }
    }
}
