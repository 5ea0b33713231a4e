//! A case on Spin: the composed component of its stage under wasmtime's own command, over a bucket, caused by an event at `/events`.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tidemill_core::pipeline::NodeSettings;
use tidemill_core::{Digest, Error, record::RunRecord, trigger_id};
use tidemill_deploy::spin::compose::compose;
use tidemill_harness::seaweedfs::{BUCKET, SeaweedFs};
use tidemill_host::Store;
use tidemill_tests::spin::{self, Host, Tools};

use super::{
    case::{Case, Observed},
    targets::observe_store,
};

/// The stages that ask no SQL.
pub(crate) const STAGES: [&str; 3] = ["collect", "register", "retrain"];

/// The composed components, compiled for wasmtime's command.
pub(crate) struct Application {
    tools: Tools,
    compiled: tempfile::TempDir,
}

impl Application {
    pub(crate) fn compile(tools: Tools) -> Result<Self> {
        let compiled = tempfile::tempdir()?;
        for stage in STAGES {
            let whole = compose(&tools.compose_chain(&[stage])?, &[&tools.component("spin_environment")?])?;
            spin::precompile(&tools, &whole, &compiled.path().join(format!("{stage}.cwasm")))?;
        }
        Ok(Self { tools, compiled })
    }

    /// As a bucket's server tells an application on Spin. There what may pass is given back to the sender every time, with its reason.
    pub(crate) async fn run(&self, case: &Case, settings: NodeSettings, store: Store, prefix: &str, weed: &SeaweedFs) -> Result<Observed> {
        let id = trigger_id(
            &settings.stage,
            &settings.resource,
            &case.trigger,
            &Digest::sha256(&store.get(&case.trigger).await?),
        );
        let folder = tempfile::tempdir()?;
        let component = self.compiled.path().join(format!("{}.cwasm", settings.stage));
        let told = json!({ "datasets": [], "nodes": [&settings] }).to_string();
        let key = format!("{prefix}/{}", case.trigger).replace('/', "%2F");
        let record = json!({ "eventVersion": "2.1", "eventName": "ObjectCreated:Put", "s3": { "bucket": { "name": BUCKET }, "object": { "key": key } } });
        let event = json!({ "Records": [record] }).to_string();
        let (status, said) = std::thread::scope(|scope| {
            let asked = scope.spawn(|| {
                let host = Host::serve_file(&self.tools, folder.path(), weed, prefix, &told, &component)?;
                spin::send_request(&host.address(), "POST", "/events", &[("content-type", "application/json")], &event)
            });
            asked.join().map_err(|_| anyhow::anyhow!("asking panicked"))?
        })?;
        if let Some(seen) = observe_store(&store, &settings.stage, &settings.resource, &id).await? {
            ensure!(status == 200, "what is settled was given back: {status} {said}");
            return Ok(seen);
        }
        ensure!(status == 503, "what may pass was not given back: {status} {said}");
        let answer: serde_json::Value = serde_json::from_str(&said)?;
        let message = answer["error"].as_str().context("an answer says what is wrong")?;
        let message = message.strip_prefix(&format!("`{}`: ", case.trigger)).unwrap_or(message);
        let run = store
            .get(&format!("runs/{}/{}/{id}.json", settings.stage, settings.resource))
            .await?;
        let run: RunRecord = serde_json::from_slice(&run)?;
        Ok(Observed {
            ended: Err(Error::transient(message)),
            reads: run.reads,
        })
    }
}
