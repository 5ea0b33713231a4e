//! Queries over a store in memory.

use serde_json::{Value, json};
use tidemill_core::{Decision, Digest, ErrorKind, layout, record, record::AuditAction, trigger_id};

use super::*;

async fn put(catalog: &Catalog, key: &str, value: &Value) {
    let bytes = record::to_bytes(value).unwrap();
    catalog.store.create(key, bytes.into()).await.unwrap();
}

/// Puts an outcome and, with a time, the record of its run.
async fn put_run(catalog: &Catalog, stage: &str, trigger: &str, decision: &str, started: Option<&str>) {
    let digest = Digest::sha256(trigger.as_bytes());
    let id = trigger_id(stage, "late", trigger, &digest);
    let outcome = json!({
        "stage": stage, "resource": "late", "trigger": { "key": trigger, "digest": digest }, "run-key": "1", "component": digest,
        "config": digest, "engines": "none", "as-of": "2013-05-01T00:00:00Z", "decision": decision, "reason": trigger, "findings": [],
        "result": {}, "outputs": [], "depth": 1,
    });
    put(catalog, &layout::outcome(stage, "late", &id), &outcome).await;
    if let Some(started) = started {
        let run = json!({
            "run-key": "1", "stage": stage, "resource": "late", "started": started, "duration-ms": 1, "memory-bytes": 1, "attempt": 1,
            "reads": [], "environment": {},
        });
        put(catalog, &layout::run(stage, "late", &id), &run).await;
    }
}

#[tokio::test]
async fn runs_are_filtered_and_the_latest_come_last() {
    let catalog = Catalog::new(Store::memory());
    put_run(&catalog, "train", "second", "done", Some("2024-01-02T00:00:00Z")).await;
    put_run(&catalog, "train", "third", "rejected", Some("2024-01-03T00:00:00Z")).await;
    put_run(&catalog, "evaluate", "first", "done", Some("2024-01-01T00:00:00Z")).await;
    put_run(&catalog, "train", "unrecorded", "done", None).await;
    let list = async |query: RunQuery| {
        let runs = catalog.runs(&query).await.unwrap();
        runs.into_iter().map(|run| run.outcome.reason).collect::<Vec<_>>()
    };
    assert_eq!(list(RunQuery::default()).await, ["unrecorded", "first", "second", "third"]);
    assert_eq!(
        list(RunQuery {
            limit: Some(2),
            ..RunQuery::default()
        })
        .await,
        ["second", "third"]
    );
    assert_eq!(
        list(RunQuery {
            limit: Some(9),
            stage: Some("evaluate".into()),
            ..RunQuery::default()
        })
        .await,
        ["first"]
    );
    assert_eq!(
        list(RunQuery {
            decision: Some(Decision::Rejected),
            ..RunQuery::default()
        })
        .await,
        ["third"]
    );
    assert!(
        list(RunQuery {
            resource: Some("early".into()),
            ..RunQuery::default()
        })
        .await
        .is_empty()
    );
    let status = catalog.status().await.unwrap();
    assert_eq!(
        status.stages["train"],
        DecisionCounts {
            done: 2,
            rejected: 1,
            ..DecisionCounts::default()
        }
    );
    assert_eq!((status.dead_letters, status.champions.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_has_versions_aliases_and_their_history() {
    let catalog = Catalog::new(Store::memory());
    let digest = Digest::sha256(b"onnx");
    for number in [1, 2, 10] {
        let version = json!({
            "model": "late", "version": number, "as-of": "2013-05-01T00:00:00Z", "task": "binary", "onnx": "model.onnx", "onnx-digest": digest,
            "transform": "transform.json", "transform-digest": digest, "profile": "profile.json",
            "signature": { "inputs": [], "context": [] }, "classes": ["0", "1"], "metrics": { "auc": 0.7 }, "evaluation": "evaluation.json",
            "request": "request.json",
        });
        put(&catalog, &layout::version("late", number), &version).await;
    }
    let alias = |version: u32, moves: u32| json!({ "model": "late", "alias": "champion", "version": version, "onnx-digest": digest, "moves": moves, "as-of": "2013-05-01T00:00:00Z" });
    put(&catalog, &layout::alias_move("late", "champion", 0), &alias(1, 0)).await;
    // Its history entry is not written yet.
    put(&catalog, &layout::alias("late", "champion"), &alias(10, 1)).await;
    let model = catalog.model("late").await.unwrap();
    let listed: Vec<(u32, usize)> = model
        .versions
        .iter()
        .map(|entry| (entry.version.version, entry.aliases.len()))
        .collect();
    assert_eq!(listed, [(1, 0), (2, 0), (10, 1)]);
    assert_eq!((model.aliases.len(), catalog.models().await.unwrap()), (1, vec!["late".to_owned()]));
    let history = catalog.alias_history("late", "champion").await.unwrap();
    assert_eq!(history.iter().map(|alias| alias.version).collect::<Vec<_>>(), [1, 10]);
    assert_eq!(catalog.status().await.unwrap().champions["late"], Some(10));
    let missing = catalog.version("late", 3).await.unwrap_err();
    assert!(
        missing.kind == ErrorKind::NotFound && missing.message.contains("`1`, `2`, `10`"),
        "{missing}"
    );
    assert!(catalog.model("lata").await.unwrap().versions.is_empty());
}

#[tokio::test]
async fn audit_records_are_filtered_by_action_and_resource() {
    let catalog = Catalog::new(Store::memory());
    for (name, action, resource) in [
        ("b", "move-alias", "models/late/aliases/champion"),
        ("a", "import-model", "models/late"),
        ("c", "put-data", "datasets/flights"),
    ] {
        let record = json!({
            "at": format!("2024-01-0{}T00:00:00Z", name.len() + name.as_bytes()[0] as usize - 97), "principal": "local:anna", "action": action,
            "resource": resource, "result": "succeeded",
        });
        put(&catalog, &layout::audit(name), &record).await;
    }
    let list = async |query: AuditQuery| {
        let records = catalog.audit(&query).await.unwrap();
        records.into_iter().map(|record| record.action).collect::<Vec<_>>()
    };
    let all = [AuditAction::ImportModel, AuditAction::MoveAlias, AuditAction::PutData];
    assert_eq!(list(AuditQuery::default()).await, all);
    assert_eq!(
        list(AuditQuery {
            resource: Some("models/late".into()),
            ..AuditQuery::default()
        })
        .await,
        all[..2]
    );
    assert_eq!(
        list(AuditQuery {
            limit: Some(1),
            ..AuditQuery::default()
        })
        .await,
        all[2..]
    );
    assert_eq!(
        list(AuditQuery {
            action: Some(AuditAction::MoveAlias),
            ..AuditQuery::default()
        })
        .await,
        all[1..2]
    );
    assert!(
        list(AuditQuery {
            resource: Some("models/la".into()),
            ..AuditQuery::default()
        })
        .await
        .is_empty()
    );
}

#[tokio::test]
async fn a_run_is_found_by_the_start_of_its_id() {
    let catalog = Catalog::new(Store::memory());
    put_run(&catalog, "train", "second", "done", Some("2024-01-02T00:00:00Z")).await;
    put_run(&catalog, "train", "third", "done", None).await;
    let id = trigger_id("train", "late", "second", &Digest::sha256(b"second"));
    assert_eq!(catalog.run(&id[..8]).await.unwrap().outcome.reason, "second");
    // Both have the run key `1`: one stands for both.
    assert_eq!(catalog.run("1").await.unwrap().outcome.run_key, "1");
    for unknown in ["", "zzz"] {
        assert_eq!(catalog.run(unknown).await.unwrap_err().kind, ErrorKind::NotFound, "{unknown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_has_a_lineage_as_far_as_the_store_holds_it() {
    let catalog = Catalog::new(Store::memory());
    let digest = Digest::sha256(b"onnx");
    let version = json!({
        "model": "late", "version": 1, "as-of": "2013-05-01T00:00:00Z", "task": "binary", "onnx": "model.onnx", "onnx-digest": digest,
        "transform": "transform.json", "transform-digest": digest, "profile": "profile.json", "signature": { "inputs": [], "context": [] },
        "classes": ["0", "1"], "metrics": { "auc": 0.7 }, "evaluation": "evaluation.json", "request": "requests/late/r.json",
    });
    put(&catalog, &layout::version("late", 1), &version).await;
    let alias = |moves: u32| json!({ "model": "late", "alias": "champion", "version": 1, "onnx-digest": digest, "moves": moves, "as-of": "2013-05-01T00:00:00Z" });
    put(&catalog, &layout::alias_move("late", "champion", 0), &alias(0)).await;
    put(&catalog, &layout::alias("late", "champion"), &alias(1)).await;
    let audit = json!({
        "at": "2024-01-05T00:00:00Z", "principal": "local:anna", "action": "move-alias", "resource": "models/late/aliases/champion",
        "reason": "back", "result": "succeeded", "after": alias(1),
    });
    put(&catalog, &layout::audit("a"), &audit).await;
    put_run(
        &catalog,
        "register",
        "outcomes/evaluate/late/gone.json",
        "done",
        Some("2024-01-04T00:00:00Z"),
    )
    .await;
    let detail = catalog.version_detail("late", 1).await.unwrap();
    assert_eq!(
        (detail.aliases, detail.gates, detail.lineage),
        (vec!["champion".to_owned()], Vec::new(), Lineage::default())
    );
    let moves: Vec<(Option<String>, Option<String>)> = detail.history.into_iter().map(|moved| (moved.by, moved.reason)).collect();
    // The outcome of that `register` names no version.
    assert_eq!(moves, [(None, None), (Some("local:anna".to_owned()), Some("back".to_owned()))]);
    assert_eq!(catalog.version_detail("late", 2).await.unwrap_err().kind, ErrorKind::NotFound);
}
