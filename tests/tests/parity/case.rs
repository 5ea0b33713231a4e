//! A case: a stage, its configuration, the objects that it finds, and what must come of it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tidemill_core::pipeline::NodeSettings;
use tidemill_core::{
    Error, ErrorKind,
    record::{OutcomeRecord, OutputObject, ReadRecord},
};

/// `case.toml`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) stage: String,
    resource: String,
    pub(crate) trigger: String,
    /// A JSON file beside the cases.
    config: PathBuf,
    /// Key → file in the case's folder.
    objects: BTreeMap<String, PathBuf>,
    reads: Vec<String>,
    writes: Vec<String>,
    /// What is decided, or `error` where nothing can be.
    pub(crate) decision: Option<String>,
    pub(crate) error: Option<ErrorKind>,
    /// Each must be part of the outcome's reason, of a finding's message, or of the error's.
    says: Vec<String>,
    /// Keys that are written, up to the run's key: `datasets/`.
    outputs: Vec<String>,
    /// Its folder's name.
    #[serde(skip)]
    pub(crate) name: String,
    #[serde(skip)]
    folder: PathBuf,
}

/// All that comes of a run: compared whole.
#[derive(Debug, PartialEq)]
pub(crate) struct Observed {
    /// The record, with every object's digest.
    pub(crate) ended: std::result::Result<OutcomeRecord, Error>,
    pub(crate) reads: Vec<ReadRecord>,
}

impl Case {
    /// Every case, by name.
    pub(crate) fn all(root: &Path) -> Result<Vec<Self>> {
        let mut cases = Vec::new();
        for entry in std::fs::read_dir(root)? {
            let folder = entry?.path();
            if folder.is_dir() {
                cases.push(Self::read(root, &folder).with_context(|| folder.display().to_string())?);
            }
        }
        cases.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(cases)
    }

    fn read(root: &Path, folder: &Path) -> Result<Self> {
        let mut case: Self = toml::from_str(&std::fs::read_to_string(folder.join("case.toml"))?)?;
        case.config = root.join(&case.config);
        case.name = folder.file_name().context("a folder has a name")?.to_string_lossy().into_owned();
        case.folder = folder.to_owned();
        Ok(case)
    }

    /// Every object's key and bytes, the trigger's last.
    pub(crate) fn objects(&self) -> Result<Vec<(&str, Vec<u8>)>> {
        let mut objects = Vec::new();
        for (key, file) in &self.objects {
            let bytes = std::fs::read(self.folder.join(file)).with_context(|| file.display().to_string())?;
            objects.push((key.as_str(), bytes));
        }
        objects.sort_by_key(|(key, _)| *key == self.trigger);
        Ok(objects)
    }

    /// What a function on Lambda is told of the stage. `component` is the name of what it stands for.
    pub(crate) fn settings(&self, component: &str) -> Result<NodeSettings> {
        let config: Value = serde_json::from_str(&std::fs::read_to_string(&self.config)?)?;
        Ok(serde_json::from_value(json!({
            "stage": self.stage, "resource": self.resource, "component": component, "on": [self.trigger],
            "reads": self.reads, "writes": self.writes, "config": config, "seed": 7, "timeout-seconds": 120,
        }))?)
    }

    /// Whether that is what must come of it.
    pub(crate) fn check(&self, seen: &Observed) -> Result<()> {
        let (said, outputs): (Vec<&str>, &[OutputObject]) = match &seen.ended {
            Ok(record) => {
                let decision = serde_json::to_value(record.decision)?;
                ensure!(self.decision.as_deref() == decision.as_str(), "decided {decision}: {record:#?}");
                let findings = record.findings.iter().map(|finding| finding.message.as_str());
                (std::iter::once(record.reason.as_str()).chain(findings).collect(), &record.outputs)
            }
            Err(error) => {
                ensure!(self.error == Some(error.kind), "failed as {}: {error}", error.kind);
                (vec![&error.message], &[])
            }
        };
        for part in &self.says {
            ensure!(said.iter().any(|text| text.contains(part)), "nothing says `{part}` but {said:#?}");
        }
        let keys: Vec<&str> = outputs.iter().map(|output| output.key.as_str()).collect();
        for prefix in &self.outputs {
            ensure!(
                keys.iter().any(|key| key.starts_with(prefix.as_str())),
                "nothing under `{prefix}` was written, only {keys:?}"
            );
        }
        for key in &keys {
            ensure!(
                self.outputs.iter().any(|prefix| key.starts_with(prefix.as_str())),
                "`{key}` was written"
            );
        }
        Ok(())
    }
}
