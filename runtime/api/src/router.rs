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
use tidemill_control::Control;
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
    /// Changes the project's state.
    pub control: Control,
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
    let routes = Router::new()
        .route("/healthz", get(health))
        .route("/status", get(status))
        .route("/events", get(list_events).post(notify))
        .route("/data/{*dataset}", post(data::upload))
        .route("/metrics", get(metrics))
        .fallback(not_found)
        // The engine's server reads bodies whole, and limits them, before they come here.
        .layer(DefaultBodyLimit::disable())
        .with_state(state);
    explain_methods(routes)
}

/// The host's routes of a server that answers predictions alone: it has no flow.
pub fn prediction_router() -> Router {
    let routes = Router::new()
        // The server in front answers in its place until it is ready, and when it stops.
        .route("/healthz", get(healthy))
        .route("/metrics", get(metrics))
        .fallback(not_here);
    explain_methods(routes)
}

fn explain_methods(routes: Router) -> Router {
    // axum adds `Allow` outside of a router's own layers.
    Router::new().fallback_service(routes).layer(middleware::from_fn(explain_method))
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
    Ok(healthy().await)
}

async fn healthy() -> Response {
    json_response(StatusCode::OK, &json!({ "status": "ok" }))
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
    notification::check_media(&header)?;
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

async fn not_here(method: Method, uri: Uri) -> ApiError {
    let path = uri.path();
    ApiError::from(Error::not_found(format!(
        "this server answers predictions alone, and GET /healthz and GET /metrics: send `{method} {path}` to the `tidemill up` of the project"
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

#[cfg(test)]
mod tests {
    use tidemill_core::project::Project;
    use tidemill_store::Store;

    use super::*;

    fn api() -> Router {
        let pipeline = Project::parse("[project]\nname = \"mill\"\n", &|path| Err(Error::not_found(path)))
            .unwrap()
            .pipeline;
        let pipeline = Arc::new(pipeline);
        router(ApiState {
            control: Control::new(Store::memory(), pipeline.clone()),
            pipeline,
            flow: FlowSlot::default(),
        })
    }

    async fn ask(method: &str, path: &str) -> (u16, String, String) {
        ask_of(api(), method, path).await
    }

    async fn ask_of(router: Router, method: &str, path: &str) -> (u16, String, String) {
        let request = http::Request::builder().method(method).uri(path).body(Bytes::new()).unwrap();
        let response = respond(router, request).await;
        let allow = response
            .headers()
            .get(header::ALLOW)
            .map_or("", |allow| allow.to_str().unwrap())
            .to_owned();
        let body = String::from_utf8(response.body().to_vec()).unwrap();
        (response.status().as_u16(), allow, body)
    }

    #[tokio::test]
    async fn every_host_path_has_a_route() {
        for path in ["/healthz", "/status", "/events", "/metrics", "/data/flights"] {
            assert!(is_host_path(path));
            assert_ne!(ask("GET", path).await.0, 404, "{path}");
        }
        assert!(!is_host_path("/v2/models"));
        let (status, _, body) = ask("GET", "/nowhere").await;
        assert!(status == 404 && body.contains("GET /healthz"), "{body}");
    }

    #[tokio::test]
    async fn a_server_of_predictions_says_where_the_others_are() {
        for (method, path, expected) in [
            ("GET", "/healthz", 200),
            ("GET", "/metrics", 200),
            ("POST", "/metrics", 405),
            ("GET", "/status", 404),
            ("POST", "/events", 404),
            ("POST", "/data/flights", 404),
        ] {
            let (status, _, body) = ask_of(prediction_router(), method, path).await;
            assert_eq!(status, expected, "{method} {path}: {body}");
            assert!(
                status != 404 || body.contains(&format!("`{method} {path}`")) && body.contains("`tidemill up`"),
                "{body}"
            );
        }
    }

    #[tokio::test]
    async fn methods_are_explained_and_head_is_get_without_a_body() {
        let (status, allow, body) = ask("DELETE", "/events").await;
        assert_eq!((status, allow.as_str()), (405, "GET, HEAD, POST"));
        assert!(body.contains("does not take `DELETE`; it takes GET, HEAD, POST"), "{body}");
        let (status, allow, body) = ask("GET", "/data/flights").await;
        assert!(status == 405 && allow == "POST" && body.contains("it takes POST"), "{allow} {body}");
        let (status, _, body) = ask("HEAD", "/metrics").await;
        assert_eq!((status, body.as_str()), (200, ""));
        assert_eq!(ask("HEAD", "/healthz").await.0, 503, "the flow is not running yet");
    }
}
