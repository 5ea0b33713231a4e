//! The stage's decisions over a store in memory: each cause of a training, each obstacle, and events that arrive twice or out of order.

use serde_json::{Value, json};
use tidemill_core::{
    Decision, ErrorKind, Outcome, Result,
    record::{RetrainAction, RetrainDecision, TrainingRequest},
};
use tidemill_sdk::TestHost;

use crate::Retrain;

/// Midnight of a day of January 2024, as in records.
fn day(day: u32) -> String {
    format!("2024-01-{day:02}T00:00:00Z")
}

/// [`day`] as in keys.
fn key_day(number: u32) -> String {
    day(number).replace(':', "-")
}

fn host() -> TestHost {
    let reads = ["models/alarm/**", "reports/alarm/**"];
    TestHost::default().with_grants(&reads, &["decisions/alarm/**", "requests/alarm/**"])
}

fn with_json(host: TestHost, key: &str, value: &Value) -> TestHost {
    host.with_object(key, value.to_string().as_bytes())
}

/// The configuration, with `rules` for retraining in place of the tests' own.
fn config(rules: &Value) -> Value {
    let mut retrain = json!({ "when": ["drift"], "minimum-rows": 1500, "minimum-new-rows": 100, "cooldown": "0 days" });
    for (name, value) in rules.as_object().unwrap() {
        retrain[name] = value.clone();
    }
    json!({ "model": { "name": "alarm", "features": "alarm", "task": "binary", "retrain": retrain } })
}

/// The report of a window that starts on a day and follows the day before; the first window is that of day 2.
fn report(start: u32, rows: u64, drifted: bool) -> Value {
    let column = json!({
        "column": "level", "method": "jensen-shannon", "statistic": 0.4, "threshold": 0.1, "p-value": 0.001, "drifted": drifted,
        "blocks": 24,
    });
    let file = json!({
        "dataset": "readings", "data": "datasets/readings/p/data.parquet", "digest": "0".repeat(64),
        "profile": "datasets/readings/p/profile.json", "rows": 2000, "quarantined": 0, "quarantine": null,
        "from": day(1), "until": day(2),
    });
    json!({
        "model": "alarm", "start": day(start), "end": day(start + 1), "as-of": day(start + 1),
        "previous": (start > 2).then(|| day(start - 1)), "key": format!("reports/alarm/{}/r/report.json", key_day(start)),
        "version": (start > 2).then_some(1), "predictions": 960, "rows": rows, "window-rows": 960, "drift": [column],
        "drifted": drifted, "labelled": 100, "metrics": { "auc": 0.5 }, "training": { "auc": 0.8 }, "data-files": [file],
    })
}

/// Adds the report to the store, with the outcome of `monitor` that triggers the decision on it.
fn with_report(host: TestHost, report: &Value) -> TestHost {
    let outcome = json!({
        "stage": "monitor", "resource": "alarm", "trigger": { "key": "windows/alarm/w.json", "digest": "0".repeat(64) },
        "run-key": "1".repeat(32), "component": "0".repeat(64), "config": "0".repeat(64), "engines": "none", "as-of": report["as-of"],
        "decision": "done", "reason": "", "findings": [], "result": report, "outputs": [], "depth": 1,
    });
    let host = with_json(host, report["key"].as_str().unwrap(), report);
    with_json(host, OUTCOME, &outcome)
}

const OUTCOME: &str = "outcomes/monitor/alarm/11111111111111111111111111111111.json";

/// Decides on the window of a report.
fn decide(host: TestHost, report: &Value, rules: &Value) -> (Result<Outcome>, TestHost) {
    let host = with_report(host, report);
    let outcome = host.run::<Retrain>(OUTCOME, &config(rules));
    (outcome, host)
}

/// Decides on an event of `schedules/`.
fn decide_event(host: TestHost, event: &Value, rules: &Value) -> (Outcome, TestHost) {
    let host = with_json(host, EVENT, event);
    let outcome = host.run::<Retrain>(EVENT, &config(rules)).unwrap();
    (outcome, host)
}

const EVENT: &str = "schedules/retrain/alarm/2024-01-09T00-00-00Z.json";

fn decision(outcome: &Outcome) -> RetrainDecision {
    serde_json::from_value(outcome.result.clone()).unwrap()
}

fn read<T: serde::de::DeserializeOwned>(host: &TestHost, key: &str) -> T {
    serde_json::from_slice(&host.object(key).unwrap_or_else(|| panic!("no `{key}`"))).unwrap()
}

/// A store in which the window of day 2 led to the first training, on 2000 rows, and its version serves.
fn trained() -> TestHost {
    let (outcome, host) = decide(host(), &report(2, 2000, false), &json!({}));
    assert_eq!(decision(&outcome.unwrap()).decision, RetrainAction::Train);
    host.with_object("models/alarm/versions/1.json", b"{}")
}

#[test]
fn the_first_window_with_enough_rows_trains() {
    let (outcome, host) = decide(host(), &report(2, 2000, false), &json!({}));
    let outcome = outcome.unwrap();
    assert_eq!((outcome.decision, outcome.as_of), (Decision::Done, Some(day(3).parse().unwrap())));
    assert_eq!(outcome.reason, "train: no version serves yet");
    let decision = decision(&outcome);
    assert_eq!(
        (decision.causes.as_slice(), decision.trained_rows),
        (["first".to_owned()].as_slice(), 2000)
    );
    assert_eq!(
        read::<RetrainDecision>(&host, &format!("decisions/alarm/{}.json", key_day(2))),
        decision
    );
    let request: TrainingRequest = read(&host, &decision.request.unwrap());
    assert_eq!((request.model.as_str(), request.data_files.len()), ("alarm", 1));
    assert_eq!(request.as_of, day(3).parse().unwrap());
}

#[test]
fn too_few_rows_wait_for_more() {
    let (outcome, host) = decide(host(), &report(2, 1499, false), &json!({}));
    let outcome = outcome.unwrap();
    assert_eq!(outcome.reason, "keep: no training yet: 1499 rows are known and 1500 are needed");
    assert!(!host.keys().iter().any(|key| key.starts_with("requests/")), "{:?}", host.keys());
}

#[test]
fn drift_trains_where_the_rules_name_it() {
    let (outcome, _) = decide(trained(), &report(3, 3000, true), &json!({}));
    assert_eq!(outcome.unwrap().reason, "train: drift in `level`");
    let (outcome, _) = decide(trained(), &report(3, 3000, true), &json!({ "when": [] }));
    assert_eq!(outcome.unwrap().reason, "keep: nothing calls for training");
    let (outcome, _) = decide(trained(), &report(3, 3000, false), &json!({}));
    assert_eq!(decision(&outcome.unwrap()).causes, Vec::<String>::new());
}

#[test]
fn a_condition_on_accuracy_trains_when_it_holds() {
    let rules = json!({ "when": ["auc < training.auc - 0.2"] });
    let (outcome, _) = decide(trained(), &report(3, 3000, false), &rules);
    let outcome = outcome.unwrap();
    assert!(
        outcome.reason.contains("holds: 0.5000 against 0.6000 over 100 rows"),
        "{}",
        outcome.reason
    );
    assert_eq!(decision(&outcome).causes, ["accuracy"]);
    let (outcome, _) = decide(trained(), &report(3, 3000, false), &json!({ "when": ["auc < training.auc - 0.4"] }));
    assert_eq!(decision(&outcome.unwrap()).decision, RetrainAction::Keep);
}

#[test]
fn new_rows_train_where_the_rules_count_them() {
    let rules = json!({ "every-rows": 1000 });
    let (outcome, _) = decide(trained(), &report(3, 3000, false), &rules);
    assert_eq!(decision(&outcome.unwrap()).causes, ["rows"]);
    let (outcome, _) = decide(trained(), &report(3, 2999, false), &rules);
    assert_eq!(decision(&outcome.unwrap()).decision, RetrainAction::Keep);
}

#[test]
fn a_cooldown_keeps_the_model_and_hides_no_cause() {
    let rules = json!({ "cooldown": "3 days" });
    let (outcome, host) = decide(trained(), &report(3, 3000, true), &rules);
    let kept = decision(&outcome.unwrap());
    assert_eq!(
        (kept.decision, kept.causes.as_slice()),
        (RetrainAction::Keep, ["drift".to_owned()].as_slice())
    );
    assert!(
        kept.reason
            .ends_with("but the cooldown lasts until 2024-01-06T00:00:00Z of data time"),
        "{}",
        kept.reason
    );
    assert_eq!(kept.trained, Some(day(2).parse().unwrap()), "the state goes on");
    let (_, host) = decide(host, &report(4, 3000, true), &rules);
    let (outcome, _) = decide(host, &report(5, 3000, true), &rules);
    assert_eq!(decision(&outcome.unwrap()).decision, RetrainAction::Train, "three days after day 3");
}

#[test]
fn too_few_new_rows_keep_the_model() {
    let (outcome, _) = decide(trained(), &report(3, 2099, true), &json!({}));
    assert_eq!(
        outcome.unwrap().reason,
        "keep: drift in `level`; but 99 new rows have come and 100 are needed"
    );
}

#[test]
fn a_window_waits_for_the_decision_before_it() {
    let (outcome, host) = decide(trained(), &report(4, 3000, true), &json!({}));
    let error = outcome.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient, "{error}");
    assert!(error.message.contains(&format!("decisions/alarm/{}.json", key_day(3))), "{error}");
    let (_, host) = decide(host, &report(3, 3000, false), &json!({}));
    let (outcome, _) = decide(host, &report(4, 3000, true), &json!({}));
    assert_eq!(decision(&outcome.unwrap()).decision, RetrainAction::Train);
}

#[test]
fn a_window_is_decided_once() {
    let (first, host) = decide(trained(), &report(3, 3000, true), &json!({}));
    let keys = host.keys();
    let (again, host) = decide(host, &report(3, 3000, true), &json!({}));
    assert_eq!(first.unwrap(), again.unwrap(), "the same event again");
    let mut revised = report(3, 3000, false);
    revised["key"] = json!(format!("reports/alarm/{}/late-labels/report.json", key_day(3)));
    let (other, host) = decide(host, &revised, &json!({}));
    assert_eq!(other.unwrap().decision, Decision::Skipped, "a report that late labels revised");
    assert_eq!(host.keys().len(), keys.len() + 1, "only the revised report is new");
}

#[test]
fn a_run_that_crashed_before_its_request_writes_it_when_it_is_retried() {
    let (outcome, done) = decide(trained(), &report(3, 3000, true), &json!({}));
    let decided = decision(&outcome.unwrap());
    let key = format!("decisions/alarm/{}.json", key_day(3));
    let crashed = trained().with_object(&key, &done.object(&key).unwrap());
    let (_, host) = decide(crashed, &report(3, 3000, true), &json!({}));
    let request = decided.request.unwrap();
    assert_eq!(host.object(&request), done.object(&request));
}

#[test]
fn a_schedule_trains_when_its_span_of_data_time_has_passed() {
    let event = json!({ "as-of": day(9) });
    let (_, host) = decide(trained(), &report(3, 3000, false), &json!({}));
    let (outcome, host) = decide_event(host, &event, &json!({ "every": "2 days" }));
    assert_eq!(
        decision(&outcome).decision,
        RetrainAction::Keep,
        "one day since the training of day 3"
    );
    let (_, host) = decide(host, &report(4, 3000, false), &json!({}));
    let host = with_json(
        host,
        "schedules/retrain/alarm/2024-01-10T00-00-00Z.json",
        &json!({ "as-of": day(10) }),
    );
    let config = config(&json!({ "every": "2 days" }));
    let outcome = host
        .run::<Retrain>("schedules/retrain/alarm/2024-01-10T00-00-00Z.json", &config)
        .unwrap();
    assert_eq!(decision(&outcome).causes, ["schedule"], "{}", outcome.reason);
}

#[test]
fn a_person_trains_against_cooldown_and_minima() {
    let rules = json!({ "cooldown": "30 days", "minimum-new-rows": 1_000_000 });
    let event = json!({ "as-of": day(9), "cause": "person", "who": "ada", "why": "a new sensor" });
    let (outcome, host) = decide_event(trained(), &event, &rules);
    assert_eq!(outcome.reason, "train: ada asked: a new sensor");
    let (again, _) = decide_event(host, &event, &rules);
    assert_eq!(outcome, again, "the same event again");
}

#[test]
fn an_event_before_any_window_is_skipped() {
    let (outcome, _) = decide_event(host(), &json!({ "as-of": day(9), "cause": "person" }), &json!({}));
    assert_eq!(outcome.decision, Decision::Skipped);
    assert!(outcome.reason.contains("no window of `alarm`"), "{}", outcome.reason);
}

#[test]
fn a_window_that_was_not_judged_is_passed_over_and_named() {
    let note = json!({
        "model": "alarm", "window": day(3), "previous": day(2), "stage": "monitor", "reason": "too much memory",
    });
    for key in [
        format!("reports/alarm/{}/not-judged.json", key_day(3)),
        format!("decisions/alarm/not-judged/{}.json", key_day(3)),
    ] {
        let host = with_json(trained(), &key, &note);
        let (outcome, host) = decide(host, &report(4, 3000, true), &json!({}));
        let outcome = outcome.unwrap();
        let decided = decision(&outcome);
        assert_eq!(
            (decided.decision, decided.causes.as_slice()),
            (RetrainAction::Train, ["drift".to_owned()].as_slice())
        );
        assert_eq!(decided.passed_over, [day(3).parse().unwrap()]);
        assert!(
            outcome.reason.ends_with("1 window not judged before it: `2024-01-03T00:00:00Z`"),
            "{}",
            outcome.reason
        );
        assert_eq!(outcome.findings[0].check, "not-judged");
        // Its own event is tried again later: too late for a decision.
        let (late, _) = decide(host, &report(3, 3000, true), &json!({}));
        assert_eq!(late.unwrap().decision, Decision::Skipped);
    }
    // In time, it is decided like any other.
    let host = with_json(trained(), &format!("reports/alarm/{}/not-judged.json", key_day(3)), &note);
    let (outcome, _) = decide(host, &report(3, 3000, true), &json!({}));
    assert_eq!(decision(&outcome.unwrap()).decision, RetrainAction::Train);
}

#[test]
fn stray_files_among_the_decisions_are_passed_over() {
    let mut host = trained();
    for name in [
        ".DS_Store",
        "note.txt",
        "schedules/.DS_Store",
        "schedules/note.json",
        "schedules/2024-01-01T00-00-00Z.json",
    ] {
        host = host.with_object(&format!("decisions/alarm/{name}"), b"x");
    }
    let (outcome, host) = decide(host, &report(3, 3000, true), &json!({}));
    assert_eq!(decision(&outcome.unwrap()).decision, RetrainAction::Train);
    let (outcome, _) = decide_event(host, &json!({ "as-of": day(9), "cause": "person" }), &json!({}));
    assert_eq!(decision(&outcome).decision, RetrainAction::Train);
}
