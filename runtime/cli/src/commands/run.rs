//! `tidemill run`: asks for a run by writing an object, as a schedule or a user would; a running flow makes it.
//!
//! A committed outcome is final. `--again` therefore brings the same content under a new key, which is a new trigger.

use anyhow::Context as _;
use clap::Args;
use jiff::{Timestamp, Unit};
use serde::Serialize;
use tidemill_core::{Digest, Error, PutResult, layout::matches, pipeline::Node, trigger_id};
use tidemill_host::{Ledger, Store};
use tidemill_run::{ScheduledEvent, list_dead_letters, retry_dead_letter, scheduled_event_key};

use crate::{
    output::{Output, with_hint},
    project::Project,
};

/// Asks for a run.
#[derive(Args)]
pub(crate) struct Run {
    /// The stage.
    stage: String,
    /// The dataset or model; for an added stage its own name.
    resource: String,
    /// The object that triggers it; without one the stage gets a tick.
    #[arg(long)]
    key: Option<String>,
    /// Although this object has an outcome: with today's component and configuration.
    #[arg(long, requires = "key")]
    again: bool,
    /// Goes into the record.
    #[arg(long, default_value = "asked by hand")]
    why: String,
}

#[derive(Serialize)]
struct Requested {
    key: String,
    message: String,
}

impl Run {
    pub(crate) async fn run(&self, project: &Project, output: Output) -> anyhow::Result<()> {
        let node = self.node(project)?;
        let store = project.open_store()?;
        let asked = match &self.key {
            None => self.tick(node, &store).await?,
            Some(key) => self.with_key(project, node, &store, key).await?,
        };
        output.print(&asked, |asked| format!("{}: {}", asked.message, asked.key))
    }

    fn node<'a>(&self, project: &'a Project) -> tidemill_core::Result<&'a Node> {
        project.pipeline.node(&self.stage, &self.resource).ok_or_else(|| {
            let all: Vec<String> = project
                .pipeline
                .nodes
                .iter()
                .map(|n| format!("`{} {}`", n.stage, n.resource))
                .collect();
            Error::not_found(format!(
                "there is no stage `{} {}`; there is {}",
                self.stage,
                self.resource,
                all.join(", ")
            ))
        })
    }

    async fn tick(&self, node: &Node, store: &Store) -> anyhow::Result<Requested> {
        let now = Timestamp::now().round(Unit::Second).unwrap_or_else(|_| Timestamp::now());
        let key = scheduled_event_key(&node.stage, &node.resource, now);
        if !node.on.iter().any(|on| matches(on, &key)) {
            let error = Error::input(format!(
                "`{}` runs on an object, and no schedule or person can ask it without one",
                node.stage
            ));
            return Err(with_hint(
                error,
                format!("name one with `--key`; it is triggered by {}", node.on.join(", ")),
            ));
        }
        let tick = ScheduledEvent {
            as_of: now,
            cause: "person".into(),
            who: Some(current_user()),
            why: Some(self.why.clone()),
        };
        match store.create(&key, tick.to_bytes()?.into()).await? {
            PutResult::Conflict => Err(Error::transient(format!("`{key}` was written this second; ask again")).into()),
            PutResult::Written | PutResult::Unchanged => Ok(Requested {
                key,
                message: "asked".into(),
            }),
        }
    }

    async fn with_key(&self, project: &Project, node: &Node, store: &Store, key: &str) -> anyhow::Result<Requested> {
        if !node.on.iter().any(|on| matches(on, key)) {
            return Err(Error::input(format!("`{key}` does not trigger `{}`; {} do", node.stage, node.on.join(", "))).into());
        }
        let bytes = store.get(key).await?;
        let id = trigger_id(&node.stage, &node.resource, key, &Digest::sha256(&bytes));
        let asked = |key: &str, message: &str| Requested {
            key: key.to_owned(),
            message: message.to_owned(),
        };
        if let Some(letter) = list_dead_letters(store).await?.into_iter().find(|letter| letter.id == id) {
            retry_dead_letter(store, &letter).await?;
            return Ok(asked(key, "it failed before and is tried again"));
        }
        if Ledger::new(store.clone()).find(&node.stage, &node.resource, &id).await?.is_none() {
            return Ok(asked(key, "it has no outcome yet: a running flow makes the run"));
        }
        if !self.again {
            let error = Error::input(format!("`{key}` has an outcome, and that is final"));
            return Err(with_hint(error, "`--again` runs its content once more, as a new trigger"));
        }
        let written = project
            .pipeline
            .nodes
            .iter()
            .any(|other| other.writes.iter().any(|pattern| matches(pattern, key)));
        if key.starts_with("outcomes/") || written {
            let error = Error::input(format!("`{key}` was made by a stage, and only that stage's next run makes another"));
            return Err(with_hint(
                error,
                "ask the stage that begins the chain: `tidemill run retrain <model>`, or put the data again",
            ));
        }
        let (folder, name) = key.rsplit_once('/').context("a key has a folder")?;
        let new = format!("{folder}/again-{}-{name}", Timestamp::now().as_second());
        store.create(&new, bytes).await?;
        Ok(asked(&new, "asked again, as a new trigger"))
    }
}

/// Who asks, for the record.
pub(crate) fn current_user() -> String {
    std::env::var("USER")
        .or_else(|_| std::env::var("LOGNAME"))
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "someone".into())
}
