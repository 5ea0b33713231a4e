//! `tidemill`: the command line. Glue only: each command is a file in `commands/`, the work is in the libraries.
//!
//! What fails leaves as `error: …` on the standard error, and the exit code says of which kind it was (see `ErrorKind::exit_code`).

mod commands;
mod engine;
mod output;
mod project;
mod server;

use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let arguments = commands::Arguments::parse();
    let filter = EnvFilter::try_from_env("TIDEMILL_LOG").unwrap_or_else(|_| EnvFilter::new(arguments.log_level()));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return output::fail(&error.into()),
    };
    let result = runtime.block_on(commands::run(arguments));
    // A stage that overran its time may still hold a thread: do not wait for it.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(error) => output::fail(&error),
    }
}
