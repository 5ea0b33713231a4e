//! A page that anybody wrote adds neither rows nor predictions nor events.

use anyhow::{Result, ensure};
use serde_json::json;
use tidemill_tests::small;

use super::{INFER, ask, request, up};

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
