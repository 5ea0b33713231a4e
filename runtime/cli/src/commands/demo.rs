//! `tidemill demo`: a year of real flights through the whole loop, as a check of this machine and as a first look.

mod text;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use tidemill_app::Installation;
use tidemill_core::Error;
use tidemill_demo::{flights, year::Demo as Year};

use crate::output::{Output, with_hint, write_stdout};

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
        eprintln!("{}\n", text::announce(&year));
        let next = text::Next::new(&year);
        let started = std::time::Instant::now();
        // It drives other processes, and waits for them.
        let summary =
            tokio::task::spawn_blocking(move || year.run(&|text: &str| eprintln!("[{:>6.1} s] {text}", started.elapsed().as_secs_f64())))
                .await
                .context("the demo ended early")??;
        match output.json {
            // In one line: what reads it may look for the last one.
            true => write_stdout(format!("{}\n", serde_json::to_string(&summary)?).as_bytes())?,
            false => output.print(&summary, |summary| text::render(summary, &next))?,
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
