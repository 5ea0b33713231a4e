//! HTTP GET over wasi:http, for stages with granted hosts. The manifest allows those hosts for the component, and this module for the
//! stage.

use tidemill_core::{Error, FetchResponse, Result, text::redact_url};
use tidemill_run::{Grants, MAX_FETCH_BYTES, fetch, response_too_large};

/// Fetches a URL.
pub(crate) fn get(grants: &Grants, url: &str, headers: &[(String, String)]) -> Result<FetchResponse> {
    fetch(grants, url, headers, fetch_once)
}

fn fetch_once(url: &str, headers: &[(String, String)]) -> Result<FetchResponse> {
    let mut request = http::Request::get(url).header("user-agent", "tidemill");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Default::default());
    let request = request.map_err(|e| Error::input(format!("`{}` cannot be fetched: {e}", redact_url(url))))?;
    let (parts, body) = tidemill_store::send(request)?.into_parts();
    if body.len() as u64 > MAX_FETCH_BYTES {
        return Err(response_too_large(url));
    }
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Ok(FetchResponse {
        status: parts.status.as_u16(),
        headers: parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect(),
        body: body.to_vec(),
    })
}
