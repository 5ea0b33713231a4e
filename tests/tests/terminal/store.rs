//! The records of a store as the small project would have them: three uploads, one of them refused, two trainings, two versions, aliases that
//! a person moved, a dead letter. They are written through the types that the stages use, with times and digests that never vary.

use std::{collections::BTreeMap, path::Path};

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use tidemill_core::{
    Decision, Digest, ErrorKind, Finding, Severity, Trigger, digest_json, layout,
    record::{
        self, AuditAction, AuditRecord, AuditResult, DataFile, Evaluation, FeatureSet, ModelAlias, ModelVersion, OutcomeRecord,
        OutputObject, ReadRecord, Registration, RetrainAction, RetrainDecision, RunRecord, Signature, SignatureColumn, TrainingRequest,
        TrainingResult,
    },
    spec::{ColumnType, Task},
    trigger_id,
};
use tidemill_host::Store;
use tidemill_run::DeadLetter;
use tidemill_tests::trained;

/// The first digits of the run key of the refused upload.
pub(super) const REJECTED_RUN_KEY: &str = "5e1ec7ed";
const MODEL: &str = "alarm";

pub(super) fn write(project: &Path) -> Result<()> {
    let mut records = Records {
        store: trained::store(project)?,
        runtime: tokio::runtime::Runtime::new()?,
        runs: 0,
    };
    let files: Vec<DataFile> = (1..=3).map(|day| records.upload(day)).collect::<Result<_>>()?;
    records.refuse_upload()?;
    let first = records.train(1, &files[..2], "2024-01-02T00:00:00Z", None)?;
    let second = records.train(2, &files, "2024-01-03T00:00:00Z", Some(1))?;
    for (moves, version) in [(0, &first), (1, &second)] {
        records.move_alias("champion", moves, version)?;
    }
    records.move_alias_by_hand("champion", 2, &first, Some("version 2 alarms twice as often at night"))?;
    records.move_alias_by_hand("challenger", 0, &second, None)?;
    records.dead_letter()
}

struct Records {
    store: Store,
    runtime: tokio::runtime::Runtime,
    /// So many runs were written.
    runs: u32,
}

/// A run that is to be written.
struct Run<'a> {
    stage: &'a str,
    resource: &'a str,
    trigger: String,
    decision: Decision,
    reason: String,
    findings: Vec<Finding>,
    result: Value,
    outputs: Vec<String>,
    config: Digest,
}

impl<'a> Run<'a> {
    fn done(
        stage: &'a str,
        resource: &'a str,
        trigger: impl Into<String>,
        reason: impl Into<String>,
        result: &impl Serialize,
    ) -> Result<Self> {
        Ok(Self {
            stage,
            resource,
            trigger: trigger.into(),
            decision: Decision::Done,
            reason: reason.into(),
            findings: Vec::new(),
            result: serde_json::to_value(result)?,
            outputs: Vec::new(),
            config: Digest::sha256(stage.as_bytes()),
        })
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap_or_default()
}

/// The run key of the `n`-th run.
fn key_of_run(n: u32) -> String {
    Digest::sha256(&n.to_be_bytes()).as_str()[..32].to_owned()
}

impl Records {
    fn put(&self, key: &str, record: &impl Serialize) -> Result<()> {
        let bytes = record::to_bytes(record)?;
        self.runtime.block_on(self.store.create(key, bytes.into()))?;
        Ok(())
    }

    /// Writes an outcome and the record of its run. Returns the outcome's key.
    fn write_run(&mut self, run: Run<'_>) -> Result<String> {
        let run_key = match run.decision {
            Decision::Rejected => format!("{REJECTED_RUN_KEY}{}", "0".repeat(24)),
            _ => key_of_run(self.runs),
        };
        let digest = Digest::sha256(run.trigger.as_bytes());
        let id = trigger_id(run.stage, run.resource, &run.trigger, &digest);
        let output = |key: &String| OutputObject {
            key: key.clone(),
            digest: Digest::sha256(key.as_bytes()),
            size: 1_000 + key.len() as u64,
        };
        let outcome = OutcomeRecord {
            stage: run.stage.to_owned(),
            resource: run.resource.to_owned(),
            trigger: Trigger {
                key: run.trigger.clone(),
                digest: digest.clone(),
            },
            run_key: run_key.clone(),
            component: Digest::sha256(format!("component of {}", run.stage).as_bytes()),
            config: run.config,
            engines: "duckdb 1.5.6, parquet 58.4, tract 0.23.9, tidemill-format 1".to_owned(),
            as_of: at("2024-01-03T23:58:30Z"),
            decision: run.decision,
            reason: run.reason,
            findings: run.findings,
            error: None,
            result: run.result,
            outputs: run.outputs.iter().map(output).collect(),
            depth: 1,
        };
        let key = layout::outcome(run.stage, run.resource, &id);
        self.put(&key, &outcome)?;
        let record = RunRecord {
            run_key,
            stage: run.stage.to_owned(),
            resource: run.resource.to_owned(),
            started: at(&format!("2024-02-01T08:{:02}:00Z", self.runs)),
            duration_ms: u64::from(self.runs) * u64::from(self.runs) * 997 + 82,
            memory_bytes: 48 << 20,
            attempt: 1,
            reads: vec![
                ReadRecord::Object { key: run.trigger, digest },
                ReadRecord::Listing {
                    prefix: format!("datasets/{}/", run.resource),
                    keys: 3,
                    digest: Digest::sha256(b"listing"),
                },
            ],
            environment: BTreeMap::new(),
        };
        self.put(&layout::run(run.stage, run.resource, &id), &record)?;
        self.runs += 1;
        Ok(key)
    }

    fn upload(&mut self, day: u32) -> Result<DataFile> {
        let run = key_of_run(self.runs);
        let data = layout::data_file("readings", &run);
        let file = DataFile {
            dataset: "readings".to_owned(),
            digest: Digest::sha256(data.as_bytes()),
            profile: layout::data_profile("readings", &run),
            data,
            rows: 960,
            quarantined: 0,
            quarantine: None,
            from: at(&format!("2024-01-{day:02}T00:00:00Z")),
            until: at(&format!("2024-01-{day:02}T23:58:30Z")),
            spans: Vec::new(),
        };
        let trigger = layout::raw("readings", &format!("day-{day}.csv"));
        let mut run = Run::done("validate", "readings", trigger, "960 good rows, 0 in quarantine", &file)?;
        run.outputs = vec![file.data.clone(), file.profile.clone()];
        self.write_run(run)?;
        Ok(file)
    }

    fn refuse_upload(&mut self) -> Result<()> {
        let finding = |check: &str, severity, count, message: &str| Finding {
            check: check.to_owned(),
            target: "site".to_owned(),
            severity,
            message: message.to_owned(),
            count,
        };
        let trigger = layout::raw("readings", "from-the-eastern-stations-after-the-storm-of-january.csv");
        let mut run = Run::done(
            "validate",
            "readings",
            trigger,
            "all 40 rows are bad: none is stored, all are in quarantine",
            &json!({}),
        )?;
        run.decision = Decision::Rejected;
        run.findings = vec![
            finding(
                "values",
                Severity::Error,
                40,
                "`site` is none of north, south, west in 40 rows; first `east` in line 2",
            ),
            finding("nullable", Severity::Warning, 0, "`level` is missing in 5 of 40 rows"),
        ];
        self.write_run(run)?;
        Ok(())
    }

    /// A training, from the decision to the version.
    fn train(&mut self, number: u32, files: &[DataFile], window: &str, champion: Option<u32>) -> Result<ModelVersion> {
        let window = at(window);
        let request = layout::request(MODEL, window);
        self.decide(window, &request, files)?;
        let run = key_of_run(self.runs);
        let set = FeatureSet {
            request: request.clone(),
            train: layout::feature_file(MODEL, &run, "train.parquet"),
            validation: layout::feature_file(MODEL, &run, "validation.parquet"),
            holdout: layout::feature_file(MODEL, &run, "holdout.parquet"),
            train_rows: 640 * u64::from(number),
            validation_rows: 120,
            holdout_rows: 200,
            transform: layout::feature_file(MODEL, &run, layout::TRANSFORM),
            transform_digest: Digest::sha256(b"transform"),
            profile: layout::feature_file(MODEL, &run, "profile.json"),
            signature: signature(),
            label: MODEL.to_owned(),
            classes: vec!["0".to_owned(), "1".to_owned()],
        };
        let reason = format!("{} rows to train on, 120 to validate on, 200 held out, 3 features", set.train_rows);
        let featurized = self.write_run(Run::done("featurize", MODEL, &request, reason, &set)?)?;
        let run = key_of_run(self.runs);
        let training = TrainingResult {
            model: MODEL.to_owned(),
            task: Task::Binary,
            onnx: layout::candidate_file(MODEL, &run, "model.onnx"),
            onnx_digest: Digest::sha256(&number.to_be_bytes()),
            features: set,
            parameters: json!({ "kind": "trees", "rounds": 12, "leaves": 8, "learning-rate": 0.3, "seed": 7 }),
            rounds: 11,
            importances: BTreeMap::new(),
            metrics: metrics(number),
        };
        let trained = self.write_run(Run::done(
            "train",
            MODEL,
            featurized,
            "trees with 11 rounds, log-loss 0.5125",
            &training,
        )?)?;
        let version = self.evaluate_and_register(number, training, trained, champion)?;
        self.put(&layout::version(MODEL, number), &version)?;
        Ok(version)
    }

    fn decide(&mut self, window: Timestamp, request: &str, files: &[DataFile]) -> Result<()> {
        let decision = RetrainDecision {
            model: MODEL.to_owned(),
            window,
            as_of: window,
            decision: RetrainAction::Train,
            causes: vec!["drift".to_owned(), "rows".to_owned()],
            reason: "`level` drifted (0.41 against 0.1), and 1920 new rows have come".to_owned(),
            report: None,
            request: Some(request.to_owned()),
            passed_over: Vec::new(),
            rows: 960 * files.len() as u64,
            trained_rows: 0,
            trained: None,
        };
        let body = TrainingRequest {
            model: MODEL.to_owned(),
            window,
            as_of: window,
            data_files: files.to_vec().into(),
        };
        self.put(request, &body)?;
        let key = layout::decision(MODEL, window);
        self.put(&key, &decision)?;
        let trigger = layout::outcome("monitor", MODEL, &key_of_run(self.runs));
        let mut run = Run::done("retrain", MODEL, trigger, format!("train: {}", decision.reason), &decision)?;
        run.outputs = vec![request.to_owned(), key];
        self.write_run(run)?;
        Ok(())
    }

    fn evaluate_and_register(
        &mut self,
        number: u32,
        training: TrainingResult,
        trained: String,
        champion: Option<u32>,
    ) -> Result<ModelVersion> {
        let config = json!({ "model": { "gates": ["auc >= 0.6", "auc >= champion.auc - 0.25"] } });
        let digest = digest_json(&config);
        self.put(&layout::config(&digest), &config)?;
        let key = layout::evaluation(MODEL, &key_of_run(self.runs), None);
        let evaluation = Evaluation {
            metrics: metrics(number),
            champion: champion.map(metrics),
            champion_version: champion,
            slices: Vec::new(),
            failed: Vec::new(),
            training,
        };
        let mut run = Run::done("evaluate", MODEL, trained, "all gates passed", &evaluation)?;
        run.config = digest;
        run.outputs = vec![key.clone()];
        let evaluated = self.write_run(run)?;
        let training = evaluation.training;
        let version = ModelVersion {
            model: MODEL.to_owned(),
            version: number,
            as_of: at("2024-01-03T23:58:30Z"),
            task: training.task,
            onnx: training.onnx,
            onnx_digest: training.onnx_digest,
            transform: training.features.transform,
            transform_digest: training.features.transform_digest,
            profile: training.features.profile,
            signature: training.features.signature,
            classes: training.features.classes,
            metrics: evaluation.metrics,
            evaluation: key,
            request: training.features.request,
        };
        let registration = Registration {
            model: MODEL.to_owned(),
            version: number,
            key: layout::version(MODEL, number),
            onnx_digest: version.onnx_digest.clone(),
        };
        let reason = format!("version {number} is the champion");
        self.write_run(Run::done("register", MODEL, evaluated, reason, &registration)?)?;
        Ok(version)
    }

    fn move_alias(&self, name: &str, moves: u32, version: &ModelVersion) -> Result<ModelAlias> {
        let alias = ModelAlias {
            model: MODEL.to_owned(),
            alias: name.to_owned(),
            version: version.version,
            onnx_digest: version.onnx_digest.clone(),
            moves,
            as_of: version.as_of,
        };
        self.put(&layout::alias_move(MODEL, name, moves), &alias)?;
        Ok(alias)
    }

    /// The last move of an alias, which a person made.
    fn move_alias_by_hand(&self, name: &str, moves: u32, version: &ModelVersion, reason: Option<&str>) -> Result<()> {
        let alias = self.move_alias(name, moves, version)?;
        self.put(&layout::alias(MODEL, name), &alias)?;
        let record = AuditRecord {
            at: at("2024-02-02T09:30:00Z"),
            principal: "local:anna".to_owned(),
            action: AuditAction::MoveAlias,
            resource: format!("models/{MODEL}/aliases/{name}"),
            reason: reason.map(str::to_owned),
            result: AuditResult::Succeeded,
            message: None,
            before: Value::Null,
            after: serde_json::to_value(&alias)?,
        };
        self.put(&layout::audit(name), &record)
    }

    fn dead_letter(&self) -> Result<()> {
        let trigger = Trigger {
            key: layout::raw("readings", "day-4.csv"),
            digest: Digest::sha256(b"day 4"),
        };
        let letter = DeadLetter {
            id: trigger_id("validate", "readings", &trigger.key, &trigger.digest),
            stage: "validate".to_owned(),
            resource: "readings".to_owned(),
            trigger,
            kind: ErrorKind::Timeout,
            message: "stage `validate` took longer than its 60 s; raise `timeout-seconds`".to_owned(),
            attempt: 3,
            depth: 1,
            dropped: false,
        };
        let bytes = letter.to_bytes()?;
        self.runtime.block_on(self.store.create(&letter.key(), bytes.into()))?;
        Ok(())
    }
}

fn metrics(version: u32) -> BTreeMap<String, f64> {
    let better = f64::from(version) / 32.0;
    BTreeMap::from([
        ("accuracy".to_owned(), 0.625 + better),
        ("auc".to_owned(), 0.71875 + better),
        ("log-loss".to_owned(), 0.5625 - better),
    ])
}

fn signature() -> Signature {
    let column = |name: &str, kind, nullable| SignatureColumn {
        name: name.to_owned(),
        kind,
        nullable,
    };
    Signature {
        inputs: vec![
            column("site", ColumnType::Text, false),
            column("level", ColumnType::Number, true),
            column("speed", ColumnType::Number, false),
        ],
        context: vec![column("id", ColumnType::Integer, false), column("at", ColumnType::Timestamp, false)],
    }
}
