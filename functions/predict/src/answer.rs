//! Which request is which, and errors as JSON. The one place that knows paths.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tidemill_core::{Error, Result};

use crate::{environment::Environment, infer, models};

/// Requests larger than this are refused, bytes.
pub const LARGEST_BODY: usize = 8 << 20;

/// Answers one request: status and JSON.
pub async fn answer(environment: &impl Environment, method: &Method, path: &str, body: &[u8]) -> (StatusCode, Value) {
    if body.len() > LARGEST_BODY {
        let most = LARGEST_BODY >> 20;
        return failure(&Error::limit(format!(
            "the body is larger than {most} MiB: send fewer rows a request"
        )));
    }
    match route(environment, method, path, body).await {
        Ok(value) => (StatusCode::OK, value),
        Err(error) => failure(&error),
    }
}

/// An error as status and JSON.
pub fn failure(error: &Error) -> (StatusCode, Value) {
    let status = StatusCode::from_u16(error.kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, json!({ "error": error.message }))
}

async fn route(environment: &impl Environment, method: &Method, path: &str, body: &[u8]) -> Result<Value> {
    let parts: Vec<&str> = path.split('?').next().unwrap_or_default().trim_matches('/').split('/').collect();
    match (method, parts.as_slice()) {
        (&Method::GET, ["v2"]) => Ok(json!({ "name": "tidemill", "version": env!("CARGO_PKG_VERSION"), "extensions": [] })),
        (&Method::GET, ["v2", "health", "live"]) => Ok(json!({ "live": true })),
        (&Method::GET, ["v2", "health", "ready"]) => models::names(environment).await.map(|_| json!({ "ready": true })),
        (&Method::GET, ["v2", "models"]) => models::names(environment).await.map(|names| json!({ "models": names })),
        (_, ["v2", "models", model, rest @ ..]) => {
            let (version, action) = match rest {
                ["versions", version, action @ ..] => (Some(*version), action),
                action => (None, action),
            };
            match (method, action) {
                (&Method::GET, []) => models::metadata(environment, model, version).await,
                (&Method::GET, ["ready"]) => models::load(environment, model, version)
                    .await
                    .map(|served| json!({ "name": served.version.model, "ready": true })),
                (&Method::POST, ["infer"]) => infer::infer(environment, model, version, body).await,
                _ => Err(unknown(method, path)),
            }
        }
        _ => Err(unknown(method, path)),
    }
}

fn unknown(method: &Method, path: &str) -> Error {
    Error::not_found(format!(
        "there is no `{method} {path}`: GET /v2, /v2/health/live, /v2/health/ready, /v2/models, /v2/models/<model>[/versions/<version>][/ready], \
         or POST /v2/models/<model>[/versions/<version>]/infer"
    ))
}
