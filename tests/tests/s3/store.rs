//! The store's promises, kept over S3.

use anyhow::{Result, ensure};
use bytes::Bytes;
use tidemill_core::{Digest, ErrorKind, Put};
use tidemill_demo::{
    proxy::{Proxy, Wire},
    weed::{self, Weed},
};
use tidemill_host::{Store, conformance};

use crate::fresh;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms() -> Result<()> {
    let Some(server) = tokio::task::spawn_blocking(|| fresh(None)).await?? else {
        return Ok(());
    };
    conformance::all(&server.weed.store("mill/a")?).await;
    // At the bucket's root too; what lies under a prefix is somebody else's.
    conformance::lists_in_pages(&server.weed.store("")?).await;
    tokio::task::spawn_blocking(move || drop(server)).await?;
    Ok(())
}

/// So many bytes go in parts.
fn large(seed: u8) -> Bytes {
    (0..20_u32 << 20).map(|n| (n >> 8) as u8 ^ seed).collect::<Vec<u8>>().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn large_objects_are_created_once_and_swapped() -> Result<()> {
    let Some(server) = tokio::task::spawn_blocking(|| fresh(None)).await?? else {
        return Ok(());
    };
    let store = server.weed.store("mill")?;
    let (one, two) = (large(1), large(2));
    assert_eq!(store.create("a/large", one.clone()).await, Ok(Put::Written));
    assert_eq!(store.create("a/large", one.clone()).await, Ok(Put::Unchanged));
    assert_eq!(store.create("a/large", two.clone()).await, Ok(Put::Conflict));
    assert_eq!(store.swap("a/large", Some(&Digest::of(&two)), two.clone()).await, Ok(Put::Conflict));
    assert_eq!(store.swap("a/large", Some(&Digest::of(&one)), two.clone()).await, Ok(Put::Written));
    assert_eq!(store.get("a/large").await, Ok(two.clone()));
    assert_eq!(
        store.get_range("a/large", 12_345_678, 4).await,
        Ok(two.slice(12_345_678..12_345_682))
    );
    let racers: Vec<_> = (3..7)
        .map(|seed| {
            let store = store.clone();
            tokio::spawn(async move { (seed, store.create("a/raced", large(seed)).await) })
        })
        .collect();
    let mut winners = Vec::new();
    for racer in racers {
        match racer.await? {
            (seed, Ok(Put::Written)) => winners.push(seed),
            (_, other) => assert_eq!(other, Ok(Put::Conflict)),
        }
    }
    ensure!(winners.len() == 1, "{winners:?}");
    assert_eq!(store.get("a/raced").await, Ok(large(winners[0])));
    assert_eq!(store.list("", None, 10).await?.len(), 2, "parts are no objects");
    tokio::task::spawn_blocking(move || drop(server)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lost_answers_are_found_out() -> Result<()> {
    let Some(server) = tokio::task::spawn_blocking(|| fresh(None)).await?? else {
        return Ok(());
    };
    let proxy = Proxy::start(server.weed.port())?;
    proxy.set(Wire::LoseAnswers);
    let store = weed::open("s3://tide/lost", &Weed::environment(&proxy.endpoint()))?;
    for n in 0..12 {
        let (key, text) = (format!("once/{n}"), Bytes::from(format!("{n}")));
        let put = store.create(&key, text.clone()).await?;
        ensure!(
            put != Put::Conflict,
            "{key} was written, and its own writer was told that another did it"
        );
        assert_eq!(store.create(&key, Bytes::from_static(b"other")).await, Ok(Put::Conflict));
        assert_eq!(store.get(&key).await, Ok(text));
    }
    // Four count up together; each step is taken once, although every third answer is lost.
    assert_eq!(
        store
            .create("count", Bytes::from_static(b"0"))
            .await
            .map(|put| put == Put::Conflict),
        Ok(false)
    );
    let counters: Vec<_> = (0..4).map(|counter| tokio::spawn(count(store.clone(), counter, 8))).collect();
    for counter in counters {
        counter.await??;
    }
    let text = String::from_utf8(store.get("count").await?.to_vec())?;
    assert_eq!(text.split(',').count(), 1 + 4 * 8, "{text}");
    ensure!(proxy.lost() >= 8, "only {} answers were lost", proxy.lost());
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
            if store.swap("count", Some(&Digest::of(&there)), new).await? != Put::Conflict {
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
    let mut environment = Weed::environment(&proxy.endpoint());
    environment.push(("AWS_TIMEOUT".into(), "500ms".into()));
    let store = weed::open("s3://tide/slow", &environment)?;
    assert_eq!(store.create("a", Bytes::from_static(b"1")).await, Ok(Put::Written));
    proxy.set(Wire::Stall);
    let error = store.get("a").await.expect_err("nobody answers");
    assert_eq!(error.kind, ErrorKind::Transient);
    ensure!(error.message.contains("took the request and does not answer"), "{error}");
    proxy.set(Wire::Refuse);
    let asked = tokio::spawn({
        let store = store.clone();
        async move { store.get("a").await }
    });
    let server = tokio::task::spawn_blocking(move || {
        server.weed.kill()?;
        server.weed.restart().map(|()| server)
    });
    let server = server.await??;
    proxy.set(Wire::Whole);
    // Whether the read outlived the outage depends on how long that was; the next one is answered.
    let waited = asked.await?;
    ensure!(
        waited.as_ref().is_ok_and(|bytes| bytes == "1") || waited.as_ref().is_err_and(|e| e.kind == ErrorKind::Transient),
        "{waited:?}"
    );
    assert_eq!(store.get("a").await, Ok(Bytes::from_static(b"1")));
    tokio::task::spawn_blocking(move || drop((proxy, server))).await?;
    Ok(())
}
