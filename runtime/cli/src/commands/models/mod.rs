//! `tidemill models`: versions and aliases. Moving an alias back is how to roll back.

mod show;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use tidemill_catalog::{Catalog, VersionEntry};
use tidemill_control::{ImportModel, ImportedModel, MoveAlias, Principal};
use tidemill_core::{ErrorKind, record::ModelVersion};
use tidemill_registry::CHAMPION;

use super::control;
use crate::{
    output::{Column, Output, table},
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
    /// Show a version: lineage, metrics, gates, and the history of the aliases.
    Show {
        /// The model, or a version of it: `late`, `late@3`, `late@challenger`. Default: the champion.
        model: String,
        /// The version's number or an alias, instead of `@`.
        version: Option<String>,
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
            Some(Action::Show { model, version }) => {
                let (model, selected) = match (model.split_once('@'), version) {
                    (Some((model, selected)), None) => (model, Some(selected)),
                    (_, version) => (model.as_str(), version.as_deref()),
                };
                show::run(project, &catalog, model, selected, output).await
            }
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
                let history = catalog.alias_moves(model, alias).await?;
                if history.is_empty() {
                    project.pipeline.require_model(model)?;
                }
                output.print(&history, |history| {
                    let rows = history.iter().map(show::move_cells).collect();
                    table(&show::MOVES, rows, "the alias was never moved")
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
        let columns = [
            Column::word("model"),
            Column::number("version"),
            Column::text("aliases"),
            Column::word("data until"),
            Column::text("metrics"),
            Column::word("onnx"),
        ];
        table(&columns, versions.iter().map(version_cells).collect(), "no model is registered yet")
    })
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
        version.as_of.strftime("%F").to_string(),
        metrics.collect::<Vec<_>>().join(", "),
        version.onnx_digest.short().to_owned(),
    ]
}
