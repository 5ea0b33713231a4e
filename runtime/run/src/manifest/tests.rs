//! A manifest over a store in memory and over a folder: order, sums, packs, concurrent writers, damage.

use serde_json::json;
use tidemill_core::{Decision, Trigger, record::OutcomeRecord, trigger_id};

use super::*;

fn outcome(number: u32, decision: Decision) -> OutcomeRecord {
    let key = format!("raw/d/{number}.csv");
    let digest = Digest::sha256(key.as_bytes());
    let at = jiff::Timestamp::from_second(i64::from(number) * 3600).unwrap();
    let file = DataFile {
        dataset: "d".into(),
        data: format!("datasets/d/{number}/data.parquet"),
        digest: digest.clone(),
        profile: String::new(),
        rows: 10,
        quarantined: 0,
        quarantine: None,
        from: at,
        until: at,
        spans: Vec::new(),
    };
    OutcomeRecord {
        stage: "validate".into(),
        resource: "d".into(),
        trigger: Trigger { key, digest },
        run_key: "0".repeat(32),
        component: Digest::sha256(b"c"),
        config: Digest::sha256(b"{}"),
        engines: crate::ENGINES.into(),
        as_of: at,
        decision,
        reason: String::new(),
        findings: vec![],
        error: None,
        result: match decision {
            Decision::Done => serde_json::to_value(file).unwrap(),
            _ => json!({}),
        },
        outputs: vec![],
        depth: 1,
    }
}

fn id(outcome: &OutcomeRecord) -> String {
    trigger_id(&outcome.stage, &outcome.resource, &outcome.trigger.key, &outcome.trigger.digest)
}

fn arrival(number: u32) -> Arrival {
    let outcome = outcome(number, Decision::Done);
    Arrival::from_outcome(&id(&outcome), outcome)
}

async fn commit(store: &Store, number: u32, decision: Decision) -> String {
    let outcome = outcome(number, decision);
    Ledger::new(store.clone()).commit(&outcome).await.unwrap();
    id(&outcome)
}

async fn read(store: &Store) -> Manifest {
    let mut manifest = Manifest::new(store.clone(), "d");
    manifest.read_entries().await.unwrap();
    manifest
}

#[tokio::test]
async fn outcomes_become_entries_once() {
    let store = Store::memory();
    let ledger = Ledger::new(store.clone());
    let mut manifest = Manifest::new(store.clone(), "d");
    manifest.add_missing_outcomes(&ledger).await.unwrap();
    assert_eq!(manifest.position(), (0, None));
    commit(&store, 2, Decision::Done).await;
    commit(&store, 1, Decision::Done).await;
    manifest.add_missing_outcomes(&ledger).await.unwrap();
    let rejected = commit(&store, 3, Decision::Rejected).await;
    let ids = BTreeSet::from([rejected, "no-such-outcome".to_owned()]);
    manifest.add_outcomes(&ledger, &ids).await.unwrap();
    manifest.add_outcomes(&ledger, &ids).await.unwrap();
    manifest.add_missing_outcomes(&ledger).await.unwrap();
    assert_eq!(manifest.position().0, 2, "one entry for what came together");
    let totals = manifest.totals();
    assert_eq!((totals.arrivals, totals.files, totals.rows), (3, 2, 20));
    assert_eq!(totals.until, Some(jiff::Timestamp::from_second(7200).unwrap()));
    let order: Vec<&str> = manifest.files().iter().map(|file| file.data.as_str()).collect();
    assert_eq!(order, ["datasets/d/1/data.parquet", "datasets/d/2/data.parquet"]);
    assert!(manifest.has_upload("raw/d/3.csv") && !manifest.has_upload("raw/d/4.csv"));
    let again = read(&store).await;
    assert_eq!((again.position(), again.files()), (manifest.position(), manifest.files()));
}

#[tokio::test]
async fn the_same_rows_under_two_keys_are_one_file() {
    let mut manifest = Manifest::new(Store::memory(), "d");
    let mut copy = arrival(1);
    copy.outcome = "other".into();
    copy.upload = "raw/d/copy.csv".into();
    manifest.append(vec![arrival(1), copy.clone()]).await.unwrap();
    copy.outcome = "third".into();
    manifest.append(vec![copy]).await.unwrap();
    assert_eq!(
        (manifest.totals().arrivals, manifest.totals().files, manifest.files().len()),
        (3, 1, 1)
    );
}

#[tokio::test]
async fn writers_that_meet_add_each_arrival_once() {
    let folder = tempfile::tempdir().unwrap();
    for store in [Store::memory(), Store::local(folder.path()).unwrap()] {
        let writers = (0..4).map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut manifest = Manifest::new(store, "d");
                // Neighbours bring the same arrivals.
                for number in writer * 10..writer * 10 + 20 {
                    manifest.append(vec![arrival(number)]).await.unwrap();
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        let manifest = read(&store).await;
        assert_eq!(
            (manifest.position().0, manifest.totals().arrivals, manifest.files().len()),
            (50, 50, 50)
        );
    }
}

#[tokio::test]
async fn packs_stand_for_their_entries() {
    let store = Store::memory();
    let mut manifest = Manifest::new(store.clone(), "d");
    for number in 0..2003 {
        manifest.append(vec![arrival(number)]).await.unwrap();
    }
    let packs = store.list_all("manifests/d/packs/").await.unwrap();
    let packs: Vec<&str> = packs.iter().map(|meta| meta.key.as_str()).collect();
    assert_eq!(
        packs,
        ["manifests/d/packs/000000001000.json", "manifests/d/packs/000000002000.json"]
    );
    // Without the entries of the packs, and with a pack that a crash left out.
    for sequence in 1..=1000 {
        store.delete(&layout::manifest_entry("d", sequence)).await.unwrap();
    }
    store.delete(packs[1]).await.unwrap();
    let mut again = read(&store).await;
    assert_eq!((again.position(), again.totals()), (manifest.position(), manifest.totals()));
    assert_eq!(again.files(), manifest.files());
    again.append(vec![arrival(2003)]).await.unwrap();
    assert_eq!(store.list_all("manifests/d/packs/").await.unwrap().len(), 2);
    assert_eq!(read(&store).await.position(), again.position());
}

#[tokio::test]
async fn an_entry_that_was_changed_is_named() {
    let store = Store::memory();
    let mut manifest = Manifest::new(store.clone(), "d");
    for number in 0..3 {
        manifest.append(vec![arrival(number)]).await.unwrap();
    }
    let key = layout::manifest_entry("d", 2);
    let text = String::from_utf8(store.get(&key).await.unwrap().to_vec()).unwrap();
    for (changed, reason) in [
        (text.replace("\"rows\":20", "\"rows\":30"), "its sums are"),
        (text.replace("raw/d/1.csv", "raw/d/9.csv"), "entry 3 of `d` does not follow entry 2"),
        ("{".to_owned(), "it is not an entry"),
    ] {
        store.replace(&key, changed.into()).await.unwrap();
        let error = Manifest::new(store.clone(), "d").read_entries().await.unwrap_err();
        assert!(
            error.message.contains(reason) && error.message.contains("remove `manifests/d/`"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn many_files_are_named_by_a_set_that_is_stored_once() {
    let store = Store::memory();
    let mut manifest = Manifest::new(store.clone(), "d");
    manifest.append((0..100).map(arrival).collect()).await.unwrap();
    let hours = |hours: i64| jiff::Timestamp::from_second(hours * 3600).unwrap();
    let few = manifest.name_files_before(hours(32)).await.unwrap();
    assert!(matches!(&few, DataFiles::Listed(files) if files.len() == 32));
    let many = manifest.name_files_before(hours(33)).await.unwrap();
    assert_eq!((many.count(), many.rows()), (33, 330));
    assert_eq!(many, read(&store).await.name_files_before(hours(33)).await.unwrap());
    let blocking = store.blocking();
    let found = tokio::task::spawn_blocking(move || many.read(&blocking)).await.unwrap().unwrap();
    assert_eq!(found, manifest.files()[..33]);
    assert_eq!(store.list_all("datasets/d/sets/").await.unwrap().len(), 1);
}
