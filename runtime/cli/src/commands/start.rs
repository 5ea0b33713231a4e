//! What `up`, `dev` and `serve` have in common: the address, the lines about what happens, and the signal that stops them.

use std::{io::Write as _, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use clap::Args;
use tidemill_app::{DEFAULT_ADDRESS, ModelState, ServeSettings};
use tidemill_observe::{Activity, ActivityLines};

/// Between two counts of failures that repeat.
const COUNT_INTERVAL: Duration = Duration::from_secs(60);

/// Where a server listens, and how it stops.
#[derive(Args)]
pub(super) struct Listening {
    /// Address and port; port 0 takes a free one.
    #[arg(long, default_value = DEFAULT_ADDRESS)]
    pub(super) addr: String,
    /// A name under which the server is asked, such as `ml.example.org`; also the host of pages that may send it requests. Repeatable.
    /// Listening on this machine alone, it answers to its address and to names of this machine only; otherwise to every name, unless some
    /// are given.
    #[arg(long = "host", value_name = "NAME", env = "TIDEMILL_HOSTS", value_delimiter = ',')]
    hosts: Vec<String>,
    /// Seconds from SIGTERM to the last connection that is accepted: as long as a balancer takes to send requests elsewhere. Default:
    /// `stop-delay-seconds` of `[serve]`, or 0.
    #[arg(long, value_name = "SECONDS")]
    stop_delay: Option<u64>,
}

impl Listening {
    /// The settings that the arguments and the environment give.
    pub(super) fn settings(&self) -> ServeSettings {
        ServeSettings {
            hosts: self.hosts.clone(),
            stop_delay: self.stop_delay.map(Duration::from_secs),
            ..ServeSettings::from_environment()
        }
    }
}

/// What serves a model, for a person.
pub(super) fn describe_model(model: &ModelState) -> String {
    match model.champion {
        Some(version) => format!("{}: version {version} is the champion", model.name),
        None => format!("{}: no model yet", model.name),
    }
}

/// Writes what happens to the standard error from now on.
pub(super) fn watch_activity() -> Arc<ActivityLines> {
    let lines = Arc::new(ActivityLines::new(say));
    let (watching, counting) = (lines.clone(), lines.clone());
    tidemill_observe::global().set_observer(Arc::new(move |activity: &Activity<'_>| watching.add(activity)));
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(COUNT_INTERVAL).await;
            counting.flush();
        }
    });
    lines
}

/// Writes a line to the standard error. One that cannot be written is lost: what is served must not end for that.
pub(super) fn say(line: &str) {
    let _lost = writeln!(std::io::stderr().lock(), "{line}");
}

/// What a start returns, unless the process is asked to stop before: the first process of a container is not ended by the signal itself.
///
/// # Errors
/// That it was stopped.
pub(super) async fn unless_stopped<T>(
    stop: &mut (impl Future<Output = ()> + Unpin),
    starting: impl Future<Output = T>,
) -> anyhow::Result<T> {
    tokio::select! {
        biased;
        () = stop => Err(anyhow!("stopped by a signal before it was ready")),
        started = starting => Ok(started),
    }
}

/// Completes when the process is asked to stop. Signals are caught from this call on, not from the first poll.
#[cfg(unix)]
pub(super) fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + use<>> {
    use tokio::signal::unix::{SignalKind, signal};
    let catch = |kind| signal(kind).context("signals cannot be caught");
    let (mut terminate, mut interrupt) = (catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Completes when the process is asked to stop.
#[cfg(not(unix))]
pub(super) fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + use<>> {
    Ok(async {
        let _stop = tokio::signal::ctrl_c().await;
    })
}
