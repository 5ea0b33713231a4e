//! Rows by `POST /data/<dataset>`: the response is sent once they are stored as an object.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tidemill_core::{
    Error, Result,
    ingest::{self, UnsupportedMedia},
};

use crate::{bindings::tidemill::runs::ingest as store, error_from_wit};

/// The part of `TIDEMILL_CONFIG` that this module reads.
#[derive(Deserialize)]
struct Settings {
    datasets: Vec<String>,
}

pub(crate) fn ingest(dataset: &str, headers: &HeaderMap, body: Bytes) -> Result<(StatusCode, Value)> {
    let settings = read_settings()?;
    let datasets = || settings.datasets.iter().map(String::as_str);
    ingest::check_dataset(dataset, datasets())?;
    let extension = match body_extension(headers) {
        Ok(extension) => extension,
        Err(media) => return Ok((StatusCode::UNSUPPORTED_MEDIA_TYPE, json!({ "error": media.message() }))),
    };
    let key = ingest::upload_key(dataset, datasets(), extension, &body)?;
    let new = store::put(&key, &body).map_err(error_from_wit)?;
    Ok((StatusCode::ACCEPTED, json!({ "key": key, "bytes": body.len(), "new": new })))
}

fn read_settings() -> Result<Settings> {
    let wrong = |e: &dyn std::fmt::Display| Error::config(format!("`TIDEMILL_CONFIG` does not name the datasets: {e}"));
    let text = std::env::var("TIDEMILL_CONFIG").map_err(|e| wrong(&e))?;
    serde_json::from_str(&text).map_err(|e| wrong(&e))
}

fn body_extension(headers: &HeaderMap) -> Result<&'static str, UnsupportedMedia> {
    let text = |name: header::HeaderName| {
        let value = headers.get(name).map(header::HeaderValue::as_bytes).unwrap_or_default();
        String::from_utf8_lossy(value)
    };
    ingest::check_encoding(&text(header::CONTENT_ENCODING))?;
    ingest::extension(&text(header::CONTENT_TYPE))
}
