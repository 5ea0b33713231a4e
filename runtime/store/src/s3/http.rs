//! The HTTP client under the S3 store: hyper, with TLS by rustls on ring.
//!
//! A server that says nothing for a while is given up: between two frames of a body as well as before an answer. What was sent and
//! not answered may have been done; whoever sent it must look.

use std::{
    error::Error as Cause,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, Error as Unsent, connect::HttpConnector as Tcp},
    rt::{TokioExecutor, TokioTimer},
};
use object_store::{
    ClientConfigKey, ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody, HttpService,
    },
};
use tokio::time::Sleep;

use super::timeouts::{CONNECT_TIMEOUT, MIN_UPLOAD_RATE, RESPONSE_TIMEOUT, TransportError, timeout_error, timeout_option};

/// Servers close connections that were not used for a while; a request sent into one is lost.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Makes clients.
#[derive(Debug)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let time = |key, otherwise| timeout_option(options, key, otherwise);
        Ok(HttpClient::new(Service {
            client: build_client(time(ClientConfigKey::ConnectTimeout, CONNECT_TIMEOUT)?)?,
            response_timeout: time(ClientConfigKey::Timeout, RESPONSE_TIMEOUT)?,
        }))
    }
}

type Hyper = Client<HttpsConnector<Tcp>, HttpRequestBody>;

/// What opens connections, plain and with TLS: the machine's certificates are trusted, or Mozilla's where it has none.
///
/// # Errors
/// If neither can be had.
pub fn https_connector(connect: Duration) -> std::io::Result<HttpsConnector<Tcp>> {
    let mut tcp = Tcp::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect));
    let ring = rustls::crypto::ring::default_provider;
    let tls = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(ring())
        .or_else(|_| HttpsConnectorBuilder::new().with_provider_and_webpki_roots(ring()))
        .map_err(std::io::Error::other)?;
    Ok(tls.https_or_http().enable_http1().wrap_connector(tcp))
}

fn build_client(connect: Duration) -> object_store::Result<Hyper> {
    let connector = https_connector(connect).map_err(|e| object_store::Error::Generic {
        store: "S3",
        source: e.into(),
    })?;
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_idle_timeout(POOL_IDLE_TIMEOUT).pool_timer(TokioTimer::new());
    Ok(builder.build(connector))
}

#[derive(Debug)]
struct Service {
    client: Hyper,
    response_timeout: Duration,
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let sending = Duration::from_secs((request.body().content_length() / MIN_UPLOAD_RATE) as u64);
        let answer = tokio::time::timeout(self.response_timeout + sending, self.client.request(request)).await;
        let (parts, body) = answer
            .map_err(|_| timeout_error(self.response_timeout))?
            .map_err(|e| request_error(&e))?
            .into_parts();
        let body = IdleTimeoutBody {
            body,
            patience: self.response_timeout,
            waiting: None,
        };
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}

/// A body whose frames must not be too long in coming.
struct IdleTimeoutBody {
    body: Incoming,
    patience: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Body for IdleTimeoutBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.waiting = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(|e| http_error(HttpErrorKind::Interrupted, &e))));
        }
        let patience = this.patience;
        let waiting = this.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        waiting.as_mut().poll(context).map(|()| Some(Err(timeout_error(patience))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn http_error(kind: HttpErrorKind, error: &dyn Cause) -> HttpError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    HttpError::new(kind, TransportError(text))
}

/// A request that found no connection was not sent. Any other may have been.
fn request_error(error: &Unsent) -> HttpError {
    let kind = if error.is_connect() {
        HttpErrorKind::Connect
    } else {
        HttpErrorKind::Interrupted
    };
    http_error(kind, error)
}
