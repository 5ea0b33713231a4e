//! Every stage of a chain natively and as a component: a small project with collection, trees and linear models of all three tasks,
//! late labels and a person's wish is run by `tidemill up`; then each recorded run is made again by the native stage, in the same
//! order, over a store that begins with nothing but what came from outside. Outcome records, what was read and every object written
//! must be equal to the byte.
//!
//! That holds for `train` and `evaluate` too, so no tolerance is given: what they take from mathematics comes from the `libm` crate,
//! sums are in a fixed order, nothing is fused, and models of our own trainer are scored by our own code. A model from elsewhere is
//! scored by tract, whose kernels for this processor are others than in a component: there the component is the reference.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidemill_core::{
    Decision, Digest,
    pipeline::{NodeSettings, Pipeline},
    project::Project,
    record::{OutcomeRecord, ReadRecord, RunRecord},
    time::parse_as_of,
    trigger_id,
};
use tidemill_harness::{server::Server, snapshot};
use tidemill_host::{RunHost, SqlEngine, Store};
use tidemill_lambda::{NATIVE_STAGES, stage_runner};
use tidemill_run::{Attempt, Commit, Ledger, RunReport};
use tidemill_tests::{small, trained};

const DAYS: u64 = 5;
const MODELS: [&str; 4] = ["alarm", "alarm-linear", "speed", "site"];
/// What no triggered stage writes: people, schedules, the flow and `predict` do. A native run finds it as it was; all else must
/// have been written by native runs before.
const OUTSIDE: [&str; 6] = ["inbox/", "schedules/", "labels/", "windows/", "logs/", "predictions/"];
/// Kept by the flow for replay.
const KEPT: [&str; 2] = ["components/", "configs/"];

#[test]
fn every_stage_of_the_chain() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let project = small::project(folder.path())?;
    small::overlay(&project, "chain")?;
    let server = Server::up(&tidemill, &project, &[])?;
    play(&server)?;
    server.stop()?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(rebuild(&project, &folder.path().join("native")))
}

/// Brings the days through `collect`, asks every champion for each, and after the third sends labels by prediction id.
fn play(server: &Server) -> Result<()> {
    for day in 1..=DAYS {
        let readings = small::day(day);
        for model in MODELS {
            if server.champion(model)?.is_some() {
                predict(server, model, day, &readings)?;
            }
        }
        server.create(&format!("inbox/readings/day-{day}.csv"), data(&readings))?;
        tick(server, day)?;
        for model in MODELS {
            server.wait_for_decision(model, &format!("2024-01-{day:02}T00-00-00Z"))?;
        }
        if day == 3 {
            // Wrong on purpose: they go before the truth by key.
            let labels: String = (0..100).map(|row| format!("day-3-0/{row},{}\n", row % 2)).collect();
            server.create("labels/alarm/late.csv", format!("id,label\n{labels}"))?;
            wait_for(server, "labels/alarm/late.csv")?;
        }
    }
    server.run_command(&["run", "retrain", "alarm", "--why", "a test"])?;
    let ticks = server.keys("schedules/retrain/alarm/")?;
    wait_for(server, ticks.first().context("no tick was written")?)
}

/// A schedule's tick at the day's end. `tidemill run` would name it by the second, and a day may take less.
fn tick(server: &Server, day: u64) -> Result<()> {
    let as_of = tidemill_core::time::parse_time(&format!("2024-01-{:02}", day + 1))?;
    let tick = tidemill_run::ScheduledEvent {
        as_of,
        cause: "schedule".into(),
        who: None,
        why: None,
    };
    let key = tidemill_run::scheduled_event_key("collect", "readings", as_of);
    server.runtime.block_on(server.store.create(&key, tick.to_bytes()?.into()))?;
    Ok(())
}

/// The day's file, with a row that the contract refuses.
fn data(readings: &[small::Reading]) -> String {
    let mut text = small::csv(readings);
    text.push_str(&format!("{},{},east,1,2,0\n", readings[0].id + 999_999, readings[0].at));
    text
}

fn predict(server: &Server, model: &str, day: u64, readings: &[small::Reading]) -> Result<()> {
    for (batch, rows) in readings.chunks(240).enumerate() {
        let mut request = small::request(&format!("day-{day}-{batch}"), rows);
        if model == "speed" {
            let inputs = request["inputs"].as_array_mut().context("a request has inputs")?;
            inputs.retain(|input| input["name"] != "speed");
            let alarms: Vec<Value> = rows.iter().map(|r| json!(r.alarm)).collect();
            inputs.push(json!({ "name": "alarm", "datatype": "INT64", "shape": [rows.len()], "data": alarms }));
        }
        let url = format!("{}/v2/models/{model}/infer", server.address);
        ureq::post(url)
            .header("content-type", "application/json")
            .send(request.to_string())?;
    }
    Ok(())
}

/// Until what this object triggers has an outcome and the chain is quiet.
fn wait_for(server: &Server, key: &str) -> Result<()> {
    let ledger = Ledger::new(server.store.clone());
    for _ in 0..600 {
        let outcomes = server.runtime.block_on(ledger.list_outcomes(None, None))?;
        if outcomes.iter().any(|outcome| outcome.trigger.key == key) {
            return server.wait_until_idle();
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    anyhow::bail!("nothing came of `{key}` within a minute")
}

/// Makes every recorded run natively, in the order in which the runs began, and compares.
async fn rebuild(project: &Path, folder: &Path) -> Result<()> {
    let recorded = project.join(".tidemill/store");
    let chain = Chain {
        pipeline: Project::parse(&std::fs::read_to_string(project.join("tidemill.toml"))?, &|path| {
            Ok(std::fs::read_to_string(project.join(path)).unwrap_or_default())
        })?
        .pipeline,
        recorded: Store::local(&recorded)?,
        native: Store::local(&folder.join("store"))?,
        sql: small::sql(folder)?,
    };
    let runs = chain.runs().await?;
    covers(&runs)?;
    let mut wrong = Vec::new();
    for (outcome, run) in &runs {
        let (stage, resource, key) = (&outcome.stage, &outcome.resource, &outcome.trigger.key);
        if let Err(error) = chain.again(outcome, run).await {
            wrong.push(format!("{stage} of {resource} for {key}: {error:#}"));
        }
    }
    ensure!(
        wrong.is_empty(),
        "{} of {} runs differ:\n{}",
        wrong.len(),
        runs.len(),
        wrong.join("\n")
    );
    let (expected, found) = (written(&recorded)?, written(&folder.join("store"))?);
    let difference = snapshot::diff(&expected, &found);
    ensure!(difference.is_empty(), "the stores differ: {difference:#?}");
    eprintln!("{} runs, {} objects equal", runs.len(), found.len());
    Ok(())
}

/// What stages wrote, and their outcomes.
fn written(store: &Path) -> Result<BTreeMap<String, Digest>> {
    let mut all = snapshot::of_folder(store)?;
    all.retain(|key, _| !OUTSIDE.iter().chain(&KEPT).any(|prefix| key.starts_with(prefix)));
    Ok(all)
}

/// The chain must have been one that says something: every stage, each kind of decision, several versions.
fn covers(runs: &[(OutcomeRecord, RunRecord)]) -> Result<()> {
    let stages: BTreeSet<&str> = runs.iter().map(|(outcome, _)| outcome.stage.as_str()).collect();
    let missing: Vec<&str> = NATIVE_STAGES.into_iter().filter(|name| !stages.contains(name)).collect();
    ensure!(missing.is_empty(), "the chain has no run of {missing:?}");
    for decision in [Decision::Done, Decision::Rejected, Decision::Skipped] {
        ensure!(
            runs.iter().any(|(outcome, _)| outcome.decision == decision),
            "no run is {decision:?}"
        );
    }
    for model in ["alarm", "alarm-linear", "speed"] {
        let registered = runs
            .iter()
            .filter(|(outcome, _)| outcome.stage == "register" && outcome.resource == model);
        ensure!(registered.count() >= 2, "`{model}` was never trained again");
    }
    Ok(())
}

struct Chain {
    pipeline: Pipeline,
    /// As the components left it.
    recorded: Store,
    native: Store,
    sql: SqlEngine,
}

impl Chain {
    async fn runs(&self) -> Result<Vec<(OutcomeRecord, RunRecord)>> {
        let mut runs = Vec::new();
        for outcome in Ledger::new(self.recorded.clone()).list_outcomes(None, None).await? {
            let id = trigger_id(&outcome.stage, &outcome.resource, &outcome.trigger.key, &outcome.trigger.digest);
            let key = format!("runs/{}/{}/{id}.json", outcome.stage, outcome.resource);
            let run: RunRecord = serde_json::from_slice(&self.recorded.get(&key).await?)?;
            runs.push((outcome, run));
        }
        runs.sort_by_key(|(_, run)| run.started);
        Ok(runs)
    }

    /// Runs the native stage in the place of the component, commits what it decided, and compares.
    async fn again(&self, outcome: &OutcomeRecord, run: &RunRecord) -> Result<()> {
        self.bring(&outcome.trigger.key).await?;
        for read in &run.reads {
            if let ReadRecord::Object { key, .. } = read {
                self.bring(key).await?;
            }
        }
        let node = self
            .pipeline
            .node(&outcome.stage, &outcome.resource)
            .context("the pipeline has no such node")?;
        let as_of = parse_as_of(&outcome.trigger.key, &self.native.get(&outcome.trigger.key).await?);
        let (component, trigger) = (outcome.component.clone(), outcome.trigger.clone());
        let attempt = Attempt::new(node, component, trigger.clone(), as_of, outcome.depth - 1);
        let host = RunHost::for_attempt(&attempt, self.native.clone(), self.sql.clone(), None);
        let runner = stage_runner(&NodeSettings {
            component: Some(format!("components/{}", outcome.component)),
            ..NodeSettings::new(&self.pipeline, node)
        })?;
        let node = node.clone();
        let (result, recorded, _) = tokio::task::spawn_blocking(move || runner.run(&node, &trigger, host)).await?;
        let reads = recorded.reads.clone();
        let ran = RunReport {
            started: run.started,
            result,
            accesses: recorded,
            duration_ms: 0,
            memory_bytes: 0,
            attempt: 1,
            environment: BTreeMap::new(),
        };
        let ledger = Ledger::new(self.native.clone());
        let found = attempt.finish(&ledger, ran).await?;
        let commit = ledger.commit(&found).await?;
        ensure!(commit == Commit::New, "it was made before");
        same("result", &outcome.result, &found.result)?;
        same("outcomes", &serde_json::to_value(outcome)?, &serde_json::to_value(&found)?)?;
        same("reads", &serde_json::to_value(&run.reads)?, &serde_json::to_value(&reads)?)
    }

    /// Copies an object from outside; what stages write is never copied.
    async fn bring(&self, key: &str) -> Result<()> {
        if OUTSIDE.iter().any(|prefix| key.starts_with(prefix)) {
            self.native.create(key, self.recorded.get(key).await?).await?;
        }
        Ok(())
    }
}

/// Fails at the first place where two values differ.
fn same(what: &str, component: &Value, native: &Value) -> Result<()> {
    match place("", component, native) {
        None => Ok(()),
        Some((at, a, b)) => anyhow::bail!("{what} differ at `{at}`: the component has {a}, the native stage {b}"),
    }
}

fn place<'a>(at: &str, a: &'a Value, b: &'a Value) -> Option<(String, &'a Value, &'a Value)> {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) if x.keys().eq(y.keys()) => {
            x.iter().find_map(|(name, value)| place(&format!("{at}/{name}"), value, &y[name]))
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            let mut pairs = x.iter().zip(y).enumerate();
            pairs.find_map(|(n, (a, b))| place(&format!("{at}/{n}"), a, b))
        }
        _ => (a != b).then(|| (at.to_owned(), a, b)),
    }
}
