//! The time from an object's creation to the start of its stage, for rows posted one after the other to an idle server.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use tidemill_core::record::RunRecord;
use tidemill_harness::server::Server;

use crate::{
    Arguments,
    numbers::{quantile, to_millis},
};

const EVENTS: usize = 40;
/// One flight without a delay: it is validated and changes nothing else.
const COLUMNS: &str = "time_hour,carrier,flight,scheduled_departure,hour,minute,weekday,airline,origin,dest,distance";

pub(crate) fn run(arguments: &Arguments) -> Result<serde_json::Value> {
    let server = Server::start(&arguments.tidemill, &arguments.dir.join("events"), &[])?;
    let mut took = Vec::new();
    for flight in 0..EVENTS + 5 {
        let after = post(&server, flight + 1)?;
        // The first flights compile the component and warm caches.
        if flight >= 5 {
            took.push(after);
        }
    }
    server.stop()?;
    let (half, most) = (to_millis(quantile(&mut took, 0.5)), to_millis(quantile(&mut took, 0.99)));
    println!("event to stage start: p50 {half:.1} ms, p99 {most:.1} ms of {EVENTS} (aim: 20 ms at p50)");
    Ok(serde_json::json!({ "event_to_start_p50_ms": half, "event_to_start_p99_ms": most, "events": EVENTS }))
}

/// Posts a row and waits for its run. Returns the time from the object's last write to the run's start.
fn post(server: &Server, flight: usize) -> Result<Duration> {
    let rows = format!("{COLUMNS}\n2013-01-01T10:00:00Z,UA,{flight},2013-01-01T05:15:00Z,5,15,1,United,EWR,IAH,1400\n");
    let mut answer = ureq::post(format!("{}/data/flights", server.address))
        .header("content-type", "text/csv")
        .send(&rows)?;
    let answer: serde_json::Value = answer.body_mut().read_json()?;
    let key = answer["key"].as_str().context("the answer to a POST names no key")?;
    let root = server.store.local_root().context("the store is a folder")?;
    let written = Timestamp::try_from(std::fs::metadata(root.join(key))?.modified()?)?;
    server.wait_until_idle()?;
    let run = run_record(server, key)?;
    let after = run.started.duration_since(written);
    ensure!(!after.is_negative(), "`{key}` was run before it was written");
    Ok(Duration::try_from(after)?)
}

fn run_record(server: &Server, key: &str) -> Result<RunRecord> {
    for outcome in server.keys("outcomes/validate/flights/")? {
        let record: tidemill_core::record::OutcomeRecord = server.json(&outcome)?.context("an outcome vanished")?;
        if record.trigger.key == key {
            return server
                .json(&outcome.replacen("outcomes/", "runs/", 1))?
                .with_context(|| format!("`{key}` has an outcome and no run"));
        }
    }
    anyhow::bail!("`{key}` was not validated")
}
