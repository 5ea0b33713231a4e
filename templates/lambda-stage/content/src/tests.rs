//! The stage over a store in memory, and as the handler that Lambda calls: S3's event in, an outcome out.

use serde_json::{Value, json};
use tidemill_lambda::{Handler, StageEnvironment, native_runner};
use tidemill_run::Ledger;
use tidemill_sdk::{TestHost, prelude::*};
use tidemill_store::Store;

use crate::{{project-name | pascal_case}};

const KEY: &str = "raw/events/a.jsonl";
const LINES: &[u8] = b"{\"id\": 1, \"level\": 2}\n{\"id\": 2, \"level\": 4.0, \"site\": \"north\"}\n";

#[test]
fn lines_are_summed_up() {
    let host = TestHost::default().with_object(KEY, LINES).with_grants(&[], &["{{project-name | kebab_case}}/**"]);
    let outcome = host.run::<{{project-name | pascal_case}}>(KEY, &json!({ "ignore": ["id"] })).unwrap();
    let written: Value = serde_json::from_slice(&host.object(outcome.result["summary"].as_str().unwrap()).unwrap()).unwrap();
    let level = json!({ "there": 2, "least": 2.0, "greatest": 4.0, "mean": 3.0 });
    assert_eq!(written, json!({ "rows": 2, "fields": { "level": level, "site": { "there": 1 } } }));
}

#[test]
fn an_event_of_s3_runs_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::local(folder.path()).unwrap();
    // What the function's `TIDEMILL_CONFIG` says; `tidemill deploy sam` writes it.
    let node = json!({
        "stage": "{{project-name | kebab_case}}", "resource": "{{project-name | kebab_case}}", "config": { "ignore": ["id"] },
        "on": ["{{on}}"], "writes": ["{{project-name | kebab_case}}/**"],
    });
    let environment = StageEnvironment {
        store: String::new(),
        node: serde_json::from_value(node).unwrap(),
        memory_bytes: 1 << 28,
    };
    let runner = native_runner::<{{project-name | pascal_case}}>(&environment.node).unwrap();
    let handler = Handler::new(environment, store.clone(), runner).unwrap();
    let object = json!({ "eventVersion": "2.1", "eventName": "ObjectCreated:Put", "s3": { "bucket": { "name": "tide" }, "object": { "key": KEY } } });
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        store.create(KEY, LINES.into()).await.unwrap();
        for _ in 0..2 {
            handler.handle(&json!({ "Records": [object] })).await.unwrap();
        }
        let outcomes = Ledger::new(store.clone()).list_outcomes(None, None).await.unwrap();
        assert_eq!((outcomes.len(), outcomes[0].decision), (1, Decision::Done));
        assert_eq!(outcomes[0].result["rows"], 2);
    });
}
