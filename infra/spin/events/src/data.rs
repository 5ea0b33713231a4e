//! Rows by `POST /data/<dataset>`: answered when they are an object in the store.

use bytes::Bytes;
use http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tidemill_core::{Digest, Error, Result};

use crate::{bindings::tidemill::runs::inbox, inside};

/// What of `TIDEMILL_CONFIG` is looked at here.
#[derive(Deserialize)]
struct Told {
    datasets: Vec<String>,
}

pub(crate) fn take(dataset: &str, headers: &HeaderMap, body: Bytes) -> Result<Value> {
    known(dataset)?;
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let ending = ending(kind)?;
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING) {
        return Err(Error::input(format!(
            "the body is encoded as `{}`; send the file as it is, without a content encoding",
            String::from_utf8_lossy(encoding.as_bytes())
        )));
    }
    if body.is_empty() {
        return Err(Error::input("the body is empty; send the rows in it"));
    }
    // Named by content: the same rows sent again are the same object.
    let key = format!("raw/{dataset}/posted-{}.{ending}", &Digest::of(&body).as_str()[..32]);
    let new = inbox::put(&key, &body).map_err(inside)?;
    Ok(json!({ "key": key, "bytes": body.len(), "new": new }))
}

fn known(dataset: &str) -> Result<()> {
    let wrong = |e: &dyn std::fmt::Display| Error::config(format!("`TIDEMILL_CONFIG` does not name the datasets: {e}"));
    let text = std::env::var("TIDEMILL_CONFIG").map_err(|e| wrong(&e))?;
    let told: Told = serde_json::from_str(&text).map_err(|e| wrong(&e))?;
    if told.datasets.iter().any(|known| known == dataset) {
        return Ok(());
    }
    let known: Vec<String> = told.datasets.iter().map(|name| format!("`{name}`")).collect();
    Err(Error::not_found(format!(
        "there is no dataset `{dataset}`; there is {}",
        known.join(", ")
    )))
}

/// The file ending of a content type.
fn ending(kind: &str) -> Result<&'static str> {
    match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "text/csv" | "application/csv" => Ok("csv"),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => Ok("jsonl"),
        "application/vnd.apache.parquet" | "application/x-parquet" => Ok("parquet"),
        _ => Err(Error::input(format!(
            "the content type is `{kind}`; send `text/csv`, `application/x-ndjson` or `application/vnd.apache.parquet`"
        ))),
    }
}
