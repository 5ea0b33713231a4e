//! `tidemill models`: versions and aliases. Moving an alias back is how to roll back.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use tidemill_catalog::{Catalog, VersionEntry};
use tidemill_control::{ImportModel, ImportedModel, MoveAlias, Principal};
use tidemill_core::{
    Error, ErrorKind,
    record::{ModelAlias, ModelVersion},
};
use tidemill_registry::CHAMPION;

use super::control;
use crate::{
    output::{Output, table},
    project::{Project, read_error},
};

/// Lists models, shows a version, imports a model, moves an alias.
#[derive(Args)]
pub(crate) struct Models {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// List versions and their aliases (default).
    List,
    /// Show the record of a version; default: the champion's.
    Show {
        /// The model.
        model: String,
        /// The version's number.
        version: Option<u32>,
    },
    /// Import a model that was trained elsewhere: an ONNX file.
    Import {
        /// The model.
        model: String,
        /// The file.
        file: PathBuf,
    },
    /// Point an alias at a version.
    Alias {
        /// The model.
        model: String,
        /// `champion`, `challenger`, or a name of your own.
        alias: String,
        /// The version's number.
        version: u32,
        /// Why, for the audit record.
        #[arg(long)]
        why: Option<String>,
    },
    /// Show every move of an alias.
    History {
        /// The model.
        model: String,
        /// The alias.
        #[arg(default_value = CHAMPION)]
        alias: String,
    },
}

impl Models {
    pub(crate) async fn run(&self, project: &Project, output: Output) -> anyhow::Result<()> {
        let catalog = Catalog::new(project.open_store()?);
        match &self.action {
            None | Some(Action::List) => list(project, &catalog, output).await,
            Some(Action::Show { model, version }) => show(project, &catalog, model, *version).await,
            Some(Action::Import { model, file }) => import(project, model, file, output).await,
            Some(Action::Alias {
                model,
                alias,
                version,
                why,
            }) => {
                let request = MoveAlias {
                    model: model.clone(),
                    alias: alias.clone(),
                    version: *version,
                    reason: why.clone(),
                };
                let moved = control(project)?.move_alias(&Principal::local(), request).await?;
                output.print(&moved, |moved| {
                    format!("`{}` of `{}` is now version {}", moved.alias, moved.model, moved.version)
                })
            }
            Some(Action::History { model, alias }) => {
                let history = catalog.alias_history(model, alias).await?;
                if history.is_empty() {
                    project.pipeline.require_model(model)?;
                }
                output.print(&history, |history| {
                    let rows = history.iter().map(history_cells).collect();
                    table(&["move", "version", "as of", "onnx"], rows, "the alias was never moved")
                })
            }
        }
    }
}

async fn list(project: &Project, catalog: &Catalog, output: Output) -> anyhow::Result<()> {
    let mut versions = Vec::new();
    for model in project.pipeline.models.keys() {
        versions.extend(catalog.model(model).await?.versions);
    }
    output.print(&versions, |versions| {
        let header = ["model", "version", "aliases", "as of", "metrics", "onnx"];
        table(&header, versions.iter().map(version_cells).collect(), "no model is registered yet")
    })
}

async fn show(project: &Project, catalog: &Catalog, model: &str, version: Option<u32>) -> anyhow::Result<()> {
    let number = match version {
        Some(number) => number,
        None => match catalog.alias(model, CHAMPION).await? {
            Some(champion) => champion.version,
            None => {
                project.pipeline.require_model(model)?;
                return Err(Error::not_found(format!("`{model}` has no champion yet")).into());
            }
        },
    };
    let version = find_version(project, catalog, model, number).await?;
    // The record is JSON either way: a table would leave out most of it.
    Output { json: true }.print(&version, |_| String::new())
}

/// A version. Of a model without versions, the name may be the mistake.
pub(crate) async fn find_version(project: &Project, catalog: &Catalog, model: &str, number: u32) -> tidemill_core::Result<ModelVersion> {
    let found = catalog.version(model, number).await;
    if found.as_ref().is_err_and(|error| error.kind == ErrorKind::NotFound) && catalog.version_numbers(model).await?.is_empty() {
        project.pipeline.require_model(model)?;
    }
    found
}

async fn import(project: &Project, model: &str, file: &Path, output: Output) -> anyhow::Result<()> {
    project.pipeline.require_model(model)?;
    let request = ImportModel {
        model: model.to_owned(),
        name: file.display().to_string(),
        bytes: std::fs::read(file).map_err(|e| read_error(file, &e))?.into(),
    };
    let imported = control(project)?.import_model(&Principal::local(), request).await?;
    output.print(&imported, |imported| render_import(model, imported))
}

fn render_import(model: &str, imported: &ImportedModel) -> String {
    let state = if imported.new {
        "is in the store now"
    } else {
        "was in the store already"
    };
    let next = match imported.named {
        true => "`tidemill.toml` names it: the next training uses it".to_owned(),
        false => format!(
            "write into `tidemill.toml`:\n\n[model.{model}.trainer]\nkind = \"onnx\"\nonnx = \"{}\"",
            imported.digest
        ),
    };
    format!("`{}` {state}; {next}", imported.key)
}

fn version_cells(entry: &VersionEntry) -> Vec<String> {
    let version = &entry.version;
    let metrics = version.metrics.iter().take(4).map(|(name, value)| format!("{name} {value:.4}"));
    vec![
        version.model.clone(),
        version.version.to_string(),
        entry.aliases.join(", "),
        version.as_of.to_string(),
        metrics.collect::<Vec<_>>().join(", "),
        version.onnx_digest.short().to_owned(),
    ]
}

fn history_cells(alias: &ModelAlias) -> Vec<String> {
    vec![
        alias.moves.to_string(),
        alias.version.to_string(),
        alias.as_of.to_string(),
        alias.onnx_digest.short().to_owned(),
    ]
}
