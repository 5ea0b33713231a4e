//! Aliases. The history of an alias is written after each move, so it never lists a move that did not happen; a move whose history
//! entry is missing, because its writer crashed, gets it from the next reader that calls [`Registry::confirm_move`] or moves the alias.

use tidemill_core::{
    Digest, Error, ErrorKind, ObjectsExt as _, PutResult, Result,
    layout::{self, Key},
    record::{self, ModelAlias, ModelVersion},
};

use crate::{Registry, find_readable};

/// The alias of the version that serves and that candidates are compared with.
pub const CHAMPION: &str = "champion";

/// An alias as it was read, with the digest that a compare-and-swap needs.
#[derive(Debug, Clone, PartialEq)]
pub struct CurrentAlias {
    /// The record.
    pub alias: ModelAlias,
    digest: Digest,
}

impl Registry<'_> {
    /// The alias; `None` if the model does not have it.
    pub fn alias(&self, name: &str) -> Result<Option<ModelAlias>> {
        self.objects.find_json(&layout::alias(self.model, name))
    }

    /// The alias in the state that [`move_alias`](Self::move_alias) expects; `None` if the model does not have it.
    pub fn current_alias(&self, name: &str) -> Result<Option<CurrentAlias>> {
        let key = layout::alias(self.model, name);
        let bytes = match self.objects.get(&key) {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let alias = serde_json::from_slice(&bytes).map_err(|e| Error::input(format!("`{key}` is not what it should be: {e}")))?;
        Ok(Some(CurrentAlias {
            alias,
            digest: Digest::sha256(&bytes),
        }))
    }

    /// All aliases, by name. What is no alias is left out.
    pub fn aliases(&self) -> Result<Vec<ModelAlias>> {
        let listed = self.objects.list_all(&layout::alias_prefix(self.model))?;
        let aliases = listed
            .iter()
            .filter(|meta| matches!(Key::parse(&meta.key), Some(Key::Alias { .. })));
        let read = aliases.map(|meta| find_readable(self.objects, &meta.key));
        read.filter_map(Result::transpose).collect()
    }

    /// Every move of every alias, and the aliases as they are.
    pub(crate) fn moves_of_all_aliases(&self) -> Result<Vec<ModelAlias>> {
        let listed = self.objects.list_all(&layout::alias_prefix(self.model))?;
        let moves = listed
            .iter()
            .filter(|meta| matches!(Key::parse(&meta.key), Some(Key::Alias { .. } | Key::AliasMove { .. })));
        let read = moves.map(|meta| find_readable(self.objects, &meta.key));
        read.filter_map(Result::transpose).collect()
    }

    /// Every move of the alias, the first one first. The last entry is the alias itself, also where its history entry is missing.
    pub fn alias_history(&self, name: &str) -> Result<Vec<ModelAlias>> {
        let mut history = self.recorded_moves(name)?;
        history.extend(self.alias(name)?.filter(|current| !history.contains(current)));
        history.sort_by_key(|alias| alias.moves);
        Ok(history)
    }

    /// Moves the alias to a version and writes its history.
    ///
    /// `from` is the state that was read before; `None` means that the alias does not exist yet. `Conflict` if another writer moved it
    /// since: nothing was changed then.
    pub fn move_alias(&self, name: &str, version: &ModelVersion, from: Option<&CurrentAlias>) -> Result<ModelAlias> {
        check_alias_name(name)?;
        if let Some(current) = from {
            self.record_move(&current.alias)?;
        }
        let alias = ModelAlias {
            model: self.model.to_owned(),
            alias: name.to_owned(),
            version: version.version,
            onnx_digest: version.onnx_digest.clone(),
            moves: from.map_or(0, |current| current.alias.moves.saturating_add(1)),
            as_of: version.as_of,
        };
        let key = layout::alias(self.model, name);
        match self
            .objects
            .swap(&key, from.map(|current| &current.digest), &record::to_bytes(&alias)?)?
        {
            PutResult::Written | PutResult::Unchanged => {
                self.record_move(&alias)?;
                Ok(alias)
            }
            PutResult::Conflict => Err(Error::conflict(format!(
                "`{name}` of `{}` was moved by another writer meanwhile",
                self.model
            ))),
        }
    }

    /// Whether the alias, read as `current`, points at a version or did so before. If it did, the history up to that move is written
    /// again, so that a run that is repeated after a crash leaves the same objects as the first.
    pub fn confirm_move(&self, name: &str, version: u32, current: Option<&CurrentAlias>) -> Result<bool> {
        let history = self.recorded_moves(name)?;
        let moved = current
            .map(|c| &c.alias)
            .into_iter()
            .chain(&history)
            .find(|alias| alias.version == version);
        let Some(moved) = moved else { return Ok(false) };
        if let Some(before) = history.iter().find(|alias| alias.moves.checked_add(1) == Some(moved.moves)) {
            self.record_move(before)?;
        }
        self.record_move(moved)?;
        Ok(true)
    }

    fn recorded_moves(&self, name: &str) -> Result<Vec<ModelAlias>> {
        let listed = self.objects.list_all(&layout::alias_history_prefix(self.model, name))?;
        let moves = listed
            .iter()
            .filter(|meta| matches!(Key::parse(&meta.key), Some(Key::AliasMove { .. })));
        let read = moves.map(|meta| find_readable(self.objects, &meta.key));
        read.filter_map(Result::transpose).collect()
    }

    fn record_move(&self, alias: &ModelAlias) -> Result<()> {
        let key = layout::alias_move(self.model, &alias.alias, alias.moves);
        self.objects.create_json(&key, alias).map(drop)
    }
}

/// Checks the name of an alias: letters, digits, `-` and `_`, and not a number, because requests name versions by number.
///
/// ```
/// assert!(tidemill_registry::check_alias_name("challenger").is_ok());
/// assert!(tidemill_registry::check_alias_name("a/b").is_err());
/// assert!(tidemill_registry::check_alias_name("7").is_err());
/// ```
pub fn check_alias_name(name: &str) -> Result<()> {
    let has_valid_characters = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !has_valid_characters {
        return Err(Error::input(format!(
            "the alias `{name}` is part of a key: use letters, digits, `-` and `_`"
        )));
    }
    match name.bytes().all(|b| b.is_ascii_digit()) {
        true => Err(Error::input(format!(
            "the alias `{name}` is a number, and numbers name versions: add a letter"
        ))),
        false => Ok(()),
    }
}
