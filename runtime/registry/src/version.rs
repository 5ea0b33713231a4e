//! Versions: numbered from 1, created once, never changed. Keys do not sort by number, so listings are sorted after they are read.

use tidemill_core::{
    Error, ObjectsExt as _, PutResult, Result,
    layout::{self, Key},
    record::{self, ModelVersion},
};

use crate::{Registry, unknown_version};

impl Registry<'_> {
    /// All versions, ascending.
    pub fn versions(&self) -> Result<Vec<ModelVersion>> {
        let mut versions = Vec::new();
        for meta in self.objects.list_all(&layout::version_prefix(self.model))? {
            versions.push(self.objects.get_json::<ModelVersion>(&meta.key)?);
        }
        versions.sort_by_key(|version| version.version);
        Ok(versions)
    }

    /// The numbers of all versions, ascending. Reads no record, so a damaged one is listed too.
    pub fn version_numbers(&self) -> Result<Vec<u32>> {
        let listed = self.objects.list_all(&layout::version_prefix(self.model))?;
        let mut numbers: Vec<u32> = listed.iter().filter_map(|meta| version_number(&meta.key)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The version with this number; `NotFound` lists the versions that the model has.
    pub fn version(&self, number: u32) -> Result<ModelVersion> {
        match self.objects.find_json(&layout::version(self.model, number))? {
            Some(version) => Ok(version),
            None => Err(unknown_version(self.model, number, &self.version_numbers()?)),
        }
    }

    /// Creates a version. Creating it again with the same content succeeds; `Conflict` if the number has other content.
    pub fn create_version(&self, version: &ModelVersion) -> Result<()> {
        let key = layout::version(self.model, version.version);
        match self.objects.create(&key, &record::to_bytes(version)?)? {
            PutResult::Written | PutResult::Unchanged => Ok(()),
            PutResult::Conflict => Err(Error::conflict(format!(
                "version {} of `{}` was created by another candidate meanwhile",
                version.version, self.model
            ))),
        }
    }
}

/// The first free number after `versions`.
pub fn next_version(versions: &[ModelVersion]) -> u32 {
    versions.iter().map(|version| version.version).max().unwrap_or(0).saturating_add(1)
}

/// The version that a key names; `None` for other keys.
///
/// ```
/// assert_eq!(tidemill_registry::version_number("models/late/versions/12.json"), Some(12));
/// assert_eq!(tidemill_registry::version_number("models/late/aliases/champion.json"), None);
/// ```
pub fn version_number(key: &str) -> Option<u32> {
    match Key::parse(key) {
        Some(Key::Version { number, .. }) => Some(number),
        _ => None,
    }
}
