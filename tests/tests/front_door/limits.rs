//! Limits of connections and bodies, with times that a test can wait for.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tidemill_harness::http::Connection;

use super::{INFER, LIMITS, ask, infer, receive, request, statuses, up};

#[test]
fn slow_clients_are_ended_and_others_are_not() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let limits = "first-byte=400 head=400 body=400 idle=1500";
    let Some(server) = up(folder.path(), &[(LIMITS, limits)])? else {
        return Ok(());
    };
    let at = &server.address;
    let good = infer("slow");
    for (what, bytes, want) in [
        ("nothing", &good[..0], &[][..]),
        ("half a head", &good[..50], &["408"]),
        ("half a body", &good[..good.len() - 10], &["408"]),
        ("the beginning of HTTP/2", b"PRI * HT", &[]),
        ("HTTP/2 without a request", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[]),
    ] {
        let start = Instant::now();
        let (received, ended) = receive(at, bytes)?;
        ensure!(
            ended && statuses(&received) == want,
            "{what}: {received} after {:?}",
            start.elapsed()
        );
    }
    let mut kept = Connection::open(at)?;
    for _ in 0..3 {
        kept.send(&infer("kept"))?;
        ensure!(kept.read_response()?.status == 200);
        // Longer than a head may take, and an empty line is none.
        kept.send(b"\r\n")?;
        sleep(Duration::from_millis(900));
    }
    sleep(Duration::from_millis(1200));
    ensure!(kept.read_response().is_err(), "an idle connection is open");
    server.stop()
}

#[test]
fn connections_and_bodies_are_limited() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let limits = "connections=3 body-bytes-together=1000000 body=3000";
    let Some(server) = up(folder.path(), &[(LIMITS, limits)])? else {
        return Ok(());
    };
    let at = &server.address;
    let live = request("GET", "/v2/health/live", &["host: localhost"], "");
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut connection = Connection::open(at)?;
        connection.send(&live)?;
        ensure!(connection.read_response()?.status == 200);
        open.push(connection);
    }
    let refused = ask(at, &live)?;
    ensure!(
        refused.status == 503 && refused.error().contains("3 connections are open"),
        "{refused:?}"
    );
    ensure!(refused.headers.contains_key("retry-after"), "{refused:?}");
    drop(open.pop());
    let start = Instant::now();
    while ask(at, &live).map_or(0, |answer| answer.status) != 200 {
        ensure!(start.elapsed() < Duration::from_secs(5), "a place is not given back");
        sleep(Duration::from_millis(50));
    }

    // Half a body holds its bytes; together with another they are too many, and none are when it has gone.
    let whole = request(
        "POST",
        INFER,
        &["host: localhost", "content-type: application/json"],
        &" ".repeat(700_000),
    );
    let mut half = open.pop().context("no connection")?;
    half.send(&whole[..650_000])?;
    sleep(Duration::from_millis(300));
    let mut second = open.pop().context("no connection")?;
    second.send(&whole)?;
    let refused = second.read_response()?;
    ensure!(
        refused.status == 503 && refused.error().contains("other requests fill the memory"),
        "{refused:?}"
    );
    half.send(&whole[650_000..])?;
    ensure!(half.read_response()?.error().contains("the body is empty"));
    second.send(&whole)?;
    ensure!(second.read_response()?.error().contains("the body is empty"));
    server.stop()
}
