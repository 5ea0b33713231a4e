//! The stage over a store: crashes in the middle, competing candidates, and the alias's history.

use serde_json::json;
use tidemill_core::{
    Decision, Digest, ErrorKind, Objects, ObjectsExt, Outcome, Result, RunContext, Stage, Trigger,
    record::{ModelAlias, ModelVersion, OutcomeRecord},
};
use tidemill_host::{AccessLog, Grants, RunHost, RunSetup, SqlEngine, SqlOptions, Store};

use crate::{Config, Register};

const CHAMPION: &str = "models/late/aliases/champion.json";

/// A store, and runs of the stage over it.
struct Registry {
    store: Store,
    sql: SqlEngine,
    runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

impl Registry {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            store: Store::local(&folder.path().join("store")).unwrap(),
            sql: SqlEngine::new(SqlOptions {
                cache_dir: folder.path().join("cache"),
                memory_bytes: 1 << 28,
                threads: 1,
                timeout: std::time::Duration::from_secs(10),
            })
            .unwrap(),
            runtime: tokio::runtime::Runtime::new().unwrap(),
            _folder: folder,
        }
    }

    fn objects(&self) -> impl Objects {
        self.store.blocking_on(self.runtime.handle().clone())
    }

    /// Stores the outcome of an evaluation that compared candidate `name` with a champion.
    fn put_evaluation(&self, name: &str, champion: Option<u32>) -> Trigger {
        let key = format!("outcomes/evaluate/late/{name}.json");
        let digest = self.objects().create_json(&key, &record(name, champion)).unwrap();
        Trigger { key, digest }
    }

    fn run(&self, trigger: &Trigger) -> (Result<Outcome>, AccessLog) {
        let host = RunHost::new(RunSetup {
            store: self.store.clone(),
            sql: self.sql.clone(),
            context: RunContext {
                as_of: "2024-01-02T00:00:00Z".parse().unwrap(),
                seed: 0,
                run_key: "0".repeat(32),
                resource: "late".into(),
            },
            trigger: trigger.clone(),
            grants: Grants {
                reads: vec!["evaluations/late/**".into(), "models/late/**".into()],
                writes: vec!["models/late/**".into()],
                fetch: vec![],
            },
            progress: None,
            handle: self.runtime.handle().clone(),
        });
        let model = "late".to_owned();
        (Register::run(trigger, Config { model }, &host), host.finish())
    }

    fn champion(&self) -> ModelAlias {
        self.objects().get_json(CHAMPION).unwrap()
    }
}

fn record(name: &str, champion: Option<u32>) -> OutcomeRecord {
    let digest = |text: &str| Digest::sha256(format!("{name} {text}").as_bytes());
    let features = json!({
        "request": "requests/late/r.json", "train": "t", "validation": "s", "holdout": "h", "train-rows": 1, "validation-rows": 1, "holdout-rows": 1,
        "transform": "features/late/f/transform.json", "transform-digest": digest("transform"), "profile": "p",
        "signature": { "inputs": [], "context": [] }, "label": "late", "classes": ["0", "1"],
    });
    let training = json!({
        "model": "late", "task": "binary", "onnx": format!("candidates/late/{name}/model.onnx"), "onnx-digest": digest("onnx"),
        "features": features, "parameters": {}, "rounds": 1, "importances": {}, "metrics": {},
    });
    let evaluation = json!({
        "training": training, "metrics": { "auc": 0.7 }, "champion": null, "champion-version": champion, "slices": [], "failed": [],
    });
    serde_json::from_value(json!({
        "stage": "evaluate", "resource": "late", "trigger": { "key": "k", "digest": digest("trigger") }, "run-key": "1", "component": digest("c"),
        "config": digest("config"), "engines": "none", "as-of": "2024-01-02T00:00:00Z", "decision": "done", "reason": "", "findings": [],
        "result": evaluation, "depth": 1,
        "outputs": [{ "key": format!("evaluations/late/{name}/evaluation.json"), "digest": digest("evaluation"), "size": 1 }],
    }))
    .unwrap()
}

#[test]
fn versions_count_up_and_the_alias_keeps_its_history() {
    let registry = Registry::new();
    for n in 1..=11 {
        let trigger = registry.put_evaluation(&format!("c{n}"), (n > 1).then(|| n - 1));
        let outcome = registry.run(&trigger).0.unwrap();
        assert_eq!(
            (outcome.decision, &outcome.result["version"]),
            (Decision::Done, &json!(n)),
            "{outcome:?}"
        );
    }
    let champion = registry.champion();
    assert_eq!((champion.version, champion.moves), (11, 10));
    for moves in 0..=10 {
        let remembered: ModelAlias = registry
            .objects()
            .get_json(&format!("models/late/aliases/champion/{moves}.json"))
            .unwrap();
        assert_eq!((remembered.version, remembered.moves), (moves + 1, moves));
    }
}

#[test]
fn a_retried_run_gives_the_same_outcome() {
    let whole = Registry::new();
    whole.run(&whole.put_evaluation("before", None)).0.unwrap();
    let trigger = whole.put_evaluation("next", Some(1));
    let (first, wrote) = whole.run(&trigger);
    let first = first.unwrap();
    // Steps that a crash may leave undone: the history, then the move, then the version.
    let left = |undone: &[&str]| {
        let registry = Registry::new();
        registry.run(&registry.put_evaluation("before", None)).0.unwrap();
        registry.put_evaluation("next", Some(1));
        for meta in whole.objects().list_all("models/late/").unwrap() {
            let done = !undone.contains(&meta.key.as_str());
            if done && meta.key != CHAMPION {
                registry
                    .objects()
                    .create_immutable(&meta.key, &whole.objects().get(&meta.key).unwrap())
                    .unwrap();
            }
        }
        if !undone.contains(&CHAMPION) {
            let before = Digest::sha256(&registry.objects().get(CHAMPION).unwrap());
            let moved = whole.objects().get(CHAMPION).unwrap();
            registry.objects().swap(CHAMPION, Some(&before), &moved).unwrap();
        }
        registry
    };
    let (history, version) = ("models/late/aliases/champion/1.json", "models/late/versions/2.json");
    for undone in [&[][..], &[history], &[history, CHAMPION], &[history, CHAMPION, version]] {
        let registry = left(undone);
        let (again, wrote_again) = registry.run(&trigger);
        assert_eq!(again.unwrap(), first, "{undone:?}");
        assert_eq!(wrote_again.outputs, wrote.outputs, "{undone:?}");
        assert_eq!(registry.champion(), whole.champion(), "{undone:?}");
    }
}

#[test]
fn one_of_the_racing_candidates_becomes_champion() {
    let registry = Registry::new();
    let triggers: Vec<Trigger> = (0..6).map(|n| registry.put_evaluation(&format!("c{n}"), None)).collect();
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let persist = |trigger| {
            // Like the flow, retries after a transient failure.
            loop {
                match registry.run(trigger).0 {
                    Err(error) if error.kind == ErrorKind::Transient => {}
                    other => return other.unwrap(),
                }
            }
        };
        let running: Vec<_> = triggers.iter().map(|trigger| scope.spawn(move || persist(trigger))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let won: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.decision == Decision::Done).collect();
    assert_eq!(won.len(), 1, "{outcomes:?}");
    assert!(
        outcomes
            .iter()
            .filter(|o| o.decision == Decision::Rejected)
            .all(|o| o.reason.contains("changed since"))
    );
    let champion = registry.champion();
    assert_eq!(won[0].result["version"], champion.version);
    let key = format!("models/late/versions/{}.json", champion.version);
    let version: ModelVersion = registry.objects().get_json(&key).unwrap();
    assert_eq!((version.onnx_digest, champion.moves), (champion.onnx_digest, 0));
}
