//! The router, and its seam to the engine's server.

use std::sync::{Arc, OnceLock};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tidemill_core::{Error, notification, pipeline::Pipeline};
use tidemill_flow::Flow;
use tower::ServiceExt as _;

use crate::{
    data,
    error::{ApiError, error_response, json_response},
};

/// The flow, set as soon as it runs. Until then its routes answer 503.
pub type FlowSlot = Arc<OnceLock<Flow>>;

/// What handlers share.
#[derive(Clone)]
pub struct ApiState {
    /// The checked project.
    pub pipeline: Arc<Pipeline>,
    /// The running flow.
    pub flow: FlowSlot,
}

impl ApiState {
    pub(crate) fn flow(&self) -> Result<&Flow, Error> {
        self.flow
            .get()
            .ok_or_else(|| Error::transient("the flow is starting; retry in a moment"))
    }
}

/// Whether a path belongs to the [`router`], whatever the method.
pub fn is_host_path(path: &str) -> bool {
    path.starts_with("/data/") || matches!(path, "/healthz" | "/status" | "/events" | "/metrics")
}

/// The host's routes.
pub fn router(state: ApiState) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/status", get(status))
        .route("/events", get(list_events).post(notify))
        .route("/data/{*dataset}", post(data::upload))
        .route("/metrics", get(metrics))
        .fallback(not_found)
        .layer(middleware::from_fn(explain_method))
        // The engine's server reads bodies whole, and limits them, before they come here.
        .layer(DefaultBodyLimit::disable())
        .with_state(state)
}

/// Answers one request whose body was read, with an answer whose body is whole.
pub async fn respond(router: Router, request: http::Request<Bytes>) -> http::Response<Bytes> {
    let Ok(response) = router.oneshot(request.map(Body::from)).await;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    http::Response::from_parts(head, body)
}

async fn health(State(state): State<ApiState>) -> Result<Response, ApiError> {
    state.flow()?;
    Ok(json_response(StatusCode::OK, &json!({ "status": "ok" })))
}

async fn status(State(state): State<ApiState>) -> Result<Response, ApiError> {
    let status = state.flow()?.status().await?;
    Ok(json_response(StatusCode::OK, &serde_json::to_value(status).unwrap_or_default()))
}

async fn list_events(State(state): State<ApiState>) -> Result<Response, ApiError> {
    let event = |(item, running): (tidemill_flow::QueueItem, bool)| {
        let mut value = serde_json::to_value(item).unwrap_or_default();
        value["running"] = running.into();
        value
    };
    let events: Value = state.flow()?.items().into_iter().map(event).collect();
    Ok(json_response(StatusCode::OK, &events))
}

/// A bucket's notifications. The answer is sent when what they trigger waits in the flow's durable queue.
async fn notify(State(state): State<ApiState>, headers: HeaderMap, body: Bytes) -> Result<Response, ApiError> {
    let flow = state.flow()?;
    let header = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
    let events = notification::parse_http(&header, &body)?;
    let looked_at = flow.handle_events(&events).await?;
    Ok(json_response(StatusCode::ACCEPTED, &json!({ "looked-at": looked_at })))
}

async fn metrics() -> Response {
    let content_type = [(header::CONTENT_TYPE, tidemill_observe::PROMETHEUS_CONTENT_TYPE)];
    (content_type, tidemill_observe::global().prometheus()).into_response()
}

async fn not_found(method: Method, uri: Uri) -> ApiError {
    let path = uri.path();
    ApiError::from(Error::not_found(format!(
        "there is no `{method} {path}`; there is GET /healthz, GET /status, GET /metrics, GET and POST /events, and POST /data/<dataset>"
    )))
}

/// Says in the body which methods a path takes; axum itself leaves it empty.
async fn explain_method(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let allowed = response.headers().get(header::ALLOW).cloned();
    match allowed {
        Some(allowed) if response.status() == StatusCode::METHOD_NOT_ALLOWED => {
            let methods = allowed.to_str().unwrap_or_default().replace(',', ", ");
            let message = format!("`{path}` does not take `{method}`; it takes {methods}");
            let mut response = error_response(StatusCode::METHOD_NOT_ALLOWED, &message);
            if let Ok(methods) = methods.parse() {
                response.headers_mut().insert(header::ALLOW, methods);
            }
            response
        }
        _ => response,
    }
}
