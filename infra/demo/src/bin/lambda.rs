//! The same months of flights through `tidemill up` and through the functions of AWS Lambda, driven by the events of an emulated bucket and
//! its queues. The champion and each other object of the snapshots must be equal to the byte.

use std::{collections::BTreeMap, path::PathBuf, time::Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use serde::Serialize;
use tidemill_core::Digest;
use tidemill_demo_targets::lambda::{Deployment, deployment::Programs};
use tidemill_harness::{flights, server::Server, snapshot};

/// Runs the demo on Lambda's emulator.
#[derive(Parser)]
struct Arguments {
    /// Print a JSON object as the last line.
    #[arg(long)]
    json: bool,
    /// The working folder; it is emptied first.
    #[arg(long, default_value = "target/demo-lambda")]
    dir: PathBuf,
    /// The `tidemill` program.
    #[arg(long, env = "TIDEMILL")]
    tidemill: PathBuf,
    /// The folder with the twelve months.
    #[arg(long, default_value = "templates/flights/data")]
    data: PathBuf,
    /// The functions' programs.
    #[arg(long)]
    functions: PathBuf,
    /// The stages' components.
    #[arg(long, env = "TIDEMILL_COMPONENTS")]
    components: PathBuf,
    /// moto's server.
    #[arg(long)]
    moto: PathBuf,
    /// cargo-lambda.
    #[arg(long)]
    cargo_lambda: PathBuf,
    /// The endpoint of the emulated S3.
    #[arg(long, env = "AWS_ENDPOINT_URL")]
    endpoint: String,
    /// The number of months. The third one brings the first champion.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(3..=12))]
    months: u8,
}

/// The `--json` object.
#[derive(Serialize)]
struct Summary {
    target: &'static str,
    months: usize,
    champion_digest: String,
    champion_digest_of_tidemill_up: String,
    versions: usize,
    /// Objects of both stores that are equal to the byte.
    objects_equal: usize,
    differences: Vec<String>,
    predictions: usize,
    failed_requests: usize,
    invocations: u64,
    messages: BTreeMap<String, u64>,
    messages_given_back: u64,
    messages_in_dead_letter_queues: u64,
    seconds_of_tidemill_up: f64,
    seconds_of_lambda: f64,
}

/// Prefixes that differ by design: locally only components that ran are stored, and the demo stores objects of its own.
const NOT_COMPARED: [&str; 2] = ["components/", "demo/"];

/// A month: its file, and the requests that precede its labels.
struct PlayedMonth {
    file: String,
    requests: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let started = Instant::now();
    let step = |text: &str| eprintln!("[{:>6.1} s] {text}", started.elapsed().as_secs_f64());
    if arguments.dir.exists() {
        std::fs::remove_dir_all(&arguments.dir)?;
    }
    std::fs::create_dir_all(&arguments.dir)?;

    let files = flights::files(&arguments.data, arguments.months.into())?;
    step(&format!("{} months through `tidemill up`", files.len()));
    let server = Server::start(&arguments.tidemill, &arguments.dir.join("local"), &[])?;
    let played = files.iter().map(|file| play_locally(&server, file)).collect::<Result<Vec<_>>>()?;
    let expected = server.champion("late")?.context("`tidemill up` trained no champion")?;
    let project = server.project.clone();
    server.stop()?;
    let seconds_of_tidemill_up = started.elapsed().as_secs_f64();

    step("the same months through the functions, by the events of a bucket");
    let programs = Programs {
        functions: arguments.functions,
        components: arguments.components,
        moto: arguments.moto,
        cargo_lambda: arguments.cargo_lambda,
    };
    let mut cloud = Deployment::deploy(&arguments.dir, &arguments.endpoint, &programs, &project)?;
    let (mut predictions, mut failed_requests) = (0, 0);
    for month in &played {
        predictions += month.requests.len();
        failed_requests += play_on_lambda(&mut cloud, month)?;
        step(&format!(
            "{}: {} requests, {} calls so far",
            flights::month_of(&month.file),
            month.requests.len(),
            cloud.counts.invocations
        ));
    }
    let champion = cloud.runtime.block_on(cloud.store.get("models/late/aliases/champion.json"))?;
    let champion: tidemill_core::record::ModelAlias = serde_json::from_slice(&champion)?;
    let (objects_equal, differences) = compare(&cloud, &project)?;
    let summary = Summary {
        target: "lambda",
        months: files.len(),
        champion_digest: champion.onnx_digest.to_string(),
        champion_digest_of_tidemill_up: expected.onnx_digest.to_string(),
        versions: champion.version as usize,
        objects_equal,
        differences,
        predictions,
        failed_requests,
        invocations: cloud.counts.invocations,
        messages: cloud.counts.messages.clone(),
        messages_given_back: cloud.counts.retried,
        messages_in_dead_letter_queues: cloud.counts.dead,
        seconds_of_lambda: started.elapsed().as_secs_f64() - seconds_of_tidemill_up,
        seconds_of_tidemill_up,
    };
    println!(
        "champion: {} on Lambda, {} by `tidemill up`; {} objects equal, {} not",
        summary.champion_digest,
        summary.champion_digest_of_tidemill_up,
        summary.objects_equal,
        summary.differences.len()
    );
    if arguments.json {
        println!("{}", serde_json::to_string(&summary)?);
    }
    check(&summary)
}

/// Predicts the month if a model is served, then stores its labels and waits for the pipeline.
fn play_locally(server: &Server, file: &str) -> Result<PlayedMonth> {
    let mut requests = Vec::new();
    if server.champion("late")?.is_some() {
        let staged = format!("demo/{}.parquet", flights::month_of(file));
        server.create(&staged, std::fs::read(file)?)?;
        requests = flights::requests(server, &flights::inputs(server)?, &staged, None)?;
        let failed = flights::send(server, &requests)?;
        ensure!(failed == 0, "`tidemill up` failed {failed} requests");
    }
    server.run_command(&["put", "flights", file])?;
    server.wait_for_decision("late", &flights::window(flights::month_of(file))?)?;
    Ok(PlayedMonth {
        file: file.to_owned(),
        requests,
    })
}

/// The same on Lambda, with unreadable messages and messages of another bucket in between. Returns the number of failed requests.
fn play_on_lambda(cloud: &mut Deployment, month: &PlayedMonth) -> Result<usize> {
    let agent = ureq::Agent::new_with_defaults();
    let url = format!("{}/v2/models/late/infer", cloud.url());
    let failed = month
        .requests
        .iter()
        .filter(|request| !flights::send_one(&agent, &url, request))
        .count();
    cloud.put(&flights::raw_key(&month.file), std::fs::read(&month.file)?)?;
    let foreign = r#"{"Records":[{"eventVersion":"2.1","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"another"},"object":{"key":"flights/raw/flights/x.parquet"}}}]}"#;
    for body in [foreign, "this is no event"] {
        cloud.send("validate-flights", body)?;
    }
    cloud.run_until_idle()?;
    Ok(failed)
}

/// Compares the stores: the number of equal objects, and the differences.
fn compare(cloud: &Deployment, project: &std::path::Path) -> Result<(usize, Vec<String>)> {
    let local = tidemill_host::Store::local(&project.join(".tidemill/store"))?;
    let read = async |store: &tidemill_host::Store| -> Result<BTreeMap<String, Digest>> {
        let mut found = snapshot::of_store(store).await?;
        found.retain(|key, _| !NOT_COMPARED.iter().any(|prefix| key.starts_with(prefix)));
        Ok(found)
    };
    let (there, here) = cloud
        .runtime
        .block_on(async { anyhow::Ok((read(&cloud.store).await?, read(&local).await?)) })?;
    let differences = snapshot::diff(&here, &there);
    let equal = here.iter().filter(|(key, digest)| there.get(*key) == Some(digest)).count();
    Ok((equal, differences))
}

/// Fails unless the demo's claims hold.
fn check(summary: &Summary) -> Result<()> {
    ensure!(
        summary.champion_digest == summary.champion_digest_of_tidemill_up,
        "the champions differ: {} and {}",
        summary.champion_digest,
        summary.champion_digest_of_tidemill_up
    );
    ensure!(summary.failed_requests == 0, "{} requests failed", summary.failed_requests);
    ensure!(summary.differences.is_empty(), "the stores differ in {:?}", summary.differences);
    let unread = summary.months as u64;
    ensure!(
        summary.messages_in_dead_letter_queues == unread,
        "{} messages were given up, where {unread} could not be read",
        summary.messages_in_dead_letter_queues
    );
    Ok(())
}
