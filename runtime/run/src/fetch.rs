//! HTTP GET for stages that were granted hosts, over any HTTP client. A redirect is followed only to a host that is granted too.
//!
//! Hosts and redirects are read by the `url` crate, as browsers and HTTP clients read them: a difference would be a way around the grants.

use tidemill_core::{Error, FetchResponse, Result, text::redact_url};
use url::Url;

use crate::Grants;

const MAX_REDIRECTS: usize = 5;
/// The largest body, in bytes.
pub const MAX_FETCH_BYTES: u64 = 256 << 20;

/// Fetches a URL; `send` sends one request, without following redirects.
///
/// # Errors
/// `Input` for a URL that cannot be read and for too many redirects, that of the grants for another host, and what `send` returns.
pub fn fetch(
    grants: &Grants,
    url: &str,
    headers: &[(String, String)],
    send: impl Fn(&str, &[(String, String)]) -> Result<FetchResponse>,
) -> Result<FetchResponse> {
    let mut url = parse(url)?;
    let first = url.origin();
    for _ in 0..=MAX_REDIRECTS {
        let here = host(&url);
        grants.check_fetch(&here)?;
        // A header may be a credential: it is for the host of the URL and its scheme, not for where that redirects.
        let headers = if url.origin() == first { headers } else { &[] };
        let response = send(url.as_str(), headers)?;
        match location(&response) {
            Some(next) => url = resolve(&url, next)?,
            None => return Ok(response),
        }
    }
    Err(Error::input(format!(
        "`{}` redirects more than {MAX_REDIRECTS} times; give the address where it ends",
        redact_url(url.as_str())
    )))
}

/// The error for a body of more than [`MAX_FETCH_BYTES`].
pub fn response_too_large(url: &str) -> Error {
    Error::limit(format!(
        "`{}` answers with more than {} MiB; fetch it in parts",
        redact_url(url),
        MAX_FETCH_BYTES >> 20
    ))
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

fn parse(text: &str) -> Result<Url> {
    check(Url::parse(text).ok(), text)
}

fn resolve(base: &Url, next: &str) -> Result<Url> {
    check(base.join(next).ok(), next)
}

fn check(url: Option<Url>, text: &str) -> Result<Url> {
    let is_web = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    url.filter(is_web).ok_or_else(|| {
        Error::input(format!(
            "`{}` is not a URL: write it like `https://example.org/data.csv`",
            redact_url(text)
        ))
    })
}

/// The host, with its port where that is not the scheme's, and without a name and a password.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_those_that_a_client_asks() {
        let host = |text: &str| parse(text).map(|url| host(&url));
        assert_eq!(host("https://user:pw@example.org/x").unwrap(), "example.org");
        assert_eq!(host("http://example.org:8080").unwrap(), "example.org:8080");
        assert_eq!(host("https://Example.org:443/").unwrap(), "example.org");
        assert!(host("file:///etc/passwd").unwrap_err().message.contains("is not a URL"));
        assert!(host("example.org/x").unwrap_err().message.contains("is not a URL"));
    }

    #[test]
    fn credentials_go_to_the_first_origin_only() {
        let grants = Grants {
            fetch: vec!["a.org".into(), "b.org".into()],
            ..Grants::default()
        };
        let headers = [("authorization".to_owned(), "s3cr3t".to_owned())];
        let sent_with = |path: &str, next: &'static str| {
            let seen = std::cell::RefCell::new(Vec::new());
            let answer = fetch(&grants, path, &headers, |url, headers| {
                seen.borrow_mut().push(headers.len());
                let is_first = seen.borrow().len() == 1;
                Ok(FetchResponse {
                    status: if is_first { 302 } else { 200 },
                    headers: vec![("location".to_owned(), next.to_owned())],
                    body: url.as_bytes().to_vec(),
                })
            });
            answer.unwrap();
            seen.into_inner()
        };
        assert_eq!(sent_with("https://a.org/x", "/y"), [1, 1]);
        assert_eq!(sent_with("https://a.org/x", "https://a.org:443/y"), [1, 1]);
        for elsewhere in ["http://a.org/x", "https://b.org/x"] {
            assert_eq!(sent_with("https://a.org/x", elsewhere), [1, 0], "{elsewhere}");
        }
    }

    #[test]
    fn messages_have_no_secrets() {
        let grants = Grants {
            fetch: vec!["a.org".into()],
            ..Grants::default()
        };
        let again = |_: &str, _: &[(String, String)]| {
            Ok(FetchResponse {
                status: 302,
                headers: vec![("location".to_owned(), "/x?token=s3cr3t".to_owned())],
                body: Vec::new(),
            })
        };
        for url in [
            "https://me:s3cr3t@a.org/x",
            "https://me:s3cr3t@b.org/?s3cr3t",
            "ftp://me:s3cr3t@a.org",
        ] {
            let error = fetch(&grants, url, &[], again).unwrap_err();
            assert!(!error.message.contains("s3cr3t") && error.message.contains(".org"), "{error}");
        }
    }

    #[test]
    fn redirects_are_relative_to_the_url() {
        let next = |next: &str| resolve(&parse("https://a.org/x/y?z").unwrap(), next).map(String::from);
        assert_eq!(next("w").unwrap(), "https://a.org/x/w");
        assert_eq!(next("//b.org/z").unwrap(), "https://b.org/z");
        assert_eq!(next("/\\b.org/z").unwrap(), "https://b.org/z", "as clients read it");
        assert!(next("ftp://b.org/z").is_err());
    }
}
