//! `tidemill demo`: a year of real flights through the whole loop, as a check of this machine and as a first look.

mod text;

use std::{
    path::{Path, PathBuf},
    pin::pin,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use clap::Args;
use tidemill_app::{Installation, PROJECT_FILE, Project, serving_address};
use tidemill_core::Error;
use tidemill_demo::{
    flights,
    folder::{control_project, flights_project, is_own},
    process,
    year::Demo as Year,
};
use tokio::{task::JoinHandle, time::timeout};

use super::start::{say, stop_signal};
use crate::output::{Output, report_error, with_hint, write_stdout};

/// Where a checkout has the demo's data.
const DATA_OF_CHECKOUT: &str = "templates/flights/data";
/// The exit code of a demo that a signal ended: a shell's for SIGINT.
const INTERRUPTED: u8 = 130;
/// How long the demo's processes may take to end after a signal.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// A terminal's Ctrl-C reaches the demo's processes too, and their end may be seen before the signal.
const SIGNAL_DELAY: Duration = Duration::from_millis(200);

/// Plays a year of real flights: train, serve, monitor, retrain.
#[derive(Args)]
pub(crate) struct Demo {
    /// The folder of the demo's projects; what an earlier demo made there is removed.
    #[arg(long, value_name = "FOLDER", default_value = "tidemill-demo")]
    dir: PathBuf,
    /// The folder with the months of flights, `2013-01.parquet` to `2013-12.parquet`; default: the installed one.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// How many months to play, from January on. The first model is trained after the third.
    #[arg(long, value_name = "NUMBER", default_value_t = 12, value_parser = clap::value_parser!(u8).range(1..=12))]
    months: u8,
    /// Skip the control, a second year without drift.
    #[arg(long)]
    no_control: bool,
}

impl Demo {
    pub(crate) async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let year = Year {
            tidemill: std::env::current_exe().context("the program does not know its own file")?,
            folder: std::path::absolute(&self.dir).context("`--dir` names no folder")?,
            files: self.files()?,
            with_control: !self.no_control,
        };
        check_stopped(&year.folder)?;
        let interrupt = stop_signal()?;
        say(&format!("{}\n", text::announce(&year)));
        let (next, folder) = (text::Next::new(&year), year.folder.clone());
        let started = Instant::now();
        // It drives other processes, and waits for them.
        let work = tokio::task::spawn_blocking(move || {
            year.run(&|text: &str| say(&format!("[{:>6.1} s] {text}", started.elapsed().as_secs_f64())))
        });
        let Some(summary) = wait_unless_interrupted(work, interrupt).await? else {
            report_error(&interrupted_error(&folder), output.json);
            return Ok(INTERRUPTED.into());
        };
        match output.json {
            // In one line: what reads it may look for the last one.
            true => write_stdout(format!("{}\n", serde_json::to_string(&summary)?).as_bytes())?,
            false => output.print(&summary, |summary| text::render(summary, &next))?,
        }
        summary.check()?;
        Ok(ExitCode::SUCCESS)
    }

    fn files(&self) -> anyhow::Result<Vec<String>> {
        let data = self.data()?;
        flights::files(&data, self.months.into()).map_err(|error| match flights::count_months(&data) {
            0 => error.into(),
            there => with_hint(error, format!("`--months {there}` plays the months that are there")),
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

/// Fails where a project of an earlier demo is served: it is removed next, and its process would run on without it.
fn check_stopped(folder: &Path) -> tidemill_core::Result<()> {
    let projects = [flights_project(folder), control_project(folder)];
    // In a folder without its file, the project would be one of the folders above.
    let is_project = |project: &PathBuf| is_own(folder) && project.join(PROJECT_FILE).is_file();
    for project in projects.into_iter().filter(is_project) {
        let served = Project::find(Some(&project), None).ok().as_ref().and_then(serving_address);
        if let Some(address) = served {
            return Err(Error::conflict(format!(
                "`{}` is served at {address}: stop that `tidemill up` first, or name another folder with `--dir`",
                project.display()
            )));
        }
    }
    Ok(())
}

fn interrupted_error(folder: &Path) -> anyhow::Error {
    anyhow!(
        "interrupted: the demo's processes have ended; `{}` keeps what was made so far, until the next demo there starts anew",
        folder.display()
    )
}

/// The result of the work; `None` if a signal came first, or made it fail. Then the demo's processes have ended.
async fn wait_unless_interrupted<T>(
    mut work: JoinHandle<anyhow::Result<T>>,
    interrupt: impl Future<Output = ()>,
) -> anyhow::Result<Option<T>> {
    let mut interrupt = pin!(interrupt);
    tokio::select! {
        biased;
        () = &mut interrupt => {
            // What the work waits for ends with its processes.
            tokio::task::spawn_blocking(|| process::stop_all(STOP_TIMEOUT)).await.context("the demo's processes may run on")?;
            let _failed = timeout(STOP_TIMEOUT, work).await;
            Ok(None)
        }
        result = &mut work => match result.context("the demo ended early")? {
            Ok(found) => Ok(Some(found)),
            Err(error) => timeout(SIGNAL_DELAY, interrupt).await.map(|()| None).map_err(|_elapsed| error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn work(result: anyhow::Result<u8>, duration: Duration) -> JoinHandle<anyhow::Result<u8>> {
        tokio::spawn(async move {
            tokio::time::sleep(duration).await;
            result
        })
    }

    #[tokio::test]
    async fn work_ends_as_it_ends() {
        let done = work(Ok(1), Duration::ZERO);
        assert_eq!(wait_unless_interrupted(done, pending()).await.unwrap(), Some(1));
        let failed = work(Err(anyhow!("the disk is full")), Duration::ZERO);
        let error = wait_unless_interrupted(failed, pending()).await.unwrap_err();
        assert_eq!(error.to_string(), "the disk is full");
    }

    #[tokio::test]
    async fn a_signal_is_no_failure_of_the_work() {
        let running = work(Err(anyhow!("`tidemill up` ended")), Duration::from_millis(50));
        assert!(wait_unless_interrupted(running, ready(())).await.unwrap().is_none());
        // The child's end was seen first.
        let failed = work(Err(anyhow!("`tidemill up` ended")), Duration::ZERO);
        let signal = tokio::time::sleep(Duration::from_millis(50));
        assert!(wait_unless_interrupted(failed, signal).await.unwrap().is_none());
    }
}
