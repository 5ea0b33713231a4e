//! By wasi:http 0.3: others of the component go on meanwhile.

use std::time::Duration;

use bytes::BytesMut;
use http_body_util::BodyExt as _;
use object_store::client::{HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody};
use spin_sdk::wasip3::{
    http::types::{ErrorCode, RequestOptions},
    http_compat::RequestOptionsExtension,
};

use super::unsent;
use crate::{
    s3::patience::{SLOWEST, Transport, silent},
    time::timeout,
};

pub(super) async fn exchange(mut request: HttpRequest, connect: Duration, patience: Duration) -> Result<HttpResponse, HttpError> {
    let sending = Duration::from_secs((request.body().content_length() / SLOWEST) as u64);
    request.extensions_mut().insert(RequestOptionsExtension(options(connect)));
    let answer = timeout(patience + sending, spin_sdk::http::send(request)).await;
    let answer = answer.map_err(|_| silent(patience))?.map_err(|code| failed(&code, patience))?;
    let (parts, mut body) = answer.into_parts();
    let mut bytes = BytesMut::new();
    while let Some(frame) = timeout(patience, body.frame()).await.map_err(|_| silent(patience))? {
        if let Ok(data) = frame.map_err(|code| failed(&code, patience))?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(bytes.freeze())))
}

/// A host that does not know this one has patience of its own.
fn options(connect: Duration) -> RequestOptions {
    let options = RequestOptions::new();
    let _unknown = options.set_connect_timeout(Some(u64::try_from(connect.as_nanos()).unwrap_or(u64::MAX)));
    options
}

fn failed(code: &ErrorCode, patience: Duration) -> HttpError {
    failed!(ErrorCode, code, patience)
}
