//! Routing of requests, and errors as JSON. No other file knows paths.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use tidemill_core::{
    Error, Result,
    ingest::{check_encoding, is_json, media_type},
};

use crate::{PredictHost, Server, infer, models, protocol};

/// Maximum size of a request's body, in bytes.
pub const MAX_BODY_BYTES: usize = 8 << 20;

/// Answers one request with a status and JSON.
pub async fn handle(
    server: &Server<impl PredictHost>,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> (StatusCode, String) {
    if body.len() > MAX_BODY_BYTES {
        let most = MAX_BODY_BYTES >> 20;
        return error_response(&Error::limit(format!(
            "the body is larger than {most} MiB: send fewer rows a request"
        )));
    }
    let Some(allowed) = allowed_method(path) else {
        return error_response(&unknown_route(method, path));
    };
    // HEAD is GET without the body, which the server in front removes.
    let method = if allowed == Method::GET && method == Method::HEAD {
        &allowed
    } else {
        method
    };
    if method != allowed {
        let allowed = allowed_methods(&allowed);
        let message = format!("`{path}` does not take `{method}`; it takes {allowed}");
        return (StatusCode::METHOD_NOT_ALLOWED, json!({ "error": message }).to_string());
    }
    if allowed == Method::POST {
        let unsupported = |message: &str| (StatusCode::UNSUPPORTED_MEDIA_TYPE, json!({ "error": message }).to_string());
        if let Err(media) = check_encoding(&text(headers, header::CONTENT_ENCODING).unwrap_or_default()) {
            return unsupported(media.message());
        }
        if has_binary_tensors(headers, body.len()) {
            return error_response(&protocol::binary_tensor_error());
        }
        if let Some(message) = unsupported_media_type(headers) {
            return unsupported(&message);
        }
    }
    match route(server, method, path, body).await {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => error_response(&error),
    }
}

/// The method of a path; `None` if there is no such path.
pub fn allowed_method(path: &str) -> Option<Method> {
    match path_segments(path).as_slice() {
        ["v2"] | ["v2", "health", "live" | "ready"] | ["v2", "models"] => Some(Method::GET),
        ["v2", "models", _] | ["v2", "models", _, "ready"] => Some(Method::GET),
        ["v2", "models", _, "versions", _] | ["v2", "models", _, "versions", _, "ready"] => Some(Method::GET),
        ["v2", "models", _, "infer"] | ["v2", "models", _, "versions", _, "infer"] => Some(Method::POST),
        _ => None,
    }
}

/// Whether tensors follow the JSON, as in the protocol's binary extension: its header tells where the JSON ends.
fn has_binary_tensors(headers: &HeaderMap, size: usize) -> bool {
    let json = |value: &HeaderValue| value.to_str().ok()?.trim().parse::<usize>().ok();
    headers
        .get("inference-header-content-length")
        .is_some_and(|value| json(value) != Some(size))
}

/// The reason why a body of this type is not read.
///
/// What has no type is JSON: tritonclient's names none. A browser says whence such a request comes; and `application/octet-stream`, which
/// clients with and without tensors in binary use for either, it sends to another origin only if it may.
fn unsupported_media_type(headers: &HeaderMap) -> Option<String> {
    let kind = text(headers, header::CONTENT_TYPE)
        .map(|kind| media_type(&kind))
        .unwrap_or_default();
    let is_from_page = headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site");
    let is_read = is_json(&kind) || kind == "application/octet-stream" || kind.is_empty() && !is_from_page;
    (!is_read).then(|| format!("the content type is `{kind}`; send `application/json`"))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn allowed_methods(allowed: &Method) -> &'static str {
    match *allowed {
        Method::GET => "GET, HEAD",
        _ => "POST",
    }
}

/// The header that says what would have been taken, where an answer has one.
pub fn explaining_header(status: StatusCode, path: &str, request: &HeaderMap) -> Option<(HeaderName, HeaderValue)> {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => Some((header::ALLOW, HeaderValue::from_static(allowed_methods(&allowed_method(path)?)))),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            let media = check_encoding(&text(request, header::CONTENT_ENCODING)?).err()?;
            Some((header::ACCEPT_ENCODING, HeaderValue::from_static(media.accept_encoding()?)))
        }
        _ => None,
    }
}

/// An error as status and JSON.
pub fn error_response(error: &Error) -> (StatusCode, String) {
    let status = StatusCode::from_u16(error.kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, json!({ "error": error.message }).to_string())
}

fn path_segments(path: &str) -> Vec<&str> {
    path.split('?').next().unwrap_or_default().trim_matches('/').split('/').collect()
}

async fn route(server: &Server<impl PredictHost>, method: &Method, path: &str, body: &[u8]) -> Result<String> {
    match (method, path_segments(path).as_slice()) {
        (&Method::POST, ["v2", "models", model, "infer"]) => infer::infer(server, model, None, body).await,
        (&Method::POST, ["v2", "models", model, "versions", version, "infer"]) => infer::infer(server, model, Some(version), body).await,
        (&Method::GET, parts) => describe(server, parts)
            .await
            .unwrap_or_else(|| Err(unknown_route(method, path)))
            .map(|value| value.to_string()),
        _ => Err(unknown_route(method, path)),
    }
}

/// Metadata of the server or of a model; `None` if there is no such path.
async fn describe(server: &Server<impl PredictHost>, parts: &[&str]) -> Option<Result<Value>> {
    Some(match parts {
        ["v2"] => Ok(json!({ "name": "tidemill", "version": env!("CARGO_PKG_VERSION"), "extensions": [] })),
        ["v2", "health", "live"] => Ok(json!({ "live": true })),
        ["v2", "health", "ready"] => models::list_models(server).await.map(|_| json!({ "ready": true })),
        ["v2", "models"] => models::list_models(server).await.map(|names| json!({ "models": names })),
        ["v2", "models", model, rest @ ..] => {
            let (version, action) = match rest {
                ["versions", version, action @ ..] => (Some(*version), action),
                action => (None, action),
            };
            match action {
                [] => models::metadata(server, model, version).await,
                ["ready"] => models::load(server, model, version)
                    .await
                    .map(|served| json!({ "name": served.version.model, "ready": true })),
                _ => return None,
            }
        }
        _ => return None,
    })
}

fn unknown_route(method: &Method, path: &str) -> Error {
    Error::not_found(format!(
        "there is no `{method} {path}`: GET /v2, /v2/health/live, /v2/health/ready, /v2/models, /v2/models/<model>[/versions/<version>][/ready], \
         or POST /v2/models/<model>[/versions/<version>]/infer"
    ))
}
