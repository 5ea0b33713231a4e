//! The stage over a store in memory and tables in memory: what it reads, and that the same features give the same bytes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use serde_json::{Value, json};
use tidemill_core::{
    Batches, ColumnValues, Decision, Digest, Error, ErrorKind, ExportedFile, FetchResponse, Host, Level, Objects, Outcome, Result,
    RunContext, Sql, Stage, Table, Trigger,
    record::{Signature, SignatureColumn, TrainingResult},
    spec::{ColumnType, TrainerKind},
};
use tidemill_ml::{Columns, Transform};
use tidemill_sdk::TestHost;

use crate::Train;

const OUTCOME: &str = "outcomes/featurize/alarm/11111111111111111111111111111111.json";
const TRANSFORM: &str = "features/alarm/f/transform.json";

/// A host with tables in memory, which records the queried keys.
struct FeatureHost {
    host: TestHost,
    tables: BTreeMap<String, RecordBatch>,
    queried: Mutex<Vec<String>>,
}

impl Host for FeatureHost {
    fn context(&self) -> &RunContext {
        self.host.context()
    }
    fn objects(&self) -> &dyn Objects {
        self.host.objects()
    }
    fn sql(&self) -> &dyn Sql {
        self
    }
    fn report_progress(&self, _: f64, _: &str) {}
    fn log(&self, _: Level, _: &str) {}
    fn fetch(&self, url: &str, headers: &[(String, String)]) -> Result<FetchResponse> {
        self.host.fetch(url, headers)
    }
}

impl Sql for FeatureHost {
    /// All rows of the table, whatever the SELECT names.
    fn query<'a>(&'a self, _: &str, tables: &[Table]) -> Result<Batches<'a>> {
        let key = &tables[0].keys[0];
        self.queried.lock().unwrap().push(key.clone());
        let batch = self
            .tables
            .get(key)
            .ok_or_else(|| Error::not_found(format!("there is no `{key}`")))?;
        let mut bytes = Vec::new();
        let mut writer = arrow_ipc::writer::StreamWriter::try_new(&mut bytes, &batch.schema()).unwrap();
        writer.write(batch).unwrap();
        writer.finish().unwrap();
        drop(writer);
        Ok(Box::new(std::iter::once(Ok(bytes))))
    }
    fn export(&self, _: &str, _: &[Table], key: &str) -> Result<ExportedFile> {
        Err(Error::bug(format!("`train` exports `{key}`")))
    }
}

/// Rows whose alarm follows from their level, with a few exceptions.
fn rows(count: i64, seed: i64) -> RecordBatch {
    let level = |row: i64| ((row * 37 + seed) % 101) as f64;
    let alarm = |row: i64| i64::from((level(row) > 60.0) != (row % 13 == 0));
    let levels: ArrayRef = Arc::new(Float64Array::from_iter_values((0..count).map(level)));
    let alarms: ArrayRef = Arc::new(Int64Array::from_iter_values((0..count).map(alarm)));
    RecordBatch::try_from_iter([("level", levels), ("alarm", alarms)]).unwrap()
}

fn transform(kind: TrainerKind) -> Vec<u8> {
    let signature = Signature {
        inputs: vec![SignatureColumn {
            name: "level".into(),
            kind: ColumnType::Number,
            nullable: false,
        }],
        context: vec![],
    };
    let mut columns = Columns::new();
    columns.push("level", ColumnValues::Number(vec![Some(1.0), Some(2.0)])).unwrap();
    let transform = Transform::fit(signature, &BTreeMap::new(), kind, &columns, &[0.0, 1.0]).unwrap();
    transform.to_json().unwrap()
}

/// A store with the feature set of an outcome, and its tables of train and validation rows.
fn host(validation_rows: i64) -> FeatureHost {
    let transform = transform(TrainerKind::Trees);
    let set = json!({
        "request": "requests/alarm/r.json", "train": "features/alarm/f/train.parquet", "validation": "features/alarm/f/validation.parquet",
        "holdout": "features/alarm/f/holdout.parquet", "train-rows": 400, "validation-rows": validation_rows, "holdout-rows": 100,
        "transform": TRANSFORM, "transform-digest": Digest::sha256(&transform), "profile": "features/alarm/f/profile.json",
        "signature": { "inputs": [{ "name": "level", "type": "number", "nullable": false }], "context": [] },
        "label": "alarm", "classes": ["0", "1"],
    });
    let outcome = json!({
        "stage": "featurize", "resource": "alarm", "trigger": { "key": "requests/alarm/r.json", "digest": "0".repeat(64) },
        "run-key": "1".repeat(32), "component": "0".repeat(64), "config": "0".repeat(64), "engines": "none",
        "as-of": "2024-01-09T00:00:00Z", "decision": "done", "reason": "", "findings": [], "result": set, "outputs": [], "depth": 1,
    });
    FeatureHost {
        host: TestHost::default()
            .with_object(OUTCOME, outcome.to_string().as_bytes())
            .with_object(TRANSFORM, &transform)
            .with_grants(&["outcomes/**", "features/alarm/**", "imports/alarm/**"], &["candidates/alarm/**"]),
        tables: BTreeMap::from([
            ("features/alarm/f/train.parquet".to_owned(), rows(400, 3)),
            ("features/alarm/f/validation.parquet".to_owned(), rows(validation_rows, 50)),
        ]),
        queried: Mutex::default(),
    }
}

fn run(host: &FeatureHost, trainer: &Value) -> Result<Outcome> {
    let trigger = Trigger {
        key: OUTCOME.into(),
        digest: Digest::sha256(b""),
    };
    let model = json!({ "name": "alarm", "features": "alarm", "task": "binary", "trainer": trainer });
    Train::run(&trigger, serde_json::from_value(json!({ "model": model })).unwrap(), host)
}

fn result(outcome: &Outcome) -> TrainingResult {
    serde_json::from_value(outcome.result.clone()).unwrap()
}

#[test]
fn equal_features_give_equal_bytes() {
    let trainer = json!({ "kind": "trees", "rounds": 20, "minimum-leaf-rows": 5, "seed": 7 });
    let (first, second) = (host(100), host(100));
    let (outcome, again) = (run(&first, &trainer).unwrap(), run(&second, &trainer).unwrap());
    assert_eq!(
        (outcome.decision, outcome.as_of),
        (Decision::Done, Some("2024-01-09T00:00:00Z".parse().unwrap()))
    );
    assert_eq!(outcome, again);
    let training = result(&outcome);
    let model = first.host.object(&training.onnx).unwrap();
    assert_eq!(Digest::sha256(&model), training.onnx_digest);
    assert_eq!(second.host.object(&training.onnx).unwrap(), model);
    assert!(first.host.keys().iter().any(|key| key.ends_with("/training.json")));
    let third = host(100);
    let other = run(&third, &json!({ "kind": "trees", "rounds": 2, "minimum-leaf-rows": 5, "seed": 7 })).unwrap();
    assert_ne!(result(&other).onnx_digest, training.onnx_digest);
}

#[test]
fn the_validation_slice_ends_training_and_the_holdout_is_not_read() {
    let trainer = json!({ "kind": "trees", "rounds": 300, "early-stopping": 5, "minimum-leaf-rows": 5 });
    let host = host(100);
    let outcome = run(&host, &trainer).unwrap();
    let training = result(&outcome);
    assert!(training.rounds < 300, "{} rounds", training.rounds);
    assert_eq!(
        (training.metrics["train-rows"], training.metrics["validation-rows"]),
        (400.0, 100.0)
    );
    assert!(training.metrics["validation-loss"] > 0.0 && training.metrics["train-loss"] < std::f64::consts::LN_2);
    assert!(
        outcome.reason.starts_with("trained on 500 rows and 1 columns"),
        "{}",
        outcome.reason
    );
    assert!(!host.queried.lock().unwrap().iter().any(|key| key.contains("holdout")));
}

#[test]
fn an_empty_validation_slice_has_no_loss() {
    let training = result(&run(&host(0), &json!({ "kind": "trees", "rounds": 3 })).unwrap());
    assert_eq!((training.rounds, training.metrics["validation-rows"]), (3, 0.0));
    assert!(!training.metrics.contains_key("validation-loss"));
}

#[test]
fn a_transform_that_changed_is_refused() {
    let mut host = host(100);
    host.host = host.host.with_object(TRANSFORM, &transform(TrainerKind::Linear));
    let error = run(&host, &json!({})).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Input);
    assert!(
        error.message.contains(TRANSFORM) && error.message.contains("make the features again"),
        "{error}"
    );
}

#[test]
fn an_imported_model_is_taken_only_with_its_own_digest() {
    let (model, other) = (b"a model".as_slice(), b"another model".as_slice());
    let digest = Digest::sha256(model);
    let trainer = json!({ "kind": "onnx", "onnx": digest });
    let key = format!("imports/alarm/{digest}.onnx");
    let with = |bytes: &[u8]| {
        let mut host = host(100);
        host.host = host.host.with_object(&key, bytes);
        host
    };
    let missing = run(&host(100), &trainer).unwrap_err();
    assert_eq!(missing.kind, ErrorKind::NotFound);
    assert!(missing.message.contains("tidemill models import alarm"), "{missing}");
    let refused = run(&with(other), &trainer).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Input, "{refused}");
    let host = with(model);
    let training = result(&run(&host, &trainer).unwrap());
    assert_eq!((training.onnx_digest, training.rounds), (digest, 0));
    assert_eq!(host.host.object(&training.onnx).unwrap(), model);
    assert!(host.queried.lock().unwrap().is_empty(), "no rows are needed");
}
