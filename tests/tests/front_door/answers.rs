//! An answer is sent when it is ready, whatever stands behind the request; and what cannot be read gets one too.

use anyhow::{Result, ensure};

use super::{INFER, infer, receive, request, statuses, up};

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
    // So that nothing is waited for.
    let last = ["host: localhost", "connection: close"];
    for path in ["/v2/health/live", "/v2/health/ready", "/v2", "/v2/models", "/healthz", "/status"] {
        let (received, _) = receive(at, &request("HEAD", path, &last, ""))?;
        ensure!(
            statuses(&received) == ["200"] && received.ends_with("\r\n\r\n"),
            "{path}: {received}"
        );
    }
    let (received, _) = receive(at, &request("HEAD", INFER, &last, ""))?;
    ensure!(
        statuses(&received) == ["405"] && received.to_ascii_lowercase().contains("allow: post"),
        "{received}"
    );
    server.stop()
}
