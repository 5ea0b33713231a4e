//! Where a case is run. Everywhere the run goes through [`Attempt`] or through what a target builds on it, so that what is compared is
//! the outcome record itself.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use serde_json::json;
use tidemill_core::pipeline::NodeSettings;
use tidemill_core::{
    Digest, Error, Trigger,
    record::{OutcomeRecord, RunRecord},
    time::parse_as_of,
    trigger_id,
};
use tidemill_harness::seaweedfs::{self, SeaweedFs};
use tidemill_host::{RunHost, Runner, Store};
use tidemill_lambda::{ComponentRunner, Handler, StageEnvironment, stage_runner};
use tidemill_run::{Attempt, Ledger, RunReport, list_dead_letters};
use tidemill_tests::{small, spin};
use tokio::{runtime::Handle, task::spawn_blocking};

use super::{
    application::{Application, STAGES},
    case::{Case, Observed},
};

/// Deliveries after which a function gives an event up: what fails is decided at once.
const TRIES: u32 = 30;

/// Where a stage runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Native,
    Component,
    Bucket,
    Lambda,
    LambdaComponent,
    Spin,
}

impl Target {
    pub(crate) const ALL: [Self; 6] = [
        Self::Native,
        Self::Component,
        Self::Bucket,
        Self::Lambda,
        Self::LambdaComponent,
        Self::Spin,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Component => "`tidemill up`",
            Self::Bucket => "over S3",
            Self::Lambda => "Lambda",
            Self::LambdaComponent => "Lambda, component",
            Self::Spin => "Spin",
        }
    }

    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Native => "the stage's function called as Rust, over a folder",
            Self::Component => "the stage's component in wasmtime, over a folder",
            Self::Bucket => "the same component over a bucket of SeaweedFS",
            Self::Lambda => "the native handler, caused by a message of SQS that holds S3's event",
            Self::LambdaComponent => "the generic program that runs components, caused likewise",
            Self::Spin => {
                "what `tidemill deploy spin` composes, under wasmtime's own command over a bucket, caused by S3's event at `/events`"
            }
        }
    }

    /// Whether the stage runs there at all.
    pub(crate) fn runs(self, stage: &str) -> bool {
        self != Self::Spin || STAGES.contains(&stage)
    }

    fn is_native(self) -> bool {
        matches!(self, Self::Native | Self::Lambda)
    }
}

/// The targets that can be tried on this machine. Where `CI` is set, all of them must.
pub(crate) struct Targets {
    components: Option<PathBuf>,
    bucket: Option<(SeaweedFs, tempfile::TempDir)>,
    buckets: AtomicU32,
    spin: Option<Application>,
}

impl Targets {
    pub(crate) fn available() -> Result<Self> {
        let components = std::env::var_os("TIDEMILL_COMPONENTS").map(PathBuf::from);
        let bucket = match seaweedfs::find_program() {
            Some(program) => {
                let folder = tempfile::tempdir()?;
                let started = std::thread::scope(|scope| scope.spawn(|| SeaweedFs::start(&program, folder.path(), None)).join());
                Some((started.map_err(|_| anyhow::anyhow!("the server's start panicked"))??, folder))
            }
            None => None,
        };
        let here = Self {
            components,
            bucket,
            buckets: AtomicU32::new(0),
            spin: spin::find_tools().map(Application::compile).transpose()?,
        };
        ensure!(
            here.are_complete() || std::env::var_os("CI").is_none(),
            "TIDEMILL_COMPONENTS or TIDEMILL_WEED is not set: run `cargo xtask test`"
        );
        Ok(here)
    }

    pub(crate) fn are_complete(&self) -> bool {
        self.components.is_some() && self.bucket.is_some() && self.spin.is_some()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Target> {
        let has = |target: &Target| match target {
            Target::Bucket => self.components.is_some() && self.bucket.is_some(),
            Target::Spin => self.spin.is_some() && self.bucket.is_some(),
            other => other.is_native() || self.components.is_some(),
        };
        Target::ALL.into_iter().filter(has)
    }

    /// Runs the case there, over a store with its objects and nothing else.
    pub(crate) async fn run(&self, target: Target, case: &Case) -> Result<Observed> {
        let folder = tempfile::tempdir()?;
        let prefix = format!("case-{}", self.buckets.fetch_add(1, Ordering::SeqCst));
        let store = match &self.bucket {
            Some((weed, _)) if matches!(target, Target::Bucket | Target::Spin) => weed.store(&prefix)?,
            _ => Store::local(&folder.path().join("store"))?,
        };
        for (key, bytes) in case.objects()? {
            store.create(key, bytes.into()).await?;
        }
        let bytes = match &self.components {
            Some(components) => std::fs::read(components.join(format!("tidemill_{}.wasm", case.stage)))?,
            // Something has to stand for it in the record.
            None => case.stage.clone().into_bytes(),
        };
        let component = format!("components/{}", Digest::sha256(&bytes));
        let settings = case.settings(&component)?;
        if let (Target::Spin, Some(application), Some((weed, _))) = (target, &self.spin, &self.bucket) {
            return application.run(case, settings, store, &prefix, weed).await;
        }
        let runner = if target.is_native() {
            stage_runner(&settings)
        } else {
            store.create(&component, bytes.into()).await?;
            compile(&settings, &store).await
        };
        let runner = match runner {
            Ok(runner) => runner,
            Err(error) => return Ok(observe_error(error)),
        };
        match target {
            Target::Native | Target::Component | Target::Bucket => run_directly(case, settings, store, runner, folder.path()).await,
            Target::Lambda | Target::LambdaComponent | Target::Spin => invoke_handler(case, settings, store, runner).await,
        }
    }
}

fn observe_error(error: Error) -> Observed {
    Observed {
        ended: Err(error),
        reads: Vec::new(),
    }
}

/// The component, compiled once whatever the case.
async fn compile(settings: &NodeSettings, store: &Store) -> tidemill_core::Result<Arc<dyn Runner>> {
    let (settings, store, handle) = (settings.clone(), store.clone(), Handle::current());
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let opened = spawn_blocking(move || ComponentRunner::open(&settings, &store, &handle, &cache)).await;
    Ok(Arc::new(opened.map_err(|e| Error::bug(e.to_string()))??))
}

/// One attempt, as the flow makes it.
async fn run_directly(case: &Case, settings: NodeSettings, store: Store, runner: Arc<dyn Runner>, folder: &Path) -> Result<Observed> {
    let node = settings.to_node();
    let bytes = store.get(&case.trigger).await?;
    let trigger = Trigger {
        key: case.trigger.clone(),
        digest: Digest::sha256(&bytes),
    };
    // A chain goes on with its own count of steps.
    let depth = serde_json::from_slice::<OutcomeRecord>(&bytes).map_or(0, |record| record.depth);
    let attempt = Attempt::new(
        &node,
        runner.component_digest(&node)?,
        trigger.clone(),
        parse_as_of(&case.trigger, &bytes),
        depth,
    );
    let host = RunHost::for_attempt(&attempt, store.clone(), small::sql(folder)?, None);
    let (result, recorded, _) = spawn_blocking(move || runner.run(&node, &trigger, host)).await?;
    let reads = recorded.reads.clone();
    let ran = RunReport {
        started: Timestamp::UNIX_EPOCH,
        result,
        accesses: recorded,
        duration_ms: 0,
        memory_bytes: 0,
        attempt: 1,
        environment: BTreeMap::new(),
    };
    let ledger = Ledger::new(store);
    let ended = match attempt.finish(&ledger, ran).await {
        Ok(record) => ledger.settle(record).await,
        Err(error) => Err(error),
    };
    Ok(Observed { ended, reads })
}

/// As a function is called. It gives an event that fails up at once, so that the error stands in a dead letter.
async fn invoke_handler(case: &Case, settings: NodeSettings, store: Store, runner: Arc<dyn Runner>) -> Result<Observed> {
    let id = {
        let digest = Digest::sha256(&store.get(&case.trigger).await?);
        trigger_id(&settings.stage, &settings.resource, &case.trigger, &digest)
    };
    let (stage, resource) = (settings.stage.clone(), settings.resource.clone());
    let handler = Handler::new(
        StageEnvironment {
            store: String::new(),
            node: settings,
            memory_bytes: 1 << 30,
        },
        store.clone(),
        runner,
    )?;
    let record = json!({ "eventVersion": "2.1", "eventName": "ObjectCreated:Put", "s3": { "bucket": { "name": "tide" }, "object": { "key": case.trigger.replace('/', "%2F") } } });
    let message = json!({ "messageId": "m", "eventSource": "aws:sqs", "body": json!({ "Records": [record] }).to_string(), "attributes": { "ApproximateReceiveCount": TRIES.to_string() } });
    let answer = handler.handle(&json!({ "Records": [message] })).await?;
    ensure!(answer["batchItemFailures"] == json!([]), "the event was given back: {answer}");
    observe_store(&store, &stage, &resource, &id)
        .await?
        .context("neither an outcome nor a dead letter stands")
}

/// What a run left in the store; `None` where it is to come again.
pub(crate) async fn observe_store(store: &Store, stage: &str, resource: &str, id: &str) -> Result<Option<Observed>> {
    let run = store.get(&format!("runs/{stage}/{resource}/{id}.json")).await?;
    let run: RunRecord = serde_json::from_slice(&run)?;
    let ended = match Ledger::new(store.clone()).find(stage, resource, id).await? {
        Some(record) => Some(Ok(record)),
        None => list_dead_letters(store)
            .await?
            .into_iter()
            .next()
            .map(|letter| Err(Error::new(letter.kind, letter.message))),
    };
    Ok(ended.map(|ended| Observed { ended, reads: run.reads }))
}
