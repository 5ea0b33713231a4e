//! A deployed project: a bucket, a queue before each function, and the event source mapping between them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use serde_json::{Value, json};
use tidemill_core::{
    Digest, Error, layout,
    pipeline::{
        NodeSettings, Pipeline,
        deployment::{CoordinatorSettings, ServingConfig},
    },
    project::Project,
};
use tidemill_host::Store;
use tokio::runtime::Runtime;

use super::{
    Emulators,
    aws::{Aws, Queue, REGION},
};

/// The bucket. The store is a prefix in it.
pub const BUCKET: &str = "tidemill-demo";
const PREFIX: &str = "flights/";
/// Deliveries after which an item goes to the dead-letter queue.
const MAX_DELIVERIES: u64 = 40;
/// Stages whose events come by EventBridge; the others' come from S3 directly.
const EVENTBRIDGE_STAGES: [&str; 4] = ["featurize", "register", "monitor", "retrain"];

/// Counts of events and their messages.
#[derive(Debug, Default, Clone)]
pub struct DeliveryCounts {
    /// Invocations of functions by events.
    pub invocations: u64,
    /// Handled messages by function.
    pub messages: BTreeMap<String, u64>,
    /// Messages that were returned to their queue at least once.
    pub retried: u64,
    /// Messages that ended in a dead-letter queue.
    pub dead: u64,
}

struct DeployedFunction {
    name: String,
    queue: Queue,
}

/// A project on emulators.
pub struct Deployment {
    /// Its store, in the bucket.
    pub store: Store,
    /// Runs the futures of the store.
    pub runtime: Runtime,
    /// The counts so far.
    pub counts: DeliveryCounts,
    emulators: Emulators,
    aws: Aws,
    functions: Vec<DeployedFunction>,
}

/// The programs, the components and the emulators.
pub struct Programs {
    /// The folder with `tidemill-lambda`, `tidemill-component` and `tidemill-predict`.
    pub functions: PathBuf,
    /// The folder with `tidemill_<stage>.wasm`.
    pub components: PathBuf,
    /// `moto_server`.
    pub moto: PathBuf,
    /// `cargo-lambda`.
    pub cargo_lambda: PathBuf,
}

impl Deployment {
    /// Starts the emulators at `endpoint`, which the environment must name too, for the store, and deploys the project in `project`.
    pub fn deploy(folder: &Path, endpoint: &str, programs: &Programs, project: &Path) -> Result<Self> {
        let pipeline = pipeline(project)?;
        let name_of = |stage: &str, resource: &str| format!("{stage}-{resource}");
        let mut names: Vec<String> = pipeline.nodes.iter().map(|node| name_of(&node.stage, &node.resource)).collect();
        names.extend(["coordinator".to_owned(), "predict".to_owned()]);
        let emulators = Emulators::start(folder, endpoint, &programs.moto, &programs.cargo_lambda, &names)?;
        let aws = Aws::new(endpoint);
        aws.create_bucket(BUCKET)?;
        let mut cloud = Self {
            store: Store::open(&format!("s3://{BUCKET}/{PREFIX}"))?,
            runtime: Runtime::new()?,
            counts: DeliveryCounts::default(),
            emulators,
            aws,
            functions: Vec::new(),
        };
        let mut direct: Vec<(String, usize)> = Vec::new();
        for node in &pipeline.nodes {
            let name = name_of(&node.stage, &node.resource);
            let mut settings = NodeSettings::new(&pipeline, node);
            settings.component = Some(cloud.upload_component(&programs.components, &node.stage)?);
            let (prefixes, config) = (settings.event_prefixes(), serde_json::to_value(&settings)?);
            let program = if node.policy().requires_component {
                "tidemill-component"
            } else {
                "tidemill-lambda"
            };
            let bridged = EVENTBRIDGE_STAGES.contains(&node.stage.as_str());
            direct.extend(cloud.deploy_function(&name, &programs.functions.join(program), &config, &prefixes, bridged)?);
        }
        let kept = CoordinatorSettings::from_pipeline(&pipeline);
        let program = programs.functions.join("tidemill-lambda");
        direct.extend(cloud.deploy_function(
            "coordinator",
            &program,
            &serde_json::to_value(&kept)?,
            &kept.event_prefixes(),
            false,
        )?);
        let serving = serde_json::to_value(ServingConfig::from_pipeline(&pipeline))?;
        cloud.start("predict", &programs.functions.join("tidemill-predict"), &serving)?;
        let queues: Vec<(String, &Queue)> = direct
            .iter()
            .map(|(prefix, n)| (prefix.clone(), &cloud.functions[*n].queue))
            .collect();
        cloud.aws.set_notifications(BUCKET, &queues)?;
        Ok(cloud)
    }

    /// Stores a stage's component, as a deployment does; returns its key.
    fn upload_component(&self, folder: &Path, stage: &str) -> Result<String> {
        let file = folder.join(format!("tidemill_{stage}.wasm"));
        let bytes = std::fs::read(&file).with_context(|| format!("there is no component {}", file.display()))?;
        let key = layout::component(&Digest::sha256(&bytes));
        self.runtime.block_on(self.store.create(&key, bytes.into()))?;
        Ok(key)
    }

    fn start(&mut self, name: &str, program: &Path, config: &Value) -> Result<()> {
        self.emulators
            .start_function(name, program, &[], &format!("s3://{BUCKET}/{PREFIX}"), config)
    }

    /// Starts a function with its queue; returns the prefixes whose events the bucket must send there.
    fn deploy_function(
        &mut self,
        name: &str,
        program: &Path,
        config: &Value,
        prefixes: &[String],
        bridged: bool,
    ) -> Result<Vec<(String, usize)>> {
        let queue = self.aws.create_queue(name)?;
        let whole: Vec<String> = prefixes.iter().map(|prefix| format!("{PREFIX}{prefix}")).collect();
        if bridged {
            self.aws.create_rule(name, BUCKET, &whole, &queue)?;
        }
        self.start(name, program, config)?;
        self.functions.push(DeployedFunction {
            name: name.to_owned(),
            queue,
        });
        let at = self.functions.len() - 1;
        Ok(if bridged {
            Vec::new()
        } else {
            whole.into_iter().map(|prefix| (prefix, at)).collect()
        })
    }

    /// Writes an object.
    pub fn put(&self, key: &str, bytes: impl Into<Bytes>) -> Result<()> {
        self.runtime.block_on(self.store.create(key, bytes.into()))?;
        Ok(())
    }

    /// Sends a message to a function's queue.
    pub fn send(&self, function: &str, body: &str) -> Result<()> {
        let deployed = self.functions.iter().find(|deployed| deployed.name == function);
        self.aws
            .send(&deployed.with_context(|| format!("there is no function `{function}`"))?.queue, body)
    }

    /// The function URL of `predict`.
    pub fn url(&self) -> String {
        format!("http://{}/lambda-url/predict", self.emulators.lambda)
    }

    /// Delivers messages to functions until the queues are empty.
    pub fn run_until_idle(&mut self) -> Result<()> {
        let patience = Instant::now() + Duration::from_secs(3600);
        loop {
            ensure!(Instant::now() < patience, "the functions did not come to rest within an hour");
            let mut moved = false;
            for n in 0..self.functions.len() {
                moved |= self.deliver(n)?;
            }
            if moved {
                continue;
            }
            let mut waiting = 0;
            for deployed in &self.functions {
                waiting += self.aws.message_count(&deployed.queue)?;
            }
            if waiting == 0 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// One step of an event source mapping: sends a batch to the function and returns failed messages to the queue.
    fn deliver(&mut self, n: usize) -> Result<bool> {
        let DeployedFunction { name, queue } = &self.functions[n];
        let messages = self.aws.receive(queue)?;
        if messages.is_empty() {
            return Ok(false);
        }
        let records: Vec<Value> = messages.iter().map(|message| sqs_record(message, queue)).collect();
        let answer = self.emulators.invoke(name, &json!({ "Records": records }))?;
        self.counts.invocations += 1;
        let failed = answer["batchItemFailures"]
            .as_array()
            .with_context(|| format!("`{name}` answered {answer}"))?;
        let failed: BTreeSet<&str> = failed.iter().filter_map(|f| f["itemIdentifier"].as_str()).collect();
        for message in &messages {
            let receives = message["Attributes"]["ApproximateReceiveCount"]
                .as_str()
                .and_then(|n| n.parse::<u64>().ok());
            let receives = receives.unwrap_or(1);
            if !failed.contains(message["MessageId"].as_str().unwrap_or_default()) {
                self.aws.delete(queue, &message["ReceiptHandle"])?;
                *self.counts.messages.entry(name.clone()).or_default() += 1;
            } else if receives >= MAX_DELIVERIES || is_unreadable(message) && receives >= 3 {
                self.aws.delete(queue, &message["ReceiptHandle"])?;
                self.counts.dead += 1;
            } else {
                self.counts.retried += u64::from(receives == 1);
                self.aws.change_visibility(queue, &message["ReceiptHandle"], 1)?;
            }
        }
        Ok(true)
    }
}

/// Whether the message is one of the unreadable ones of this demo, which need fewer deliveries.
fn is_unreadable(message: &Value) -> bool {
    message["Body"]
        .as_str()
        .is_some_and(|body| serde_json::from_str::<Value>(body).is_err())
}

/// A message in the format of Lambda's events.
fn sqs_record(message: &Value, queue: &Queue) -> Value {
    json!({
        "messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"], "body": message["Body"], "attributes": message["Attributes"],
        "messageAttributes": {}, "md5OfBody": message["MD5OfBody"], "eventSource": "aws:sqs", "eventSourceARN": queue.arn, "awsRegion": REGION,
    })
}

/// The pipeline of a project's folder.
pub fn pipeline(project: &Path) -> Result<Pipeline> {
    let read = |path: &str| {
        let whole = project.join(path);
        std::fs::read_to_string(&whole).map_err(|e| Error::config(format!("`{}` cannot be read: {e}", whole.display())))
    };
    Ok(Project::parse(&read("tidemill.toml")?, &read)?.pipeline)
}
