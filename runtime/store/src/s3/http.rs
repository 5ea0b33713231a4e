//! The HTTP client under the S3 store: hyper, with TLS by rustls on ring.
//!
//! A server that does not respond is given up after a timeout, between two frames of a body as well as before a response. A request that
//! was sent without a response may have been carried out: its caller must check.

use std::{
    error::Error as StdError,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, Error as RequestError, connect::HttpConnector as Tcp},
    rt::{TokioExecutor, TokioTimer},
};
use object_store::{
    ClientConfigKey, ClientOptions,
    client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody, HttpService},
};
use tokio::time::Sleep;

use super::odd_keys::drop_odd_keys;
use crate::transport::{CONNECT_TIMEOUT, Failure, RESPONSE_TIMEOUT, TransportError, check_response, timeout_option, upload_time};

/// Servers close connections that were not used for a while; a request sent into one is lost.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Makes clients.
#[derive(Debug)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let timeout = |key, default| timeout_option(options, key, default);
        Ok(HttpClient::new(Service {
            client: build_client(timeout(ClientConfigKey::ConnectTimeout, CONNECT_TIMEOUT)?)?,
            response_timeout: timeout(ClientConfigKey::Timeout, RESPONSE_TIMEOUT)?,
        }))
    }
}

type Hyper = Client<HttpsConnector<Tcp>, HttpRequestBody>;

/// A connector for plain and TLS connections that trusts the machine's certificates, or Mozilla's where the machine has none.
///
/// # Errors
/// If neither can be loaded.
pub fn https_connector(connect_timeout: Duration) -> io::Result<HttpsConnector<Tcp>> {
    let mut tcp = Tcp::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect_timeout));
    let ring = rustls::crypto::ring::default_provider;
    let tls = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(ring())
        .or_else(|_| HttpsConnectorBuilder::new().with_provider_and_webpki_roots(ring()))
        .map_err(io::Error::other)?;
    Ok(tls.https_or_http().enable_http1().wrap_connector(tcp))
}

fn build_client(connect_timeout: Duration) -> object_store::Result<Hyper> {
    let connector = https_connector(connect_timeout).map_err(|e| object_store::Error::Generic {
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
        let uri = request.uri().clone();
        drop_odd_keys(&uri, check_response(&uri, self.send(request).await)?).await
    }
}

impl Service {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let timeout = self.response_timeout;
        let sending = upload_time(request.body().content_length());
        let response = tokio::time::timeout(timeout + sending, self.client.request(request)).await;
        let response = response.map_err(|_| TransportError::timeout(timeout))?;
        let (parts, body) = response.map_err(|e| request_error(&e))?.into_parts();
        let body = IdleTimeoutBody {
            body,
            timeout,
            timer: None,
        };
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}

/// A body that fails when its next frame takes too long.
struct IdleTimeoutBody {
    body: Incoming,
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Body for IdleTimeoutBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.timer = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(|e| TransportError::http(Failure::Interrupted, chain(&e)))));
        }
        let timeout = this.timeout;
        let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        timer.as_mut().poll(context).map(|()| Some(Err(TransportError::timeout(timeout))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request that found no connection was not sent. Any other may have been.
fn request_error(error: &RequestError) -> HttpError {
    let failure = if error.is_connect() {
        connect_failure(error)
    } else {
        Failure::Interrupted
    };
    TransportError::http(failure, chain(error))
}

fn connect_failure(error: &(dyn StdError + 'static)) -> Failure {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            // The system's calls give a number, looking a name up does not.
            let is_lookup = error.raw_os_error().is_none() && error.kind() != io::ErrorKind::TimedOut;
            return match tls {
                Some(rustls::Error::InvalidCertificate(_)) => Failure::Certificate,
                Some(_) => Failure::Connection,
                None if is_lookup => Failure::NameResolution,
                None => Failure::Connection,
            };
        }
        cause = error.source();
    }
    Failure::Connection
}

/// An error and its causes in one line.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failed_connection_says_why() {
        let client = build_client(CONNECT_TIMEOUT).unwrap();
        for (url, expected) in [
            ("http://127.0.0.1:1/", Failure::Connection),
            ("http://no-such-host.invalid/", Failure::NameResolution),
        ] {
            let request = http::Request::get(url).body(HttpRequestBody::empty()).unwrap();
            let error = request_error(&client.request(request).await.unwrap_err());
            assert_eq!(TransportError::find(&error).unwrap().failure, expected, "{error}");
        }
    }
}
