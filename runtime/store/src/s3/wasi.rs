//! The HTTP client under the S3 store in a component: wasi:http 0.3, or 0.2 where the caller can wait only by blocking (the feature
//! `blocking`).
//!
//! `object_store` waits between attempts by tokio, which does not run here, so requests that may be sent twice are retried in this place. A
//! request that was sent without a response may have been carried out: its caller must check.

use std::time::Duration;

use ::http::{HeaderMap, Method, StatusCode, header};
use async_trait::async_trait;
use object_store::{
    ClientConfigKey, ClientOptions,
    client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService},
};
use send_wrapper::SendWrapper;

use super::odd_keys::drop_odd_keys;
use crate::{
    remote::retry,
    transport::{CONNECT_TIMEOUT, Failure, RESPONSE_TIMEOUT, TransportError, check_response, timeout_option},
};

/// The error of a request, from the error code of either version of wasi:http.
macro_rules! transport_error {
    ($codes:ident, $code:expr, $timeout:expr) => {{
        let failure = match $code {
            $codes::ConnectionReadTimeout | $codes::ConnectionWriteTimeout | $codes::HttpResponseTimeout => Failure::Timeout,
            $codes::DnsTimeout | $codes::DnsError(_) | $codes::DestinationNotFound => Failure::NameResolution,
            $codes::DestinationUnavailable
            | $codes::DestinationIpProhibited
            | $codes::DestinationIpUnroutable
            | $codes::ConnectionRefused
            | $codes::ConnectionTimeout
            | $codes::ConnectionLimitReached => Failure::Connection,
            $codes::HttpRequestDenied => Failure::NotAllowed,
            $codes::TlsCertificateError | $codes::TlsProtocolError | $codes::TlsAlertReceived(_) => Failure::Certificate,
            _ => Failure::Interrupted,
        };
        match failure {
            Failure::Timeout => TransportError::timeout($timeout),
            failure => TransportError::http(failure, format!("{:?}", $code)),
        }
    }};
}

#[cfg_attr(feature = "blocking", path = "wasi/blocking.rs")]
#[cfg_attr(not(feature = "blocking"), path = "wasi/waiting.rs")]
mod exchange;

/// Sends a request of a stage and waits for the whole response; `Transient` where there is none.
#[cfg(feature = "blocking")]
pub fn send(request: ::http::Request<bytes::Bytes>) -> tidemill_core::Result<::http::Response<bytes::Bytes>> {
    let uri = request.uri().clone();
    exchange::send(request, CONNECT_TIMEOUT, RESPONSE_TIMEOUT * 10)
        .map_err(|e| tidemill_core::Error::transient(format!("`{uri}` cannot be fetched: {e}; it is tried again")))
}

/// How often a request is sent.
const MAX_ATTEMPTS: usize = 4;
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Makes clients.
#[derive(Debug)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Service {
            connect_timeout: timeout_option(options, ClientConfigKey::ConnectTimeout, CONNECT_TIMEOUT)?,
            response_timeout: timeout_option(options, ClientConfigKey::Timeout, RESPONSE_TIMEOUT)?,
        }))
    }
}

#[derive(Debug)]
struct Service {
    connect_timeout: Duration,
    response_timeout: Duration,
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let uri = request.uri().clone();
        let response = check_response(&uri, SendWrapper::new(self.send_retrying(request)).await)?;
        SendWrapper::new(drop_odd_keys(&uri, response)).await
    }
}

/// A response that asks for another attempt is an error among the attempts.
enum Attempt {
    Busy(HttpResponse),
    Failed(HttpError),
}

impl Service {
    async fn send_retrying(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let attempt = || async {
            let response = self.send(request.clone()).await.map_err(Attempt::Failed)?;
            let is_busy = response.status().is_server_error() || response.status() == StatusCode::TOO_MANY_REQUESTS;
            if is_busy { Err(Attempt::Busy(response)) } else { Ok(response) }
        };
        match retry(FIRST_RETRY_DELAY, MAX_ATTEMPTS, attempt, |failed| is_retryable(&request, failed)).await {
            Ok(response) | Err(Attempt::Busy(response)) => Ok(response),
            Err(Attempt::Failed(error)) => Err(error),
        }
    }

    async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        // Without it the body would be sent in chunks, which S3 does not accept.
        let length = request.body().content_length();
        request.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        exchange::exchange(request, self.connect_timeout, self.response_timeout).await
    }
}

/// A response that is shorter than its head says broke off.
fn check_length(method: &Method, status: StatusCode, headers: &HeaderMap, length: usize) -> Result<(), HttpError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    if status.is_success() && *method != Method::HEAD && announced.is_some_and(|announced: usize| announced > length) {
        return Err(TransportError::http(Failure::Interrupted, "the response broke off"));
    }
    Ok(())
}

/// A request that was not sent, or that may be sent twice.
fn is_retryable(request: &HttpRequest, failed: &Attempt) -> bool {
    match failed {
        Attempt::Failed(error) if error.kind() == HttpErrorKind::Connect => true,
        Attempt::Failed(error) if error.kind() == HttpErrorKind::Decode => false,
        Attempt::Busy(_) | Attempt::Failed(_) => is_repeatable(request),
    }
}

/// Whether a request does twice what it does once; under a condition, the second would find the effect of the first.
fn is_repeatable(request: &HttpRequest) -> bool {
    let conditions = [header::IF_MATCH, header::IF_NONE_MATCH];
    request.method().is_idempotent() && !conditions.iter().any(|name| request.headers().contains_key(name))
}
