//! What a function does with batches: each item alone, what fails for good once, what may pass again.
#![allow(
    clippy::unwrap_used,
    reason = "a test: its helpers are not inside `#[test]` functions, which is all that clippy leaves out"
)]

use std::time::Duration;

use serde_json::{Value, json};
use tidemill_core::pipeline::NodeSettings;
use tidemill_core::{Error, ErrorKind, Host, Outcome, Result, Stage, Trigger};
use tidemill_lambda::{Handler, StageEnvironment, native_runner};
use tidemill_run::{Ledger, list_dead_letters};
use tidemill_store::Store;

/// Decides by the trigger's key, and leaves a mark for each run.
struct Moody;

impl Stage for Moody {
    const NAME: &'static str = "moody";
    type Config = Value;

    fn run(trigger: &Trigger, _: Value, host: &dyn Host) -> Result<Outcome> {
        let runs = host.objects().list("marks/", None, 1000)?.len();
        host.objects().create(&format!("marks/{runs}"), trigger.key.as_bytes())?;
        match &trigger.key {
            key if key.contains("later") => Err(Error::transient("the tide is out")),
            key if key.contains("slow") => {
                std::thread::sleep(Duration::from_secs(8));
                Ok(Outcome::done("too late", &json!({})))
            }
            key if key.contains("never") => Err(Error::input("there is no water in it")),
            _ => Ok(Outcome::done("fine", &json!({}))),
        }
    }
}

/// Stands for the first stage of a training.
struct Featurize;

impl Stage for Featurize {
    const NAME: &'static str = "featurize";
    type Config = Value;

    fn run(_: &Trigger, _: Value, _: &dyn Host) -> Result<Outcome> {
        Ok(Outcome::done("fine", &json!({})))
    }
}

struct Function {
    handler: Handler,
    store: Store,
    _folder: tempfile::TempDir,
}

impl Function {
    async fn open(more: Value) -> Self {
        Self::of::<Moody>(more).await
    }

    async fn of<S: Stage + 'static>(more: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::local(folder.path()).unwrap();
        for key in [
            "raw/d/one two.csv",
            "raw/d/never.csv",
            "raw/d/later.csv",
            "raw/d/slow.csv",
            "raw/d/a%2Fb+c.csv",
        ] {
            store.create(key, key.as_bytes().to_vec().into()).await.unwrap();
        }
        let mut node =
            json!({ "stage": S::NAME, "resource": "d", "config": {}, "on": ["raw/d/**", "schedules/moody/d/*"], "writes": ["marks/**"] });
        node.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let settings = StageEnvironment {
            store: String::new(),
            node: serde_json::from_value(node).unwrap(),
            memory_bytes: 1 << 30,
        };
        let runner = native_runner::<S>(&settings.node).unwrap();
        Self {
            handler: Handler::new(settings, store.clone(), runner).unwrap(),
            store,
            _folder: folder,
        }
    }

    /// The items that are to come again.
    async fn failed(&self, items: &[(&str, u32, String)]) -> Vec<String> {
        let records: Vec<Value> = items
            .iter()
            .map(|(id, receives, body)| {
                json!({ "messageId": id, "body": body, "eventSource": "aws:sqs", "attributes": { "ApproximateReceiveCount": receives.to_string() } })
            })
            .collect();
        let answer = self.handler.handle(&json!({ "Records": records })).await.unwrap();
        let failures = answer["batchItemFailures"].as_array().unwrap();
        failures.iter().map(|f| f["itemIdentifier"].as_str().unwrap().to_owned()).collect()
    }

    async fn runs(&self) -> usize {
        self.store.list("marks/", None, 1000).await.unwrap().len()
    }

    async fn decided(&self) -> Vec<String> {
        let outcomes = Ledger::new(self.store.clone()).list_outcomes(None, None).await.unwrap();
        let mut keys: Vec<String> = outcomes.into_iter().map(|outcome| outcome.trigger.key).collect();
        keys.sort();
        keys
    }
}

fn put(key: &str) -> String {
    let record = json!({ "eventVersion": "2.1", "eventName": "ObjectCreated:Put", "s3": { "bucket": { "name": "tide" }, "object": { "key": key } } });
    json!({ "Records": [record] }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_item_leaves_the_others_unharmed() {
    let function = Function::open(json!({})).await;
    let batch = [
        ("good", 1, put("raw/d/one+two.csv")),
        ("again", 1, put("raw/d/one+two.csv")),
        ("odd", 1, put("raw%2Fd%2Fa%252Fb%2Bc.csv")),
        ("later", 1, put("raw/d/later.csv")),
        ("never", 1, put("raw/d/never.csv")),
        ("gone", 1, put("raw/d/gone.csv")),
        ("not JSON", 1, "{".to_owned()),
        ("escaped", 1, put("raw/d/100%.csv")),
        ("unknown", 1, json!({ "hello": 1 }).to_string()),
        (
            "test",
            1,
            json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "tide" }).to_string(),
        ),
        ("other", 1, put("elsewhere/x.csv")),
        ("hidden", 1, put("raw/d/.one.csv.swp")),
    ];
    assert_eq!(function.failed(&batch).await, ["later", "not JSON", "escaped", "unknown"]);
    assert_eq!(function.decided().await, ["raw/d/a%2Fb+c.csv", "raw/d/one two.csv"]);
    assert_eq!(function.runs().await, 4, "each once, also the two that failed");
    let letters = list_dead_letters(&function.store).await.unwrap();
    let said: Vec<_> = letters
        .iter()
        .map(|l| (l.trigger.key.as_str(), l.message.as_str(), l.attempt))
        .collect();
    assert_eq!(said, [("raw/d/never.csv", "there is no water in it", 1)]);
    // What failed for good is not run again, what may pass is.
    assert_eq!(function.failed(&batch[3..5]).await, ["later"]);
    assert_eq!(function.runs().await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_batches() {
    let function = Function::open(json!({})).await;
    let names: Vec<String> = (0..2000).map(|n| format!("item-{n}")).collect();
    let body = |n: usize| {
        if n % 500 == 7 {
            "no event".to_owned()
        } else {
            put("raw/d/one+two.csv")
        }
    };
    let batch: Vec<(&str, u32, String)> = names.iter().enumerate().map(|(n, name)| (name.as_str(), 1, body(n))).collect();
    assert_eq!(function.failed(&batch).await, ["item-7", "item-507", "item-1007", "item-1507"]);
    assert_eq!(function.runs().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_pass_is_given_up() {
    let function = Function::open(json!({ "max-deliveries": 3 })).await;
    assert_eq!(function.failed(&[("later", 2, put("raw/d/later.csv"))]).await, ["later"]);
    assert!(function.failed(&[("later", 3, put("raw/d/later.csv"))]).await.is_empty());
    let letters = list_dead_letters(&function.store).await.unwrap();
    assert_eq!((letters.len(), letters[0].attempt), (1, 3));
    // Whoever deletes the letter may have it tried again, by hand too.
    function.store.delete(&letters[0].key()).await.unwrap();
    let error = function.handler.handle(&json!({ "key": "raw/d/later.csv" })).await.unwrap_err();
    assert!(error.message.contains("`raw/d/later.csv`: the tide is out"), "{error}");
    assert_eq!(function.runs().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_does_not_end_is_given_up() {
    let function = Function::open(json!({ "timeout-seconds": 1 })).await;
    assert!(function.failed(&[("slow", 1, put("raw/d/slow.csv"))]).await.is_empty());
    let letters = list_dead_letters(&function.store).await.unwrap();
    assert_eq!((letters.len(), letters[0].kind), (1, ErrorKind::Timeout));
    assert!(
        letters[0].message.contains("took longer than its 1 s; raise `timeout-seconds`"),
        "{}",
        letters[0].message
    );
    assert!(function.decided().await.is_empty());
}

/// Trainings of one model follow each other, for days if need be.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_has_not_failed() {
    let function = Function::of::<Featurize>(json!({ "on": ["requests/d/*"] })).await;
    for day in [1, 2] {
        let key = format!("requests/d/2024-01-0{day}T00-00-00Z.json");
        function.store.create(&key, key.clone().into_bytes().into()).await.unwrap();
    }
    let second = put("requests/d/2024-01-02T00-00-00Z.json");
    assert_eq!(function.failed(&[("second", 50, second)]).await, ["second"]);
    assert!(list_dead_letters(&function.store).await.unwrap().is_empty());
    let first = put("requests/d/2024-01-01T00-00-00Z.json");
    assert!(function.failed(&[("first", 50, first)]).await.is_empty());
    assert_eq!(function.decided().await, ["requests/d/2024-01-01T00-00-00Z.json"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_without_a_queue_and_schedules() {
    let function = Function::open(json!({ "every": "1 hour" })).await;
    let direct: Value = serde_json::from_str(&put("raw/d/one+two.csv")).unwrap();
    let answer = function.handler.handle(&direct).await.unwrap();
    assert_eq!(answer, json!({ "raw/d/one two.csv": { "decision": "done", "reason": "fine" } }));
    let schedule = json!({ "detail-type": "Scheduled Event", "source": "aws.events", "time": "2024-01-01T10:20:30Z", "detail": {} });
    let first = function.handler.handle(&schedule).await.unwrap();
    let key = "schedules/moody/d/2024-01-01T10-00-00Z.json";
    assert_eq!(first[key]["decision"], "done", "{first}");
    assert_eq!(function.handler.handle(&schedule).await.unwrap(), first);
    assert_eq!(function.runs().await, 2);
    let error = function.handler.handle(&json!({ "key": "other/x" })).await.unwrap_err();
    assert!(error.message.contains("waits for `raw/d/**`"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_of_events_ends() {
    let function = Function::open(json!({ "on": ["outcomes/moody/d/*"], "max-depth": 3 })).await;
    let digest = "0".repeat(64);
    let record = json!({
        "stage": "moody", "resource": "d", "trigger": { "key": "t", "digest": digest }, "run-key": "r", "component": digest, "config": digest,
        "engines": "e", "as-of": "2013-01-01T00:00:00Z", "decision": "done", "reason": "", "findings": [], "result": {}, "outputs": [], "depth": 3,
    });
    let key = "outcomes/moody/d/x.json";
    function.store.create(key, record.to_string().into_bytes().into()).await.unwrap();
    assert!(function.failed(&[("loop", 1, put(key))]).await.is_empty());
    let letters = list_dead_letters(&function.store).await.unwrap();
    assert!(letters[0].message.contains("after 3 steps"), "{}", letters[0].message);
}

#[test]
fn a_program_refuses_another_stages_settings() {
    let node: NodeSettings = serde_json::from_value(json!({ "stage": "train", "resource": "m", "config": {} })).unwrap();
    let error = native_runner::<Moody>(&node).err().unwrap();
    assert!(
        error
            .message
            .contains("describes stage `train`, and this is the program of `moody`"),
        "{error}"
    );
}
