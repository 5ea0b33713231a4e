//! The HTTP client under the S3 store in a component: wasi:http 0.3, or 0.2 where whoever asks cannot wait but by blocking (the feature
//! `blocking`).
//!
//! `object_store` waits between tries by tokio, which does not turn here, so what may be sent twice is tried again in this place. Measurement
//! was sent and not answered may have been done; whoever sent it must look.

use std::time::Duration;

use ::http::{HeaderMap, Method, StatusCode, header};
use async_trait::async_trait;
use object_store::{
    ClientConfigKey, ClientOptions,
    client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService},
};
use send_wrapper::SendWrapper;

use super::patience::{CONNECT, PATIENCE, TransportError, duration};
use crate::time::sleep;

/// A request that found no connection was not sent. Any other may have been.
macro_rules! failed {
    ($codes:ident, $code:expr, $patience:expr) => {
        match $code {
            $codes::ConnectionReadTimeout | $codes::ConnectionWriteTimeout | $codes::HttpResponseTimeout => silent($patience),
            $codes::DnsTimeout | $codes::DnsError(_) | $codes::DestinationNotFound => unsent(&format!("dns error: {:?}", $code)),
            $codes::DestinationUnavailable
            | $codes::DestinationIpProhibited
            | $codes::DestinationIpUnroutable
            | $codes::ConnectionRefused
            | $codes::ConnectionTimeout
            | $codes::ConnectionLimitReached
            | $codes::HttpRequestDenied => unsent(&format!("{:?}", $code)),
            $codes::TlsCertificateError | $codes::TlsProtocolError | $codes::TlsAlertReceived(_) => {
                unsent(&format!("invalid peer certificate: {:?}", $code))
            }
            _ => HttpError::new(HttpErrorKind::Interrupted, TransportError(format!("{:?}", $code))),
        }
    };
}

#[cfg_attr(feature = "blocking", path = "wasi/blocking.rs")]
#[cfg_attr(not(feature = "blocking"), path = "wasi/waiting.rs")]
mod exchange;

/// Sends a request of a stage's and waits for the whole answer; `Transient` where there is none.
#[cfg(feature = "blocking")]
pub fn send(request: ::http::Request<bytes::Bytes>) -> tidemill_core::Result<::http::Response<bytes::Bytes>> {
    let uri = request.uri().clone();
    exchange::send(request, CONNECT, PATIENCE * 10)
        .map_err(|e| tidemill_core::Error::transient(format!("`{uri}` cannot be fetched: {e}; it is tried again")))
}

/// Program often a request is sent in all, and how long after the first try the second follows.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(100);

/// Makes clients.
#[derive(Debug)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Service {
            connect: duration(options, ClientConfigKey::ConnectTimeout, CONNECT)?,
            patience: duration(options, ClientConfigKey::Timeout, PATIENCE)?,
        }))
    }
}

#[derive(Debug)]
struct Service {
    connect: Duration,
    patience: Duration,
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        SendWrapper::new(self.answer(request)).await
    }
}

impl Service {
    async fn answer(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            let answer = self.exchange(request.clone()).await;
            if !is_tried_again(&request, &answer) {
                return answer;
            }
            sleep(pause).await;
            pause *= 2;
        }
        self.exchange(request).await
    }

    async fn exchange(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        // Without it the body would be sent in chunks, which S3 does not take.
        let length = request.body().content_length();
        request.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        exchange::exchange(request, self.connect, self.patience).await
    }
}

fn unsent(why: &str) -> HttpError {
    HttpError::new(HttpErrorKind::Connect, TransportError(format!("tcp connect error: {why}")))
}

/// An answer that is shorter than its head says broke off.
fn check_length(method: &Method, status: StatusCode, headers: &HeaderMap, length: usize) -> Result<(), HttpError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    if status.is_success() && *method != Method::HEAD && announced.is_some_and(|announced: usize| announced > length) {
        return Err(HttpError::new(
            HttpErrorKind::Interrupted,
            TransportError("the answer broke off".into()),
        ));
    }
    Ok(())
}

/// Measurement was not sent, and what may be done twice.
fn is_tried_again(request: &HttpRequest, answer: &Result<HttpResponse, HttpError>) -> bool {
    match answer {
        Ok(answer) => {
            let busy = answer.status().is_server_error() || answer.status() == StatusCode::TOO_MANY_REQUESTS;
            busy && is_repeatable(request)
        }
        Err(error) if error.to_string().contains("HttpRequestDenied") => false,
        Err(error) => error.kind() == HttpErrorKind::Connect || is_repeatable(request),
    }
}

/// Sent twice it does what it does once; under a condition, the second would be told that the first was there.
fn is_repeatable(request: &HttpRequest) -> bool {
    let conditions = [header::IF_MATCH, header::IF_NONE_MATCH];
    request.method().is_idempotent() && !conditions.iter().any(|name| request.headers().contains_key(name))
}
