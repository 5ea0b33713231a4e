//! The stage over a store and a local server: new files, files that are not written twice, and the kind of each failure.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
};

use tidemill_core::{Decision, Digest, ErrorKind, Host, Objects, ObjectsExt, Outcome, Result, RunContext, Stage, Trigger};
use tidemill_host::{Grants, RunHost, RunSetup, SqlEngine, SqlOptions, Store};

use crate::{Collect, CollectSource, Config};

/// The next response of the server: status and content type, body.
type Response = Arc<Mutex<(&'static str, &'static str)>>;

/// Starts a server that answers every request with `answer`; returns its address.
fn start_server(answer: Response) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let (head, body) = *answer.lock().unwrap();
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
            .unwrap();
        }
    });
    address
}

/// Runs the stage for `readings` over a store, with the given grants.
fn run(store: &Store, source: CollectSource, fetch: &str) -> Result<Outcome> {
    let folder = tempfile::tempdir().unwrap();
    let host = RunHost::new(RunSetup {
        store: store.clone(),
        sql: SqlEngine::new(SqlOptions {
            cache_dir: folder.path().to_owned(),
            memory_bytes: 1 << 28,
            threads: 1,
            timeout: std::time::Duration::from_secs(10),
        })
        .unwrap(),
        context: RunContext {
            as_of: "2024-01-02T00:00:00Z".parse().unwrap(),
            seed: 0,
            run_key: "0".repeat(32),
            resource: "readings".into(),
        },
        trigger: scheduled_event(),
        grants: Grants {
            reads: vec!["inbox/**".into(), "raw/readings/**".into()],
            writes: vec!["raw/readings/collected/**".into()],
            fetch: vec![fetch.into()],
        },
        progress: None,
        handle: runtime().handle().clone(),
    });
    let dataset = "readings".to_owned();
    Collect::run(
        &scheduled_event(),
        Config {
            dataset,
            source,
            headers: Default::default(),
        },
        &host as &dyn Host,
    )
}

fn scheduled_event() -> Trigger {
    Trigger {
        key: "schedules/collect/readings/2024-01-02T00-00-00Z.json".into(),
        digest: Digest::sha256(b"{}"),
    }
}

fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Runtime::new().unwrap())
}

fn url(address: &str, path: &str) -> CollectSource {
    CollectSource::Url(format!("http://{address}/{path}"))
}

fn raw_files(store: &Store) -> Vec<String> {
    let store = store.blocking_on(runtime().handle().clone());
    let found = store.list_all("raw/readings/").unwrap();
    found
        .into_iter()
        .map(|meta| String::from_utf8(store.get(&meta.key).unwrap()).unwrap())
        .collect()
}

#[test]
fn a_url_is_written_when_it_changed() {
    let answer: Response = Arc::new(Mutex::new(("200 OK\r\ncontent-type: text/csv", "a\n1\n")));
    let (address, store) = (start_server(answer.clone()), Store::memory());
    let first = run(&store, url(&address, "x"), &address).unwrap();
    assert_eq!((first.decision, raw_files(&store)), (Decision::Done, vec!["a\n1\n".to_owned()]));
    assert!(first.result["keys"][0].as_str().unwrap().ends_with(".csv"), "{first:?}");
    let again = run(&store, url(&address, "x"), &address).unwrap();
    assert_eq!((again.decision, raw_files(&store).len()), (Decision::Skipped, 1));
    *answer.lock().unwrap() = ("200 OK\r\ncontent-type: application/json", "[{\"a\": 2}]");
    let other = run(&store, url(&address, "x"), &address).unwrap();
    assert_eq!((other.decision, raw_files(&store).len()), (Decision::Done, 2));
    assert!(raw_files(&store).contains(&"{\"a\":2}\n".to_owned()));
}

#[test]
fn failures_have_their_kinds_and_leave_nothing() {
    let answer: Response = Arc::new(Mutex::new(("503 Service Unavailable", "")));
    let (address, store) = (start_server(answer.clone()), Store::memory());
    for (head, body, kind, says) in [
        ("503 Service Unavailable", "", ErrorKind::Transient, "answered 503"),
        ("404 Not Found", "", ErrorKind::Input, "look at the address"),
        (
            "200 OK\r\ncontent-type: text/html",
            "<p>",
            ErrorKind::Input,
            "`text/html` is unknown",
        ),
        ("200 OK\r\ncontent-type: text/csv", "", ErrorKind::Input, "empty"),
    ] {
        *answer.lock().unwrap() = (head, body);
        let error = run(&store, url(&address, "x"), &address).unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(says) && error.message.contains(&address), "{error}");
    }
    let error = run(&store, url(&address, "x"), "example.org").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    assert!(raw_files(&store).is_empty());
}

#[test]
fn a_prefix_is_copied_once_whatever_its_files_are_called() {
    let store = Store::memory();
    let blocking = store.blocking_on(runtime().handle().clone());
    for (key, text) in [
        ("inbox/a.CSV", "a\n1\n"),
        ("inbox/deep/same.csv", "a\n1\n"),
        ("inbox/b.ndjson", "{}\n"),
        ("inbox/c.txt", "x"),
    ] {
        blocking.create(key, text.as_bytes()).unwrap();
    }
    let outcome = run(&store, CollectSource::Prefix("inbox".into()), "").unwrap();
    assert_eq!((outcome.reason.as_str(), raw_files(&store).len()), ("2 new files", 2));
    let again = run(&store, CollectSource::Prefix("inbox/".into()), "").unwrap();
    assert_eq!(again.decision, Decision::Skipped);
    let ungranted = run(&store, CollectSource::Prefix("elsewhere".into()), "").unwrap_err();
    assert_eq!(ungranted.kind, ErrorKind::Denied);
}
