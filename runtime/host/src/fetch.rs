//! HTTP GET for stages that were granted hosts, by `ureq`.

use std::{io::Read, time::Duration};

use tidemill_core::{Error, FetchResponse, Result, secret::SecretRef, text::redact_url};
use tidemill_run::{Grants, MAX_FETCH_BYTES, fetch, response_too_large};
use ureq::Agent;

use crate::secrets::resolve_headers;

/// Fetches a URL.
pub(crate) fn get(grants: &Grants, secrets: &[SecretRef], url: &str, headers: &[(String, String)]) -> Result<FetchResponse> {
    let headers = resolve_headers(secrets, headers)?;
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(300)))
        .user_agent("tidemill")
        .build()
        .into();
    fetch(grants, url, &headers, |url, headers| fetch_once(&agent, url, headers))
}

fn fetch_once(agent: &Agent, url: &str, headers: &[(String, String)]) -> Result<FetchResponse> {
    let mut request = agent.get(url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut response = request.call().map_err(|e| fetch_error(url, &e))?;
    let mut body = Vec::new();
    let mut reader = response
        .body_mut()
        .with_config()
        .limit(MAX_FETCH_BYTES + 1)
        .reader()
        .take(MAX_FETCH_BYTES + 1);
    reader
        .read_to_end(&mut body)
        .map_err(|e| Error::transient(format!("`{}` broke off: {e}; it is tried again", redact_url(url))))?;
    if body.len() as u64 > MAX_FETCH_BYTES {
        return Err(response_too_large(url));
    }
    let text = |value: &ureq::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Ok(FetchResponse {
        status: response.status().as_u16(),
        headers: response
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect(),
        body,
    })
}

fn fetch_error(url: &str, error: &ureq::Error) -> Error {
    let shown = redact_url(url);
    match error {
        // Its text has the whole URL.
        ureq::Error::BadUri(_) => Error::input(format!("`{shown}` cannot be fetched: it is no URL that the HTTP client takes")),
        ureq::Error::Http(_) => Error::input(format!("`{shown}` cannot be fetched: {error}")),
        ureq::Error::BodyExceedsLimit(_) => response_too_large(url),
        _ => Error::transient(format!("`{shown}` cannot be fetched: {error}; it is tried again")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_to_another_host_is_refused() {
        use std::io::Write;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            for answer in [
                "302 Found\r\nLocation: http://127.0.0.2:1/secret\r\nContent-Length: 0",
                "200 OK\r\nContent-Length: 2",
            ] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer);
                write!(stream, "HTTP/1.1 {answer}\r\nConnection: close\r\n\r\nok").unwrap();
            }
        });
        let grants = Grants {
            fetch: vec![address.clone()],
            ..Grants::default()
        };
        let error = get(&grants, &[], &format!("http://{address}/"), &[]).unwrap_err();
        assert!(error.message.contains("may not fetch from `127.0.0.2:1`"), "{error}");
        let answer = get(&grants, &[], &format!("http://{address}/"), &[]).unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"ok"[..]));
        server.join().unwrap();
    }
}
