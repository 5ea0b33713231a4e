//! Routes requests to the host or to the component. Who asks is checked first; a body is read whole and bounded before a component gets it; a
//! response is complete before a client does. Each inference request is counted and timed.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderName, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::Semaphore;

use super::{
    HostPolicy, ServeLimits, ServedComponent,
    body::{self, BodyLimits, read_body},
    imports::{Append, Receipts},
    instances::NotAdmitted,
    served::error_message,
};

pub(super) type Answer = Response<Full<Bytes>>;

/// Routes that the host answers itself: those requests that `matches` selects by method and path.
#[derive(Clone)]
pub struct HostRoutes {
    /// Called for every request, before its body is read.
    pub matches: RouteFilter,
    /// Answers a request whose body has been read.
    pub handle: RouteHandler,
}

/// Selects requests by method and path.
pub type RouteFilter = Arc<dyn Fn(&http::Method, &str) -> bool + Send + Sync>;

/// Answers one request.
pub type RouteHandler = Arc<dyn Fn(Request<Bytes>) -> Pin<Box<dyn Future<Output = Response<Bytes>> + Send>> + Send + Sync>;

pub(super) struct Router {
    pub(super) component: Arc<ServedComponent>,
    pub(super) host_routes: Option<HostRoutes>,
    pub(super) shared: Arc<RouterState>,
}

/// What stays when a [`Router`] is replaced.
pub(super) struct RouterState {
    policy: HostPolicy,
    component_bodies: BodyLimits,
    host_bodies: BodyLimits,
    is_ready: AtomicBool,
    is_stopping: AtomicBool,
}

impl RouterState {
    pub(super) fn new(policy: HostPolicy, limits: &ServeLimits) -> Self {
        let bodies = |most, all| BodyLimits {
            most,
            idle: limits.body_idle,
            budget: Arc::new(Semaphore::new(all)),
        };
        Self {
            policy,
            component_bodies: bodies(limits.body_bytes, limits.body_bytes_together),
            host_bodies: bodies(limits.host_body_bytes, limits.host_body_bytes_together),
            is_ready: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
        }
    }

    /// From now on the server says that it is ready.
    pub(super) fn set_ready(&self) {
        self.is_ready.store(true, Relaxed);
    }

    /// From now on the server says that it is not ready.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Relaxed);
    }

    /// Why the server is not ready; `None` if it is.
    fn unready_reason(&self) -> Option<&'static str> {
        match (self.is_stopping.load(Relaxed), self.is_ready.load(Relaxed)) {
            (true, _) => Some("the server is stopping"),
            (false, false) => Some("the server is starting; retry in a moment"),
            (false, true) => None,
        }
    }
}

/// Rows of the request whose monitoring window is closed: no report counts them.
const CLOSED_ROWS: HeaderName = HeaderName::from_static("tidemill-closed-rows");
/// Where balancers ask whether the server is ready.
const READY_PATHS: [&str; 2] = ["/v2/health/ready", "/healthz"];

impl Router {
    pub(super) async fn handle(&self, request: Request<Incoming>) -> Answer {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let answer = self.answer(request).await;
        if answer.status().is_client_error() || answer.status().is_server_error() {
            self.report_failure(&method, uri.path(), &answer).await;
        }
        answer
    }

    /// Reports a request that failed. Of the host's routes, those that bring something: others are asked by probes, also while it starts.
    async fn report_failure(&self, method: &Method, path: &str, answer: &Answer) {
        let is_probe = |routes: &HostRoutes| (routes.matches)(method, path) && method != Method::POST;
        if READY_PATHS.contains(&path) || self.host_routes.as_ref().is_some_and(is_probe) {
            return;
        }
        let reason = error_message(answer.clone()).await;
        let target = requested_model(path).unwrap_or(path);
        tidemill_observe::global().report_failed_request(target, answer.status().as_u16(), &reason);
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        if let Err((status, reason)) = self.shared.policy.check(&head) {
            return body::last(error_response(status, &reason));
        }
        if READY_PATHS.contains(&head.uri.path())
            && let Some(reason) = self.shared.unready_reason()
        {
            return error_response(StatusCode::SERVICE_UNAVAILABLE, reason);
        }
        let routes = self.host_routes.as_ref();
        let extra = routes.filter(|extra| (extra.matches)(&head.method, head.uri.path()));
        let limits = match extra {
            Some(_) => &self.shared.host_bodies,
            None => &self.shared.component_bodies,
        };
        let body = match read_body(&head, body, limits).await {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        let request = Request::from_parts(head, body.bytes.clone());
        match extra {
            Some(extra) => (extra.handle)(request).await.map(Full::new),
            None => self.call_component(request).await,
        }
    }

    /// The component's response, once its rows are in the log.
    async fn call_component(&self, request: Request<Bytes>) -> Answer {
        let timer = InferenceTimer::start(request.uri().path());
        let receipts = Receipts::default();
        let answer = match self.component.admit(request, receipts.clone()).await {
            Ok(answer) => answer,
            Err(NotAdmitted::Stopping) => return error_response(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping"),
            Err(NotAdmitted::Overloaded(why)) => {
                let answer = body::overloaded(&why);
                timer.finish(answer.status(), None);
                return answer;
            }
        };
        let appends = receipts.take();
        let served = appends.first().map(|append| (append.model.clone(), append.version));
        let closed_rows: usize = appends.iter().map(|append| append.receipt.closed_rows()).sum();
        let mut answer = commit(appends).await.map_or_else(log_unavailable, |()| answer);
        if closed_rows > 0 && answer.status().is_success() {
            answer.headers_mut().insert(CLOSED_ROWS, closed_rows.into());
        }
        timer.finish(answer.status(), served.as_ref().map(|(model, version)| (model.as_str(), *version)));
        answer
    }
}

/// Metrics of one inference request under way. The model version is known from the rows that the request logged; a request that logged
/// none is counted under the model of its path, as far as the recorder knows that model.
struct InferenceTimer {
    start: Instant,
    requested: Option<String>,
}

impl InferenceTimer {
    /// Starts to measure a request for this path.
    fn start(path: &str) -> Self {
        Self {
            start: Instant::now(),
            requested: requested_model(path).map(str::to_owned),
        }
    }

    /// Counts the request; `served` is the model and version whose rows it logged.
    fn finish(self, status: StatusCode, served: Option<(&str, u64)>) {
        let elapsed = self.start.elapsed();
        match (served, self.requested) {
            (Some((model, version)), _) => {
                let mut buffer = [0; 20];
                tidemill_observe::global().record_request(model, decimal(version, &mut buffer), status.as_str(), elapsed);
            }
            (None, Some(model)) => tidemill_observe::global().record_unserved_request(&model, status.as_str(), elapsed),
            (None, None) => {}
        }
    }
}

/// The model of `/v2/models/<model>[/versions/<version>]/infer`.
fn requested_model(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/v2/models/")?.strip_suffix("/infer")?;
    rest.split('/').next()
}

/// A number as text, without an allocation.
fn decimal(mut number: u64, buffer: &mut [u8; 20]) -> &str {
    let mut start = buffer.len();
    loop {
        start -= 1;
        buffer[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return std::str::from_utf8(&buffer[start..]).unwrap_or_default();
        }
    }
}

/// Waits until the rows are on the disk; `None` if they cannot be.
async fn commit(appends: Vec<Append>) -> Option<()> {
    for append in appends {
        if let Err(error) = append.receipt.wait().await {
            tracing::debug!("an answer was dropped: {error}");
            return None;
        }
        tidemill_observe::global().record_logged_rows(&append.model, append.rows);
    }
    Some(())
}

/// The client does not learn which file on which machine cannot be written: that is in the log.
fn log_unavailable() -> Answer {
    error_response(
        StatusCode::SERVICE_UNAVAILABLE,
        "the prediction log cannot be written, and predictions are refused until it can; the server's own log says why",
    )
}

pub(super) fn error_response(status: StatusCode, message: &str) -> Answer {
    let mut response = Response::new(Full::new(serde_json::json!({ "error": message }).to_string().into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_and_versions_are_read() {
        assert_eq!(requested_model("/v2/models/late/infer"), Some("late"));
        assert_eq!(requested_model("/v2/models/late/versions/3/infer"), Some("late"));
        assert_eq!(requested_model("/v2/models/late/ready"), None);
        assert_eq!((decimal(0, &mut [0; 20]), decimal(120, &mut [0; 20])), ("0", "120"));
        assert_eq!(decimal(u64::MAX, &mut [0; 20]), u64::MAX.to_string());
    }
}
