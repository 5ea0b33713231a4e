//! The flights project with its first champion, trained on three months and served.

use anyhow::{Result, ensure};
use tidemill_demo::months::Year;
use tidemill_harness::{
    flights::{self, MONTHS},
    server::Server,
};

use crate::Arguments;

/// Starts the project that `--project` names, or a new one.
pub(crate) fn with_champion(arguments: &Arguments) -> Result<(Server, Vec<String>)> {
    let files = flights::files(&arguments.data, MONTHS)?;
    if let Some(project) = &arguments.project {
        return Ok((Server::up(&arguments.tidemill, project, &[])?, files));
    }
    let server = Server::start(&arguments.tidemill, &arguments.dir.join("flights"), &[])?;
    let mut year = Year::default();
    for file in &files[..3] {
        year.play(&server, file)?;
    }
    ensure!(server.champion("late")?.is_some(), "three months gave no champion");
    Ok((server, files))
}
