//! `tidemill run`: requests a run by writing an object, as a schedule or an upload does; a running flow makes it.

use clap::Args;
use tidemill_control::{Principal, RequestRun};

use super::control;
use crate::{output::Output, project::Project};

/// Requests a run.
#[derive(Args)]
pub(crate) struct Run {
    /// The stage.
    stage: String,
    /// The dataset or model; for an added stage its own name.
    resource: String,
    /// The object that triggers it; without one the stage gets a scheduled event.
    #[arg(long)]
    key: Option<String>,
    /// Run although this object has an outcome, with today's component and configuration.
    #[arg(long, requires = "key")]
    again: bool,
    /// Why, for the record.
    #[arg(long, default_value = "requested by hand")]
    why: String,
}

impl Run {
    pub(crate) async fn run(&self, project: &Project, output: Output) -> anyhow::Result<()> {
        let request = RequestRun {
            stage: self.stage.clone(),
            resource: self.resource.clone(),
            key: self.key.clone(),
            again: self.again,
            reason: self.why.clone(),
        };
        let requested = control(project)?.request_run(&Principal::local(), request).await?;
        output.print(&requested, |requested| format!("{}: {}", requested.message, requested.key))
    }
}
