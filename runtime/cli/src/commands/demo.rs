//! `tidemill demo`: a year of real flights through the whole loop, as a check of this machine and as a first look.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use tidemill_app::Installation;
use tidemill_core::Error;
use tidemill_demo::{
    flights,
    folder::flights_project,
    months::{Month, Retraining},
    year::{Demo as Year, Summary},
};

use crate::output::{Column, Output, table, with_hint, write_stdout};

/// Where a checkout has the demo's data.
const DATA_OF_CHECKOUT: &str = "templates/flights/data";

/// Plays a year of real flights: train, serve, monitor, retrain.
#[derive(Args)]
pub(crate) struct Demo {
    /// The folder of the demo's projects; what an earlier demo made there is removed.
    #[arg(long, value_name = "FOLDER", default_value = "tidemill-demo")]
    dir: PathBuf,
    /// The folder with the months of flights, `2013-01.parquet` to `2013-12.parquet`; default: the installed one.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Play the first months alone.
    #[arg(long, value_name = "NUMBER", default_value_t = 12, value_parser = clap::value_parser!(u8).range(1..=12))]
    months: u8,
    /// Skip the control, a second year without drift.
    #[arg(long)]
    no_control: bool,
}

impl Demo {
    pub(crate) async fn run(self, output: Output) -> anyhow::Result<()> {
        let year = Year {
            tidemill: std::env::current_exe().context("the program does not know its own file")?,
            folder: std::path::absolute(&self.dir)?,
            files: self.files()?,
            with_control: !self.no_control,
        };
        let folder = year.folder.clone();
        let started = std::time::Instant::now();
        // It drives other processes, and waits for them.
        let summary =
            tokio::task::spawn_blocking(move || year.run(&|text: &str| eprintln!("[{:>6.1} s] {text}", started.elapsed().as_secs_f64())))
                .await
                .context("the demo ended early")??;
        match output.json {
            // In one line: what reads it may look for the last one.
            true => write_stdout(format!("{}\n", serde_json::to_string(&summary)?).as_bytes())?,
            false => output.print(&summary, |summary| render(summary, &flights_project(&folder).display().to_string()))?,
        }
        summary.check()
    }

    fn files(&self) -> anyhow::Result<Vec<String>> {
        let data = self.data()?;
        flights::files(&data, self.months.into()).map_err(|error| match flights::count_months(&data) {
            0 => error.into(),
            there => with_hint(error, format!("`--months {there}` plays what is there")),
        })
    }

    fn data(&self) -> tidemill_core::Result<PathBuf> {
        let of_checkout = || Some(PathBuf::from(DATA_OF_CHECKOUT)).filter(|folder| folder.is_dir());
        let found = self
            .data
            .clone()
            .or_else(|| Installation::of_this_program().demo_data())
            .or_else(of_checkout);
        found.ok_or_else(|| {
            Error::not_found(format!(
                "the demo's flights are neither installed beside the program (share/tidemill/data/flights) nor in `{DATA_OF_CHECKOUT}`; \
                 name their folder with `--data`"
            ))
        })
    }
}

fn render(summary: &Summary, project: &str) -> String {
    let columns = [
        Column::word("month"),
        Column::number("flights"),
        Column::number("drifted"),
        Column::word("champion"),
        Column::number("auc"),
        Column::number("auc of v1"),
        Column::text("then"),
    ];
    let rows = summary.months.iter().map(|month| row(month, &summary.retrainings)).collect();
    let mut text = table(&columns, rows, "no month was played");
    if summary.is_whole() {
        text += &format!(
            "\n\nRetraining gained {:+.4} AUC from May to October over the first model.",
            summary.live_over_static
        );
    }
    if summary.champion_digest.is_none() {
        text += "\n\nNo model exists yet: the first training happens when January to March are in.";
    }
    text += &format!(
        "\nThe champion was swapped {} times under {} requests; {} of all requests failed.\nThe control, without drift, was retrained {} times.",
        summary.swaps, summary.requests_during_swaps, summary.failed_requests, summary.control_retrainings
    );
    text + &format!(
        "\n\nTo look around:\n  tidemill --project {project} models show late\n  tidemill --project {project} runs\n  tidemill --project {project} up"
    )
}

fn row(month: &Month, retrainings: &[Retraining]) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or("–".to_owned(), |v| format!("{v:.4}"));
    let then = retrainings.iter().filter(|retraining| retraining.month == month.month);
    let mut then: Vec<String> = then
        .map(|retraining| match retraining.version {
            Some(version) => format!("{}: v{version} trained", retraining.cause),
            None => format!("{}: trained, not admitted", retraining.cause),
        })
        .collect();
    if month.champion.is_none() {
        then.push(month.decision.clone());
    }
    vec![
        month.month.clone(),
        month.rows.to_string(),
        month.drifted.to_string(),
        month.champion.map_or("–".into(), |v| format!("v{v}")),
        number(month.auc_live),
        number(month.auc_static),
        then.join("; "),
    ]
}
