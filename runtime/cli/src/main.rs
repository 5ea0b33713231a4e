//! `tidemill`: the command line. Each command is a file in `commands/` that parses, calls a library and prints.
//!
//! An error is `error: …` on the standard error, or JSON with `--json`; the exit code is that of its kind (see `ErrorKind::exit_code`).

mod commands;
mod output;

use tidemill_app as project;

use std::{io::IsTerminal as _, process::ExitCode};

use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A child for SQL is limited before it has threads.
    if std::env::args_os().nth(1).is_some_and(|first| first == tidemill_host::SQL_WORKER) {
        return tidemill_host::run_sql_worker();
    }
    disable_backtraces();
    let arguments = commands::Arguments::from_command_line();
    let json = arguments.json;
    let filter = EnvFilter::try_from_env("TIDEMILL_LOG").unwrap_or_else(|_| EnvFilter::new(arguments.default_log_filter()));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // A log that is written to a full disk loses lines; complaining about it would end the thread that had something to say.
        .log_internal_errors(false)
        .init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return output::report_error(&error.into(), json),
    };
    let result = runtime.block_on(commands::run(arguments));
    // A stage that overran its time may still hold a thread: do not wait for it.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(error) => output::report_error(&error, json),
    }
}

/// With `RUST_BACKTRACE=1` in the environment the ONNX engine would record a backtrace for each error that it makes and drops
/// in the normal course of a prediction: 70 ms a row. Panics keep theirs.
#[allow(
    unsafe_code,
    reason = "the first thing that the process does: no other thread reads the environment yet"
)]
fn disable_backtraces() {
    // SAFETY: no thread was started.
    unsafe { std::env::set_var("RUST_LIB_BACKTRACE", "0") };
}
