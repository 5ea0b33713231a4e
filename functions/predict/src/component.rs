//! `predict` as a WASI 0.3 HTTP component. An instance serves many requests, one at a time, and keeps the models that it loaded.

use std::{
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use http::StatusCode;
use spin_sdk::{
    http::{FullBody, IntoResponse, Request, body::IncomingBodyExt as _},
    http_service,
};
use tidemill_core::{Digest, Error, Result};
use tidemill_nn::{Backend as _, Graph, WasiNn};
use tidemill_predictions::Record;

use crate::{
    PredictHost, Server,
    bindings::{objects, predictions},
    models::check_registered,
};

thread_local! {
    /// An instance has one thread, and the server lives as long as the instance: references to it may cross an await.
    static SERVER: &'static Server<Guest> = Box::leak(Box::new(Server::new(Guest::new())));
}

/// The component's imports.
struct Guest {
    started: Instant,
    /// Random for each instance.
    seed: u64,
    requests: AtomicU64,
}

#[http_service]
async fn serve(request: Request) -> impl IntoResponse {
    let (head, body) = request.into_parts();
    let (status, json) = match body.bytes().await {
        Ok(body) => {
            let server = SERVER.with(|server| *server);
            crate::handle(server, &head.method, head.uri.path(), &head.headers, &body).await
        }
        Err(_) => crate::error_response(&Error::input("the body did not arrive whole")),
    };
    respond(&head, status, json)
}

fn respond(head: &http::request::Parts, status: StatusCode, json: String) -> http::Response<FullBody<Bytes>> {
    // Without a length the body's end is a packet of its own, which waits for the client to acknowledge the first one.
    let length = http::HeaderValue::from(json.len());
    let mut response = http::Response::new(FullBody::new(Bytes::from(json)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    headers.insert(http::header::CONTENT_LENGTH, length);
    if let Some((name, value)) = crate::explaining_header(status, head.uri.path(), &head.headers) {
        headers.insert(name, value);
    }
    response
}

impl Guest {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            seed: std::hash::RandomState::new().hash_one(0),
            requests: AtomicU64::new(0),
        }
    }
}

impl PredictHost for Guest {
    async fn get_object(&self, key: &str) -> Result<Vec<u8>> {
        objects::get(key.to_owned()).await.map_err(|e| read_error(e, key))
    }

    async fn list_keys(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>> {
        objects::list(prefix.to_owned(), after.map(str::to_owned))
            .await
            .map_err(|e| read_error(e, prefix))
    }

    async fn load_graph(&self, onnx: &str, digest: &Digest) -> Result<Arc<dyn Graph>> {
        if let Some(found) = WasiNn.find(onnx, digest) {
            return found;
        }
        let bytes = self.get_object(onnx).await?;
        check_registered("model", onnx, &bytes, digest)?;
        WasiNn.load(onnx, &bytes)
    }

    async fn append(&self, record: Record) -> Result<()> {
        predictions::append(record.into_bytes()).await.map_err(|refused| match refused {
            predictions::AppendError::TooLarge(message) => Error::limit(message),
            predictions::AppendError::Rejected(message) => Error::input(message),
            predictions::AppendError::Unavailable(message) => Error::transient(message),
            predictions::AppendError::Invalid(message) => Error::bug(message),
        })
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn unique_id(&self) -> String {
        format!("{:016x}-{:x}", self.seed, self.requests.fetch_add(1, Ordering::Relaxed))
    }
}

fn read_error(error: objects::GetError, key: &str) -> Error {
    match error {
        objects::GetError::NotFound => Error::not_found(format!("`{key}` does not exist")),
        objects::GetError::Denied => Error::bug(format!("`{key}` may not be read by predict")),
        objects::GetError::Unavailable => Error::transient(format!("`{key}` cannot be read now: try again")),
    }
}
