//! HTTP GET for stages that were granted hosts. A redirect is followed only to a host that is granted too.

use std::{io::Read, time::Duration};

use tidemill_core::{Error, FetchResponse, Result};
use ureq::{Agent, http::Uri};

use tidemill_run::Grants;

/// The largest body.
const MOST: u64 = 256 << 20;
const REDIRECTS: usize = 5;

/// Fetches a URL.
pub(crate) fn get(grants: &Grants, url: &str, headers: &[(String, String)]) -> Result<FetchResponse> {
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(300)))
        .user_agent("tidemill")
        .build()
        .into();
    let first = host(url)?;
    let mut url = url.to_owned();
    for _ in 0..=REDIRECTS {
        let here = host(&url)?;
        grants.check_fetch(&here)?;
        // A header may be a credential: it is for the host that was asked, not for where that points.
        let headers = if here == first { headers } else { &[] };
        let response = once(&agent, &url, headers)?;
        match location(&response) {
            Some(next) => url = resolve(&url, next)?,
            None => return Ok(response),
        }
    }
    Err(Error::input(format!(
        "`{url}` redirects more than {REDIRECTS} times; give the address where it ends"
    )))
}

fn once(agent: &Agent, url: &str, headers: &[(String, String)]) -> Result<FetchResponse> {
    let mut request = agent.get(url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut response = request.call().map_err(|e| failed(url, &e))?;
    let mut body = Vec::new();
    let mut reader = response.body_mut().with_config().limit(MOST + 1).reader().take(MOST + 1);
    reader
        .read_to_end(&mut body)
        .map_err(|e| Error::transient(format!("`{url}` broke off: {e}; it is tried again")))?;
    if body.len() as u64 > MOST {
        return Err(Error::limit(format!("`{url}` answers with more than 256 MiB; fetch it in parts")));
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

fn location(response: &FetchResponse) -> Option<&str> {
    if ![301, 302, 303, 307, 308].contains(&response.status) {
        return None;
    }
    response
        .headers
        .iter()
        .find(|(name, _)| name == "location")
        .map(|(_, value)| value.as_str())
}

fn resolve(base: &str, next: &str) -> Result<String> {
    let uri = uri(base)?;
    let scheme = uri.scheme_str().unwrap_or("https");
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    Ok(if next.starts_with("http://") || next.starts_with("https://") {
        next.to_owned()
    } else if let Some(rest) = next.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if next.starts_with('/') {
        format!("{scheme}://{authority}{next}")
    } else {
        let folder = uri.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{next}")
    })
}

fn uri(url: &str) -> Result<Uri> {
    let wrong = || Error::input(format!("`{url}` is not a URL: write it like `https://example.org/data.csv`"));
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    if is_web && uri.host().is_some_and(|host| !host.is_empty()) {
        Ok(uri)
    } else {
        Err(wrong())
    }
}

/// The host with its port, where one is written: without a name and a password.
fn host(url: &str) -> Result<String> {
    let uri = uri(url)?;
    let host = uri.host().unwrap_or("");
    Ok(match uri.port_u16() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

fn failed(url: &str, error: &ureq::Error) -> Error {
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => Error::input(format!("`{url}` cannot be fetched: {error}")),
        ureq::Error::BodyExceedsLimit(_) => Error::limit(format!("`{url}` answers with more than 256 MiB; fetch it in parts")),
        _ => Error::transient(format!("`{url}` cannot be fetched: {error}; it is tried again")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_those_that_are_asked() {
        assert_eq!(host("https://user:pw@example.org/x").unwrap(), "example.org");
        assert_eq!(host("http://example.org:8080").unwrap(), "example.org:8080");
        assert!(host("file:///etc/passwd").unwrap_err().message.contains("is not a URL"));
        assert_eq!(resolve("https://a.org/x/y?z", "w").unwrap(), "https://a.org/x/w");
        assert_eq!(resolve("https://a.org/x/y", "//b.org/z").unwrap(), "https://b.org/z");
    }

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
        let error = get(&grants, &format!("http://{address}/"), &[]).unwrap_err();
        assert!(error.message.contains("may not fetch from `127.0.0.2:1`"), "{error}");
        let answer = get(&grants, &format!("http://{address}/"), &[]).unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"ok"[..]));
        server.join().unwrap();
    }
}
