//! Models with their versions, aliases and the history of each alias.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use tidemill_core::{
    Result,
    layout::{self, Key, Prefix},
    record::{AuditAction, AuditRecord, AuditResult, ModelAlias, ModelVersion},
};

use crate::{AuditQuery, Catalog, RunEntry};

/// A model of the registry.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelEntry {
    /// Its name.
    pub model: String,
    /// All versions, ascending.
    pub versions: Vec<VersionEntry>,
    /// All aliases, by name.
    pub aliases: Vec<ModelAlias>,
}

/// A version and the aliases that point at it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VersionEntry {
    /// The record.
    #[serde(flatten)]
    pub version: ModelVersion,
    /// By name.
    pub aliases: Vec<String>,
}

/// A move of an alias: by a principal, of which there is an audit record, or by `register`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AliasMove {
    /// The alias as it was after the move.
    #[serde(flatten)]
    pub alias: ModelAlias,
    /// Wall-clock time of the move; `None` if it was not recorded.
    pub at: Option<Timestamp>,
    /// The principal (`local:anna`), or `register`; `None` if it is not known.
    pub by: Option<String>,
    /// Why it was moved.
    pub reason: Option<String>,
}

impl Catalog {
    /// The names of all models with a version or an alias, ascending.
    pub async fn models(&self) -> Result<Vec<String>> {
        let keys = self.keys(&Prefix::Models.root()).await?;
        let names = keys.iter().filter_map(|key| match Key::parse(key)? {
            Key::Version { model, .. } | Key::Alias { model, .. } | Key::AliasMove { model, .. } => Some(model),
            _ => None,
        });
        let names: BTreeSet<&str> = names.collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    /// A model with its versions and aliases; both are empty for a model that the registry does not have.
    pub async fn model(&self, model: &str) -> Result<ModelEntry> {
        let (versions, aliases) = self
            .with_registry(model, |registry| Ok((registry.versions()?, registry.aliases()?)))
            .await?;
        let versions = versions.into_iter().map(|version| {
            let names = aliases
                .iter()
                .filter(|alias| alias.version == version.version)
                .map(|alias| alias.alias.clone());
            VersionEntry {
                aliases: names.collect(),
                version,
            }
        });
        Ok(ModelEntry {
            model: model.to_owned(),
            versions: versions.collect(),
            aliases,
        })
    }

    /// The numbers of a model's versions, ascending.
    pub async fn version_numbers(&self, model: &str) -> Result<Vec<u32>> {
        self.with_registry(model, |registry| registry.version_numbers()).await
    }

    /// A version; `NotFound` lists those that the model has.
    pub async fn version(&self, model: &str, number: u32) -> Result<ModelVersion> {
        self.with_registry(model, move |registry| registry.version(number)).await
    }

    /// An alias; `None` if the model does not have it.
    pub async fn alias(&self, model: &str, alias: &str) -> Result<Option<ModelAlias>> {
        let alias = alias.to_owned();
        self.with_registry(model, move |registry| registry.alias(&alias)).await
    }

    /// Every move of an alias, the first one first.
    pub async fn alias_history(&self, model: &str, alias: &str) -> Result<Vec<ModelAlias>> {
        let alias = alias.to_owned();
        self.with_registry(model, move |registry| registry.alias_history(&alias)).await
    }

    /// Every move of an alias, the first one first, with who made it, when and why.
    pub async fn alias_moves(&self, model: &str, alias: &str) -> Result<Vec<AliasMove>> {
        let query = AuditQuery {
            action: Some(AuditAction::MoveAlias),
            resource: Some(format!("models/{model}/aliases/{alias}")),
            limit: None,
        };
        let audit = self.audit(&query).await?;
        let mut moves = Vec::new();
        for alias in self.alias_history(model, alias).await? {
            let audited = audit.iter().find(|record| is_record_of(record, &alias));
            moves.push(match audited {
                Some(record) => AliasMove {
                    at: Some(record.at),
                    by: Some(record.principal.clone()),
                    reason: record.reason.clone(),
                    alias,
                },
                None => self.registered_move(alias).await?,
            });
        }
        Ok(moves)
    }

    /// A move that no principal made: `register` moves the alias to the version that it creates.
    async fn registered_move(&self, alias: ModelAlias) -> Result<AliasMove> {
        let mut moved = AliasMove {
            alias,
            at: None,
            by: None,
            reason: None,
        };
        let alias = &moved.alias;
        let Some(outcome) = self.registration(&alias.model, alias.version).await? else {
            return Ok(moved);
        };
        let version: Option<ModelVersion> = self.find(&layout::version(&alias.model, alias.version)).await?;
        let decision = match &version {
            Some(version) => {
                let request = self.find(&version.request).await?;
                self.decision_for(version, request.as_ref()).await?
            }
            None => None,
        };
        moved.by = Some(outcome.stage.clone());
        moved.reason = decision.map(|decision| decision.reason);
        let run = self.with_run_records(vec![outcome]).await;
        moved.at = run.first().and_then(RunEntry::start_time);
        Ok(moved)
    }
}

/// Whether a principal's change is the one that made this move.
fn is_record_of(record: &AuditRecord, alias: &ModelAlias) -> bool {
    record.result == AuditResult::Succeeded && record.after["moves"] == alias.moves && record.after["version"] == alias.version
}
