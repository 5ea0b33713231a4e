//! The flow end to end with stages in plain Rust: the same outcomes whatever is delivered twice, shuffled, lost or killed.
//!
//! The pipeline is two added stages in a row behind `raw/`, so that no component and no model is needed.
#![allow(
    clippy::unwrap_used,
    reason = "the whole file is a test; clippy takes only the `#[test]` functions for one"
)]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tidemill_core::{Digest, Error, Host, ObjectsExt, Outcome, Result, Trigger, pipeline::Node, project::Project, record::OutcomeRecord};
use tidemill_flow::{Flow, FlowOptions, FlowSetup};
use tidemill_host::{RunHost, Runner, SqlEngine, SqlOptions, Usage};
use tidemill_run::{AccessLog, Ledger, NoPredictions, drop_dead_letter, list_dead_letters, retry_dead_letter};
use tidemill_store::Store;
use tidemill_worker::Redelivery;

const CHAIN: &str = r#"
    [project]
    name = "chain"
    max-depth = 6
    [[stage]]
    name = "double"
    component = "double.wasm"
    on = "numbers/**"
    reads = ["numbers/**"]
    writes = ["doubled/**"]
    [[stage]]
    name = "sum"
    component = "sum.wasm"
    on = "outcomes/double/double/*"
    reads = ["doubled/**"]
    writes = ["sums/**"]
    [[stage]]
    name = "mirror"
    component = "mirror.wasm"
    on = "doubled/**"
    reads = ["doubled/**"]
    writes = ["mirrored/**"]
"#;

/// Runs stages by name; counts runs; fails as told.
#[derive(Default)]
struct Plain {
    runs: AtomicU32,
    /// Fails transiently so many times.
    stumbles: AtomicU32,
    broken: Mutex<bool>,
    order: Mutex<Vec<String>>,
}

impl Plain {
    fn outcome(&self, node: &Node, trigger: &Trigger, host: &dyn Host) -> Result<Outcome> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.order.lock().unwrap().push(node.stage.clone());
        if self
            .stumbles
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
            .is_ok()
        {
            return Err(Error::transient("the window before is missing"));
        }
        let objects = host.objects();
        let run = &host.context().run_key;
        match node.stage.as_str() {
            "double" => {
                if *self.broken.lock().unwrap() {
                    return Err(Error::input("`x` is not a number"));
                }
                let text = String::from_utf8_lossy(&objects.get(&trigger.key)?).into_owned();
                let number: i64 = text.trim().parse().map_err(|_| Error::input(format!("`{text}` is not a number")))?;
                let key = format!("doubled/{run}.txt");
                objects.create_immutable(&key, (2 * number).to_string().as_bytes())?;
                Ok(Outcome::done("doubled", &key))
            }
            "sum" => {
                let earlier: OutcomeRecord = objects.get_json(&trigger.key)?;
                let text = objects.get(earlier.result.as_str().unwrap_or_default())?;
                objects.create_immutable(&format!("sums/{run}.txt"), &text)?;
                Ok(Outcome::done("summed", &String::from_utf8_lossy(&text).into_owned()))
            }
            _ => Ok(Outcome::done("mirrored", &trigger.key)),
        }
    }
}

impl Runner for Plain {
    fn run(&self, node: &Node, trigger: &Trigger, host: RunHost) -> (Result<Outcome>, AccessLog, Usage) {
        let result = self.outcome(node, trigger, &host);
        (result, host.finish(), Usage::default())
    }
    fn component_digest(&self, node: &Node) -> Result<Digest> {
        assert!(!node.component.is_empty(), "{node:?}");
        Ok(Digest::sha256(node.component.as_bytes()))
    }
}

fn sql() -> SqlEngine {
    SqlEngine::new(SqlOptions {
        cache_dir: std::env::temp_dir().join("tidemill-flow-tests"),
        memory_bytes: 1 << 28,
        threads: 1,
        timeout: Duration::from_secs(10),
    })
    .unwrap()
}

fn setup(text: &str, store: &Store, runner: &Arc<Plain>, options: FlowOptions) -> FlowSetup {
    let pipeline = Project::parse(text, &|path| Err(Error::not_found(path.to_owned())))
        .unwrap()
        .pipeline;
    FlowSetup {
        pipeline: Arc::new(pipeline),
        store: store.clone(),
        sql: sql(),
        runner: runner.clone(),
        windows: Arc::new(NoPredictions),
        options,
    }
}

async fn start(text: &str, store: &Store, runner: &Arc<Plain>, options: FlowOptions) -> Flow {
    Flow::start(setup(text, store, runner, options)).await.unwrap()
}

fn options(queue: Option<PathBuf>) -> FlowOptions {
    FlowOptions {
        poll_interval: Duration::from_millis(200),
        queue_path: queue,
        ..FlowOptions::default()
    }
}

async fn quiet(flow: &Flow) {
    tokio::time::timeout(Duration::from_secs(30), flow.wait_idle())
        .await
        .expect("the flow came to rest")
        .unwrap();
}

/// Every object that must not depend on how it came about.
async fn snapshot(store: &Store) -> BTreeMap<String, Digest> {
    let mut found = BTreeMap::new();
    for prefix in ["outcomes/", "doubled/", "sums/", "dead/"] {
        for meta in store.list(prefix, None, 10_000).await.unwrap() {
            let bytes = store.get(&meta.key).await.unwrap();
            found.insert(meta.key, Digest::sha256(&bytes));
        }
    }
    found
}

async fn expected(numbers: u32) -> BTreeMap<String, Digest> {
    let (store, runner) = (Store::memory(), Arc::new(Plain::default()));
    let flow = start(CHAIN, &store, &runner, options(None)).await;
    put(&flow, numbers).await;
    quiet(&flow).await;
    flow.stop().await.unwrap();
    assert_eq!(runner.runs.load(Ordering::SeqCst), 3 * numbers);
    snapshot(&store).await
}

async fn put(flow: &Flow, numbers: u32) {
    for n in 0..numbers {
        flow.put(&format!("numbers/{n}.txt"), n.to_string().into_bytes()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_runs_down_the_chain() {
    let found = expected(3).await;
    assert_eq!(found.keys().filter(|key| key.starts_with("outcomes/")).count(), 9);
    assert_eq!(found.keys().filter(|key| key.starts_with("sums/")).count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_and_disorder_change_nothing() {
    let expected = expected(8).await;
    for seed in 0..3 {
        let (store, runner) = (Store::memory(), Arc::new(Plain::default()));
        let setup = setup(CHAIN, &store, &runner, options(None));
        let flow = Flow::start_with(setup, |source| Redelivery::new(Arc::new(source), 3, seed))
            .await
            .unwrap();
        put(&flow, 8).await;
        quiet(&flow).await;
        flow.stop().await.unwrap();
        assert_eq!(snapshot(&store).await, expected, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_files_are_found_also_those_of_the_time_down() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::local(folder.path()).unwrap();
    let drop_file = |name: &str, text: &str| {
        std::fs::create_dir_all(folder.path().join("numbers")).unwrap();
        std::fs::write(folder.path().join("numbers").join(name), text).unwrap();
    };
    drop_file("0.txt", "0");
    let runner = Arc::new(Plain::default());
    let flow = start(CHAIN, &store, &runner, options(None)).await;
    drop_file("1.txt", "1");
    drop_file(".hidden.txt", "not a number");
    drop_file("2.txt.part", "not a number");
    quiet(&flow).await;
    drop_file("2.txt", "2");
    quiet(&flow).await;
    flow.stop().await.unwrap();
    assert_eq!(snapshot(&store).await, expected(3).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_queue_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let queue = folder.path().join("queue.redb");
    let (store, runner) = (Store::memory(), Arc::new(Plain::default()));
    let flow = start(CHAIN, &store, &runner, options(Some(queue.clone()))).await;
    put(&flow, 5).await;
    // Stopped at once: some of the chain is not made yet.
    flow.stop().await.unwrap();
    drop(flow);
    std::fs::remove_file(&queue).unwrap();
    let flow = start(CHAIN, &store, &runner, options(Some(queue))).await;
    quiet(&flow).await;
    flow.stop().await.unwrap();
    assert_eq!(snapshot(&store).await, expected(5).await);
    assert_eq!(runner.runs.load(Ordering::SeqCst), 15, "nothing ran twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn transient_errors_are_tried_again() {
    let (store, runner) = (Store::memory(), Arc::new(Plain::default()));
    runner.stumbles.store(3, Ordering::SeqCst);
    let flow = start(CHAIN, &store, &runner, options(None)).await;
    put(&flow, 1).await;
    quiet(&flow).await;
    flow.stop().await.unwrap();
    assert_eq!(snapshot(&store).await, expected(1).await);
    assert_eq!(runner.runs.load(Ordering::SeqCst), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dead_can_be_tried_again_and_dropped() {
    let (store, runner) = (Store::memory(), Arc::new(Plain::default()));
    *runner.broken.lock().unwrap() = true;
    let flow = start(CHAIN, &store, &runner, options(None)).await;
    put(&flow, 2).await;
    quiet(&flow).await;
    let letters = list_dead_letters(&store).await.unwrap();
    assert_eq!((letters.len(), flow.status().await.unwrap().dead), (2, 2));
    assert_eq!(letters[0].message, "`x` is not a number");
    assert!(Ledger::new(store.clone()).list_outcomes(None, None).await.unwrap().is_empty());

    drop_dead_letter(&store, &letters[0]).await.unwrap();
    *runner.broken.lock().unwrap() = false;
    retry_dead_letter(&store, &letters[1]).await.unwrap();
    quiet(&flow).await;
    assert_eq!(flow.status().await.unwrap().dead, 0);
    let outcomes = Ledger::new(store.clone()).list_outcomes(Some("double"), None).await.unwrap();
    assert_eq!(outcomes.iter().map(|o| &o.trigger).collect::<Vec<_>>(), [&letters[1].trigger]);
    flow.stop().await.unwrap();
    // A dropped one stays dropped at the next start.
    let flow = start(CHAIN, &store, &runner, options(None)).await;
    quiet(&flow).await;
    assert_eq!(
        Ledger::new(store.clone()).list_outcomes(Some("double"), None).await.unwrap().len(),
        1
    );
    flow.stop().await.unwrap();
}

/// Whoever looks while a dead letter is brought back sees it as dead, or as not at rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_letter_on_its_way_back_is_never_out_of_sight() {
    let folder = tempfile::tempdir().unwrap();
    let (store, runner) = (Store::local(&folder.path().join("store")).unwrap(), Arc::new(Plain::default()));
    *runner.broken.lock().unwrap() = true;
    let flow = start(CHAIN, &store, &runner, options(Some(folder.path().join("queue.redb")))).await;
    put(&flow, 1).await;
    quiet(&flow).await;
    let patience = std::time::Instant::now() + Duration::from_secs(60);
    for runs in 2..=40 {
        retry_dead_letter(&store, &list_dead_letters(&store).await.unwrap()[0])
            .await
            .unwrap();
        loop {
            assert!(std::time::Instant::now() < patience, "it never came back");
            let ran = runner.runs.load(Ordering::SeqCst);
            let status = flow.status().await.unwrap();
            assert!(!status.quiet || status.dead == 1, "{status:?}");
            if status.quiet && ran == runs {
                break;
            }
        }
    }
    flow.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_ends_in_a_dead_letter_that_names_it() {
    // `check` refuses this chain; a flow is given it all the same, as if a pattern had slipped through.
    let mut pipeline = Project::parse(CHAIN, &|path| Err(Error::not_found(path.to_owned())))
        .unwrap()
        .pipeline;
    for node in &mut pipeline.nodes {
        if node.stage == "mirror" {
            node.on = vec!["outcomes/mirror/mirror/*".into(), "numbers/**".into()];
        }
    }
    let (store, runner) = (Store::memory(), Arc::new(Plain::default()));
    let flow = Flow::start(FlowSetup {
        pipeline: Arc::new(pipeline),
        store: store.clone(),
        sql: sql(),
        runner: runner.clone(),
        windows: Arc::new(NoPredictions),
        options: options(None),
    })
    .await
    .unwrap();
    put(&flow, 1).await;
    quiet(&flow).await;
    flow.stop().await.unwrap();
    let letters = list_dead_letters(&store).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert!(
        letters[0].message.contains("a loop through mirror:mirror"),
        "{}",
        letters[0].message
    );
}

const STEPS: [&str; 7] = [
    "queue-put",
    "before-run",
    "after-run",
    "before-commit",
    "after-commit",
    "after-route",
    "ack",
];

/// Not a test of its own: the process that the next one kills.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Ok(folder) = std::env::var("TIDEMILL_TEST_STORE") else { return };
    let folder = Path::new(&folder);
    let (store, runner) = (Store::local(&folder.join("store")).unwrap(), Arc::new(Plain::default()));
    let flow = start(CHAIN, &store, &runner, options(Some(folder.join("queue.redb")))).await;
    let numbers = std::env::var("TIDEMILL_TEST_NUMBERS").map_or(3, |numbers| numbers.parse().unwrap());
    put(&flow, numbers).await;
    quiet(&flow).await;
    flow.stop().await.unwrap();
}

/// The failpoint that ends the process when a step is passed for the given time.
fn kill_at(step: &str, times: u32) -> String {
    match times {
        1 => format!("{step}=return"),
        times => format!("{step}={}*off->return", times - 1),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_it_ends_the_same() {
    let expected = expected(3).await;
    let program = std::env::current_exe().unwrap();
    let run = |folder: &Path, kill: Option<String>| {
        let mut command = std::process::Command::new(&program);
        command.args(["--exact", "child", "--quiet"]).env("TIDEMILL_TEST_STORE", folder);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        command.env_remove("FAILPOINTS");
        if let Some(kill) = kill {
            command.env("FAILPOINTS", kill);
        }
        command.status().unwrap()
    };
    for step in STEPS {
        for times in [1, 2, 5] {
            let folder = tempfile::tempdir().unwrap();
            let killed = run(folder.path(), Some(kill_at(step, times)));
            assert!(!killed.success(), "{step}:{times} did not kill");
            assert!(run(folder.path(), None).success(), "{step}:{times}");
            let store = Store::local(&folder.path().join("store")).unwrap();
            assert_eq!(snapshot(&store).await, expected, "{step}:{times}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_the_process_twice_is_a_dead_letter_at_the_third_start() {
    let folder = tempfile::tempdir().unwrap();
    let run = |kill: Option<&str>| {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "child", "--quiet"])
            .env("TIDEMILL_TEST_STORE", folder.path());
        command.env("TIDEMILL_TEST_NUMBERS", "1").env_remove("FAILPOINTS");
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        command.envs(kill.map(|kill| ("FAILPOINTS", kill)));
        command.status().unwrap().success()
    };
    assert!(!run(Some("before-run=return")) && !run(Some("before-run=return")));
    assert!(run(Some("before-run=return")), "the third start runs nothing");
    let store = Store::local(&folder.path().join("store")).unwrap();
    let letters = list_dead_letters(&store).await.unwrap();
    let messages: Vec<&str> = letters.iter().map(|letter| letter.message.as_str()).collect();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0].contains("2 deliveries of this event to double:double"), "{messages:?}");
    for letter in &letters {
        retry_dead_letter(&store, letter).await.unwrap();
    }
    assert!(run(None));
    assert_eq!(snapshot(&store).await, expected(1).await);
}
