//! By wasi:http 0.2, whose waiting may be done inside a synchronous call: nothing else of the component goes on meanwhile.

use std::{
    io::{Read as _, Write as _},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use object_store::client::{HttpError, HttpRequest, HttpResponse, HttpResponseBody};
use wasip2::http::{
    outgoing_handler,
    types::{ErrorCode, Fields, IncomingBody, Method, OutgoingBody, OutgoingRequest, RequestOptions, Scheme},
};

use super::check_length;
use crate::transport::{Failure, TransportError, upload_time};

pub(super) async fn exchange(
    request: HttpRequest,
    connect_timeout: Duration,
    response_timeout: Duration,
) -> Result<HttpResponse, HttpError> {
    let (parts, body) = request.into_parts();
    // It is in memory: nothing is waited for.
    let body = body.collect().await.map_err(|e| broken(&e))?.to_bytes();
    let answer = send(http::Request::from_parts(parts, body), connect_timeout, response_timeout)?;
    Ok(answer.map(HttpResponseBody::from))
}

/// Sends a request and waits for the whole answer.
pub(crate) fn send(
    request: http::Request<Bytes>,
    connect_timeout: Duration,
    response_timeout: Duration,
) -> Result<http::Response<Bytes>, HttpError> {
    let (parts, bytes) = request.into_parts();
    let sending = upload_time(bytes.len());
    let asked = outgoing(&parts)?;
    let body = asked.body().map_err(|()| broken("a request without a body"))?;
    let waiting = outgoing_handler::handle(asked, Some(options(connect_timeout, response_timeout, sending)))
        .map_err(|code| failed(&code, response_timeout))?;
    // A server that knows its answer reads no further, and the stream ends early: what it answered says more than that.
    let sent = write(body, &bytes, response_timeout);
    waiting.subscribe().block();
    let Some(answer) = waiting.get() else {
        return Err(sent.err().unwrap_or_else(|| TransportError::timeout(response_timeout)));
    };
    let answer = answer
        .map_err(|()| broken("an answer that is read twice"))?
        .map_err(|code| failed(&code, response_timeout))?;
    let mut response = http::Response::builder().status(answer.status());
    for (name, value) in answer.headers().entries() {
        response = response.header(name, value);
    }
    let body = answer.consume().map_err(|()| broken("a body that is read twice"))?;
    let response = response.body(whole(&body)?).map_err(|e| broken(&e))?;
    check_length(&parts.method, response.status(), response.headers(), response.body().len())?;
    Ok(response)
}

fn write(body: OutgoingBody, bytes: &[u8], response_timeout: Duration) -> Result<(), HttpError> {
    if !bytes.is_empty() {
        let mut stream = body.write().map_err(|()| broken("a body that is written twice"))?;
        // Flushing would fail wherever all has been sent already; `finish` ends the body.
        stream.write_all(bytes).map_err(|e| broken(&e))?;
    }
    OutgoingBody::finish(body, None).map_err(|code| failed(&code, response_timeout))
}

fn whole(body: &IncomingBody) -> Result<Bytes, HttpError> {
    let mut stream = body.stream().map_err(|()| broken("a body that is read twice"))?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map_err(|e| broken(&e))?;
    Ok(bytes.into())
}

fn outgoing(parts: &http::request::Parts) -> Result<OutgoingRequest, HttpError> {
    let fields = Fields::new();
    for (name, value) in &parts.headers {
        // The host names itself.
        if name != http::header::HOST {
            fields
                .append(name.as_str(), value.as_bytes())
                .map_err(|e| broken(&format!("the header `{name}`: {e:?}")))?;
        }
    }
    let request = OutgoingRequest::new(fields);
    let uri = &parts.uri;
    let scheme = match uri.scheme_str() {
        Some("http") => Scheme::Http,
        _ => Scheme::Https,
    };
    let method = match parts.method.as_str() {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        other => Method::Other(other.to_owned()),
    };
    let path = uri.path_and_query().map(http::uri::PathAndQuery::as_str);
    let done = request
        .set_method(&method)
        .and_then(|()| request.set_scheme(Some(&scheme)))
        .and_then(|()| request.set_authority(uri.authority().map(http::uri::Authority::as_str)))
        .and_then(|()| request.set_path_with_query(path));
    done.map_err(|()| broken(&format!("the address `{uri}`")))?;
    Ok(request)
}

/// A host that does not support one of these options applies its own timeouts.
fn options(connect_timeout: Duration, response_timeout: Duration, sending: Duration) -> RequestOptions {
    let nanoseconds = |time: Duration| Some(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    let options = RequestOptions::new();
    let _unknown = options.set_connect_timeout(nanoseconds(connect_timeout));
    let _unknown = options.set_first_byte_timeout(nanoseconds(response_timeout + sending));
    let _unknown = options.set_between_bytes_timeout(nanoseconds(response_timeout));
    options
}

fn failed(code: &ErrorCode, response_timeout: Duration) -> HttpError {
    transport_error!(ErrorCode, code, response_timeout)
}

fn broken(why: &(impl std::fmt::Display + ?Sized)) -> HttpError {
    TransportError::http(Failure::Interrupted, why.to_string())
}
