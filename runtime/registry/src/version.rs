//! Versions: numbered from 1, created once, never changed. Keys do not sort by number, so listings are sorted after they are read.

use tidemill_core::{
    Error, ObjectsExt as _, PutResult, Result,
    layout::{self, Key},
    record::{self, ModelVersion},
    text::quoted_list,
};

use crate::{CHAMPION, Registry, find_readable};

/// A version by number or by alias.
///
/// ```
/// use tidemill_registry::VersionSelector;
///
/// assert_eq!(VersionSelector::parse(Some("3")), VersionSelector::Number(3));
/// assert_eq!(VersionSelector::parse(Some("challenger")), VersionSelector::Alias("challenger"));
/// assert_eq!(VersionSelector::parse(None), VersionSelector::Alias("champion"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionSelector<'a> {
    /// The version with this number.
    Number(u32),
    /// The version that this alias points at.
    Alias(&'a str),
}

impl<'a> VersionSelector<'a> {
    /// Parses the version of a request. A number is a version, other text an alias, and no text the champion.
    pub fn parse(text: Option<&'a str>) -> Self {
        let text = text.unwrap_or(CHAMPION);
        text.parse().map_or(Self::Alias(text), Self::Number)
    }
}

impl Registry<'_> {
    /// All versions, ascending. A record that is damaged is left out; [`version_numbers`](Self::version_numbers) has its number.
    pub fn versions(&self) -> Result<Vec<ModelVersion>> {
        let mut versions = Vec::new();
        for number in self.version_numbers()? {
            versions.extend(find_readable(self.objects, &layout::version(self.model, number))?);
        }
        Ok(versions)
    }

    /// The number of the next version: none is given twice, also where the record of a version is damaged or gone.
    pub fn next_version(&self) -> Result<u32> {
        let listed = self.version_numbers()?.last().copied();
        let named = self.moves_of_all_aliases()?.iter().map(|alias| alias.version).max();
        Ok(listed.max(named).unwrap_or(0).saturating_add(1))
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

/// The `NotFound` error for a version that `model` does not have; `known` are the versions that it has, ascending.
fn unknown_version(model: &str, version: u32, known: &[u32]) -> Error {
    match known {
        [] => Error::not_found(format!("`{model}` has no version `{version}`: no version is registered yet")),
        known => Error::not_found(format!(
            "`{model}` has no version `{version}`; its versions are {}",
            quoted_list(known)
        )),
    }
}
