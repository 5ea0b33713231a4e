//! `tidemill events`: the queue of a running flow, and dead letters. Dead letters are objects, so they can be retried whether or not a
//! flow runs.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;
use tidemill_catalog::Catalog;
use tidemill_control::{DropDeadLetters, Principal, RetryDeadLetters};
use tidemill_run::DeadLetter;

use super::control;
use crate::{
    output::{Output, table},
    project::Project,
};

/// Lists events, retries and drops dead letters.
#[derive(Args)]
pub(crate) struct Events {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// List the queue and the dead letters (default).
    List,
    /// Retry dead letters: all, or these.
    Retry {
        /// Ids, or their first digits.
        ids: Vec<String>,
    },
    /// Keep dead letters without counting them.
    Drop {
        /// Ids, or their first digits.
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Listing {
    /// `None`: no flow runs here.
    queue: Option<Vec<Value>>,
    dead: Vec<DeadLetter>,
}

impl Events {
    pub(crate) async fn run(&self, project: &Project, output: Output) -> anyhow::Result<()> {
        let principal = Principal::local();
        match &self.action {
            None | Some(Action::List) => {
                let listing = Listing {
                    queue: project.running_address().and_then(|address| fetch_queue(&address)),
                    dead: Catalog::new(project.open_store()?).dead_letters().await?,
                };
                output.print(&listing, render_text)
            }
            Some(Action::Retry { ids }) => {
                let request = RetryDeadLetters { ids: ids.clone() };
                let retried = control(project)?.retry_dead_letters(&principal, request).await?;
                output.print(&retried, |retried| format!("{} to be retried", retried.len()))
            }
            Some(Action::Drop { ids }) => {
                let request = DropDeadLetters { ids: ids.clone() };
                let dropped = control(project)?.drop_dead_letters(&principal, request).await?;
                output.print(&dropped, |dropped| format!("{} dropped", dropped.len()))
            }
        }
    }
}

fn fetch_queue(address: &str) -> Option<Vec<Value>> {
    let mut response = ureq::get(format!("{address}/events")).call().ok()?;
    serde_json::from_slice(&response.body_mut().read_to_vec().ok()?).ok()
}

fn render_text(listing: &Listing) -> String {
    let queue = match &listing.queue {
        None => "no flow runs on this project".to_owned(),
        Some(items) => {
            let header = ["stage", "resource", "object", "attempt", "state"];
            table(&header, items.iter().map(item_cells).collect(), "the queue is empty")
        }
    };
    let header = ["id", "stage", "resource", "object", "why"];
    let dead = table(
        &header,
        listing.dead.iter().map(letter_cells).collect(),
        "there are no dead letters",
    );
    format!("{queue}\n{dead}")
}

fn item_cells(item: &Value) -> Vec<String> {
    let text = |field: &str| item[field].as_str().unwrap_or_default().to_owned();
    let is_running = item["running"] == true;
    vec![
        text("stage"),
        text("resource"),
        text("key"),
        item["attempt"].to_string(),
        if is_running { "running".into() } else { text("waits-for") },
    ]
}

fn letter_cells(letter: &DeadLetter) -> Vec<String> {
    let state = if letter.dropped { "dropped, " } else { "" };
    vec![
        letter.id.chars().take(12).collect(),
        letter.stage.clone(),
        letter.resource.clone(),
        letter.trigger.key.clone(),
        format!("{state}{}: {}", letter.kind, letter.message),
    ]
}
