//! Which version a request asks for. Pure: readers that are asynchronous share it.

use tidemill_core::{Error, text::quoted_list};

use crate::CHAMPION;

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

/// The `NotFound` error for a version or alias that `model` does not have; `known` are the versions that it has, ascending.
///
/// ```
/// let error = tidemill_registry::unknown_version("late", 9, &[1, 2]);
/// assert_eq!(error.message, "`late` has no version `9`; its versions are `1`, `2`");
/// ```
pub fn unknown_version(model: &str, version: impl std::fmt::Display, known: &[u32]) -> Error {
    match known {
        [] => Error::not_found(format!("`{model}` has no version `{version}`: no version is registered yet")),
        known => Error::not_found(format!(
            "`{model}` has no version `{version}`; its versions are {}",
            quoted_list(known)
        )),
    }
}
