//! What one more file, its window and a training cost after a hundred, ten thousand and, with `--large`, a hundred thousand data files.
//!
//! The files that are there before are written beside Tidemill, each with the outcome of its validation, and hold few rows each: what grows
//! is the number of files. Everything measured runs in `tidemill up`.

use std::{
    fmt::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tidemill_core::{
    Decision, Digest, Trigger, layout,
    record::{DataFile, MonitoringReport, OutcomeRecord, RunRecord, to_bytes},
    trigger_id,
};
use tidemill_harness::server::Server;

use crate::{Arguments, numbers::to_millis};

const SIZES: [u64; 2] = [100, 10_000];
const LARGE_SIZE: u64 = 100_000;
/// Rows of each file that is there before.
const ROWS: u64 = 20;
/// Rows of the file that comes.
const NEW_ROWS: u64 = 1_000;
const DAY: SignedDuration = SignedDuration::from_hours(24);

const PROJECT: &str = r#"[project]
name = "growth"

[dataset.readings]
contract = "contract.toml"
time = "at"
key = ["id"]

[features.alarm]
dataset = "readings"
sql = "features.sql"
label = "label"
holdout = { block = "1 hour", share = 0.2 }

[model.alarm]
features = "alarm"
task = "binary"
trainer = { kind = "trees", rounds = 5, leaves = 8, seed = 7 }
gates = ["auc >= 0.5"]
monitor = { window = "1 day", block = "1 hour" }
retrain = { when = ["drift"], minimum-rows = 1000, every-rows = 500 }
"#;
const CONTRACT: &str = r#"[columns]
id = { type = "integer" }
at = { type = "timestamp" }
x = { type = "number" }
z = { type = "number" }
label = { type = "integer", values = [0, 1] }
"#;
const FEATURES: &str = "SELECT id, \"at\", x, z, label FROM readings\n";

pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let large = arguments.large.then_some(LARGE_SIZE);
    let sizes = SIZES.into_iter().chain(large);
    let measured: Vec<Value> = sizes.map(|files| measure(arguments, files)).collect::<Result<_>>()?;
    Ok(json!(measured))
}

fn measure(arguments: &Arguments, files: u64) -> Result<Value> {
    let project = arguments.dir.join(format!("growth-{files}"));
    if project.exists() {
        std::fs::remove_dir_all(&project).with_context(|| format!("cannot empty {}", project.display()))?;
    }
    let store = project.join(".tidemill/store");
    std::fs::create_dir_all(&store)?;
    for (name, text) in [("tidemill.toml", PROJECT), ("contract.toml", CONTRACT), ("features.sql", FEATURES)] {
        std::fs::write(project.join(name), text)?;
    }
    let first: Timestamp = "2024-01-01T00:00:00Z".parse()?;
    write_history(&store, files, first)?;
    let clock = Instant::now();
    let server = Server::up(&arguments.tidemill, &project, &[])?;
    let start = clock.elapsed();
    server.wait_for_decision("alarm", "2024-01-01T00-00-00Z")?;
    let history = clock.elapsed();
    let next = first + DAY;
    let key = layout::raw("readings", "next.csv");
    let clock = Instant::now();
    server.create(&key, csv(files * ROWS, NEW_ROWS, next, DAY))?;
    server.wait_for_decision("alarm", "2024-01-02T00-00-00Z")?;
    let whole = clock.elapsed();
    let costs = Costs { server: &server }.of_file(&key, next)?;
    server.stop()?;
    let seconds = |duration: Duration| to_millis(duration) / 1e3;
    println!(
        "{files:>7} files: start {:.1} s, their window and training {:.1} s; one file more, to the end of its training {:.1} s",
        seconds(start),
        seconds(history),
        seconds(whole)
    );
    for (what, cost) in costs.as_object().into_iter().flatten() {
        println!("         {what}: {cost}");
    }
    Ok(
        json!({ "files": files, "start_seconds": seconds(start), "history_seconds": seconds(history), "whole_seconds": seconds(whole),
               "costs": costs }),
    )
}

/// Rows in equal distances over a span, as a file that a user would send.
fn csv(first_id: u64, rows: u64, from: Timestamp, span: SignedDuration) -> String {
    let mut text = "id,at,x,z,label\n".to_owned();
    for row in 0..rows {
        let id = first_id + row;
        let at = from + SignedDuration::from_micros(span.as_micros() as i64 / rows as i64 * row as i64);
        let (x, z) = ((id * 7919 % 1000) as f64 / 1000.0, (id * 104_729 % 1000) as f64 / 1000.0);
        let _ = writeln!(text, "{id},{at},{x},{z},{}", u8::from(x + z / 2.0 > 0.75));
    }
    text
}

/// Uploads, data files and outcomes of one day, as `validate` would have left them. Profiles are left out: nothing that is measured reads
/// them.
fn write_history(store: &Path, files: u64, first: Timestamp) -> Result<()> {
    let connection = duckdb::Connection::open_in_memory()?;
    let span = SignedDuration::from_micros(DAY.as_micros() as i64 / files as i64);
    for file in 0..files {
        let from = first + SignedDuration::from_micros(span.as_micros() as i64 * file as i64);
        let text = csv(file * ROWS, ROWS, from, span);
        let trigger = Trigger {
            key: layout::raw("readings", &format!("{file:06}.csv")),
            digest: Digest::sha256(text.as_bytes()),
        };
        let raw = write(store, &trigger.key, text.as_bytes())?;
        let run_key = trigger.digest.as_str()[..32].to_owned();
        let data = layout::data_file("readings", &run_key);
        let parquet = store.join(&data);
        std::fs::create_dir_all(parquet.parent().context("a key has a folder")?)?;
        connection.execute_batch(&format!(
            "COPY (SELECT * FROM read_csv('{}', columns = {{'id': 'BIGINT', 'at': 'TIMESTAMP', 'x': 'DOUBLE', 'z': 'DOUBLE', 'label': 'BIGINT'}}) \
             ORDER BY \"at\", id) TO '{}' (FORMAT parquet)",
            raw.display(),
            parquet.display()
        ))?;
        let until = from + SignedDuration::from_micros(span.as_micros() as i64 / ROWS as i64 * (ROWS as i64 - 1));
        let result = DataFile {
            dataset: "readings".into(),
            data,
            digest: Digest::sha256(&std::fs::read(&parquet)?),
            profile: layout::data_profile("readings", &run_key),
            rows: ROWS,
            quarantined: 0,
            quarantine: None,
            from,
            until,
            spans: Vec::new(),
        };
        let id = trigger_id("validate", "readings", &trigger.key, &trigger.digest);
        let outcome = OutcomeRecord {
            stage: "validate".into(),
            resource: "readings".into(),
            trigger,
            run_key,
            component: Digest::sha256(b"growth"),
            config: Digest::sha256(b"growth"),
            engines: tidemill_run::ENGINES.into(),
            as_of: until,
            decision: Decision::Done,
            reason: format!("{ROWS} rows"),
            findings: Vec::new(),
            error: None,
            result: serde_json::to_value(result)?,
            outputs: Vec::new(),
            depth: 1,
        };
        write(store, &layout::outcome("validate", "readings", &id), &to_bytes(&outcome)?)?;
    }
    Ok(())
}

fn write(store: &Path, key: &str, bytes: &[u8]) -> Result<std::path::PathBuf> {
    let path = store.join(key);
    std::fs::create_dir_all(path.parent().context("a key has a folder")?)?;
    std::fs::write(&path, bytes)?;
    Ok(path)
}

/// Reads what a chain cost from its records.
struct Costs<'a> {
    server: &'a Server,
}

impl Costs<'_> {
    /// The costs of the file with this key and of the window that it closed, which starts at `window`.
    fn of_file(&self, key: &str, window: Timestamp) -> Result<Value> {
        let (_, validate) = self.run("validate", "readings", key)?;
        let window_key = layout::window("alarm", window);
        let (judged, monitor) = self.run("monitor", "alarm", &window_key)?;
        let report: MonitoringReport = serde_json::from_value(judged)?;
        let request = layout::request("alarm", window);
        let (_, featurize) = self.run("featurize", "alarm", &request)?;
        let (_, train) = self.run("train", "alarm", &self.outcome_key("featurize", "alarm", &request)?)?;
        let end = |run: &RunRecord| run.started + SignedDuration::from_millis(run.duration_ms as i64);
        let closing = monitor.started.duration_since(end(&validate)).as_millis() as f64 / 1e3;
        let cost = |run: &RunRecord| json!({ "seconds": run.duration_ms as f64 / 1e3, "reads": run.reads.len(), "memory_bytes": run.memory_bytes });
        Ok(json!({
            "validate": cost(&validate),
            "close_window": { "seconds": closing, "window_bytes": self.size(&window_key)? },
            "monitor": cost(&monitor),
            "report_bytes": self.size(&report.key)?,
            "request_bytes": self.size(&request)?,
            "featurize": cost(&featurize),
            "train": cost(&train),
            "manifest_bytes": self.size_under("manifests/readings/")?,
            "set_bytes": self.size_under("datasets/readings/sets/")?,
        }))
    }

    fn outcome_key(&self, stage: &str, resource: &str, trigger: &str) -> Result<String> {
        let bytes = self.server.runtime.block_on(self.server.store.get(trigger))?;
        let id = trigger_id(stage, resource, trigger, &Digest::sha256(&bytes));
        Ok(layout::outcome(stage, resource, &id))
    }

    /// The result of the run that the object triggered, and how it went.
    fn run(&self, stage: &str, resource: &str, trigger: &str) -> Result<(Value, RunRecord)> {
        let key = self.outcome_key(stage, resource, trigger)?;
        let outcome: OutcomeRecord = self.server.json(&key)?.with_context(|| format!("`{trigger}` has no outcome"))?;
        let run = self.server.json(&key.replacen("outcomes/", "runs/", 1))?;
        Ok((outcome.result, run.with_context(|| format!("`{key}` has no run record"))?))
    }

    fn size(&self, key: &str) -> Result<u64> {
        let found = self.server.runtime.block_on(self.server.store.head(key))?;
        Ok(found.with_context(|| format!("`{key}` is not in the store"))?.size)
    }

    fn size_under(&self, prefix: &str) -> Result<u64> {
        let listed = self.server.runtime.block_on(self.server.store.list_all(prefix))?;
        Ok(listed.iter().map(|meta| meta.size).sum())
    }
}
