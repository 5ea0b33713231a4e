//! `tidemill replay`: repeats the stages validate, featurize and train of a version with the recorded components, configurations and inputs,
//! in a temporary store, and compares every byte that they write. The project's store does not change.
//!
//! A run by another engine version is an error, not a difference: its bytes may differ although nothing is wrong.

mod compare;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use tidemill_app::App;
use tidemill_catalog::Catalog;
use tidemill_core::{
    Error, ErrorKind, Objects as _, ObjectsExt as _, Trigger, digest_json, layout,
    record::{DataFile, ModelVersion, OutcomeRecord, ReadRecord, RunRecord, TrainingRequest, TrainingResult},
    trigger_id,
};
use tidemill_engine::{Engine, Limits, StageComponent};
use tidemill_host::{RunHost, SqlEngine, Store};
use tidemill_run::{Attempt, ENGINES, Ledger, identify_object};

use crate::{
    commands::models::find_version,
    output::{Column, Output, table},
    project::Project,
};

/// Rebuilds models and compares the bytes.
#[derive(Args)]
pub(crate) struct Replay {
    /// The model; default: all.
    model: Option<String>,
    /// The version; default: all.
    version: Option<u32>,
    /// Threads for SQL. The bytes do not depend on it.
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
struct StageReplay {
    model: String,
    version: u32,
    stage: String,
    resource: String,
    id: String,
    /// Objects whose bytes were compared.
    outputs: usize,
    identical: bool,
    /// Each output that differs.
    differences: Vec<String>,
}

struct Replayer<'a> {
    project: &'a Project,
    store: Store,
    engine: Engine,
    sql: SqlEngine,
    components: BTreeMap<String, std::sync::Arc<StageComponent>>,
    done: BTreeMap<String, StageReplay>,
}

impl Replay {
    pub(crate) async fn run(&self, project: &Project, output: Output) -> Result<ExitCode> {
        let store = project.open_store()?;
        let versions = self.select_versions(project, &Catalog::new(store.clone())).await?;
        let mut again = Replayer {
            project,
            engine: App::open(project.clone())?.engine().clone(),
            sql: project.clone().with_sql_in_children()?.sql_engine(self.threads)?,
            store: store.clone(),
            components: BTreeMap::new(),
            done: BTreeMap::new(),
        };
        let mut rows = Vec::new();
        let bar = indicatif::ProgressBar::new_spinner();
        for version in &versions {
            bar.set_message(format!("{} v{}", version.model, version.version));
            rows.extend(again.replay_version(version).await?);
            bar.tick();
        }
        bar.finish_and_clear();
        let same = rows.iter().all(|row| row.identical);
        output.print(&rows, |rows| {
            let columns = [
                Column::word("model"),
                Column::number("version"),
                Column::word("stage"),
                Column::word("resource"),
                Column::number("outputs"),
                Column::state("identical"),
                Column::text("differences"),
            ];
            table(&columns, rows.iter().map(cells).collect(), "no version is registered yet")
        })?;
        Ok(if same {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(ErrorKind::Bug.exit_code())
        })
    }

    /// The selected versions; one that was named must exist.
    async fn select_versions(&self, project: &Project, catalog: &Catalog) -> Result<Vec<ModelVersion>> {
        if let Some(model) = &self.model {
            project.pipeline.require_model(model)?;
            if let Some(version) = self.version {
                return Ok(vec![find_version(project, catalog, model, version).await?]);
            }
        }
        let mut selected = Vec::new();
        let models = project.pipeline.models.keys();
        for model in models.filter(|name| self.model.as_ref().is_none_or(|model| model == *name)) {
            let versions = catalog.model(model).await?.versions;
            selected.extend(versions.into_iter().map(|entry| entry.version));
        }
        Ok(selected)
    }
}

fn cells(row: &StageReplay) -> Vec<String> {
    vec![
        row.model.clone(),
        row.version.to_string(),
        row.stage.clone(),
        row.resource.clone(),
        row.outputs.to_string(),
        if row.identical { "yes" } else { "NO" }.into(),
        row.differences.join("\n"),
    ]
}

impl Replayer<'_> {
    /// Replays the stages of one version, from its data files to its model.
    async fn replay_version(&mut self, version: &ModelVersion) -> Result<Vec<StageReplay>> {
        let model = &version.model;
        let ledger = Ledger::new(self.store.clone());
        let trained = ledger.list_outcomes(Some("train"), Some(model)).await?.into_iter().find(|outcome| {
            serde_json::from_value::<TrainingResult>(outcome.result.clone())
                .is_ok_and(|t| t.onnx_digest == version.onnx_digest && t.features.request == version.request)
        });
        let trained =
            trained.ok_or_else(|| Error::not_found(format!("no outcome says how version {} of `{model}` was trained", version.version)))?;
        let featurized: OutcomeRecord = self.read_json(&trained.trigger.key).await?;
        let request: TrainingRequest = self.read_json(&featurized.trigger.key).await?;
        let parts: BTreeSet<String> = request.data_files.into_iter().map(|part| part.data).collect();
        let validated = ledger
            .list_outcomes(Some("validate"), None)
            .await?
            .into_iter()
            .filter(|outcome| serde_json::from_value::<DataFile>(outcome.result.clone()).is_ok_and(|part| parts.contains(&part.data)));
        let mut rows = Vec::new();
        for outcome in validated.chain([featurized, trained]) {
            let id = trigger_id(&outcome.stage, &outcome.resource, &outcome.trigger.key, &outcome.trigger.digest);
            let row = match self.done.get(&id) {
                Some(row) => row.clone(),
                None => self
                    .replay_outcome(&outcome, &id)
                    .await
                    .with_context(|| format!("{} of `{}`, {id}", outcome.stage, outcome.resource))?,
            };
            self.done.insert(id, row.clone());
            rows.push(StageReplay {
                model: model.clone(),
                version: version.version,
                ..row
            });
        }
        Ok(rows)
    }

    async fn read_json<T: serde::de::DeserializeOwned>(&self, key: &str) -> Result<T> {
        let bytes = self.store.get_record(key).await?;
        Ok(serde_json::from_slice(&bytes).map_err(|e| Error::input(format!("`{key}` is not what it should be: {e}")))?)
    }

    async fn replay_outcome(&mut self, outcome: &OutcomeRecord, id: &str) -> Result<StageReplay> {
        if outcome.engines != ENGINES {
            return Err(Error::config(format!(
                "it ran with `{}`, and this is `{ENGINES}`: other versions may write other bytes; replay with the Tidemill of then",
                outcome.engines
            ))
            .into());
        }
        let run: RunRecord = self.read_json(&layout::run(&outcome.stage, &outcome.resource, id)).await?;
        let config = String::from_utf8(self.store.get(&layout::config(&outcome.config)).await?.to_vec())?;
        let component = self.load_component(outcome).await?;
        let mut node = self
            .project
            .pipeline
            .node(&outcome.stage, &outcome.resource)
            .cloned()
            .ok_or_else(|| {
                Error::config(format!(
                    "{} has no `{}` for `{}` any more",
                    crate::project::PROJECT_FILE,
                    outcome.stage,
                    outcome.resource
                ))
            })?;
        node.config = serde_json::from_str(&config)?;
        if digest_json(&node.config) != outcome.config {
            return Err(Error::input(format!("`configs/{}` is not what its name says", outcome.config)).into());
        }
        let folder = tempfile::tempdir()?;
        let scratch = Store::local(folder.path())?;
        self.copy_reads(&scratch, &outcome.trigger, &run).await?;
        node.seed = node.config["model"]["trainer"]["seed"].as_u64().unwrap_or(node.seed);
        node.fetch.clear();
        let (_, as_of) = identify_object(&self.store, &outcome.trigger.key).await?;
        let attempt = Attempt::new(&node, outcome.component.clone(), outcome.trigger.clone(), as_of, 0);
        let host = RunHost::for_attempt(&attempt, scratch, self.sql.clone(), None);
        let trigger = outcome.trigger.clone();
        let ran = tokio::task::spawn_blocking(move || component.run(&trigger, &config, host, &Limits::from(&node))).await?;
        let result = ran.0?;
        let mut differences = compare::list_differences(&outcome.outputs, &ran.1.outputs);
        if result.result != outcome.result {
            differences.push("the outcome's result".into());
        }
        Ok(StageReplay {
            model: String::new(),
            version: 0,
            stage: outcome.stage.clone(),
            resource: outcome.resource.clone(),
            id: id.to_owned(),
            outputs: outcome.outputs.len(),
            identical: differences.is_empty(),
            differences,
        })
    }

    async fn load_component(&mut self, outcome: &OutcomeRecord) -> Result<std::sync::Arc<StageComponent>> {
        let digest = outcome.component.as_str();
        if let Some(found) = self.components.get(digest) {
            return Ok(found.clone());
        }
        let key = layout::component(&outcome.component);
        let bytes = self.store.get(&key).await?;
        let found = tidemill_core::Digest::sha256(&bytes);
        if found != outcome.component {
            return Err(Error::input(format!(
                "`{key}` is not what its name says: its SHA-256 is `{found}`; it is not run, restore the component of then"
            ))
            .into());
        }
        let component = std::sync::Arc::new(self.engine.component(&bytes)?);
        self.components.insert(digest.to_owned(), component.clone());
        Ok(component)
    }

    /// Copies exactly the objects that the run read, and checks their content.
    async fn copy_reads(&self, scratch: &Store, trigger: &Trigger, run: &RunRecord) -> Result<()> {
        let (from, to) = (self.store.blocking(), scratch.blocking());
        let (trigger, reads) = (trigger.clone(), run.reads.clone());
        tokio::task::spawn_blocking(move || -> tidemill_core::Result<()> {
            let copy = |key: &str, digest: Option<&tidemill_core::Digest>| {
                let bytes = from.get(key)?;
                if digest.is_some_and(|digest| *digest != tidemill_core::Digest::sha256(&bytes)) {
                    return Err(Error::input(format!("`{key}` is no longer what was read then; restore it")));
                }
                to.create(key, &bytes).map(drop)
            };
            copy(&trigger.key, Some(&trigger.digest))?;
            for read in &reads {
                match read {
                    ReadRecord::Object { key, digest } => copy(key, Some(digest))?,
                    ReadRecord::Listing { prefix, .. } => {
                        for meta in from.list_all(prefix)? {
                            copy(&meta.key, None)?;
                        }
                    }
                    ReadRecord::Absent { .. } => {}
                }
            }
            Ok(())
        })
        .await??;
        Ok(())
    }
}
