//! The HTTP front of the application: events of the bucket's objects at `POST /events`, and rows at `POST /data/<dataset>`.
//!
//! It responds like `tidemill up`, but without a queue: the response is sent after the stages have run, and an event that receives a 503
//! must be sent again.
#![cfg(target_family = "wasm")]

mod data;

#[allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        inline: "
            package tidemill:http-front;
            world http-front {
                import tidemill:runs/ingest@0.1.0;
                import tidemill:runs/pipeline@0.1.0;
            }
        ",
        path: ["../../../runtime/wit/stage", "../../../runtime/wit/runs"],
        world: "tidemill:http-front/http-front",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
}

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use serde_json::{Map, Value, json};
use spin_sdk::{
    http::{FullBody, IntoResponse, Request, body::IncomingBodyExt as _},
    http_service,
};
use tidemill_core::{Error, ErrorKind, Result, notification};

use bindings::tidemill::runs::pipeline::{self, StageResult};
use convert::error_from_wit;

#[http_service]
async fn serve(request: Request) -> impl IntoResponse {
    let (head, body) = request.into_parts();
    let answered = match body.bytes().await {
        Ok(body) => answer(&head.method, head.uri.path(), &head.headers, body),
        Err(_) => Err(Error::input("the body did not arrive whole")),
    };
    let (status, json) = answered.unwrap_or_else(|error| error_response(&error));
    let body = Bytes::from(format!("{json}\n"));
    // Without a length the body's end is a packet of its own, which waits for the client to acknowledge the first one.
    let length = http::HeaderValue::from(body.len());
    let mut response = http::Response::new(FullBody::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, http::HeaderValue::from_static("POST"));
    }
    response
}

fn answer(method: &Method, path: &str, headers: &HeaderMap, body: Bytes) -> Result<(StatusCode, Value)> {
    let dataset = path.strip_prefix("/data/");
    if dataset.is_none() && path != "/events" {
        return Err(Error::not_found(format!(
            "there is no `{path}`; there is POST /events and POST /data/<dataset>"
        )));
    }
    if method != Method::POST {
        let message = format!("`{path}` does not take `{method}`; it takes POST");
        return Ok((StatusCode::METHOD_NOT_ALLOWED, json!({ "error": message })));
    }
    match dataset {
        Some(dataset) => data::ingest(dataset, headers, body),
        None => Ok(handle_events(headers, &body)),
    }
}

/// The decisions of the stages by key. A run that must be retried fails the whole request; when it is sent again, the other runs change
/// nothing.
fn handle_events(headers: &HeaderMap, body: &[u8]) -> (StatusCode, Value) {
    let header = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
    if let Err(media) = notification::check_media(&header) {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, json!({ "error": media.message() }));
    }
    let headers: Vec<(String, String)> = headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect();
    let (mut decided, mut worst) = (Map::new(), None);
    for StageResult { key, result } in pipeline::handle(0, &headers, body) {
        match result {
            Ok(json) => drop(decided.insert(key, serde_json::from_str(&json).unwrap_or(Value::String(json)))),
            Err(error) => {
                let error = error_from_wit(error).context(if key.is_empty() {
                    "the event".to_owned()
                } else {
                    format!("`{key}`")
                });
                eprintln!("error: {error}");
                if worst.as_ref().is_none_or(|worst: &Error| worst.kind == ErrorKind::Input) {
                    worst = Some(error);
                }
            }
        }
    }
    match worst {
        Some(error) if error.kind == ErrorKind::Input => error_response(&error),
        // There is neither an outcome nor a dead letter, and senders repeat an event after no other status.
        Some(error) => (StatusCode::SERVICE_UNAVAILABLE, error_response(&error).1),
        None => (StatusCode::OK, Value::Object(decided)),
    }
}

#[allow(dead_code, reason = "each side converts in one direction")]
mod convert {
    tidemill_core::wit_conversions!([crate::bindings::tidemill::stage] types);
}

/// An error as a response. Bugs and wrong configuration are logged, not shown to the client.
fn error_response(error: &Error) -> (StatusCode, Value) {
    let status = StatusCode::from_u16(error.kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let message = match error.kind {
        ErrorKind::Bug | ErrorKind::Config => {
            eprintln!("error: {error}");
            "internal error; see the component's log"
        }
        _ => &error.message,
    };
    (status, json!({ "error": message }))
}
