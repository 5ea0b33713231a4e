//! `tidemill events`: the queue of a running flow, and dead letters. Dead letters are objects, so they can be retried whether or not a
//! flow runs.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;
use tidemill_catalog::Catalog;
use tidemill_control::{DropDeadLetters, Principal, RetryDeadLetters};
use tidemill_core::text::plural;
use tidemill_run::DeadLetter;

use super::{
    control,
    queue::{fetch_queue, render_queue},
};
use crate::{
    output::{Column, Output, table},
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
                    queue: fetch_queue(project),
                    dead: Catalog::new(project.open_store()?).dead_letters().await?,
                };
                output.print(&listing, render_text)
            }
            Some(Action::Retry { ids }) => {
                let request = RetryDeadLetters { ids: ids.clone() };
                let retried = control(project)?.retry_dead_letters(&principal, request).await?;
                output.print(&retried, |retried| format!("{} to be retried", plural(retried.len(), "event")))
            }
            Some(Action::Drop { ids }) => {
                let request = DropDeadLetters { ids: ids.clone() };
                let dropped = control(project)?.drop_dead_letters(&principal, request).await?;
                output.print(&dropped, |dropped| format!("{} dropped", plural(dropped.len(), "dead letter")))
            }
        }
    }
}

fn render_text(listing: &Listing) -> String {
    let queue = match &listing.queue {
        None => "no flow runs on this project".to_owned(),
        Some(items) => render_queue(items, "the queue is empty"),
    };
    let columns = [
        Column::word("dead letter"),
        Column::key("stage"),
        Column::key("object"),
        Column::text("why"),
    ];
    let dead = listing.dead.iter().map(letter_cells).collect();
    format!("{queue}\n\n{}", table(&columns, dead, "there are no dead letters"))
}

fn letter_cells(letter: &DeadLetter) -> Vec<String> {
    let state = if letter.dropped { "dropped, " } else { "" };
    vec![
        letter.id.chars().take(12).collect(),
        format!("{}:{}", letter.stage, letter.resource),
        letter.trigger.key.clone(),
        format!("{state}{}: {}", letter.kind, letter.message),
    ]
}
