//! Moves an alias: how a version is promoted or rolled back.

use tidemill_core::{
    Result,
    record::{AuditAction, ModelAlias, ModelVersion},
};
use tidemill_registry::{Registry, check_alias_name};

use crate::{Change, Control, Entry, Principal};

/// A request to point an alias at a version.
#[derive(Debug, Clone)]
pub struct MoveAlias {
    /// The model.
    pub model: String,
    /// The alias: `champion`, `challenger`, or a name of your own.
    pub alias: String,
    /// The number of the version.
    pub version: u32,
    /// Why, for the audit record.
    pub reason: Option<String>,
}

impl Control {
    /// Moves an alias. An alias that points at the version already is left as it is.
    ///
    /// Of concurrent moves, one succeeds and the others return `Conflict` and change nothing.
    pub async fn move_alias(&self, principal: &Principal, request: MoveAlias) -> Result<ModelAlias> {
        let MoveAlias {
            model,
            alias,
            version,
            reason,
        } = &request;
        let entry = Entry {
            principal,
            action: AuditAction::MoveAlias,
            resource: format!("models/{model}/aliases/{alias}"),
            reason: reason.as_deref(),
        };
        let (name, number, unknown_model) = (alias.clone(), *version, self.pipeline.require_model(model).err());
        let change = async {
            check_alias_name(alias)?;
            self.with_registry(model, move |registry| {
                let version = registry.version(number);
                // Of a model without versions, the name may be the mistake.
                match unknown_model {
                    Some(error) if version.is_err() && registry.version_numbers()?.is_empty() => Err(error),
                    _ => move_to(registry, &name, &version?),
                }
            })
            .await
        };
        self.perform(entry, change).await
    }
}

fn move_to(registry: Registry<'_>, name: &str, version: &ModelVersion) -> Result<Change<ModelAlias>> {
    let current = registry.current_alias(name)?;
    let before = current.as_ref().map(|current| &current.alias);
    if let Some(alias) = before.filter(|alias| alias.version == version.version) {
        return Ok(Change::none(alias.clone()));
    }
    let moved = registry.move_alias(name, version, current.as_ref())?;
    Ok(Change::new(moved.clone(), &before, &moved))
}
