//! `tidemill predict`: sends one request of the Open Inference Protocol to a running server, or to the same component in this process.
//! Predictions made in this process are not logged: a trial is not traffic.

use std::{io::Read as _, path::PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::Value;
use tidemill_app::{App, TrialServer};
use tidemill_core::{Error, ErrorKind};

use crate::{
    output::{Output, table},
    project::{Project, read_error},
};

/// Requests predictions from a model.
#[derive(Args)]
pub(crate) struct Predict {
    /// The model.
    model: String,
    /// The request: a JSON file, or `-` for the standard input.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// The version; default: the champion.
    #[arg(long)]
    version: Option<u32>,
    /// Send the request to this server (`http://…`), which logs the predictions.
    #[arg(long)]
    url: Option<String>,
}

impl Predict {
    pub(crate) async fn run(&self, project: &Project, output: Output) -> anyhow::Result<()> {
        project.pipeline.require_model(&self.model)?;
        let body = self.read_body()?;
        let path = match self.version {
            None => format!("/v2/models/{}/infer", self.model),
            Some(version) => format!("/v2/models/{}/versions/{version}/infer", self.model),
        };
        let (status, text) = match &self.url {
            Some(url) => post(&format!("{}{path}", url.trim_end_matches('/')), &body)?,
            None => self.predict_in_process(project, &path, &body).await?,
        };
        let answer: Value = serde_json::from_slice(&text).unwrap_or_else(|_| String::from_utf8_lossy(&text).trim().into());
        if status != 200 {
            let said = answer["error"].as_str().map_or_else(|| answer.to_string(), str::to_owned);
            return Err(Error::new(error_kind(status), said).into());
        }
        output.print(&answer, render_text)
    }

    fn read_body(&self) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        match self.file.to_str() {
            Some("-") => std::io::stdin()
                .read_to_end(&mut body)
                .map(drop)
                .context("cannot read the standard input")?,
            _ => body = std::fs::read(&self.file).map_err(|e| read_error(&self.file, &e))?,
        }
        Ok(body)
    }

    async fn predict_in_process(&self, project: &Project, path: &str, body: &[u8]) -> anyhow::Result<(u16, Vec<u8>)> {
        let app = App::open(project.clone())?;
        let server = TrialServer::start(&app).await?;
        let (url, body) = (format!("{}{path}", server.address()), body.to_vec());
        let answer = tokio::task::spawn_blocking(move || post(&url, &body)).await?;
        server.stop().await;
        answer
    }
}

fn post(url: &str, body: &[u8]) -> anyhow::Result<(u16, Vec<u8>)> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut response = agent
        .post(url)
        .header("content-type", "application/json")
        .send(body)
        .map_err(|e| Error::transient(format!("`{url}` does not answer: {e}")))?;
    let text = response
        .body_mut()
        .read_to_vec()
        .with_context(|| format!("the answer of `{url}` ended early"))?;
    Ok((response.status().as_u16(), text))
}

fn error_kind(status: u16) -> ErrorKind {
    ErrorKind::ALL
        .into_iter()
        .find(|kind| kind.http_status() == status)
        .unwrap_or(match status {
            400..=499 => ErrorKind::Input,
            _ => ErrorKind::Transient,
        })
}

/// A table with one row for each prediction.
fn render_text(answer: &Value) -> String {
    let outputs: Vec<&Value> = answer["outputs"].as_array().into_iter().flatten().collect();
    let header: Vec<&str> = outputs.iter().filter_map(|output| output["name"].as_str()).collect();
    let cell = |output: &Value, row: usize| match &output["data"][row] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let rows = outputs.iter().filter_map(|output| output["shape"][0].as_u64()).max().unwrap_or(0) as usize;
    let cells = (0..rows)
        .map(|row| outputs.iter().map(|output| cell(output, row)).collect())
        .collect();
    let version = answer["model_version"].as_str().unwrap_or("?");
    format!("version {version}\n{}", table(&header, cells, "no predictions"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_render_as_rows_and_statuses_map_to_kinds() {
        let answer = serde_json::json!({ "model_version": "2", "outputs": [
            { "name": "score", "shape": [2], "data": [0.25, 0.5] }, { "name": "label", "shape": [2], "data": ["no", "yes"] }
        ]});
        let text = render_text(&answer);
        assert!(
            text.starts_with("version 2") && text.contains("0.25") && text.contains("yes"),
            "{text}"
        );
        assert_eq!(
            (error_kind(404), error_kind(400), error_kind(502)),
            (ErrorKind::NotFound, ErrorKind::Input, ErrorKind::Transient)
        );
    }
}
