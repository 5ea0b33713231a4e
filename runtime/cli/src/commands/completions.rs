//! `tidemill completions <shell>`.

use clap::{Args, CommandFactory as _};

/// Writes a completion script to the standard output.
#[derive(Args)]
pub(crate) struct Completions {
    /// For which shell.
    shell: clap_complete::Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let mut command = super::Arguments::command();
        clap_complete::generate(self.shell, &mut command, "tidemill", &mut std::io::stdout());
        Ok(())
    }
}
