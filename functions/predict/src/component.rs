//! `predict` as a WASI 0.3 HTTP component. An instance serves one request at a time, many in its life: what it has loaded stays.

use std::{
    cell::RefCell,
    collections::HashMap,
    hash::BuildHasher,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use bytes::Bytes;
use http::StatusCode;
use spin_sdk::{
    http::{FullBody, IntoResponse, Request, body::IncomingBodyExt as _},
    http_service,
};
use tidemill_core::{Error, Result};
use tidemill_predictions::Record;

use crate::{
    bindings::{errors, graph, inference, objects, predictions, tensor},
    host::{PredictHost, check_registered, decode_f32, take_scores},
    models::ModelCache,
};

thread_local! {
    /// One thread, and it lives as long as the instance: what is borrowed from it may cross an await.
    static GUEST: &'static Guest = Box::leak(Box::new(Guest::new()));
}

struct Guest {
    cache: ModelCache,
    /// Execution contexts by model digest; append-only.
    graphs: RefCell<HashMap<String, inference::GraphExecutionContext>>,
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
            let guest = GUEST.with(|guest| *guest);
            crate::handle(guest, &head.method, head.uri.path(), &head.headers, &body).await
        }
        Err(_) => crate::error_response(&Error::input("the body did not arrive whole")),
    };
    respond(&head, status, json)
}

fn respond(head: &http::request::Parts, status: StatusCode, json: String) -> http::Response<FullBody<Bytes>> {
    let mut response = http::Response::new(FullBody::new(Bytes::from(json)));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    if status == StatusCode::METHOD_NOT_ALLOWED
        && let Some(allowed) = crate::allowed_method(head.uri.path())
        && let Ok(allowed) = http::HeaderValue::from_str(allowed.as_str())
    {
        response.headers_mut().insert(http::header::ALLOW, allowed);
    }
    response
}

impl Guest {
    fn new() -> Self {
        Self {
            cache: ModelCache::default(),
            graphs: RefCell::default(),
            started: Instant::now(),
            seed: std::hash::RandomState::new().hash_one(0),
            requests: AtomicU64::new(0),
        }
    }
}

impl PredictHost for Guest {
    async fn get_object(&self, key: &str) -> Result<Vec<u8>> {
        objects::get(key.to_owned()).await.map_err(|e| refused(e, key))
    }

    async fn list_keys(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>> {
        objects::list(prefix.to_owned(), after.map(str::to_owned))
            .await
            .map_err(|e| refused(e, prefix))
    }

    async fn load_graph(&self, onnx: &str, digest: &str) -> Result<()> {
        if self.graphs.borrow().contains_key(digest) {
            return Ok(());
        }
        let graph = match graph::load_by_name(digest) {
            Ok(graph) => graph,
            // The host has not met it yet.
            Err(_) => {
                let bytes = self.get_object(onnx).await?;
                check_registered(onnx, &bytes, digest)?;
                graph::load(&[bytes], graph::GraphEncoding::Onnx, graph::ExecutionTarget::Cpu).map_err(|e| failed(&e, onnx))?
            }
        };
        let context = graph.init_execution_context().map_err(|e| failed(&e, onnx))?;
        self.graphs.borrow_mut().insert(digest.to_owned(), context);
        Ok(())
    }

    fn score(&self, digest: &str, rows: usize, features: Vec<f32>) -> Result<Vec<f32>> {
        let graphs = self.graphs.borrow();
        let graph = graphs
            .get(digest)
            .ok_or_else(|| Error::bug(format!("the model {digest} was not prepared")))?;
        let width = features.len().checked_div(rows).unwrap_or(0);
        let shape = [rows, width].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        let mut data = Vec::with_capacity(features.len() * 4);
        features.iter().for_each(|v| data.extend_from_slice(&v.to_le_bytes()));
        let input = tensor::Tensor::new(&shape, tensor::TensorType::Fp32, &data);
        let outputs = graph
            .compute(vec![("features".to_owned(), input)])
            .map_err(|e| failed(&e, digest))?;
        let scores = take_scores(digest, outputs)?;
        Ok(decode_f32(&scores.data()))
    }

    async fn append(&self, record: Record) -> Result<()> {
        predictions::append(record.into_bytes()).await.map_err(|refused| match refused {
            predictions::AppendError::TooLarge(message) => Error::limit(message),
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

    fn cache(&self) -> &ModelCache {
        &self.cache
    }
}

fn refused(error: objects::GetError, key: &str) -> Error {
    match error {
        objects::GetError::NotFound => Error::not_found(format!("`{key}` does not exist")),
        objects::GetError::Denied => Error::bug(format!("`{key}` may not be read by predict")),
        objects::GetError::Unavailable => Error::transient(format!("`{key}` cannot be read now: try again")),
    }
}

fn failed(error: &errors::Error, what: &str) -> Error {
    Error::bug(format!("`{what}` cannot be run: {}", error.data()))
}
