//! Rows by `POST /data/<dataset>`: the response is sent when they are an object in the store.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tidemill_core::{Digest, Error, Result};

use crate::{bindings::tidemill::runs::ingest, error_from_wit};

/// The part of `TIDEMILL_CONFIG` that is read here.
#[derive(Deserialize)]
struct Settings {
    datasets: Vec<String>,
}

pub(crate) fn ingest(dataset: &str, headers: &HeaderMap, body: Bytes) -> Result<(StatusCode, Value)> {
    check_dataset(dataset)?;
    let extension = match body_extension(headers) {
        Ok(extension) => extension,
        Err(message) => return Ok((StatusCode::UNSUPPORTED_MEDIA_TYPE, json!({ "error": message }))),
    };
    if body.is_empty() {
        return Err(Error::input("the body is empty; send the rows in it"));
    }
    // Named by content: the same rows sent again are the same object.
    let key = format!("raw/{dataset}/posted-{}.{extension}", &Digest::sha256(&body).as_str()[..32]);
    let new = ingest::put(&key, &body).map_err(error_from_wit)?;
    Ok((StatusCode::ACCEPTED, json!({ "key": key, "bytes": body.len(), "new": new })))
}

fn check_dataset(dataset: &str) -> Result<()> {
    let wrong = |e: &dyn std::fmt::Display| Error::config(format!("`TIDEMILL_CONFIG` does not name the datasets: {e}"));
    let text = std::env::var("TIDEMILL_CONFIG").map_err(|e| wrong(&e))?;
    let settings: Settings = serde_json::from_str(&text).map_err(|e| wrong(&e))?;
    if settings.datasets.iter().any(|known| known == dataset) {
        return Ok(());
    }
    let known: Vec<String> = settings.datasets.iter().map(|name| format!("`{name}`")).collect();
    Err(Error::not_found(format!(
        "there is no dataset `{dataset}`; there is {}",
        known.join(", ")
    )))
}

/// The file ending of a body, going by its headers; or why it cannot be read.
fn body_extension(headers: &HeaderMap) -> Result<&'static str, String> {
    let text = |name: header::HeaderName| {
        let value = headers.get(name).map(header::HeaderValue::as_bytes).unwrap_or_default();
        String::from_utf8_lossy(value).trim().to_ascii_lowercase()
    };
    let encoding = text(header::CONTENT_ENCODING);
    if !matches!(encoding.as_str(), "" | "identity") {
        return Err(format!(
            "the body is encoded as `{encoding}`; send the file as it is, without a content encoding"
        ));
    }
    let kind = text(header::CONTENT_TYPE);
    match kind.split(';').next().unwrap_or_default().trim() {
        "text/csv" | "application/csv" => Ok("csv"),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => Ok("jsonl"),
        "application/vnd.apache.parquet" | "application/x-parquet" => Ok("parquet"),
        _ => Err(format!(
            "the content type is `{kind}`; send `text/csv`, `application/x-ndjson` or `application/vnd.apache.parquet`"
        )),
    }
}
