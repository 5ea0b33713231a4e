//! A component that is ready to serve: its instances, and the admission of requests to them.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use tidemill_core::{Error, Result};
use wasmtime_wasi_http::handler::{ExpirationError, ProxyHandler, ProxyPre};

use super::{
    ServeLimits,
    imports::Receipts,
    instances::{Admission, Instances, NotAdmitted},
    router::{Answer, error_response},
    state::{InstanceState, ServerState},
};

/// A compiled and linked component, and its instances.
pub struct ServedComponent {
    handler: ProxyHandler<Instances>,
    admission: Admission,
}

impl ServedComponent {
    pub(super) fn new(engine: wasmtime::Engine, pre: ProxyPre<InstanceState>, shared: Arc<ServerState>, limits: ServeLimits) -> Self {
        let admission = Admission::new(&limits);
        let instances = Instances {
            engine,
            pre,
            shared,
            pool: admission.pool(),
            limits,
        };
        Self {
            handler: ProxyHandler::new(instances),
            admission,
        }
    }

    /// Posts a request to each instance of those that serve without contention, so that each has loaded what the request needs. What is
    /// predicted is neither logged nor counted.
    ///
    /// # Errors
    /// `Transient`, with the answer's message, if one of them does not succeed.
    pub async fn warm_up(&self, path: &str, body: &Bytes) -> Result<()> {
        let request = || {
            let request = Request::post(path)
                .header(header::HOST, "localhost")
                .header(header::CONTENT_TYPE, "application/json");
            request
                .body(body.clone())
                .map_err(|e| Error::bug(format!("`{path}` is no path: {e}")))
        };
        // All concurrently: an instance that is busy leaves the next request to another one.
        let mut calls = Vec::new();
        for _ in 0..self.admission.uncontended_instances() {
            calls.push(self.call(request()?, Receipts::discard()));
        }
        for answer in futures::future::join_all(calls).await {
            if !answer.status().is_success() {
                return Err(Error::transient(error_message(answer).await));
            }
        }
        Ok(())
    }

    /// Waits for a core or a free instance, and calls the component.
    pub(super) async fn admit(&self, request: Request<Bytes>, receipts: Receipts) -> Result<Answer, NotAdmitted> {
        let _permit = self.admission.acquire().await?;
        Ok(self.call(request, receipts).await)
    }

    async fn call(&self, request: Request<Bytes>, receipts: Receipts) -> Answer {
        let request = request.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync());
        let response = match self.handler.handle(receipts, request).await {
            Ok(response) => response,
            Err(error) => return failure(&error),
        };
        let (mut head, body) = response.into_parts();
        match body.collect().await {
            Ok(body) => {
                head.headers.remove(header::CONTENT_LENGTH);
                head.headers.remove(header::TRANSFER_ENCODING);
                Response::from_parts(head, Full::new(body.to_bytes()))
            }
            Err(error) => {
                tracing::error!("an answer broke off: {error}");
                error_response(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the component failed while it answered; the failure is in the log",
                )
            }
        }
    }
}

/// What an answer's body says: its `error`, or the status.
pub(super) async fn error_message(answer: Answer) -> String {
    let status = answer.status();
    let Ok(body) = answer.into_body().collect().await;
    let body: serde_json::Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    body["error"].as_str().map_or_else(|| status.to_string(), str::to_owned)
}

fn failure(error: &wasmtime::Error) -> Answer {
    let slow = error.is::<ExpirationError>() || error.downcast_ref::<wasmtime::Trap>() == Some(&wasmtime::Trap::Interrupt);
    tracing::error!("a request failed: {error:#}");
    if slow {
        return error_response(StatusCode::GATEWAY_TIMEOUT, "the request took longer than it may");
    }
    error_response(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the component failed on this request; the failure is in the log",
    )
}
