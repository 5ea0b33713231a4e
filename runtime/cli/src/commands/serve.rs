//! `tidemill serve`: predictions alone, beside the `tidemill up` of the same store. SIGTERM drains it: it says that it is not ready, answers what
//! it accepted, and stores what it logged.

use clap::Args;
use serde::Serialize;
use tidemill_app::{App, ListenError, ModelState, PredictionServer, listen};

use super::{
    ProjectPlace,
    start::{Listening, describe_model, stop_signal, unless_stopped, watch_activity},
};
use crate::output::{Output, with_hint, write_stdout};

/// Answers predictions beside `up`, by any number of servers. They run no stage and take no data: `tidemill up` does, once for each store. On one
/// machine, each needs a folder of its own: `--state`.
#[derive(Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    listening: Listening,
}

impl Serve {
    pub(crate) async fn run(&self, place: ProjectPlace<'_>, output: Output) -> anyhow::Result<()> {
        let project = place.find()?;
        // Before anything is opened: a start that fails leaves nothing behind.
        let listener = listen(&self.listening.addr).await.map_err(listen_error)?;
        let app = App::open(project)?;
        let lines = watch_activity();
        let (mut stop, settings) = (Box::pin(stop_signal()?), self.listening.settings());
        let server = unless_stopped(&mut stop, app.serve_predictions(listener, &settings)).await??;
        print_ready(&server, app.models().await.unwrap_or_default(), output)?;
        stop.await;
        let stopped = server.shutdown().await;
        lines.flush();
        Ok(stopped?)
    }
}

fn listen_error(error: ListenError) -> anyhow::Error {
    match error {
        ListenError::InUse(error) => with_hint(error, "another port: `tidemill serve --addr 127.0.0.1:0` takes a free one"),
        ListenError::Invalid(error) => error.into(),
    }
}

/// What is served.
#[derive(Serialize)]
struct Overview {
    project: String,
    store: String,
    /// The folder of its log.
    state: String,
    models: Vec<ModelState>,
    address: String,
}

fn print_ready(server: &PredictionServer, models: Vec<ModelState>, output: Output) -> anyhow::Result<()> {
    let project = server.project();
    let overview = Overview {
        project: project.pipeline.project.clone(),
        store: project.location.clone(),
        state: project.state.display().to_string(),
        models,
        address: server.address(),
    };
    let text = match output.json {
        true => format!("{}\n", serde_json::to_value(&overview)?),
        false => overview.render_text(),
    };
    write_stdout(text.as_bytes())
}

impl Overview {
    fn render_text(&self) -> String {
        let mut text = format!(
            "project `{}`\n  store     {}\n  log       {}\n",
            self.project, self.store, self.state
        );
        for model in &self.models {
            text += &format!("  model     {}\n", describe_model(model));
        }
        text + &format!("`{}` answers predictions at {}\n", self.project, self.address)
    }
}
