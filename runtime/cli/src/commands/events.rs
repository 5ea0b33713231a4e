//! `tidemill events`: what a running flow has in its queue, and what failed for good. Dead letters are objects, so they can be
//! tried again whether or not the flow runs.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;
use tidemill_core::Error;
use tidemill_run::{DeadLetter, drop_dead_letter, list_dead_letters, retry_dead_letter};

use crate::{
    output::{Output, table},
    project::Project,
};

/// Lists events, tries again, drops.
#[derive(Args)]
pub(crate) struct Events {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// What waits, and what failed for good (default).
    List,
    /// Try again what failed: all, or these.
    Retry {
        /// Ids, or their first digits.
        ids: Vec<String>,
    },
    /// Leave what failed as it is.
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
        let store = project.open_store()?;
        let dead = list_dead_letters(&store).await?;
        match &self.action {
            None | Some(Action::List) => {
                let queue = project.running_address().and_then(|address| queue(&address));
                output.print(&Listing { queue, dead }, people)
            }
            Some(Action::Retry { ids }) => {
                let chosen = chosen(dead, ids)?;
                for letter in &chosen {
                    retry_dead_letter(&store, letter).await?;
                }
                output.print(&chosen, |chosen| format!("{} to be tried again", chosen.len()))
            }
            Some(Action::Drop { ids }) => {
                let chosen = chosen(dead, ids)?;
                for letter in &chosen {
                    drop_dead_letter(&store, letter).await?;
                }
                output.print(&chosen, |chosen| format!("{} dropped", chosen.len()))
            }
        }
    }
}

fn chosen(dead: Vec<DeadLetter>, ids: &[String]) -> tidemill_core::Result<Vec<DeadLetter>> {
    if let Some(id) = ids.iter().find(|id| !dead.iter().any(|letter| letter.id.starts_with(id.as_str()))) {
        return Err(Error::not_found(format!(
            "no failed event has the id `{id}`; `tidemill events` lists them"
        )));
    }
    let meant = |letter: &DeadLetter| {
        if ids.is_empty() {
            !letter.dropped
        } else {
            ids.iter().any(|id| letter.id.starts_with(id.as_str()))
        }
    };
    Ok(dead.into_iter().filter(meant).collect())
}

fn queue(address: &str) -> Option<Vec<Value>> {
    let mut answer = ureq::get(format!("{address}/events")).call().ok()?;
    serde_json::from_slice(&answer.body_mut().read_to_vec().ok()?).ok()
}

fn people(listing: &Listing) -> String {
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let waiting = match &listing.queue {
        None => "no flow runs on this project".to_owned(),
        Some(items) => {
            let row = |item: &Value| {
                let state = if item["running"] == true {
                    "runs".into()
                } else {
                    text(item, "waits-for")
                };
                vec![
                    text(item, "stage"),
                    text(item, "resource"),
                    text(item, "key"),
                    item["attempt"].to_string(),
                    state,
                ]
            };
            table(
                &["stage", "resource", "object", "attempt", "state"],
                items.iter().map(row).collect(),
                "nothing waits",
            )
        }
    };
    let row = |letter: &DeadLetter| {
        vec![
            letter.id[..12.min(letter.id.len())].to_owned(),
            letter.stage.clone(),
            letter.resource.clone(),
            letter.trigger.key.clone(),
            format!(
                "{}{}: {}",
                if letter.dropped { "dropped, " } else { "" },
                letter.kind,
                letter.message
            ),
        ]
    };
    let header = ["id", "stage", "resource", "object", "why"];
    format!(
        "{waiting}\n{}",
        table(&header, listing.dead.iter().map(row).collect(), "nothing failed for good")
    )
}
