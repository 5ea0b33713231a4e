//! The HTTP client under the S3 store in a component: wasi:http 0.3.
//!
//! `object_store` waits between tries by tokio, which does not turn here, so what may be sent twice is tried again in this place. What
//! was sent and not answered may have been done; whoever sent it must look.

use std::time::Duration;

use async_trait::async_trait;
use http_body_util::BodyExt as _;
use object_store::{
    ClientConfigKey, ClientOptions,
    client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService},
};
use send_wrapper::SendWrapper;
use spin_sdk::wasip3::{
    http::{
        client,
        types::{ErrorCode, Request, RequestOptions},
    },
    http_compat::{BodyWriter, http_from_wasi_response},
};

use super::patience::{CONNECT, PATIENCE, SLOWEST, Transport, duration, silent};
use crate::time::{sleep, timeout};

/// How often a request is sent in all, and how long after the first try the second follows.
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
        let length = request.body().content_length();
        // Without it the body would be sent in chunks, which S3 does not take.
        request.headers_mut().insert(::http::header::CONTENT_LENGTH, length.into());
        request.headers_mut().remove(::http::header::HOST);
        let (writer, contents, trailers) = BodyWriter::new();
        let (parts, body) = request.into_parts();
        let is_head = parts.method == ::http::Method::HEAD;
        let headers = parts.headers.try_into().map_err(|e| unsent(&format!("{e:?}")))?;
        // Whether it was sent: a host may drop the connection with it, so it is held until the answer is read.
        let (outgoing, _sent) = Request::new(headers, Some(contents), trailers, Some(self.options()));
        let set = outgoing.set_method(&parts.method.into()).is_ok()
            && outgoing.set_scheme(parts.uri.scheme().map(Into::into).as_ref()).is_ok()
            && outgoing
                .set_authority(parts.uri.authority().map(::http::uri::Authority::as_str))
                .is_ok()
            && outgoing
                .set_path_with_query(parts.uri.path_and_query().map(::http::uri::PathAndQuery::as_str))
                .is_ok();
        if !set {
            return Err(unsent(&format!("`{}` cannot be asked", parts.uri)));
        }
        let write = async {
            let mut body = std::pin::pin!(body);
            writer.send_http_body(&mut body).await
        };
        let patience = self.patience + Duration::from_secs((length / SLOWEST) as u64);
        let both = futures::future::join(client::send(outgoing), write);
        let (answer, _written) = timeout(patience, both).await.map_err(|_| silent(self.patience))?;
        let answer = answer.and_then(http_from_wasi_response).map_err(|code| self.failed(&code))?;
        let (parts, body) = answer.into_parts();
        let body = timeout(self.patience, body.collect()).await.map_err(|_| silent(self.patience))?;
        let bytes = body.map_err(|code| self.failed(&code))?.to_bytes();
        let announced = parts
            .headers
            .get(::http::header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        if parts.status.is_success() && announced.is_some_and(|length: usize| length > bytes.len()) && !is_head {
            return Err(HttpError::new(HttpErrorKind::Interrupted, Transport("the answer broke off".into())));
        }
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(bytes)))
    }

    /// A host that does not know this one has patience of its own.
    fn options(&self) -> RequestOptions {
        let options = RequestOptions::new();
        let _unknown = options.set_connect_timeout(Some(u64::try_from(self.connect.as_nanos()).unwrap_or(u64::MAX)));
        options
    }

    /// A request that found no connection was not sent. Any other may have been.
    fn failed(&self, code: &ErrorCode) -> HttpError {
        match code {
            ErrorCode::ConnectionReadTimeout | ErrorCode::ConnectionWriteTimeout | ErrorCode::HttpResponseTimeout => silent(self.patience),
            ErrorCode::DnsTimeout | ErrorCode::DnsError(_) | ErrorCode::DestinationNotFound => unsent(&format!("dns error: {code:?}")),
            ErrorCode::DestinationUnavailable
            | ErrorCode::DestinationIpProhibited
            | ErrorCode::DestinationIpUnroutable
            | ErrorCode::ConnectionRefused
            | ErrorCode::ConnectionTimeout
            | ErrorCode::ConnectionLimitReached
            | ErrorCode::HttpRequestDenied => unsent(&format!("{code:?}")),
            ErrorCode::TlsCertificateError | ErrorCode::TlsProtocolError | ErrorCode::TlsAlertReceived(_) => {
                unsent(&format!("invalid peer certificate: {code:?}"))
            }
            _ => HttpError::new(HttpErrorKind::Interrupted, Transport(format!("{code:?}"))),
        }
    }
}

fn unsent(why: &str) -> HttpError {
    HttpError::new(HttpErrorKind::Connect, Transport(format!("tcp connect error: {why}")))
}

/// What was not sent, and what changes nothing.
fn is_tried_again(request: &HttpRequest, answer: &Result<HttpResponse, HttpError>) -> bool {
    match answer {
        Ok(answer) => {
            let busy = answer.status().is_server_error() || answer.status() == ::http::StatusCode::TOO_MANY_REQUESTS;
            busy && request.method().is_safe()
        }
        Err(error) if error.to_string().contains("HttpRequestDenied") => false,
        Err(error) => error.kind() == HttpErrorKind::Connect || request.method().is_safe(),
    }
}
