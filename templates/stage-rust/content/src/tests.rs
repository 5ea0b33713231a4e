//! The stage over a store in memory.

use serde_json::{Value, json};
use tidemill_sdk::{Twin, prelude::*};

use crate::{{project-name | pascal_case}};

const KEY: &str = "raw/events/a.jsonl";

fn run_over(text: &str, twin: Twin) -> (Result<Outcome>, Twin) {
    let twin = twin.with(KEY, text.as_bytes());
    let outcome = twin.run::<{{project-name | pascal_case}}>(KEY, &json!({ "ignore": ["id"] }));
    (outcome, twin)
}

fn granted() -> Twin {
    Twin::default().granted(&[], &["{{project-name | kebab_case}}/**"])
}

#[test]
fn lines_are_summed_up() {
    let (outcome, twin) = run_over("{\"id\": 1, \"level\": 2}\n\n{\"id\": 2, \"level\": 4.0, \"site\": \"north\"}\n", granted());
    let outcome = outcome.unwrap();
    assert_eq!(outcome.decision, Decision::Done);
    let key = outcome.facts["summary"].as_str().unwrap();
    let written: Value = serde_json::from_slice(&twin.object(key).unwrap()).unwrap();
    let level = json!({ "there": 2, "least": 2.0, "greatest": 4.0, "mean": 3.0 });
    assert_eq!(written, json!({ "rows": 2, "fields": { "level": level, "site": { "there": 1 } } }));
}

#[test]
fn a_bad_line_is_a_finding_and_nothing_is_written() {
    let (outcome, twin) = run_over("{\"level\": 2}\nno json\n[1]\n", granted());
    let outcome = outcome.unwrap();
    assert_eq!((outcome.decision, outcome.findings.len()), (Decision::Rejected, 2));
    assert!(outcome.findings[0].message.contains("line 2"));
    assert_eq!(twin.keys(), [KEY]);
}

#[test]
fn without_its_grant_it_cannot_write() {
    let (outcome, _) = run_over("{\"level\": 2}\n", Twin::default());
    assert_eq!(outcome.unwrap_err().kind, ErrorKind::Limit);
}
