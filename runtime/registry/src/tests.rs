//! The registry over a store in memory: races, crashes, damaged records.

use serde_json::json;
use tidemill_core::{
    Digest, ErrorKind, ObjectsExt as _, layout,
    record::{ModelAlias, ModelVersion},
};
use tidemill_store::{BlockingStore, Store};

use super::*;

fn version(model: &str, number: u32) -> ModelVersion {
    let digest = Digest::sha256(format!("{model} {number}").as_bytes());
    serde_json::from_value(json!({
        "model": model, "version": number, "as-of": "2013-05-01T00:00:00Z", "task": "binary", "onnx": "model.onnx", "onnx-digest": digest,
        "transform": "transform.json", "transform-digest": digest, "profile": "profile.json", "signature": { "inputs": [], "context": [] },
        "classes": ["0", "1"], "metrics": { "auc": 0.7 }, "evaluation": "evaluation.json", "request": "request.json",
    }))
    .unwrap()
}

fn objects() -> BlockingStore {
    Store::memory().blocking()
}

#[test]
fn versions_sort_by_number() {
    let objects = objects();
    let registry = Registry::new(&objects, "late");
    assert_eq!(registry.next_version().unwrap(), 1);
    for number in [2, 10, 1] {
        registry.create_version(&version("late", number)).unwrap();
    }
    registry.create_version(&version("late", 10)).unwrap();
    let versions = registry.versions().unwrap();
    assert_eq!(versions.iter().map(|version| version.version).collect::<Vec<_>>(), [1, 2, 10]);
    assert_eq!(
        (registry.version_numbers().unwrap(), registry.next_version().unwrap()),
        (vec![1, 2, 10], 11)
    );
    let missing = registry.version(3).unwrap_err();
    assert_eq!(missing.message, "`late` has no version `3`; its versions are `1`, `2`, `10`");
}

#[test]
fn a_version_never_changes() {
    let objects = objects();
    let registry = Registry::new(&objects, "late");
    registry.create_version(&version("late", 1)).unwrap();
    let other = ModelVersion {
        onnx: "candidates/late/other/model.onnx".into(),
        ..version("late", 1)
    };
    assert_eq!(registry.create_version(&other).unwrap_err().kind, ErrorKind::Conflict);
    assert_eq!(registry.version(1).unwrap(), version("late", 1));
}

#[test]
fn one_of_two_moves_wins_and_the_history_is_complete() {
    let objects = objects();
    let registry = Registry::new(&objects, "late");
    let first = registry.move_alias(CHAMPION, &version("late", 1), None).unwrap();
    let seen = registry.current_alias(CHAMPION).unwrap();
    let second = registry.move_alias(CHAMPION, &version("late", 2), seen.as_ref()).unwrap();
    let lost = registry.move_alias(CHAMPION, &version("late", 3), seen.as_ref()).unwrap_err();
    assert_eq!(lost.kind, ErrorKind::Conflict);
    assert_eq!(
        registry.move_alias(CHAMPION, &version("late", 3), None).unwrap_err().kind,
        ErrorKind::Conflict
    );
    assert_eq!(registry.alias_history(CHAMPION).unwrap(), [first, second.clone()]);
    assert_eq!(registry.aliases().unwrap(), std::slice::from_ref(&second));
    assert_eq!((second.version, second.moves), (2, 1));
}

#[test]
fn a_move_without_history_gets_it_later() {
    let objects = objects();
    let registry = Registry::new(&objects, "late");
    // A crash after the swap, before the history.
    let moved = ModelAlias {
        model: "late".into(),
        alias: CHAMPION.into(),
        version: 1,
        onnx_digest: version("late", 1).onnx_digest,
        moves: 0,
        as_of: version("late", 1).as_of,
    };
    objects.create_json(&layout::alias("late", CHAMPION), &moved).unwrap();
    assert_eq!(registry.alias_history(CHAMPION).unwrap(), std::slice::from_ref(&moved));
    let current = registry.current_alias(CHAMPION).unwrap();
    assert!(!registry.confirm_move(CHAMPION, 2, current.as_ref()).unwrap());
    assert!(registry.confirm_move(CHAMPION, 1, current.as_ref()).unwrap());
    assert_eq!(objects.find_json(&layout::alias_move("late", CHAMPION, 0)).unwrap(), Some(moved));
}

#[test]
fn a_damaged_record_is_named() {
    let objects = objects();
    let registry = Registry::new(&objects, "late");
    objects.create_immutable(&layout::alias("late", CHAMPION), b"{}").unwrap();
    objects.create_immutable(&layout::version("late", 4), b"[]").unwrap();
    assert_eq!(registry.version_numbers().unwrap(), [4]);
    // A list leaves it out; who asks for it is told.
    assert_eq!(registry.versions().unwrap(), []);
    for error in [registry.current_alias(CHAMPION).unwrap_err(), registry.version(4).unwrap_err()] {
        assert!(
            error.kind == ErrorKind::Input && error.message.contains("is not what it should be"),
            "{error}"
        );
    }
}

#[test]
fn no_number_is_given_twice() {
    let objects = objects();
    let registry = Registry::new(&objects, "late");
    // The record of version 2 is gone; the alias had pointed at it.
    registry.create_version(&version("late", 1)).unwrap();
    for number in [1, 2, 1] {
        let current = registry.current_alias(CHAMPION).unwrap();
        registry.move_alias(CHAMPION, &version("late", number), current.as_ref()).unwrap();
    }
    assert_eq!(registry.next_version().unwrap(), 3);
    // That of version 5 is damaged.
    objects.create_immutable("models/late/versions/5.json", b"{").unwrap();
    assert_eq!(registry.next_version().unwrap(), 6);
}

#[test]
fn stray_files_are_passed_over() {
    let objects = objects();
    let registry = Registry::new(&objects, "late");
    registry.create_version(&version("late", 1)).unwrap();
    let alias = registry.move_alias(CHAMPION, &version("late", 1), None).unwrap();
    for folder in ["versions", "aliases", "aliases/champion"] {
        for name in [".DS_Store", "note.txt", "note.json"] {
            objects.create_immutable(&format!("models/late/{folder}/{name}"), b"x").unwrap();
        }
    }
    assert_eq!(registry.versions().unwrap(), [version("late", 1)]);
    assert_eq!(registry.aliases().unwrap(), std::slice::from_ref(&alias));
    assert_eq!(registry.alias_history(CHAMPION).unwrap(), [alias]);
    assert_eq!(registry.next_version().unwrap(), 2);
}
