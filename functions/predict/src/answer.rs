//! Which request is which, and errors as JSON. The one place that knows paths.

use http::{HeaderMap, Method, StatusCode, header};
use serde_json::{Value, json};
use tidemill_core::{Error, Result};

use crate::{environment::Environment, infer, models};

/// Requests larger than this are refused, bytes.
pub const LARGEST_BODY: usize = 8 << 20;

/// Answers one request: status and JSON.
pub async fn answer(environment: &impl Environment, method: &Method, path: &str, headers: &HeaderMap, body: &[u8]) -> (StatusCode, Value) {
    if body.len() > LARGEST_BODY {
        let most = LARGEST_BODY >> 20;
        return failure(&Error::limit(format!(
            "the body is larger than {most} MiB: send fewer rows a request"
        )));
    }
    let Some(allowed) = method_of(path) else {
        return failure(&unknown(method, path));
    };
    if method != allowed {
        return (
            StatusCode::METHOD_NOT_ALLOWED,
            json!({ "error": format!("`{path}` does not take `{method}`; it takes {allowed}") }),
        );
    }
    if allowed == Method::POST
        && let Some(unread) = unread(headers)
    {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, json!({ "error": unread }));
    }
    match route(environment, method, path, body).await {
        Ok(value) => (StatusCode::OK, value),
        Err(error) => failure(&error),
    }
}

/// The method of a path; `None` if there is no such path.
pub fn method_of(path: &str) -> Option<Method> {
    match parts(path).as_slice() {
        ["v2"] | ["v2", "health", "live" | "ready"] | ["v2", "models"] => Some(Method::GET),
        ["v2", "models", _] | ["v2", "models", _, "ready"] => Some(Method::GET),
        ["v2", "models", _, "versions", _] | ["v2", "models", _, "versions", _, "ready"] => Some(Method::GET),
        ["v2", "models", _, "infer"] | ["v2", "models", _, "versions", _, "infer"] => Some(Method::POST),
        _ => None,
    }
}

/// Why a body cannot be read, going by its headers. A request that names no type is taken for JSON.
fn unread(headers: &HeaderMap) -> Option<String> {
    let text = |name| {
        headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase())
    };
    if let Some(encoding) = text(header::CONTENT_ENCODING).filter(|encoding| !matches!(encoding.as_str(), "" | "identity")) {
        return Some(format!(
            "the body is encoded as `{encoding}`; send it as it is, without a content encoding"
        ));
    }
    let kind = text(header::CONTENT_TYPE)?;
    let essence = kind.split(';').next().unwrap_or_default().trim();
    let json = matches!(essence, "" | "application/json") || essence.starts_with("application/") && essence.ends_with("+json");
    (!json).then(|| format!("the content type is `{kind}`; send `application/json`"))
}

/// An error as status and JSON.
pub fn failure(error: &Error) -> (StatusCode, Value) {
    let status = StatusCode::from_u16(error.kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, json!({ "error": error.message }))
}

fn parts(path: &str) -> Vec<&str> {
    path.split('?').next().unwrap_or_default().trim_matches('/').split('/').collect()
}

async fn route(environment: &impl Environment, method: &Method, path: &str, body: &[u8]) -> Result<Value> {
    match (method, parts(path).as_slice()) {
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
