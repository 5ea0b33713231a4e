//! Errors as answers: `{"error": …}` with the status of the error's kind.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use tidemill_core::{Error, ErrorKind, ingest::UnsupportedMedia};

/// An error that a handler returns.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The status follows from the kind.
    Failure(Error),
    /// 415.
    UnsupportedMedia(UnsupportedMedia),
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self::Failure(error)
    }
}

impl From<UnsupportedMedia> for ApiError {
    fn from(media: UnsupportedMedia) -> Self {
        Self::UnsupportedMedia(media)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::UnsupportedMedia(media) => {
                let mut response = error_response(StatusCode::UNSUPPORTED_MEDIA_TYPE, media.message());
                if let Some(accepted) = media.accept_encoding() {
                    let accepted = HeaderValue::from_static(accepted);
                    response.headers_mut().insert(header::ACCEPT_ENCODING, accepted);
                }
                response
            }
            Self::Failure(error) if error.kind == ErrorKind::Bug => {
                tracing::error!("{error}");
                error_response(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "an internal error; the server's log has the details",
                )
            }
            Self::Failure(error) => {
                let status = StatusCode::from_u16(error.kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                error_response(status, &error.message)
            }
        }
    }
}

pub(crate) fn error_response(status: StatusCode, message: &str) -> Response {
    json_response(status, &json!({ "error": message }))
}

/// JSON with a line's end, so that a terminal shows it well.
pub(crate) fn json_response(status: StatusCode, value: &Value) -> Response {
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (status, content_type, format!("{value}\n")).into_response()
}
