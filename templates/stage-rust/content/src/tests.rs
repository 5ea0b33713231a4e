//! The stage over a store in memory.

use serde_json::{Value, json};
use tidemill_sdk::{TestHost, prelude::*};

use crate::{{project-name | pascal_case}};

const KEY: &str = "raw/events/a.jsonl";

fn run_over(text: &str, host: TestHost) -> (Result<Outcome>, TestHost) {
    let host = host.with_object(KEY, text.as_bytes());
    let outcome = host.run::<{{project-name | pascal_case}}>(KEY, &json!({ "ignore": ["id"] }));
    (outcome, host)
}

fn host() -> TestHost {
    TestHost::default().with_grants(&[], &["{{project-name | kebab_case}}/**"])
}

#[test]
fn lines_are_summed_up() {
    let (outcome, host) = run_over("{\"id\": 1, \"level\": 2}\n\n{\"id\": 2, \"level\": 4.0, \"site\": \"north\"}\n", host());
    let outcome = outcome.unwrap();
    assert_eq!(outcome.decision, Decision::Done);
    let key = outcome.result["summary"].as_str().unwrap();
    let written: Value = serde_json::from_slice(&host.object(key).unwrap()).unwrap();
    let level = json!({ "there": 2, "least": 2.0, "greatest": 4.0, "mean": 3.0 });
    assert_eq!(written, json!({ "rows": 2, "fields": { "level": level, "site": { "there": 1 } } }));
}

#[test]
fn a_bad_line_is_a_finding_and_nothing_is_written() {
    let (outcome, host) = run_over("{\"level\": 2}\nno json\n[1]\n", host());
    let outcome = outcome.unwrap();
    assert_eq!((outcome.decision, outcome.findings.len()), (Decision::Rejected, 2));
    assert!(outcome.findings[0].message.contains("line 2"));
    assert_eq!(host.keys(), [KEY]);
}

#[test]
fn without_its_grant_it_cannot_write() {
    let (outcome, _) = run_over("{\"level\": 2}\n", TestHost::default());
    assert_eq!(outcome.unwrap_err().kind, ErrorKind::Denied);
}
