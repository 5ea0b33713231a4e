//! The alias `champion`, moved by compare-and-swap. Its history is written after the move, so that it never tells of a move that
//! did not happen; a run that finds the move without its history writes it.

use tidemill_core::{
    Digest, Error, ErrorKind, Objects, ObjectsExt, PutResult, Result,
    record::{ModelAlias, ModelVersion},
};

use crate::version::json;

const ALIAS: &str = "champion";

/// The alias and the bytes that a swap must find.
pub(crate) struct Current {
    pub(crate) alias: ModelAlias,
    digest: Digest,
}

/// The alias as it stands.
pub(crate) fn read(model: &str, objects: &dyn Objects) -> Result<Option<Current>> {
    let key = key(model);
    let bytes = match objects.get(&key) {
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let alias = serde_json::from_slice(&bytes).map_err(|e| Error::input(format!("`{key}` is not an alias: {e}")))?;
    Ok(Some(Current {
        alias,
        digest: Digest::sha256(&bytes),
    }))
}

/// Whether it points at this version, or once did: then the history up to that move is written again, so that a run that is made
/// again after a crash names the same outputs as the first.
pub(crate) fn was_moved_to(model: &str, version: u32, current: Option<&Current>, objects: &dyn Objects) -> Result<bool> {
    let mut history = Vec::new();
    for meta in objects.list_all(&format!("models/{model}/aliases/{ALIAS}/"))? {
        history.push(objects.get_json::<ModelAlias>(&meta.key)?);
    }
    let moved = current
        .map(|c| &c.alias)
        .into_iter()
        .chain(&history)
        .find(|alias| alias.version == version);
    let Some(moved) = moved else { return Ok(false) };
    if let Some(before) = history.iter().find(|alias| alias.moves.checked_add(1) == Some(moved.moves)) {
        remember(before, objects)?;
    }
    remember(moved, objects)?;
    Ok(true)
}

/// Moves it; `Transient` if another moved it meanwhile.
pub(crate) fn shift(version: &ModelVersion, from: Option<Current>, objects: &dyn Objects) -> Result<()> {
    if let Some(current) = &from {
        remember(&current.alias, objects)?;
    }
    let alias = ModelAlias {
        model: version.model.clone(),
        alias: ALIAS.to_owned(),
        version: version.version,
        onnx_digest: version.onnx_digest.clone(),
        moves: from.as_ref().map_or(0, |current| current.alias.moves.saturating_add(1)),
        as_of: version.as_of,
    };
    let key = key(&version.model);
    match objects.swap(&key, from.as_ref().map(|current| &current.digest), &json(&key, &alias)?)? {
        PutResult::Written | PutResult::Unchanged => remember(&alias, objects),
        PutResult::Conflict => Err(Error::transient(format!("`{key}` was moved by another run meanwhile"))),
    }
}

fn remember(alias: &ModelAlias, objects: &dyn Objects) -> Result<()> {
    let key = format!("models/{}/aliases/{ALIAS}/{}.json", alias.model, alias.moves);
    objects.create_json(&key, alias).map(|_| ())
}

fn key(model: &str) -> String {
    format!("models/{model}/aliases/{ALIAS}.json")
}
