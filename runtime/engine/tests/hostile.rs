//! Guests that misbehave, each answered with an error of the right kind. Without built guests the tests say so and pass,
//! except where `CI` is set.
#![allow(
    clippy::unwrap_used,
    reason = "the whole file is a test; clippy takes only the `#[test]` functions for one"
)]

use std::{path::PathBuf, sync::Arc, time::Duration};

use tidemill_core::{Digest, Error, ErrorKind, FetchResponse, Host, Level, Objects, Outcome, Result, RunContext, Sql, Table, Trigger};
use tidemill_engine::{Engine, EngineOptions, Limits, StageHost};
use tidemill_sdk::TestHost;

struct Twin(TestHost);

impl Host for Twin {
    fn context(&self) -> &RunContext {
        self.0.context()
    }
    fn objects(&self) -> &dyn Objects {
        self.0.objects()
    }
    fn sql(&self) -> &dyn Sql {
        self.0.sql()
    }
    fn report_progress(&self, _: f64, _: &str) {}
    fn log(&self, _: Level, _: &str) {}
    fn fetch(&self, url: &str, headers: &[(String, String)]) -> Result<FetchResponse> {
        self.0.fetch(url, headers)
    }
}

impl StageHost for Twin {
    fn reader(&self, _: &str, _: &[Table]) -> Result<Box<dyn Iterator<Item = Result<Vec<u8>>> + Send>> {
        Err(Error::denied("`sql` is not granted"))
    }
}

fn guest(name: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("TIDEMILL_COMPONENTS")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("CARGO_TARGET_DIR").map(|target| PathBuf::from(target).join("wasm32-wasip2/guest")));
    let path = folder
        .unwrap_or_default()
        .join(format!("tidemill_guest_{}.wasm", name.replace('-', "_")));
    let bytes = std::fs::read(&path).ok();
    if bytes.is_none() {
        assert!(std::env::var_os("CI").is_none(), "`{}` is not built", path.display());
        eprintln!("skipped: `{}` is not built; `cargo xtask guests` builds it", path.display());
    }
    bytes
}

fn run(bytes: &[u8]) -> (Result<Outcome>, Arc<Twin>) {
    let (key, lines) = ("raw/lines.txt", b"one\ntwo\n");
    let host = TestHost::default()
        .with_object(key, lines)
        .with_grants(&[key], &["counts/**"])
        .with_context(RunContext {
            as_of: "2013-05-01T00:00:00Z".parse().unwrap(),
            seed: 7,
            run_key: "0".repeat(32),
            resource: "flights".into(),
        });
    let host = Arc::new(Twin(host));
    let trigger = Trigger {
        key: key.into(),
        digest: Digest::sha256(lines),
    };
    let limits = Limits {
        timeout: Duration::from_millis(500),
        memory_bytes: 64 << 20,
    };
    let result = Engine::new(EngineOptions::default())
        .and_then(|engine| engine.component(bytes))
        .and_then(|component| component.run_with(&trigger, "{}", host.clone(), &limits).0);
    (result, host)
}

fn fails(name: &str, kind: ErrorKind, words: &[&str]) {
    let Some(bytes) = guest(name) else { return };
    let error = run(&bytes).0.unwrap_err();
    assert_eq!(error.kind, kind, "{error}");
    for word in words {
        assert!(error.message.contains(word), "{error}");
    }
}

#[test]
fn misbehaviour_has_its_kind_and_its_words() {
    fails("loop", ErrorKind::Timeout, &["timeout", "0.5 seconds"]);
    fails("memory", ErrorKind::Limit, &["64 MiB"]);
    fails(
        "panic",
        ErrorKind::Bug,
        &["no such flight as `raw/lines.txt`", "tidemill_guest_panic::"],
    );
    fails("nonsense", ErrorKind::Bug, &["JSON object"]);
    fails(
        "unknown-import",
        ErrorKind::Config,
        &["elsewhere:missiles/launch", "tidemill:stage/objects"],
    );
}

#[test]
fn what_is_not_granted_is_refused() {
    let Some(bytes) = guest("ungranted") else { return };
    let (outcome, host) = run(&bytes);
    let facts = outcome.unwrap().result;
    let told = |name: &str| facts[name].as_str().unwrap().to_owned();
    assert!(told("read").starts_with("the stage may not read `secrets/key`"), "{facts}");
    assert!(told("written").starts_with("the stage may not write `secrets/made`"), "{facts}");
    assert_eq!(host.0.keys(), ["raw/lines.txt"]);
}

#[test]
fn clock_and_randomness_are_the_run_s() {
    let Some(bytes) = guest("chance") else { return };
    let first = run(&bytes).0.unwrap();
    assert_eq!(first, run(&bytes).0.unwrap());
    assert_eq!(first.result["clock"], 1_367_366_400);
}

#[test]
fn the_stage_of_the_guide_runs() {
    let Some(bytes) = guest("ten-line") else { return };
    let (outcome, host) = run(&bytes);
    assert_eq!(outcome.unwrap().result["lines"], 2);
    assert_eq!(host.0.keys().len(), 2);
}
