//! HTTP GET for stages that were granted hosts, whoever sends it. A redirect is followed only to a host that is granted too.

use http::Uri;
use tidemill_core::{Error, FetchResponse, Result};

use crate::Grants;

const MAX_REDIRECTS: usize = 5;
/// The largest body.
pub const MAX_FETCH_BYTES: u64 = 256 << 20;

/// Fetches a URL; `once` asks without following.
pub fn fetch(
    grants: &Grants,
    url: &str,
    headers: &[(String, String)],
    once: impl Fn(&str, &[(String, String)]) -> Result<FetchResponse>,
) -> Result<FetchResponse> {
    let first = host(url)?;
    let mut url = url.to_owned();
    for _ in 0..=MAX_REDIRECTS {
        let here = host(&url)?;
        grants.check_fetch(&here)?;
        // A header may be a credential: it is for the host that was asked, not for where that points.
        let headers = if here == first { headers } else { &[] };
        let response = once(&url, headers)?;
        match location(&response) {
            Some(next) => url = resolve(&url, next)?,
            None => return Ok(response),
        }
    }
    Err(Error::input(format!(
        "`{url}` redirects more than {MAX_REDIRECTS} times; give the address where it ends"
    )))
}

/// A body that is too large.
pub fn response_too_large(url: &str) -> Error {
    Error::limit(format!("`{url}` answers with more than 256 MiB; fetch it in parts"))
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
}
