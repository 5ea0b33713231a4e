//! Measurements of what runs: each prints a line for people, and with `--json` one object. Nothing here can fail for being slow.

mod events;
mod lambda;
mod numbers;
mod project;
mod serve;
mod stages;
mod validate;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measures.
#[derive(Parser)]
struct Arguments {
    /// One JSON object a measurement, beside the line for people.
    #[arg(long, global = true)]
    json: bool,
    /// Where projects are made; emptied first.
    #[arg(long, default_value = "target/bench", global = true)]
    dir: PathBuf,
    /// The `tidemill` program.
    #[arg(long, env = "TIDEMILL")]
    tidemill: PathBuf,
    /// A flights project with a champion, instead of one that is made for `serve`.
    #[arg(long, global = true)]
    project: Option<PathBuf>,
    /// The folder with the twelve months of flights.
    #[arg(long, default_value = "templates/flights/data", global = true)]
    data: PathBuf,
    #[command(subcommand)]
    what: Measurement,
}

#[derive(Subcommand)]
enum Measurement {
    /// From an object's appearance to the start of its stage.
    Events,
    /// Cold start, memory and size of each Lambda function, beside Python's.
    Lambda(Lambda),
    /// Rows a second of validate, train and monitor, as they run in `tidemill up`.
    Stages,
    /// Requests a second of one flight each, beside the same model called in this process.
    Serve,
    /// Twenty checks on a million rows, beside one scan by hand.
    Validate,
}

/// What the functions are measured with.
#[derive(clap::Args)]
struct Lambda {
    /// The functions' programs.
    #[arg(long)]
    functions: PathBuf,
    /// cargo-lambda.
    #[arg(long)]
    cargo_lambda: PathBuf,
    /// A Python with onnxruntime.
    #[arg(long)]
    python: PathBuf,
    /// The Python function.
    #[arg(long)]
    script: PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let report = match &arguments.what {
        Measurement::Events => events::run(&arguments)?,
        Measurement::Lambda(lambda) => lambda::run(&arguments, lambda)?,
        Measurement::Stages => stages::run(&arguments)?,
        Measurement::Serve => serve::run(&arguments)?,
        Measurement::Validate => validate::run(&arguments)?,
    };
    if arguments.json {
        println!("{report}");
    }
    Ok(())
}
