//! The store's promises, kept over S3.

use anyhow::{Result, ensure};
use bytes::Bytes;
use tidemill_core::{Digest, ErrorKind, PutResult};
use tidemill_harness::{
    proxy::{Fault, Proxy},
    seaweedfs::{self, SeaweedFs},
};
use tidemill_store::{Store, conformance};

use super::fresh;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms() -> Result<()> {
    let Some(server) = tokio::task::spawn_blocking(|| fresh(None)).await?? else {
        return Ok(());
    };
    conformance::run_all(&server.weed.store("mill/a")?).await;
    // At the bucket's root too; what lies under a prefix is somebody else's.
    conformance::lists_in_pages(&server.weed.store("")?).await;
    tokio::task::spawn_blocking(move || drop(server)).await?;
    Ok(())
}

/// A client that sends these in parts.
fn in_parts(weed: &SeaweedFs) -> Vec<(String, String)> {
    let mut environment = SeaweedFs::environment(&weed.endpoint());
    environment.push(("TIDEMILL_S3_MULTIPART_BYTES".into(), (16 << 20).to_string()));
    environment
}

fn large(seed: u8) -> Bytes {
    (0..20_u32 << 20).map(|n| (n >> 8) as u8 ^ seed).collect::<Vec<u8>>().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn large_objects_are_created_once_and_swapped() -> Result<()> {
    let Some(server) = tokio::task::spawn_blocking(|| fresh(None)).await?? else {
        return Ok(());
    };
    let in_parts = seaweedfs::open_store("s3://tide/mill", &in_parts(&server.weed))?;
    let store = server.weed.store("mill")?;
    let (one, two) = (large(1), large(2));
    for (key, store) in [("a/whole", &store), ("a/parts", &in_parts)] {
        assert_eq!(store.create(key, one.clone()).await, Ok(PutResult::Written));
        assert_eq!(store.create(key, one.clone()).await, Ok(PutResult::Unchanged));
        assert_eq!(store.create(key, two.clone()).await, Ok(PutResult::Conflict));
        assert_eq!(
            store.swap(key, Some(&Digest::sha256(b"other")), two.clone()).await,
            Ok(PutResult::Conflict)
        );
        assert_eq!(
            store.swap(key, Some(&Digest::sha256(&one)), two.clone()).await,
            Ok(PutResult::Written)
        );
        assert_eq!(store.get(key).await, Ok(two.clone()));
        assert_eq!(store.get_range(key, 12_345_678, 4).await, Ok(two.slice(12_345_678..12_345_682)));
    }
    let racers: Vec<_> = (3..7)
        .map(|seed| {
            let store = store.clone();
            tokio::spawn(async move { (seed, store.create("a/raced", large(seed)).await) })
        })
        .collect();
    let mut winners = Vec::new();
    for racer in racers {
        match racer.await? {
            (seed, Ok(PutResult::Written)) => winners.push(seed),
            (_, other) => assert_eq!(other, Ok(PutResult::Conflict)),
        }
    }
    ensure!(winners.len() == 1, "{winners:?}");
    assert_eq!(store.get("a/raced").await, Ok(large(winners[0])));
    assert_eq!(store.list("", None, 10).await?.len(), 3, "parts are no objects");
    tokio::task::spawn_blocking(move || drop(server)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lost_answers_are_found_out() -> Result<()> {
    let Some(server) = tokio::task::spawn_blocking(|| fresh(None)).await?? else {
        return Ok(());
    };
    let proxy = Proxy::start(server.weed.port())?;
    proxy.set(Fault::LoseAnswers);
    let store = seaweedfs::open_store("s3://tide/lost", &SeaweedFs::environment(&proxy.endpoint()))?;
    for n in 0..12 {
        let (key, text) = (format!("once/{n}"), Bytes::from(format!("{n}")));
        let put = store.create(&key, text.clone()).await?;
        ensure!(
            put != PutResult::Conflict,
            "{key} was written, and its own writer was told that another did it"
        );
        assert_eq!(store.create(&key, Bytes::from_static(b"other")).await, Ok(PutResult::Conflict));
        assert_eq!(store.get(&key).await, Ok(text));
    }
    // Four count up together; each step is taken once, although every third answer is lost.
    assert_eq!(
        store
            .create("count", Bytes::from_static(b"0"))
            .await
            .map(|put| put == PutResult::Conflict),
        Ok(false)
    );
    let counters: Vec<_> = (0..4).map(|counter| tokio::spawn(count(store.clone(), counter, 8))).collect();
    for counter in counters {
        counter.await??;
    }
    let text = String::from_utf8(store.get("count").await?.to_vec())?;
    assert_eq!(text.split(',').count(), 1 + 4 * 8, "{text}");
    ensure!(proxy.lost_answers() >= 8, "only {} answers were lost", proxy.lost_answers());
    tokio::task::spawn_blocking(move || drop((proxy, server))).await?;
    Ok(())
}

/// Adds its own mark so many times: each a different one, so that a step taken twice would show.
async fn count(store: Store, counter: u32, steps: u32) -> Result<()> {
    for step in 0..steps {
        let mark = format!("{counter}-{step}");
        loop {
            let there = store.get("count").await?;
            let text = String::from_utf8(there.to_vec())?;
            if text.split(',').any(|other| other == mark) {
                // Written, the answer was lost, and another has counted on before anyone looked.
                break;
            }
            let new = Bytes::from(format!("{text},{mark}"));
            if store.swap("count", Some(&Digest::sha256(&there)), new).await? != PutResult::Conflict {
                break;
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn silence_is_given_up_and_a_restart_waited_for() -> Result<()> {
    let Some(mut server) = tokio::task::spawn_blocking(|| fresh(None)).await?? else {
        return Ok(());
    };
    let proxy = Proxy::start(server.weed.port())?;
    let mut environment = SeaweedFs::environment(&proxy.endpoint());
    environment.push(("AWS_TIMEOUT".into(), "500ms".into()));
    let store = seaweedfs::open_store("s3://tide/slow", &environment)?;
    assert_eq!(store.create("a", Bytes::from_static(b"1")).await, Ok(PutResult::Written));
    proxy.set(Fault::Stall);
    let error = store.get("a").await.expect_err("nobody answers");
    assert_eq!(error.kind, ErrorKind::Transient);
    ensure!(error.message.contains("accepted the request and does not answer"), "{error}");
    proxy.set(Fault::Refuse);
    let asked = tokio::spawn({
        let store = store.clone();
        async move { store.get("a").await }
    });
    let server = tokio::task::spawn_blocking(move || {
        server.weed.kill()?;
        server.weed.restart().map(|()| server)
    });
    let server = server.await??;
    proxy.set(Fault::None);
    // Whether the read outlived the outage depends on how long that was; the next one is answered.
    let waited = asked.await?;
    ensure!(
        waited.as_ref().is_ok_and(|bytes| bytes == "1") || waited.as_ref().is_err_and(|e| e.kind.is_retryable()),
        "{waited:?}"
    );
    assert_eq!(store.get("a").await, Ok(Bytes::from_static(b"1")));
    tokio::task::spawn_blocking(move || drop((proxy, server))).await?;
    Ok(())
}
