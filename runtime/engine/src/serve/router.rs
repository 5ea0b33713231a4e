//! Routes requests to the host or to the component. A body is read whole and bounded before a component gets it; a response is complete
//! before a client does. Each inference request is counted and timed.

use std::{pin::Pin, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::{
    ServeLimits, ServedComponent,
    imports::{Append, Receipts},
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
    pub(super) limits: ServeLimits,
    pub(super) host_routes: Option<HostRoutes>,
}

/// Bytes of a too large body that are read and dropped, for a client that is still sending does not read the response. Beyond them the
/// connection is closed.
const MAX_DRAINED_BYTES: usize = 64 << 20;

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
        if self.host_routes.as_ref().is_some_and(is_probe) {
            return;
        }
        let reason = error_message(answer.clone()).await;
        let target = requested_model(path).unwrap_or(path);
        tidemill_observe::global().report_failed_request(target, answer.status().as_u16(), &reason);
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let extra = self
            .host_routes
            .as_ref()
            .filter(|extra| (extra.matches)(request.method(), request.uri().path()));
        let most = if extra.is_some() {
            self.limits.host_body_bytes
        } else {
            self.limits.body_bytes
        };
        let (head, body) = request.into_parts();
        let announced = head
            .headers
            .get(header::CONTENT_LENGTH)
            .and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > most as u64) {
            // A client that expects a `100 Continue` has not sent anything yet.
            let asks = head.headers.contains_key(header::EXPECT);
            return too_large(most, !asks && drain(body).await);
        }
        let body = match read_body(body, most).await {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        match extra {
            Some(extra) => (extra.handle)(Request::from_parts(head, body)).await.map(Full::new),
            None => self.call_component(Request::from_parts(head, body)).await,
        }
    }

    /// The component's response, once its rows are in the log.
    async fn call_component(&self, request: Request<Bytes>) -> Answer {
        let timer = InferenceTimer::start(request.uri().path());
        let receipts = Receipts::default();
        let Some(answer) = self.component.admit(request, receipts.clone()).await else {
            return error_response(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping");
        };
        let appends = receipts.take();
        let served = appends.first().map(|append| (append.model.clone(), append.version));
        let answer = commit(appends).await.map_or_else(log_unavailable, |()| answer);
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

/// Reads a whole body, or answers why it cannot.
async fn read_body(mut body: Incoming, most: usize) -> Result<Bytes, Answer> {
    match Limited::new(&mut body, most).collect().await {
        Ok(read) => Ok(read.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large(most, drain(body).await)),
        Err(_) => Err(error_response(StatusCode::BAD_REQUEST, "the body did not arrive whole")),
    }
}

/// Reads and drops the rest of a body; returns whether it ended.
async fn drain(mut body: Incoming) -> bool {
    let mut left = MAX_DRAINED_BYTES;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        let size = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(size) {
            Some(less) => left = less,
            None => return false,
        }
    }
    true
}

fn too_large(most: usize, is_drained: bool) -> Answer {
    let message = format!(
        "the body is larger than {} MiB, which is the most that is taken: send it in parts",
        most >> 20
    );
    let mut answer = error_response(StatusCode::PAYLOAD_TOO_LARGE, &message);
    if !is_drained {
        answer
            .headers_mut()
            .insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    }
    answer
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
