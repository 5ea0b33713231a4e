//! By wasi:http 0.3: others of the component go on meanwhile.

use std::time::Duration;

use http_body_util::BodyExt as _;
use object_store::client::{HttpError, HttpRequest, HttpResponse, HttpResponseBody};
use spin_sdk::wasip3::{
    http::{
        client,
        types::{ErrorCode, Request, RequestOptions},
    },
    http_compat::{BodyWriter, http_from_wasi_response},
};

use super::check_length;
use crate::{
    time::timeout,
    transport::{Failure, TransportError, upload_time},
};

pub(super) async fn exchange(
    mut request: HttpRequest,
    connect_timeout: Duration,
    response_timeout: Duration,
) -> Result<HttpResponse, HttpError> {
    let sending = upload_time(request.body().content_length());
    request.headers_mut().remove(::http::header::HOST);
    let (writer, contents, trailers) = BodyWriter::new();
    let (parts, body) = request.into_parts();
    let method = parts.method.clone();
    let headers = parts
        .headers
        .try_into()
        .map_err(|e| TransportError::http(Failure::NotAllowed, format!("{e:?}")))?;
    // Whether it was sent: a host may drop the connection with it, so it is held until the answer is read.
    let (outgoing, _sent) = Request::new(headers, Some(contents), trailers, Some(options(connect_timeout)));
    let (uri, path) = (&parts.uri, parts.uri.path_and_query());
    let set = outgoing.set_method(&parts.method.into()).is_ok()
        && outgoing.set_scheme(uri.scheme().map(Into::into).as_ref()).is_ok()
        && outgoing.set_authority(uri.authority().map(::http::uri::Authority::as_str)).is_ok()
        && outgoing.set_path_with_query(path.map(::http::uri::PathAndQuery::as_str)).is_ok();
    if !set {
        return Err(TransportError::http(Failure::NotAllowed, format!("`{uri}` cannot be requested")));
    }
    let write = async {
        let mut body = std::pin::pin!(body);
        writer.send_http_body(&mut body).await
    };
    let both = futures::future::join(client::send(outgoing), write);
    let (answer, _written) = timeout(response_timeout + sending, both)
        .await
        .map_err(|_| TransportError::timeout(response_timeout))?;
    let answer = answer
        .and_then(http_from_wasi_response)
        .map_err(|code| failed(&code, response_timeout))?;
    let (parts, body) = answer.into_parts();
    let body = timeout(response_timeout, body.collect())
        .await
        .map_err(|_| TransportError::timeout(response_timeout))?;
    let bytes = body.map_err(|code| failed(&code, response_timeout))?.to_bytes();
    check_length(&method, parts.status, &parts.headers, bytes.len())?;
    Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(bytes)))
}

/// A host that does not know this one has response_timeout of its own.
fn options(connect_timeout: Duration) -> RequestOptions {
    let options = RequestOptions::new();
    let _unknown = options.set_connect_timeout(Some(u64::try_from(connect_timeout.as_nanos()).unwrap_or(u64::MAX)));
    options
}

fn failed(code: &ErrorCode, response_timeout: Duration) -> HttpError {
    transport_error!(ErrorCode, code, response_timeout)
}
