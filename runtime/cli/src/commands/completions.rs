//! `tidemill completions <shell>`.

use clap::{Args, CommandFactory as _};

use crate::output;

/// Writes a completion script to the standard output.
#[derive(Args)]
pub(crate) struct Completions {
    /// For which shell.
    shell: clap_complete::Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let mut command = super::Arguments::command();
        // Into memory first: writing it out itself, the generator panics where nobody reads or the disk is full.
        let mut script: Vec<u8> = Vec::new();
        clap_complete::generate(self.shell, &mut command, "tidemill", &mut script);
        output::write_stdout(&script)
    }
}
