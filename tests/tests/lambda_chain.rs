//! The small project's chain through Lambda's handlers: what `tidemill up` made of some days, the functions must make of the same days
//! from events alone, to the byte: with each event delivered twice, in shuffled batches, in changing wrappings, beside events that
//! cannot be read or are about other things.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidemill_core::{
    Digest,
    pipeline::{NodeSettings, deployment::CoordinatorSettings},
    project::Project,
};
use tidemill_harness::{server::Server, snapshot};
use tidemill_host::Store;
use tidemill_lambda::{CoordinatorEnvironment, CoordinatorHandler, Handler, StageEnvironment, stage_runner};
use tidemill_run::{Ledger, list_dead_letters};
use tidemill_tests::{small, trained};

const DAYS: u64 = 5;
/// Deliveries after which a queue gives an item to its dead-letter queue.
const MOST: u32 = 12;

#[test]
fn the_chain_by_events() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let project = small::project(folder.path())?;
    let server = Server::up(&tidemill, &project, &[])?;
    for day in 1..=DAYS {
        if server.champion("alarm")?.is_some() {
            let request = small::request(&format!("day-{day}"), &small::day(day)).to_string();
            let url = format!("{}/v2/models/alarm/infer", server.address);
            ureq::post(url).header("content-type", "application/json").send(request)?;
        }
        let file = folder.path().join(format!("day-{day}.csv"));
        std::fs::write(&file, small::csv(&small::day(day)))?;
        server.run_command(&["put", "readings", &file.to_string_lossy()])?;
        server.wait_for_decision("alarm", &format!("2024-01-{day:02}T00-00-00Z"))?;
    }
    server.stop()?;
    let expected = project.join(".tidemill/store");
    let found = folder.path().join("lambda");
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(play(&project, &expected, &found))?;
    let (expected, found) = (comparable(&expected)?, comparable(&found)?);
    ensure!(
        expected.keys().any(|key| key.starts_with("models/alarm/versions/2")),
        "the chain trained once only"
    );
    let difference = snapshot::diff(&expected, &found);
    ensure!(difference.is_empty(), "the stores differ: {difference:#?}");
    eprintln!("{} objects equal", found.len());
    Ok(())
}

/// All but the components: here the functions are programs of their own.
fn comparable(store: &Path) -> Result<BTreeMap<String, Digest>> {
    let mut all = snapshot::of_folder(store)?;
    all.retain(|key, _| !key.starts_with("components/"));
    Ok(all)
}

/// Brings the days, each time until nothing moves any more.
async fn play(project: &Path, expected: &Path, found: &Path) -> Result<()> {
    let mut cloud = Cloud::open(project, expected, found).await?;
    // What was predicted is filed by the days that it is about.
    trained::copy(&expected.join("predictions"), &found.join("predictions"))?;
    cloud.look().await?;
    for day in 1..=DAYS {
        let key = format!("raw/readings/day-{day}.csv");
        let bytes = std::fs::read(expected.join(&key)).with_context(|| key.clone())?;
        cloud.store.create(&key, bytes.into()).await?;
        // The third day comes with the fourth: both were predicted by the version before.
        if day != 3 {
            cloud.drain().await?;
        }
    }
    ensure!(cloud.unreadable > 0, "nothing had to be refused");
    eprintln!("{} times something waited for what was not there yet", cloud.waited);
    let letters = list_dead_letters(&cloud.store).await?;
    ensure!(letters.is_empty(), "{letters:?}");
    Ok(())
}

enum Function {
    Stage(Box<Handler>),
    Coordinator(CoordinatorHandler),
}

struct Deployed {
    name: String,
    function: Function,
    prefixes: Vec<String>,
    /// Message id, body, deliveries so far.
    queue: Vec<(String, String, u32)>,
}

/// The functions of a project, with a queue before each.
struct Cloud {
    store: Store,
    root: std::path::PathBuf,
    known: BTreeMap<String, Digest>,
    functions: Vec<Deployed>,
    random: u64,
    messages: u64,
    unreadable: usize,
    waited: usize,
}

impl Cloud {
    async fn open(project: &Path, expected: &Path, found: &Path) -> Result<Self> {
        let read = |path: &str| std::fs::read_to_string(project.join(path)).map_err(|e| tidemill_core::Error::config(e.to_string()));
        let pipeline = Project::parse(&read("tidemill.toml")?, &read)?.pipeline;
        let store = Store::local(found)?;
        let components = components(&Store::local(expected)?).await?;
        let mut functions = Vec::new();
        for node in &pipeline.nodes {
            let mut settings = NodeSettings::new(&pipeline, node);
            settings.component = components.get(&node.stage).cloned();
            let prefixes = settings.event_prefixes();
            let runner = stage_runner(&settings)?;
            let settings = StageEnvironment {
                store: String::new(),
                node: settings,
                memory_bytes: 1 << 30,
            };
            functions.push(Deployed {
                name: node.id(),
                function: Function::Stage(Box::new(Handler::new(settings, store.clone(), runner)?)),
                prefixes,
                queue: Vec::new(),
            });
        }
        let kept = CoordinatorSettings::from_pipeline(&pipeline);
        let prefixes = kept.event_prefixes();
        let coordinator = CoordinatorHandler::open(CoordinatorEnvironment {
            store: found.to_string_lossy().into_owned(),
            coordinator: kept,
        })?;
        functions.push(Deployed {
            name: "coordinator".into(),
            function: Function::Coordinator(coordinator),
            prefixes,
            queue: Vec::new(),
        });
        Ok(Self {
            store,
            root: found.to_owned(),
            known: BTreeMap::new(),
            functions,
            random: 11,
            messages: 0,
            unreadable: 0,
            waited: 0,
        })
    }

    fn chance(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % below as u64) as usize
    }

    /// Sends what is new in the store to the queues, as a bucket would: each event twice.
    async fn look(&mut self) -> Result<()> {
        let now = all(&self.root)?;
        let new: Vec<String> = now
            .iter()
            .filter(|(key, digest)| self.known.get(*key) != Some(digest))
            .map(|(key, _)| key.clone())
            .collect();
        self.known = now;
        for key in new {
            for n in 0..self.functions.len() {
                if self.functions[n].prefixes.iter().any(|prefix| key.starts_with(prefix)) {
                    for _ in 0..2 {
                        let body = wrapped(&key, self.chance(3));
                        self.send(n, body);
                    }
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, function: usize, body: String) {
        self.messages += 1;
        let at = self.chance(self.functions[function].queue.len() + 1);
        self.functions[function]
            .queue
            .insert(at, (format!("message-{}", self.messages), body, 0));
    }

    /// Until nothing is queued and nothing is new.
    async fn drain(&mut self) -> Result<()> {
        for n in 0..self.functions.len() {
            for noise in ["{", "{\"Event\":\"s3:TestEvent\",\"Bucket\":\"tide\"}"] {
                self.send(n, noise.to_owned());
            }
            self.send(n, wrapped("elsewhere/x.csv", 0));
        }
        self.look().await?;
        while self.functions.iter().any(|function| !function.queue.is_empty()) {
            for n in 0..self.functions.len() {
                self.deliver(n).await?;
                self.look().await?;
            }
        }
        Ok(())
    }

    async fn deliver(&mut self, n: usize) -> Result<()> {
        let size = 1 + self.chance(10);
        let function = &mut self.functions[n];
        let count = size.min(function.queue.len());
        let batch: Vec<_> = function
            .queue
            .drain(..count)
            .map(|(id, body, receives)| (id, body, receives + 1))
            .collect();
        if batch.is_empty() {
            return Ok(());
        }
        let records: Vec<Value> = batch
            .iter()
            .map(|(id, body, receives)| {
                json!({ "messageId": id, "body": body, "eventSource": "aws:sqs", "attributes": { "ApproximateReceiveCount": receives.to_string() } })
            })
            .collect();
        let payload = json!({ "Records": records });
        let answer = match &function.function {
            Function::Stage(handler) => handler.handle(&payload).await?,
            Function::Coordinator(coordinator) => coordinator.handle(&payload).await?,
        };
        let failed: BTreeSet<&str> = answer["batchItemFailures"]
            .as_array()
            .with_context(|| format!("{answer}"))?
            .iter()
            .filter_map(|f| f["itemIdentifier"].as_str())
            .collect();
        for (id, body, receives) in batch {
            let is_unreadable = body == "{";
            ensure!(
                !is_unreadable || failed.contains(id.as_str()),
                "an item that cannot be read was taken for handled"
            );
            if !failed.contains(id.as_str()) {
                continue;
            }
            ensure!(is_unreadable || receives < MOST, "{}: `{body}` never passes", function.name);
            self.unreadable += usize::from(is_unreadable);
            self.waited += usize::from(!is_unreadable);
            if receives < MOST {
                function.queue.push((id, body, receives));
            }
        }
        Ok(())
    }
}

/// `components/<digest>` by stage.
async fn components(store: &Store) -> Result<BTreeMap<String, String>> {
    let outcomes = Ledger::new(store.clone()).list_outcomes(None, None).await?;
    Ok(outcomes
        .into_iter()
        .map(|o| (o.stage, format!("components/{}", o.component)))
        .collect())
}

/// Every object; hidden files are the store's own.
fn all(root: &Path) -> Result<BTreeMap<String, Digest>> {
    let mut all = snapshot::of_folder(root)?;
    all.retain(|key, _| !key.split('/').any(|part| part.starts_with('.')));
    Ok(all)
}

/// The object's event, as S3 sends it, as EventBridge does, and within SNS.
fn wrapped(key: &str, how: usize) -> String {
    let record = json!({ "eventVersion": "2.1", "eventName": "ObjectCreated:Put", "s3": { "bucket": { "name": "tide" }, "object": { "key": key.replace('/', "%2F") } } });
    let s3 = json!({ "Records": [record] });
    match how {
        0 => s3.to_string(),
        1 => json!({ "detail-type": "Object Created", "source": "aws.s3", "detail": { "bucket": { "name": "tide" }, "object": { "key": key } } }).to_string(),
        _ => json!({ "Type": "Notification", "Message": s3.to_string() }).to_string(),
    }
}
