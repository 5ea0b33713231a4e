//! Uploaded rows: from a request's headers and body to the object that holds them. Every server that accepts `POST /data/<dataset>`
//! plans the upload here.
//!
//! The key follows from the content, so a repeated upload is the same object.

use crate::{Digest, Error, Result, layout, text::quoted_list};

/// Why a request's body cannot be read: HTTP status 415.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnsupportedMedia {
    /// It is encoded; the answer says `Accept-Encoding: identity`.
    Encoding(String),
    /// It is of another type.
    Type(String),
}

impl UnsupportedMedia {
    /// The message for the client.
    pub fn message(&self) -> &str {
        match self {
            Self::Encoding(message) | Self::Type(message) => message,
        }
    }

    /// The value of `Accept-Encoding` in the answer, if it has that header.
    pub fn accept_encoding(&self) -> Option<&'static str> {
        matches!(self, Self::Encoding(_)).then_some("identity")
    }
}

/// A content type without its parameters, in lower case.
pub fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether a content type is one of JSON: `application/json`, or `application/…+json`.
pub fn is_json(content_type: &str) -> bool {
    let kind = media_type(content_type);
    kind == "application/json" || kind.starts_with("application/") && kind.ends_with("+json")
}

/// Rejects a body that is compressed or otherwise encoded.
///
/// # Errors
/// If `content_encoding`, the header's value or an empty text, is neither empty nor `identity`.
pub fn check_encoding(content_encoding: &str) -> Result<(), UnsupportedMedia> {
    let encoding = content_encoding.trim();
    if encoding.is_empty() || encoding.eq_ignore_ascii_case("identity") {
        return Ok(());
    }
    Err(UnsupportedMedia::Encoding(format!(
        "the body is encoded as `{}`; send it as it is, without a content encoding",
        encoding.to_ascii_lowercase()
    )))
}

/// The file extension for a content type.
///
/// ```
/// use tidemill_core::ingest::extension;
///
/// assert_eq!(extension("text/csv; charset=utf-8"), Ok("csv"));
/// assert!(extension("application/json").unwrap_err().message().contains("send `text/csv`"));
/// ```
///
/// # Errors
/// If it is not one of the formats that a dataset can have.
pub fn extension(content_type: &str) -> Result<&'static str, UnsupportedMedia> {
    match media_type(content_type).as_str() {
        "text/csv" | "application/csv" => Ok("csv"),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => Ok("jsonl"),
        "application/vnd.apache.parquet" | "application/x-parquet" => Ok("parquet"),
        kind => Err(UnsupportedMedia::Type(format!(
            "the content type is `{kind}`; send `text/csv`, `application/x-ndjson` or `application/vnd.apache.parquet`"
        ))),
    }
}

/// The key of uploaded rows, `raw/<dataset>/posted-<digest>.<extension>`.
///
/// # Errors
/// `NotFound` if `datasets` has no `dataset`, `Input` if the body is empty.
pub fn upload_key<'a>(dataset: &str, datasets: impl IntoIterator<Item = &'a str>, extension: &str, body: &[u8]) -> Result<String> {
    check_dataset(dataset, datasets)?;
    Ok(layout::raw(dataset, &upload_name(extension, body)?))
}

/// The name of an upload, from its content: the same rows sent again are the same object.
///
/// # Errors
/// `Input` if the body is empty.
pub fn upload_name(extension: &str, body: &[u8]) -> Result<String> {
    if body.is_empty() {
        return Err(Error::input("the body is empty; send the rows in it"));
    }
    Ok(layout::posted_name(&Digest::sha256(body), extension))
}

/// Rejects a dataset that the project does not have.
///
/// # Errors
/// `NotFound`, with the datasets that there are.
pub fn check_dataset<'a>(dataset: &str, datasets: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let known: Vec<&str> = datasets.into_iter().collect();
    if known.contains(&dataset) {
        return Ok(());
    }
    let known = quoted_list(known);
    Err(Error::not_found(format!("there is no dataset `{dataset}`; there is {known}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_and_encodings() {
        assert_eq!(extension("application/x-ndjson"), Ok("jsonl"));
        assert!(extension("").unwrap_err().message().contains("send `text/csv`"));
        assert_eq!(check_encoding("Identity"), Ok(()));
        assert!(check_encoding("gzip").unwrap_err().message().contains("`gzip`"));
        assert!(is_json("Application/JSON; charset=utf-8") && is_json("application/cloudevents+json"));
        assert!(!is_json("text/plain") && !is_json(""));
    }

    #[test]
    fn keys_follow_from_the_content() {
        let key = |body: &[u8]| upload_key("flights", ["flights"], "csv", body);
        assert_eq!(key(b"a").unwrap(), key(b"a").unwrap());
        assert_ne!(key(b"a").unwrap(), key(b"b").unwrap());
        assert!(key(b"").unwrap_err().message.contains("empty"));
        assert!(check_dataset("x", ["a", "b"]).unwrap_err().message.contains("`a`, `b`"));
    }
}
