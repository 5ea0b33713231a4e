//! Changes over a store in memory: who may make them, what the audit trail holds then, and what a race leaves.

use bytes::Bytes;
use serde_json::{Value, json};
use tidemill_core::{
    Digest, ErrorKind, Trigger, layout,
    project::Project,
    record::{self, AuditRecord, AuditResult, ModelVersion},
    trigger_id,
};
use tidemill_run::{DeadLetter, list_dead_letters, write_dead_letter};

use super::*;

const PROJECT: &str = r#"[project]
name = "flights"
[dataset.flights]
contract = "contract.toml"
time = "at"
key = ["id"]
[features.late]
dataset = "flights"
sql = "features.sql"
label = "late"
holdout = { block = "1 day", share = 0.2 }
[model.late]
features = "late"
task = "binary"
gates = ["auc >= 0.6"]
retrain = { when = ["drift"] }
"#;

fn control() -> Control {
    let read = |path: &str| match path {
        "contract.toml" => Ok("[columns]\nid = { type = \"integer\" }\nat = { type = \"timestamp\" }\n".into()),
        _ => Ok("SELECT * FROM flights".into()),
    };
    Control::new(Store::memory(), Arc::new(Project::parse(PROJECT, &read).unwrap().pipeline))
}

fn anna() -> Principal {
    Principal::new(PrincipalKind::Local, "anna")
}

fn move_to(version: u32) -> MoveAlias {
    MoveAlias {
        model: "late".into(),
        alias: "champion".into(),
        version,
        reason: Some("a test".into()),
    }
}

async fn with_versions(count: u32) -> Control {
    let control = control();
    for number in 1..=count {
        let digest = Digest::sha256(&number.to_le_bytes());
        let version: ModelVersion = serde_json::from_value(json!({
            "model": "late", "version": number, "as-of": "2013-05-01T00:00:00Z", "task": "binary", "onnx": "model.onnx", "onnx-digest": digest,
            "transform": "transform.json", "transform-digest": digest, "profile": "profile.json",
            "signature": { "inputs": [], "context": [] }, "classes": ["0", "1"], "metrics": { "auc": 0.7 }, "evaluation": "evaluation.json",
            "request": "request.json",
        }))
        .unwrap();
        let bytes = record::to_bytes(&version).unwrap();
        control.store.create(&layout::version("late", number), bytes.into()).await.unwrap();
    }
    control
}

async fn keys(control: &Control, prefix: &str) -> Vec<String> {
    let listed = control.store.list(prefix, None, usize::MAX).await.unwrap();
    listed.into_iter().map(|meta| meta.key).collect()
}

async fn audit(control: &Control) -> Vec<AuditRecord> {
    let mut records: Vec<AuditRecord> = Vec::new();
    for key in keys(control, "audit/").await {
        records.push(serde_json::from_slice(&control.store.get(&key).await.unwrap()).unwrap());
    }
    records.sort_by_key(|record| record.at);
    records
}

#[tokio::test]
async fn a_move_is_audited_with_both_states() {
    let control = with_versions(2).await;
    control.move_alias(&anna(), move_to(1)).await.unwrap();
    let moved = control.move_alias(&anna(), move_to(2)).await.unwrap();
    // Moved there already: nothing changes, and nothing is recorded.
    assert_eq!(control.move_alias(&anna(), move_to(2)).await.unwrap(), moved);
    let records = audit(&control).await;
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].before, Value::Null);
    let AuditRecord {
        principal,
        action,
        resource,
        reason,
        result,
        before,
        after,
        ..
    } = &records[1];
    assert_eq!(
        (principal.as_str(), *action, *result),
        ("local:anna", AuditAction::MoveAlias, AuditResult::Succeeded)
    );
    assert_eq!(
        (resource.as_str(), reason.as_deref()),
        ("models/late/aliases/champion", Some("a test"))
    );
    assert_eq!((&before["version"], &after["version"], moved.moves), (&json!(1), &json!(2), 1));
}

#[tokio::test]
async fn a_denied_request_changes_nothing_and_is_audited() {
    let control = with_versions(1).await;
    let robot = Principal::new(PrincipalKind::Service, "robot");
    let put = PutData {
        dataset: "flights".into(),
        name: "a.csv".into(),
        bytes: Bytes::from_static(b"id\n1\n"),
    };
    let denied = [
        control.move_alias(&robot, move_to(1)).await.unwrap_err(),
        control.put_data(&robot, put).await.unwrap_err(),
        control.request_training(&robot, "late", "now").await.unwrap_err(),
    ];
    for error in &denied {
        assert!(
            error.kind == ErrorKind::Denied && error.message.contains("`service:robot`"),
            "{error}"
        );
    }
    for prefix in ["models/late/aliases/", "raw/", "schedules/"] {
        assert!(keys(&control, prefix).await.is_empty(), "{prefix}");
    }
    let records = audit(&control).await;
    assert_eq!(
        records.iter().map(|record| record.result).collect::<Vec<_>>(),
        [AuditResult::Denied; 3]
    );
    assert_eq!(records[0].message.as_ref(), Some(&denied[0].message));
}

#[tokio::test]
async fn mistakes_are_named_and_not_audited() {
    let control = with_versions(1).await;
    let alias = |alias: &str, model: &str, version| MoveAlias {
        model: model.into(),
        alias: alias.into(),
        ..move_to(version)
    };
    for (request, kind, part) in [
        (alias("a/b", "late", 1), ErrorKind::Input, "`a/b`"),
        (
            alias("champion", "late", 7),
            ErrorKind::NotFound,
            "`late` has no version `7`; its versions are `1`",
        ),
        (
            alias("champion", "lata", 1),
            ErrorKind::NotFound,
            "there is no model `lata`; there is `late`",
        ),
    ] {
        let error = control.move_alias(&anna(), request).await.unwrap_err();
        assert!(error.kind == kind && error.message.contains(part), "{error}");
    }
    assert!(audit(&control).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_moves_leave_a_complete_history() {
    let control = with_versions(8).await;
    let moves = (1..=8).map(|version| {
        let control = control.clone();
        tokio::spawn(async move { control.move_alias(&anna(), move_to(version)).await })
    });
    let mut moved = 0;
    for task in moves.collect::<Vec<_>>() {
        match task.await.unwrap() {
            Ok(_) => moved += 1,
            Err(error) => assert_eq!(error.kind, ErrorKind::Conflict),
        }
    }
    let history = control
        .with_registry("late", |registry| registry.alias_history("champion"))
        .await
        .unwrap();
    assert!(moved > 0);
    assert_eq!(
        history.iter().map(|alias| alias.moves).collect::<Vec<_>>(),
        (0..moved).collect::<Vec<u32>>()
    );
    let results: Vec<AuditResult> = audit(&control).await.iter().map(|record| record.result).collect();
    assert_eq!(
        results.iter().filter(|result| **result == AuditResult::Succeeded).count(),
        moved as usize
    );
    assert_eq!(results.len(), 8);
}

#[tokio::test]
async fn different_content_gets_another_name() {
    let control = control();
    let put = async |bytes: &'static [u8]| {
        let request = PutData {
            dataset: "flights".into(),
            name: "a.csv".into(),
            bytes: Bytes::from_static(bytes),
        };
        control.put_data(&anna(), request).await.unwrap()
    };
    assert!(put(b"x").await.new);
    assert!(!put(b"x").await.new);
    let other = put(b"y").await;
    assert!(
        other.new && other.key.starts_with("raw/flights/a-") && other.key.ends_with(".csv"),
        "{}",
        other.key
    );
    assert_eq!(audit(&control).await.len(), 2);
    assert!(
        data_file_name(std::path::Path::new("x.xlsx"))
            .unwrap_err()
            .message
            .contains("`x.xlsx`")
    );
}

#[tokio::test]
async fn dead_letters_are_retried_and_dropped_by_the_first_digits_of_their_id() {
    let control = control();
    for id in ["aa1", "ab2"] {
        let letter = DeadLetter {
            id: id.into(),
            stage: "train".into(),
            resource: "late".into(),
            trigger: Trigger {
                key: "k".into(),
                digest: Digest::sha256(b"k"),
            },
            kind: ErrorKind::Bug,
            message: "it failed".into(),
            attempt: 3,
            depth: 1,
            dropped: false,
        };
        write_dead_letter(&control.store, &letter).await.unwrap();
    }
    let unknown = RetryDeadLetters { ids: vec!["b".into()] };
    assert_eq!(
        control.retry_dead_letters(&anna(), unknown).await.unwrap_err().kind,
        ErrorKind::NotFound
    );
    let dropped = control
        .drop_dead_letters(&anna(), DropDeadLetters { ids: vec!["ab".into()] })
        .await
        .unwrap();
    assert_eq!(dropped.len(), 1);
    let retried = control.retry_dead_letters(&anna(), RetryDeadLetters::default()).await.unwrap();
    assert_eq!(retried.iter().map(|letter| letter.id.as_str()).collect::<Vec<_>>(), ["aa1"]);
    let left = list_dead_letters(&control.store).await.unwrap();
    assert!(left.len() == 1 && left[0].dropped);
    let records = audit(&control).await;
    assert_eq!(records.len(), 2);
    assert_eq!(
        (records[0].resource.as_str(), &records[0].after["dropped"]),
        ("dead/train/late/ab2", &json!(true))
    );
}

#[tokio::test]
async fn a_run_is_requested_by_an_event_or_by_an_object() {
    let control = control();
    let training = control.request_training(&anna(), "late", "by hand").await.unwrap();
    let event: Value = serde_json::from_slice(&control.store.get(&training.key).await.unwrap()).unwrap();
    assert_eq!(
        (&event["who"], &event["why"], &event["cause"]),
        (&json!("anna"), &json!("by hand"), &json!("person"))
    );
    let request = |stage: &str, key: Option<&str>| RequestRun {
        stage: stage.into(),
        resource: if stage == "validate" { "flights".into() } else { "late".into() },
        key: key.map(str::to_owned),
        again: false,
        reason: "a test".into(),
    };
    control.store.create("raw/flights/a.csv", Bytes::from_static(b"x")).await.unwrap();
    let new = control
        .request_run(&anna(), request("validate", Some("raw/flights/a.csv")))
        .await
        .unwrap();
    assert!(new.message.contains("no outcome yet"), "{}", new.message);
    for (wrong, part) in [
        (request("trian", None), "there is no stage `trian late`; there is "),
        (request("train", None), "runs on an object"),
        (request("train", Some("raw/flights/a.csv")), "does not trigger `train`"),
    ] {
        let error = control.request_run(&anna(), wrong).await.unwrap_err();
        assert!(error.message.contains(part), "{error}");
    }
    assert_eq!(audit(&control).await.len(), 1);
}

#[tokio::test]
async fn a_final_outcome_is_repeated_only_by_a_new_trigger() {
    let control = control();
    let (key, digest) = ("raw/flights/a.csv", Digest::sha256(b"x"));
    control.store.create(key, Bytes::from_static(b"x")).await.unwrap();
    let id = trigger_id("validate", "flights", key, &digest);
    let outcome = json!({
        "stage": "validate", "resource": "flights", "trigger": { "key": key, "digest": digest }, "run-key": "1", "component": digest,
        "config": digest, "engines": "none", "as-of": "2013-05-01T00:00:00Z", "decision": "done", "reason": "", "findings": [], "result": {},
        "outputs": [], "depth": 1,
    });
    let outcome = record::to_bytes(&outcome).unwrap();
    control
        .store
        .create(&layout::outcome("validate", "flights", &id), outcome.into())
        .await
        .unwrap();
    let request = |again| RequestRun {
        stage: "validate".into(),
        resource: "flights".into(),
        key: Some(key.into()),
        again,
        reason: "a test".into(),
    };
    let is_final = control.request_run(&anna(), request(false)).await.unwrap_err();
    assert!(
        is_final.kind == ErrorKind::Input && is_final.message.contains("`--again`"),
        "{is_final}"
    );
    let again = control.request_run(&anna(), request(true)).await.unwrap();
    assert!(again.key.starts_with("raw/flights/again-"), "{}", again.key);
    assert_eq!(control.store.get(&again.key).await.unwrap(), "x");
    let records = audit(&control).await;
    assert_eq!((&records[0].before, &records[0].after), (&json!(key), &json!(again.key)));
}
