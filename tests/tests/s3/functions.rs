//! A function on Lambda whose bucket refuses: each item of a batch is decided or given back to its queue, none is lost, and none keeps
//! the others from going on.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidemill_core::{Host, Outcome, Stage, Trigger};
use tidemill_harness::seaweedfs::{self, LIMITED_KEY, READ_ONLY_KEY};
use tidemill_host::Store;
use tidemill_lambda::{Handler, StageEnvironment, native_runner};
use tidemill_run::{Ledger, list_dead_letters};

use super::{
    fresh,
    refusals::{canned, with},
};

/// Says how large its trigger is.
struct Weigh;

impl Stage for Weigh {
    const NAME: &'static str = "weigh";
    type Config = Value;

    fn run(trigger: &Trigger, _: Value, host: &dyn Host) -> tidemill_core::Result<Outcome> {
        let bytes = host.objects().get(&trigger.key)?;
        Ok(Outcome::done("weighed", &json!({ "bytes": bytes.len() })))
    }
}

fn function(store: &Store) -> Result<Handler> {
    let node = json!({ "stage": "weigh", "resource": "d", "config": {}, "on": ["raw/**"], "reads": ["raw/**"] });
    let settings = StageEnvironment {
        store: String::new(),
        node: serde_json::from_value(node)?,
        memory_bytes: 1 << 30,
    };
    let runner = native_runner::<Weigh>(&settings.node)?;
    Ok(Handler::new(settings, store.clone(), runner)?)
}

/// Delivers one message a key; the keys that are given back.
async fn given_back(function: &Handler, prefix: &str, keys: &[&str]) -> Result<Vec<String>> {
    let message = |key: &&str| {
        let object = json!({ "key": format!("{prefix}{key}") });
        let record =
            json!({ "eventVersion": "2.1", "eventName": "ObjectCreated:Put", "s3": { "bucket": { "name": "tide" }, "object": object } });
        let body = json!({ "Records": [record] }).to_string();
        json!({ "messageId": key, "eventSource": "aws:sqs", "body": body, "attributes": { "ApproximateReceiveCount": "1" } })
    };
    let batch: Vec<Value> = keys.iter().map(message).collect();
    let answer = function.handle(&json!({ "Records": batch })).await?;
    let failures = answer["batchItemFailures"].as_array().context("an answer to a batch")?;
    Ok(failures
        .iter()
        .filter_map(|f| Some(f["itemIdentifier"].as_str()?.to_owned()))
        .collect())
}

async fn decided(store: &Store) -> Result<Vec<String>> {
    let mut keys: Vec<String> = Ledger::new(store.clone())
        .list_outcomes(None, None)
        .await?
        .into_iter()
        .map(|outcome| outcome.trigger.key)
        .collect();
    keys.sort();
    Ok(keys)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bucket_refuses_comes_again() -> Result<()> {
    for (status, code, said) in [
        ("400 Bad Request", "ExpiredToken", "have expired; get new ones"),
        ("403 Forbidden", "InvalidAccessKeyId", "does not know the credentials"),
        ("403 Forbidden", "AccessDenied", "give them the right"),
        ("403 Forbidden", "RequestTimeTooSkewed", "set this machine's clock"),
        ("301 Moved Permanently", "PermanentRedirect", "in another region"),
        ("404 Not Found", "NoSuchBucket", "has no bucket"),
    ] {
        let body = format!("<Error><Code>{code}</Code><Message>no</Message></Error>");
        let endpoint = canned(status, body.leak())?;
        let store = seaweedfs::open_store("s3://tide", &with(&endpoint, &[]))?;
        let function = function(&store)?;
        let keys = ["raw/a.csv", "raw/b.csv", "raw/c.csv"];
        ensure!(given_back(&function, "", &keys).await? == keys, "{code}: an item was lost");
        // Without a queue, whoever calls is told.
        let error = function.handle(&json!({ "key": "raw/a.csv" })).await.expect_err("a refusal");
        ensure!(
            error.message.contains("`raw/a.csv`") && error.message.contains(said),
            "{code}: {error}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_for_some_objects_only() -> Result<()> {
    let Some(server) = tokio::task::spawn_blocking(|| fresh(None)).await?? else {
        return Ok(());
    };
    let whole = server.weed.store("partly")?;
    for key in ["raw/open/a.csv", "raw/closed/b.csv", "raw/open/c d+e.csv"] {
        whole.create(key, "1,2".into()).await?;
    }
    let keys = ["raw/open/a.csv", "raw/closed/b.csv", "raw/open/c+d%2Be.csv"];
    let as_whom = |who: &str| seaweedfs::open_store("s3://tide/partly", &with(&server.weed.endpoint(), &[("AWS_ACCESS_KEY_ID", who)]));
    // Who may read only can commit nothing.
    let reader = function(&as_whom(READ_ONLY_KEY)?)?;
    ensure!(given_back(&reader, "partly/", &keys).await? == keys, "an item was lost");
    ensure!(decided(&whole).await?.is_empty(), "something was decided");
    // Who may not read one object goes on with the others.
    let partly = function(&as_whom(LIMITED_KEY)?)?;
    ensure!(
        given_back(&partly, "partly/", &keys).await? == keys[1..2],
        "the wrong items came back"
    );
    ensure!(
        decided(&whole).await? == ["raw/open/a.csv", "raw/open/c d+e.csv"],
        "the others were harmed"
    );
    let error = partly.handle(&json!({ "key": "raw/closed/b.csv" })).await.expect_err("no right");
    ensure!(
        error.message.contains("`raw/closed/b.csv`") && error.message.contains("give them the right"),
        "{error}"
    );
    // With the right it is decided, and nothing is done twice.
    let all = function(&whole)?;
    ensure!(given_back(&all, "partly/", &keys).await?.is_empty(), "something still fails");
    ensure!(decided(&whole).await?.len() == 3, "one was lost");
    ensure!(list_dead_letters(&whole).await?.is_empty(), "what may pass was given up");
    tokio::task::spawn_blocking(move || drop(server)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_goes_and_comes_back() -> Result<()> {
    let Some(server) = tokio::task::spawn_blocking(|| fresh(None)).await?? else {
        return Ok(());
    };
    let store = server.weed.store("a")?;
    let function = function(&store)?;
    store.create("raw/a.csv", "1".into()).await?;
    ensure!(given_back(&function, "a/", &["raw/a.csv"]).await?.is_empty(), "it was given back");
    let server = tokio::task::spawn_blocking(move || server.weed.remove_bucket().map(|()| server)).await??;
    ensure!(
        given_back(&function, "a/", &["raw/a.csv", "raw/b.csv"]).await? == ["raw/a.csv", "raw/b.csv"],
        "an item was lost with the bucket"
    );
    let server = tokio::task::spawn_blocking(move || server.weed.create_folder().map(|()| server)).await??;
    // The server remembers for a while that there was none.
    let until = Instant::now() + Duration::from_secs(60);
    while let Err(error) = store.create("raw/b.csv", "2".into()).await {
        ensure!(Instant::now() < until, "the bucket does not come back: {error}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // What was in the bucket is gone with it, which is no error of the batch.
    ensure!(
        given_back(&function, "a/", &["raw/a.csv", "raw/b.csv"]).await?.is_empty(),
        "it is still refused"
    );
    ensure!(decided(&store).await? == ["raw/b.csv"], "what is there was not decided");
    tokio::task::spawn_blocking(move || drop(server)).await?;
    Ok(())
}
