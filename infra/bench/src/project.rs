//! The flights project with its first champion: three months brought in, the model trained and serving.

use anyhow::{Result, ensure};
use tidemill_demo::{
    months::{self, Year},
    server::Server,
};

use crate::Arguments;

/// Starts it, as `--project` says or made anew.
pub(crate) fn with_champion(arguments: &Arguments) -> Result<(Server, Vec<String>)> {
    let files = months::files(&arguments.data)?;
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
