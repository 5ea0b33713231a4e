//! Connections: bodies read whole and bounded before a component sees them, answers complete before a client does.

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use wasmtime_wasi_http::handler::{ExpirationError, ProxyHandler};

use super::{
    ServeLimits,
    admission::Admission,
    instances::Instances,
    metrics::InferenceTimer,
    state::{Append, Receipts},
};

type Answer = Response<Full<Bytes>>;

/// Routes of the host itself: `claims` says from method and path whether a request is its own, `answer` answers it.
#[derive(Clone)]
pub struct HostRoutes {
    /// Asked for every request, before its body is read.
    pub matches: RouteFilter,
    /// Gets what was claimed, its body whole. A failure is an answer too.
    pub handle: RouteHandler,
}

/// Whether a request, by method and path, is the host's own.
pub type RouteFilter = Arc<dyn Fn(&http::Method, &str) -> bool + Send + Sync>;

/// Answers one request.
pub type RouteHandler = Arc<dyn Fn(Request<Bytes>) -> Pin<Box<dyn Future<Output = Response<Bytes>> + Send>> + Send + Sync>;

pub(super) struct Router {
    pub(super) handler: ProxyHandler<Instances>,
    pub(super) admission: Admission,
    pub(super) limits: ServeLimits,
    pub(super) host_routes: Option<HostRoutes>,
}

/// Of a body that is too large, so much is read and dropped: a client that is still sending would not hear the answer otherwise.
/// Beyond it the connection is closed.
const DRAINED: usize = 64 << 20;

impl Router {
    pub(super) async fn handle(&self, request: Request<Incoming>) -> Answer {
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
            // Who asks first has not sent anything yet.
            let asks = head.headers.contains_key(header::EXPECT);
            return too_large(most, !asks && drained(body).await);
        }
        let body = match read(body, most).await {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        match extra {
            Some(extra) => (extra.handle)(Request::from_parts(head, body)).await.map(Full::new),
            None => self.component(Request::from_parts(head, body)).await,
        }
    }

    /// The component's response, once its rows are in the log.
    async fn component(&self, request: Request<Bytes>) -> Answer {
        let timer = InferenceTimer::start(request.uri().path());
        let receipts = Receipts::default();
        let answer = match self.admission.acquire().await {
            Some(_permit) => self.run(request, receipts.clone()).await,
            None => return failure(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping"),
        };
        let appends = receipts.take();
        let served = appends.first().map(|append| (append.model.clone(), append.version));
        let answer = commit(appends).await.map_or_else(unlogged, |()| answer);
        timer.finish(answer.status(), served.as_ref().map(|(model, version)| (model.as_str(), *version)));
        answer
    }

    async fn run(&self, request: Request<Bytes>, receipts: Receipts) -> Answer {
        let request = request.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync());
        let response = match self.handler.handle(receipts, request).await {
            Ok(response) => response,
            Err(error) => return failed(&error),
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
                failure(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the component failed while it answered; the failure is in the log",
                )
            }
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

/// Which file, on which machine, is in the log's own warning and no business of a client's.
fn unlogged() -> Answer {
    failure(
        StatusCode::SERVICE_UNAVAILABLE,
        "the prediction log cannot be written, and predictions are refused until it can; the server's own log says why",
    )
}

fn failed(error: &wasmtime::Error) -> Answer {
    let slow = error.is::<ExpirationError>() || error.downcast_ref::<wasmtime::Trap>() == Some(&wasmtime::Trap::Interrupt);
    tracing::error!("a request failed: {error:#}");
    if slow {
        return failure(StatusCode::GATEWAY_TIMEOUT, "the request took longer than it may");
    }
    failure(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the component failed on this request; the failure is in the log",
    )
}

/// A body whole, or why not.
async fn read(mut body: Incoming, most: usize) -> Result<Bytes, Answer> {
    match Limited::new(&mut body, most).collect().await {
        Ok(read) => Ok(read.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large(most, drained(body).await)),
        Err(_) => Err(failure(StatusCode::BAD_REQUEST, "the body did not arrive whole")),
    }
}

/// Reads the rest of a body away; whether that was all of it.
async fn drained(mut body: Incoming) -> bool {
    let mut left = DRAINED;
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

fn too_large(most: usize, drained: bool) -> Answer {
    let message = format!(
        "the body is larger than {} MiB, which is the most that is taken: send it in parts",
        most >> 20
    );
    let mut answer = failure(StatusCode::PAYLOAD_TOO_LARGE, &message);
    if !drained {
        answer
            .headers_mut()
            .insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    }
    answer
}

fn failure(status: StatusCode, message: &str) -> Answer {
    let mut response = Response::new(Full::new(serde_json::json!({ "error": message }).to_string().into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
