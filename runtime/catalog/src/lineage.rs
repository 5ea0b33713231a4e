//! Where a version comes from: the data, the runs that made it, and the gates that it passed.
//!
//! All of it is read from the records of then, not from today's `tidemill.toml`. What a store does not hold (records may have been removed,
//! or are kept in another store) is left out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use tidemill_core::{
    Decision, Digest, ErrorKind, Result,
    gate::Gate,
    layout::{self, Key, Prefix},
    record::{Evaluation, ModelVersion, OutcomeRecord, Registration, RetrainDecision, TrainingRequest},
};
use tidemill_run::Ledger;

use crate::{AliasMove, Catalog, RunEntry};

/// A version with where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct VersionDetail {
    /// The record.
    #[serde(flatten)]
    pub version: ModelVersion,
    /// The aliases that point at it, by name.
    pub aliases: Vec<String>,
    /// Where it comes from.
    pub lineage: Lineage,
    /// The gates of its evaluation, in order; empty if the store does not hold them.
    pub gates: Vec<GateResult>,
    /// Every move of every alias of the model, by alias, the first one first.
    pub history: Vec<AliasMove>,
}

/// Where a version comes from.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Lineage {
    /// Why it was trained.
    pub decision: Option<RetrainDecision>,
    /// The data files of the training request.
    pub data: Option<DataWindow>,
    /// Its evaluation, with the training and the feature set.
    pub evaluation: Option<Evaluation>,
    /// The runs that made it, from the decision to the registration.
    pub runs: Vec<ParentRun>,
}

/// The data that a version was trained and evaluated on.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DataWindow {
    /// Number of data files.
    pub files: usize,
    /// Number of rows in them.
    pub rows: u64,
    /// Earliest event time.
    pub from: Timestamp,
    /// Latest event time.
    pub until: Timestamp,
}

/// A run that contributed to a version.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ParentRun {
    /// The stage.
    pub stage: String,
    /// The trigger's id.
    pub id: String,
    /// The run key, which is part of the keys of its outputs.
    pub run_key: String,
    /// The code: SHA-256 of the component.
    pub component: Digest,
    /// SHA-256 of the configuration.
    pub config: Digest,
    /// Versions of the engines.
    pub engines: String,
    /// When it started; `None` if that was not recorded.
    pub started: Option<Timestamp>,
}

/// A gate with the numbers that it compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GateResult {
    /// The condition, as in `tidemill.toml`.
    pub gate: String,
    /// The metric; `None` if the evaluation does not have it.
    pub value: Option<f64>,
    /// What it was compared with.
    pub threshold: Option<f64>,
    /// Whether the condition held; `None` for a comparison with a champion where there was none.
    pub passed: Option<bool>,
}

impl Catalog {
    /// A version with where it comes from; `NotFound` lists the versions that the model has.
    pub async fn version_detail(&self, model: &str, number: u32) -> Result<VersionDetail> {
        let version = self.version(model, number).await?;
        let names: Vec<String> = self.model(model).await?.aliases.into_iter().map(|alias| alias.alias).collect();
        let mut history = Vec::new();
        let mut aliases = Vec::new();
        for name in names {
            let moves = self.alias_moves(model, &name).await?;
            if moves.last().is_some_and(|last| last.alias.version == number) {
                aliases.push(name);
            }
            history.extend(moves);
        }
        let chain = self.parent_outcomes(&version).await?;
        let evaluated = chain.iter().find(|outcome| outcome.stage == "evaluate");
        let evaluation = evaluated.and_then(|outcome| serde_json::from_value::<Evaluation>(outcome.result.clone()).ok());
        let gates = match (evaluated, &evaluation) {
            (Some(outcome), Some(evaluation)) => self.gate_results(&outcome.config, evaluation).await?,
            _ => Vec::new(),
        };
        let request = self.find::<TrainingRequest>(&version.request).await?;
        let lineage = Lineage {
            decision: self.decision_for(&version, request.as_ref()).await?,
            data: request.as_ref().and_then(DataWindow::from_request),
            evaluation,
            runs: self.with_run_records(chain).await.into_iter().map(ParentRun::from).collect(),
        };
        Ok(VersionDetail {
            version,
            aliases,
            lineage,
            gates,
            history,
        })
    }

    /// Why a version was trained.
    pub(crate) async fn decision_for(&self, version: &ModelVersion, request: Option<&TrainingRequest>) -> Result<Option<RetrainDecision>> {
        let is_its = |decision: &RetrainDecision| decision.request.as_ref() == Some(&version.request);
        if let Some(request) = request {
            let decision: Option<RetrainDecision> = self.find(&layout::decision(&version.model, request.window)).await?;
            if let Some(decision) = decision.filter(is_its) {
                return Ok(Some(decision));
            }
        }
        // Of a schedule or a person.
        let decisions: Vec<RetrainDecision> = self.read_all(self.decision_keys(&version.model).await?).await?;
        Ok(decisions.into_iter().find(is_its))
    }

    /// The keys of the decisions on windows and on scheduled events.
    async fn decision_keys(&self, model: &str) -> Result<Vec<String>> {
        let mut keys = self.keys(&layout::decision_prefix(model)).await?;
        keys.retain(|key| matches!(Key::parse(key), Some(Key::Decision { .. } | Key::ScheduledDecision { .. })));
        Ok(keys)
    }

    /// The outcomes that led to a version, the first one first: each is triggered by the one before it.
    async fn parent_outcomes(&self, version: &ModelVersion) -> Result<Vec<OutcomeRecord>> {
        let mut chain = Vec::new();
        let mut next = self.registration(&version.model, version.version).await?;
        while let Some(outcome) = next {
            let trigger = outcome.trigger.key.clone();
            chain.push(outcome);
            let is_outcome = Prefix::of_key(&trigger) == Some(Prefix::Outcomes);
            next = if is_outcome { self.find(&trigger).await? } else { None };
        }
        let decided = Ledger::new(self.store.clone())
            .list_outcomes(Some("retrain"), Some(&version.model))
            .await?;
        let wrote_request = |outcome: &OutcomeRecord| outcome.outputs.iter().any(|output| output.key == version.request);
        chain.extend(decided.into_iter().find(wrote_request));
        chain.reverse();
        Ok(chain)
    }

    /// The outcome of `register` that created a version.
    pub(crate) async fn registration(&self, model: &str, number: u32) -> Result<Option<OutcomeRecord>> {
        let registered = Ledger::new(self.store.clone()).list_outcomes(Some("register"), Some(model)).await?;
        let is_its = |outcome: &OutcomeRecord| {
            let registration = serde_json::from_value::<Registration>(outcome.result.clone());
            outcome.decision == Decision::Done && registration.is_ok_and(|registration| registration.version == number)
        };
        Ok(registered.into_iter().find(is_its))
    }

    /// The gates of the configuration of then, with the numbers of then.
    async fn gate_results(&self, config: &Digest, evaluation: &Evaluation) -> Result<Vec<GateResult>> {
        let config = match self.find::<serde_json::Value>(&layout::config(config)).await {
            Err(error) if error.kind != ErrorKind::Input => return Err(error),
            other => other.ok().flatten().unwrap_or_default(),
        };
        let gates: Vec<Gate> = serde_json::from_value(config["model"]["gates"].clone()).unwrap_or_default();
        Ok(gates.iter().map(|gate| GateResult::of_evaluation(gate, evaluation)).collect())
    }
}

impl GateResult {
    /// As `evaluate` judges: a gate on the champion passes while there is no champion, a gate on an unknown metric fails.
    fn of_evaluation(gate: &Gate, evaluation: &Evaluation) -> Self {
        let mut scopes = BTreeMap::from([("training".to_owned(), evaluation.training.metrics.clone())]);
        if let Some(champion) = &evaluation.champion {
            scopes.insert("champion".to_owned(), champion.clone());
        }
        let compared = gate.evaluate(&evaluation.metrics, &scopes);
        let is_without_champion = evaluation.champion.is_none() && gate.needs_champion();
        Self {
            gate: gate.to_string(),
            value: evaluation.metrics.get(gate.metric()).copied(),
            threshold: compared.map(|(_, _, threshold)| threshold),
            passed: (!is_without_champion).then(|| compared.is_some_and(|(holds, ..)| holds)),
        }
    }
}

impl DataWindow {
    fn from_request(request: &TrainingRequest) -> Option<Self> {
        Some(Self {
            files: request.data_files.len(),
            rows: request.data_files.iter().map(|file| file.rows).sum(),
            from: request.data_files.iter().map(|file| file.from).min()?,
            until: request.data_files.iter().map(|file| file.until).max()?,
        })
    }
}

impl From<RunEntry> for ParentRun {
    fn from(entry: RunEntry) -> Self {
        Self {
            started: entry.start_time(),
            id: entry.id,
            stage: entry.outcome.stage,
            run_key: entry.outcome.run_key,
            component: entry.outcome.component,
            config: entry.outcome.config,
            engines: entry.outcome.engines,
        }
    }
}
