//! `tidemill completions <shell>`: prints a completion script.

use clap::{Args, CommandFactory as _};

use crate::output;

/// Prints a completion script.
#[derive(Args)]
pub(crate) struct Completions {
    /// The shell.
    shell: clap_complete::Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let mut command = super::Arguments::command();
        // Into memory first: the generator panics if its output is a closed pipe or a full disk.
        let mut script: Vec<u8> = Vec::new();
        clap_complete::generate(self.shell, &mut command, "tidemill", &mut script);
        output::write_stdout(&script)
    }
}
