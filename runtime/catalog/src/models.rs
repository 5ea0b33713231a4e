//! Models with their versions, aliases and the history of each alias.

use std::collections::BTreeSet;

use serde::Serialize;
use tidemill_core::{
    Result,
    layout::Prefix,
    record::{ModelAlias, ModelVersion},
};

use crate::Catalog;

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

impl Catalog {
    /// The names of all models with a version or an alias, ascending.
    pub async fn models(&self) -> Result<Vec<String>> {
        let keys = self.keys(&Prefix::Models.root()).await?;
        let names: BTreeSet<&str> = keys.iter().filter_map(|key| key.split('/').nth(1)).collect();
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
}
