//! `tidemill dev`: `up` that follows the project's files. An edit that is right takes effect and is explained; one that is wrong is refused
//! with its place, and what ran goes on.

use clap::Args;
use tidemill_app::{CheckedProject, SourceWatch};
use tidemill_core::text::quoted_list;

use super::{
    ProjectPlace,
    start::say,
    up::{Started, Up},
};
use crate::output::Output;

/// Runs the project, and follows its files.
#[derive(Args)]
pub(crate) struct Dev {
    #[command(flatten)]
    up: Up,
}

impl Dev {
    pub(crate) async fn run(&self, place: ProjectPlace<'_>, output: Output) -> anyhow::Result<()> {
        let (mut started, stop) = self.up.start(place, output).await?;
        let mut watch = SourceWatch::new(started.app.project(), place.store);
        if let Err(error) = check(&mut watch, &started).await {
            say(&format!("✗ {error}"));
        }
        say("watching `tidemill.toml`, the files that it names, and the components of the stages");
        let mut stop = std::pin::pin!(stop);
        loop {
            let changed = tokio::select! {
                () = &mut stop => break,
                changed = watch.wait_for_change() => changed,
            };
            // Not cut short by a signal: the old stages finish first in any case, and the new flow is stopped like every other.
            apply(&mut watch, &mut started, &changed).await?;
        }
        started.stop().await
    }
}

/// Checks the files as they are now.
async fn check(watch: &mut SourceWatch, started: &Started) -> tidemill_core::Result<CheckedProject> {
    let project = watch.read_project()?;
    started.app.check(project).await
}

/// Switches to the files as they are now, or says why not.
///
/// # Errors
/// No configuration runs any more.
async fn apply(watch: &mut SourceWatch, started: &mut Started, changed: &[String]) -> anyhow::Result<()> {
    let files = quoted_list(changed);
    let checked = match check(watch, started).await {
        Ok(checked) => checked,
        Err(error) => {
            say(&format!("✗ {error}\n  {files}: not taken; what ran before goes on"));
            return Ok(());
        }
    };
    let changes: Vec<String> = checked.changes().iter().map(|change| format!("↻ {change}")).collect();
    if changes.is_empty() {
        say(&format!("↻ {files}: nothing that runs differs"));
        return Ok(());
    }
    say(&changes.join("\n"));
    let running = started.app.flow().items().iter().filter(|(_, is_running)| *is_running).count();
    if running > 0 {
        say(&format!("  waiting for {running} running stages; predictions go on"));
    }
    match started.app.switch(checked).await {
        Ok(()) => say("  in effect"),
        Err(error) if started.app.flow().is_running() => say(&format!("✗ {error}\n  {files}: not taken; what ran before goes on")),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
