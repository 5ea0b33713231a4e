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

/// Unless AWS_TIMEOUT says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);
/// Unless AWS_CONNECT_TIMEOUT says otherwise.
const CONNECT: Duration = Duration::from_secs(5);

/// Servers close connections that were not used for a while; a request sent into one is lost.
const IDLE: Duration = Duration::from_secs(15);

/// Makes clients.
#[derive(Debug)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let time = |key, otherwise| duration(options, key, otherwise);
        Ok(HttpClient::new(Service {
            client: client(time(ClientConfigKey::ConnectTimeout, CONNECT)?)?,
            patience: time(ClientConfigKey::Timeout, PATIENCE)?,
        }))
    }
}

fn duration(options: &ClientOptions, key: ClientConfigKey, otherwise: Duration) -> object_store::Result<Duration> {
    let Some(text) = options.get_config_value(&key) else {
        return Ok(otherwise);
    };
    let parsed = text
        .parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|time| Duration::try_from(time).ok());
    parsed.ok_or_else(|| object_store::Error::Generic {
        store: "S3",
        source: format!(
            "`{text}` is no length of time for AWS_{}; write it like `30s`",
            key.as_ref().to_uppercase()
        )
        .into(),
    })
}

type Hyper = Client<HttpsConnector<Tcp>, HttpRequestBody>;

fn client(connect: Duration) -> object_store::Result<Hyper> {
    let mut tcp = Tcp::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect));
    let ring = rustls::crypto::ring::default_provider;
    let tls = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(ring())
        .or_else(|_| HttpsConnectorBuilder::new().with_provider_and_webpki_roots(ring()))
        .map_err(|e| object_store::Error::Generic {
            store: "S3",
            source: e.into(),
        })?;
    let connector = tls.https_or_http().enable_http1().wrap_connector(tcp);
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_idle_timeout(IDLE).pool_timer(TokioTimer::new());
    Ok(builder.build(connector))
}

#[derive(Debug)]
struct Service {
    client: Hyper,
    patience: Duration,
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = tokio::time::timeout(self.patience, self.client.request(request)).await;
        let (parts, body) = answer.map_err(|_| silent(self.patience))?.map_err(|e| unanswered(&e))?.into_parts();
        let body = Patient {
            body,
            patience: self.patience,
            waiting: None,
        };
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}

/// A body whose frames must not be too long in coming.
struct Patient {
    body: Incoming,
    patience: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Body for Patient {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.waiting = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(|e| failed(HttpErrorKind::Interrupted, &e))));
        }
        let patience = this.patience;
        let waiting = this.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        waiting.as_mut().poll(context).map(|()| Some(Err(silent(patience))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What went wrong, with all its causes in one line: whoever shows it shows no more than the first.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Transport(String);

fn failed(kind: HttpErrorKind, error: &dyn Cause) -> HttpError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    HttpError::new(kind, Transport(text))
}

fn silent(patience: Duration) -> HttpError {
    let text = format!("the server said nothing for {} s", patience.as_secs_f32());
    HttpError::new(HttpErrorKind::Timeout, Transport(text))
}

/// A request that found no connection was not sent. Any other may have been.
fn unanswered(error: &Unsent) -> HttpError {
    let kind = if error.is_connect() {
        HttpErrorKind::Connect
    } else {
        HttpErrorKind::Interrupted
    };
    failed(kind, error)
}
