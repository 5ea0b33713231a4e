//! The small project's chain over the bucket: the same objects as over a folder, whatever happens to the server meanwhile; and foreign
//! objects that are taken in because somebody told of them, long before a listing would have found them.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tidemill_core::Digest;
use tidemill_harness::{
    outages,
    proxy::Proxy,
    seaweedfs::{BUCKET, SeaweedFs},
    server::{ADDRESS_VARIABLE, STORE_VARIABLE, Server},
    snapshot,
};
use tidemill_tests::{small, trained::find_tidemill};

use super::fresh;

const DAYS: u64 = 5;

/// Plays the days and returns what is in the store. What cannot be asked while the server is away is asked again.
fn play(server: &Server, folder: &Path) -> Result<BTreeMap<String, Digest>> {
    for day in 1..=DAYS {
        let readings = small::day(day);
        if server.champion("alarm")?.is_some() {
            for (n, batch) in readings.chunks(120).enumerate() {
                let request = small::request(&format!("day-{day}-{n}"), batch).to_string();
                again(|| {
                    let url = format!("{}/v2/models/alarm/infer", server.address);
                    let answer = ureq::post(url).header("content-type", "application/json").send(&request)?;
                    ensure!(answer.status() == 200, "status {}", answer.status());
                    Ok(())
                })?;
            }
        }
        let file = folder.join(format!("day-{day}.csv"));
        std::fs::write(&file, small::csv(&readings))?;
        again(|| server.run_command(&["put", "readings", &file.to_string_lossy()]))?;
        server.wait_for_decision("alarm", &format!("2024-01-{day:02}T00-00-00Z"))?;
    }
    again(|| server.runtime.block_on(snapshot::of_store(&server.store)))
}

fn again<T>(mut action: impl FnMut() -> Result<T>) -> Result<T> {
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        match action() {
            Err(error) if Instant::now() > until => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
            done => return done,
        }
    }
}

fn over_a_folder(tidemill: &Path) -> Result<BTreeMap<String, Digest>> {
    let folder = tempfile::tempdir()?;
    let server = Server::up(tidemill, &small::project(folder.path())?, &[])?;
    let found = play(&server, folder.path())?;
    server.stop()?;
    Ok(found)
}

fn borrowed(environment: &[(String, String)]) -> Vec<(&str, &str)> {
    environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[test]
fn disturbed_it_ends_as_over_a_folder() -> Result<()> {
    let (Some(tidemill), Some(server)) = (find_tidemill(), fresh(None)?) else {
        return Ok(());
    };
    let mut weed = server.weed;
    let expected = over_a_folder(&tidemill)?;
    let versions = expected.keys().filter(|key| key.starts_with("models/alarm/versions/")).count();
    ensure!(versions >= 2, "it was never retrained: {:?}", expected.keys());
    let folder = tempfile::tempdir()?;
    let proxy = Proxy::start(weed.port())?;
    let mut environment = SeaweedFs::environment(&proxy.endpoint());
    environment.push((STORE_VARIABLE.into(), format!("s3://{BUCKET}/mill")));
    environment.push(("AWS_TIMEOUT".into(), "3s".into()));
    let up = Server::up(&tidemill, &small::project(folder.path())?, &borrowed(&environment))?.with_store(weed.store("mill")?);
    let stop = AtomicBool::new(false);
    let (found, outages) = std::thread::scope(|scope| {
        let disturbing = scope.spawn(|| outages::inject(&mut weed, &proxy, &stop, Duration::from_secs(1)));
        let found = play(&up, folder.path());
        stop.store(true, Ordering::SeqCst);
        let outages = disturbing.join().ok().context("the disturbance ended")??;
        Ok::<_, anyhow::Error>((found?, outages))
    })?;
    up.stop()?;
    let difference = snapshot::diff(&expected, &found);
    ensure!(difference.is_empty(), "after {outages:?} the store differs: {difference:#?}");
    ensure!(
        outages.refused > 0 && outages.lost_answers > 0,
        "nothing was disturbed: {outages:?}"
    );
    eprintln!("{outages:?}, {} objects equal", found.len());
    Ok(())
}

/// A running project over the bucket that lists it once in ten hours.
fn seldom_listing(tidemill: &Path, weed: &SeaweedFs, folder: &Path, more: &[(&str, &str)]) -> Result<Server> {
    let mut environment = SeaweedFs::environment(&weed.endpoint());
    environment.push((STORE_VARIABLE.into(), format!("s3://{BUCKET}/mill")));
    environment.push(("TIDEMILL_POLL".into(), "36000".into()));
    let mut environment = borrowed(&environment);
    environment.extend(more);
    Server::up(tidemill, &small::project(folder)?, &environment)
}

/// Waits for an outcome of `validate` about this key. The flow is not asked how it stands: it would look at the bucket.
fn validated(server: &Server, key: &str) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(60);
    while Instant::now() < until {
        for outcome in server.keys("outcomes/validate/")? {
            let record: serde_json::Value = server.json(&outcome)?.context("an outcome")?;
            if record["trigger"]["key"] == key {
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    anyhow::bail!("nobody noticed `{key}`")
}

fn drop_in(server: &Server, key: &str, day: u64) -> Result<()> {
    server.create(key, small::csv(&small::day(day)))
}

#[test]
fn notices_wake_it() -> Result<()> {
    let (Some(tidemill), Some(server)) = (find_tidemill(), fresh(None)?) else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let up = seldom_listing(&tidemill, &server.weed, folder.path(), &[])?;
    let s3 = |key: &str| {
        serde_json::json!({ "Records": [{ "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": { "bucket": { "name": BUCKET }, "object": { "key": key } } }] })
    };
    let bridge = |key: &str| {
        serde_json::json!({ "version": "0", "id": "1", "detail-type": "Object Created", "source": "aws.s3",
        "detail": { "bucket": { "name": BUCKET }, "object": { "key": key } } })
    };
    let minio = |key: &str| {
        serde_json::json!({ "EventName": "s3:ObjectCreated:Put", "Key": key, "Records": [{ "eventVersion": "2.0",
        "eventName": "s3:ObjectCreated:Put", "s3": { "bucket": { "name": BUCKET }, "object": { "key": key } } }] })
    };
    let cloud = |key: &str| {
        serde_json::json!({ "specversion": "1.0", "type": "com.amazonaws.s3.ObjectCreated:Put",
        "source": format!("aws:s3.us-east-1.{BUCKET}"), "subject": key, "id": "1" })
    };
    let post = |kind: &str, body: &serde_json::Value| -> Result<(u16, serde_json::Value)> {
        let mut answer = ureq::post(format!("{}/events", up.address))
            .config()
            .http_status_as_error(false)
            .build()
            .header("content-type", kind)
            .send(body.to_string())?;
        Ok((answer.status().as_u16(), answer.body_mut().read_json()?))
    };
    for (day, key, kind, payload) in [
        (
            1,
            "raw/readings/a b+ü.csv",
            "application/json",
            s3("mill/raw/readings/a+b%2B%C3%BC.csv"),
        ),
        (2, "raw/readings/c+d.csv", "application/json", bridge("mill/raw/readings/c+d.csv")),
        (
            3,
            "raw/readings/e f.csv",
            "application/json",
            minio("mill%2Fraw%2Freadings%2Fe+f.csv"),
        ),
        (
            4,
            "raw/readings/g.csv",
            "application/cloudevents+json",
            cloud("mill/raw/readings/g.csv"),
        ),
    ] {
        drop_in(&up, key, day)?;
        assert_eq!(post(kind, &payload)?, (202, serde_json::json!({ "looked-at": 1 })), "{key}");
        validated(&up, key)?;
        // Told twice is done once.
        assert_eq!(post(kind, &payload)?.0, 202);
    }
    let passed_over = [
        serde_json::json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-01-01T00:00:00.000Z", "Bucket": BUCKET }),
        bridge("other/raw/readings/x.csv"),
        serde_json::json!({ "version": "0", "detail-type": "Object Created", "source": "aws.s3",
            "detail": { "bucket": { "name": "other" }, "object": { "key": "mill/raw/readings/a.csv" } } }),
    ];
    for payload in passed_over {
        assert_eq!(
            post("application/json", &payload)?,
            (202, serde_json::json!({ "looked-at": 0 })),
            "{payload}"
        );
    }
    let (status, said) = post("application/json", &serde_json::json!({ "hello": 1 }))?;
    assert_eq!(status, 400);
    ensure!(said["error"].as_str().is_some_and(|text| text.contains("Object Created")), "{said}");
    let records = up.keys("outcomes/validate/readings/")?;
    assert_eq!(records.len(), 4, "{records:?}");
    up.stop()
}

#[test]
fn the_servers_own_webhook_wakes_it() -> Result<()> {
    let Some(tidemill) = find_tidemill() else { return Ok(()) };
    // The server must be told where to send before it runs, and `up` needs the server to start.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let Some(server) = fresh(Some(&format!("http://127.0.0.1:{port}/events")))? else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let address = format!("127.0.0.1:{port}");
    let up = seldom_listing(&tidemill, &server.weed, folder.path(), &[(ADDRESS_VARIABLE, &address)])?;
    let key = "raw/readings/from outside.csv";
    drop_in(&up, key, 1)?;
    validated(&up, key)?;
    up.stop()
}
