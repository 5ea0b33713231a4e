//! Measurements. Each prints a line and, with `--json`, also a JSON object. None fails because a figure is low.

mod events;
mod growth;
mod lambda;
mod numbers;
mod project;
mod serve;
mod stages;
mod validate;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Runs a measurement.
#[derive(Parser)]
struct Arguments {
    /// Print a JSON object too.
    #[arg(long, global = true)]
    json: bool,
    /// Measure `growth` with a hundred thousand files too.
    #[arg(long, global = true)]
    large: bool,
    /// The folder of projects; it is emptied first.
    #[arg(long, default_value = "target/bench", global = true)]
    dir: PathBuf,
    /// The `tidemill` program.
    #[arg(long, env = "TIDEMILL")]
    tidemill: PathBuf,
    /// A flights project with a champion, instead of a new one.
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
    /// What one more file, its window and a training cost after many files.
    Growth,
    /// Cold start, memory and size of each Lambda function, compared with Python's.
    Lambda(Lambda),
    /// Rows per second of validate, train and monitor, as they run in `tidemill up`.
    Stages,
    /// Requests per second of one flight each, compared with the same model called in this process.
    Serve,
    /// Twenty checks on a million rows, compared with one handwritten scan.
    Validate,
}

/// The programs of the measurement.
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
        Measurement::Growth => growth::run(&arguments)?,
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
