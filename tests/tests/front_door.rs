//! What `tidemill up` answers before a model or a dataset is looked at: who asks, how long and how much they may send, and that every answer
//! arrives.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidemill_harness::{
    http::{Connection, Response},
    server::Server,
};
use tidemill_tests::{prediction_log, small, trained};

const INFER: &str = "/v2/models/alarm/infer";
const LIMITS: &str = "TIDEMILL_TEST_LIMITS";

/// The trained project, served with further variables of the environment.
fn up(folder: &Path, environment: &[(&str, &str)]) -> Result<Option<Server>> {
    let Some(tidemill) = trained::find_tidemill() else {
        return Ok(None);
    };
    let project = trained::project(&tidemill, Path::new(env!("CARGO_TARGET_TMPDIR")), folder)?;
    Server::up(&tidemill, &project, environment).map(Some)
}

/// The head of a request and its body.
fn request(method: &str, path: &str, headers: &[&str], body: &str) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\ncontent-length: {}\r\n", body.len());
    for header in headers {
        text += &format!("{header}\r\n");
    }
    format!("{text}\r\n{body}").into_bytes()
}

fn infer(id: &str) -> Vec<u8> {
    let body = small::request(id, &small::day(3)[..2]).to_string();
    request("POST", INFER, &["host: localhost", "content-type: application/json"], &body)
}

/// Sends bytes on a new connection, and reads one answer.
fn ask(address: &str, bytes: &[u8]) -> Result<Response> {
    let mut connection = Connection::open(address)?;
    connection.send(bytes)?;
    connection.read_response()
}

/// What a connection receives until it ends, or until two seconds have passed without a byte.
fn receive(address: &str, bytes: &[u8]) -> Result<(String, bool)> {
    let mut stream = TcpStream::connect(address.trim_start_matches("http://"))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    // The server may have answered, and closed, before the last byte.
    let _sent = stream.write_all(bytes);
    Ok(drain(&mut stream))
}

fn drain(stream: &mut TcpStream) -> (String, bool) {
    let mut received = Vec::new();
    let ended = stream.read_to_end(&mut received).is_ok();
    (String::from_utf8_lossy(&received).into_owned(), ended)
}

fn statuses(received: &str) -> Vec<&str> {
    received.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)).collect()
}

#[test]
fn foreign_pages_are_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(server) = up(folder.path(), &[])? else { return Ok(()) };
    let (at, csv) = (server.address.clone(), small::csv(&small::day(3)));
    let body = small::request("page", &small::day(3)[..1]).to_string();
    let key = json!({ "key": "raw/readings/x.csv" }).to_string();
    let (local, json, text) = ("host: localhost:1", "content-type: application/json", "content-type: text/csv");
    let (foreign, evil) = ("host: evil.example:8080", "origin: https://evil.example");
    let before = server.keys("raw/")?;
    for (method, path, headers, body, status, says) in [
        (
            "POST",
            "/data/readings",
            &[foreign, "origin: http://evil.example:8080", text][..],
            &csv,
            403,
            "`--host evil.example`",
        ),
        ("POST", "/data/readings", &[local, evil, text], &csv, 403, "`https://evil.example`"),
        ("POST", INFER, &[local, evil, json], &body, 403, "`https://evil.example`"),
        ("POST", INFER, &[local, "origin: null", json], &body, 403, "`null`"),
        ("POST", INFER, &[local, "sec-fetch-site: cross-site"], &body, 403, "another site"),
        (
            "POST",
            INFER,
            &[local, "content-type: text/plain"],
            &body,
            415,
            "`application/json`",
        ),
        ("POST", "/events", &[local, evil], &key, 403, "`https://evil.example`"),
        ("POST", "/events", &[local], &key, 415, "`application/cloudevents+json`"),
        ("POST", "/events", &[local, "content-type: text/plain"], &key, 415, "`text/plain`"),
        ("GET", "/status", &[foreign], &String::new(), 403, "`evil.example:8080`"),
        ("GET", "/v2/health/live", &[foreign], &String::new(), 403, "its address"),
    ] {
        let answer = ask(&at, &request(method, path, headers, body))?;
        ensure!(
            answer.status == status && answer.error().contains(says),
            "{path} {headers:?}: {answer:?}"
        );
    }
    let packed = ask(&at, &request("POST", INFER, &[local, json, "content-encoding: gzip"], "x"))?;
    ensure!(
        packed.status == 415 && packed.headers.get("accept-encoding").is_some_and(|value| value == "identity"),
        "{packed:?}"
    );
    for headers in [
        &[local, json, "origin: http://localhost:1"][..],
        &["host: 127.0.0.1", "content-type: application/octet-stream"],
        &["host: [::1]:8080"],
    ] {
        let answer = ask(&at, &request("POST", INFER, headers, &body))?;
        ensure!(answer.status == 200, "{headers:?}: {answer:?}");
    }
    ensure!(server.keys("raw/")? == before, "a page's rows were stored");
    server.stop()?;

    let Some(server) = up(
        &folder.path().join("named"),
        &[("TIDEMILL_HOSTS", "ml.example.org,app.example.org")],
    )?
    else {
        return Ok(());
    };
    let (named, page) = ("host: ml.example.org", "origin: https://app.example.org");
    ensure!(ask(&server.address, &request("POST", INFER, &[named, page, json], &body))?.status == 200);
    ensure!(ask(&server.address, &request("POST", INFER, &[named, evil, json], &body))?.status == 403);
    server.stop()
}

#[test]
fn every_answer_arrives() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(server) = up(folder.path(), &[])? else { return Ok(()) };
    let at = &server.address;
    let good = infer("good");
    let with = |rest: &[u8]| [&good, rest].concat();
    let head = |headers: &[&str]| request("POST", INFER, &[&["host: localhost"], headers].concat(), "");
    let many: Vec<String> = (0..200).map(|n| format!("x{n}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let large = format!("x: {}", "x".repeat(500_000));
    let long = format!("/{}", "x".repeat(70_000));
    let unparsed = b"\x16\x03\x01 x\r\n\r\n";
    for (what, bytes, want) in [
        ("two", with(&good), &["200", "200"][..]),
        ("a line end behind it", with(b"\r\n"), &["200"]),
        ("the first letter of the next", with(b"P"), &["200"]),
        ("half a head", with(&good[..60]), &["200"]),
        ("no HTTP behind it", with(unparsed), &["200", "400"]),
        ("no HTTP", unparsed.to_vec(), &["400"]),
        ("two lengths", head(&["content-length: 3"]), &["400"]),
        ("a blank in a name", head(&["x y: 1"]), &["400"]),
        ("200 headers", head(&many), &["431"]),
        ("500 kB of headers", head(&[&large]), &["431"]),
        ("an address of 70 kB", request("GET", &long, &["host: localhost"], ""), &["414"]),
    ] {
        let (received, _) = receive(at, &bytes)?;
        ensure!(statuses(&received) == want, "{what}: {received}");
        ensure!(
            received.matches("{\"").count() >= want.len(),
            "{what}: an answer has no body: {received}"
        );
    }
    let before = server.keys("raw/")?;
    let packed = b"POST /data/readings HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/csv\r\ntransfer-encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    let (received, ended) = receive(at, packed)?;
    ensure!(
        statuses(&received) == ["501"] && received.contains("`gzip, chunked`") && ended,
        "{received}"
    );
    ensure!(server.keys("raw/")? == before, "packed rows were stored");
    for path in ["/v2/health/live", "/v2/health/ready", "/v2", "/v2/models", "/healthz", "/status"] {
        let (received, _) = receive(at, &request("HEAD", path, &["host: localhost"], ""))?;
        ensure!(
            statuses(&received) == ["200"] && received.ends_with("\r\n\r\n"),
            "{path}: {received}"
        );
    }
    let (received, _) = receive(at, &request("HEAD", INFER, &["host: localhost"], ""))?;
    ensure!(
        statuses(&received) == ["405"] && received.to_ascii_lowercase().contains("allow: post"),
        "{received}"
    );
    server.stop()
}

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

#[test]
fn times_of_rows_are_limited() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(server) = up(folder.path(), &[])? else { return Ok(()) };
    let mut connection = Connection::open(&server.address)?;
    let mut ask = |id: &str, times: Vec<String>| -> Result<Response> {
        let mut request = small::request(id, &small::day(3)[..times.len()]);
        let inputs = request["inputs"].as_array_mut().map(Vec::as_mut_slice).unwrap_or_default();
        for input in inputs.iter_mut().filter(|input| input["name"] == "at") {
            input["data"] = times.iter().cloned().map(Value::from).collect();
        }
        connection.request("POST", INFER, &["content-type: application/json"], request.to_string().as_bytes())
    };
    // 28 days of each month, so that each row is on a day of its own.
    let day = |n: usize| format!("19{:02}-{:02}-{:02}T00:00:00Z", 90 + n / 336, n / 28 % 12 + 1, n % 28 + 1);
    let taken = ask("hundred", (0..100).map(day).collect())?;
    ensure!(taken.status == 200, "{taken:?}");
    let many = ask("many", (0..900).map(day).collect())?;
    ensure!(many.status == 400, "{many:?}");
    for part in ["row 100: `at` is 1990-04-17T00:00:00Z", "more than 100 windows"] {
        ensure!(many.error().contains(part), "{many:?}");
    }
    let late = ask("late", vec![day(0), "2999-01-01T00:00:00Z".into()])?;
    ensure!(
        late.status == 400 && late.error().contains("row 1: `at` is 2999-01-01T00:00:00Z, which is in the future"),
        "{late:?}"
    );
    server.stop()?;
    let Some(server) = up_again(folder.path())? else { return Ok(()) };
    let logged = prediction_log::ids(&server, "alarm")?;
    ensure!(
        logged.len() == 100 && logged.iter().all(|id| id.starts_with("hundred/")),
        "{logged:?}"
    );
    server.stop()
}

/// The project as it was left: a start seals its log.
fn up_again(folder: &Path) -> Result<Option<Server>> {
    let Some(tidemill) = trained::find_tidemill() else {
        return Ok(None);
    };
    Server::up(&tidemill, &folder.join("small"), &[]).map(Some)
}

#[test]
fn a_server_that_stops_says_so_first() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let project = trained::project(&tidemill, Path::new(env!("CARGO_TARGET_TMPDIR")), folder.path())?;
    let file = project.join("tidemill.toml");
    let text = std::fs::read_to_string(&file)? + "\n[serve]\nstop-delay-seconds = 2\n";
    std::fs::write(&file, text)?;
    let server = Server::up(&tidemill, &project, &[])?;
    let mut connection = Connection::open(&server.address)?;
    let mut status = |path: &str| -> Result<u16> { Ok(connection.request("GET", path, &[], b"")?.status) };
    ensure!((status("/v2/health/ready")?, status("/healthz")?) == (200, 200));
    let slow = infer("slow");
    let mut begun = Connection::open(&server.address)?;
    begun.send(&slow[..slow.len() - 5])?;
    Command::new("kill").args(["-TERM", &server.process_id().to_string()]).status()?;
    sleep(Duration::from_millis(500));
    ensure!((status("/v2/health/ready")?, status("/healthz")?) == (503, 503));
    ensure!(status("/v2/health/live")? == 200, "it still answers");
    ensure!(ask(&server.address, &infer("new"))?.status == 200, "it still accepts connections");
    sleep(Duration::from_millis(2500));
    ensure!(Connection::open(&server.address).is_err(), "it accepts connections after the delay");
    begun.send(&slow[slow.len() - 5..])?;
    ensure!(begun.read_response()?.status == 200, "an accepted request is not answered");
    server.stop()
}
