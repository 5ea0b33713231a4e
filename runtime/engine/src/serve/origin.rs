//! Which requests are from a page of a browser that has no business here.
//!
//! A page can have a browser send requests to any address that the browser reaches, this machine among them. Such a request gives itself away
//! by its `Origin` or `Sec-Fetch-Site`. A page whose own name was pointed at this address ("DNS rebinding") has an origin that fits, and gives
//! itself away by its `Host`: a name that is in the public DNS and that the user did not name.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
};

use http::{HeaderMap, Method, StatusCode, Uri, header, request::Parts};

/// The name of this machine for itself; every name below it too.
const LOOPBACK_NAME: &str = "localhost";

/// The names under which a server is asked.
#[derive(Debug, Clone)]
pub struct HostPolicy {
    addr: SocketAddr,
    /// Further names, as given, in lower case: with a port or without.
    hosts: Vec<String>,
}

/// Why a request is not answered.
type Reason = (StatusCode, String);

impl HostPolicy {
    /// For a server that listens on `addr`; `hosts` are the names that the user gave.
    pub fn new(addr: SocketAddr, hosts: &[String]) -> Self {
        Self {
            addr,
            hosts: hosts.iter().map(|host| host.trim().to_ascii_lowercase()).collect(),
        }
    }

    /// Checks the host and the origin of a request.
    pub(super) fn check(&self, head: &Parts) -> Result<(), Reason> {
        let authority = requested_authority(&head.uri, &head.headers)?;
        if let Some(authority) = &authority
            && !self.is_own(authority)
        {
            return Err((
                StatusCode::FORBIDDEN,
                format!(
                    "this server is not known as `{authority}`: ask it by its address, or start it with `--host {}` (`hosts` of `[serve]` in \
                     tidemill.toml)",
                    host_of(authority)
                ),
            ));
        }
        match self.foreign_origin(head, authority.as_deref()) {
            Some(origin) => Err((
                StatusCode::FORBIDDEN,
                format!(
                    "a page of {origin} may not send requests here; if it is meant to, start the server with `--host` and that page's host \
                     (`hosts` of `[serve]` in tidemill.toml)"
                ),
            )),
            None => Ok(()),
        }
    }

    /// Whether an authority (`host` or `host:port`) names this server.
    fn is_own(&self, authority: &str) -> bool {
        let host = host_of(authority);
        if self.is_listed(authority) || is_loopback_name(host) {
            return true;
        }
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            // Addresses are not in the DNS. Probes ask by address, whatever names there are.
            return ip.is_loopback() || ip == self.addr.ip() || !self.addr.ip().is_loopback();
        }
        // No public name is without a dot: those come from the machine's own files, a container's network, or nowhere.
        let is_local_name = !host.contains('.');
        is_local_name || !self.addr.ip().is_loopback() && self.hosts.is_empty()
    }

    fn is_listed(&self, authority: &str) -> bool {
        let is_named = |host: &String| host.eq_ignore_ascii_case(authority) || host.eq_ignore_ascii_case(host_of(authority));
        self.hosts.iter().any(is_named)
    }

    /// The foreign page that sent the request, as far as the browser says; `None` for every client that is no browser.
    fn foreign_origin(&self, head: &Parts, authority: Option<&str>) -> Option<String> {
        if let Some(origin) = text(&head.headers, header::ORIGIN.as_str()) {
            let page = origin.split_once("://").map(|(_, page)| page.to_ascii_lowercase());
            let default_port = if origin.starts_with("https:") { ":443" } else { ":80" };
            let plain = |authority: &str| authority.trim_end_matches(default_port).to_ascii_lowercase();
            let is_own = page.is_some_and(|page| authority.is_some_and(|own| plain(own) == plain(&page)) || self.is_listed(&page));
            return (!is_own).then(|| format!("`{origin}`"));
        }
        let is_cross_site = text(&head.headers, "sec-fetch-site") == Some("cross-site");
        // Somebody follows a link: the page that has it learns nothing.
        let is_link = matches!(head.method, Method::GET | Method::HEAD) && text(&head.headers, "sec-fetch-mode") == Some("navigate");
        (is_cross_site && !is_link).then(|| "another site".to_owned())
    }
}

/// The host that the request is for: in its address, else in `Host`. Clients that send none are no browsers.
fn requested_authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<Option<Cow<'a, str>>, Reason> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err((StatusCode::BAD_REQUEST, "the request has two `Host` headers".to_owned()));
    }
    let given = uri.authority().map(|authority| Cow::Borrowed(authority.as_str()));
    Ok(given.or_else(|| host.map(|host| String::from_utf8_lossy(host.as_bytes()))))
}

/// The host of `host:port`.
fn host_of(authority: &str) -> &str {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    match authority.rsplit_once(':') {
        Some((host, port)) if is_port(port) && (!host.contains(':') || host.ends_with(']')) => host,
        _ => authority,
    }
}

fn is_loopback_name(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    let parts = host.len().checked_sub(LOOPBACK_NAME.len()).and_then(|at| host.split_at_checked(at));
    parts.is_some_and(|(before, name)| name.eq_ignore_ascii_case(LOOPBACK_NAME) && (before.is_empty() || before.ends_with('.')))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    // What is not text is no header of a browser's: it fits nothing.
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(policy: &HostPolicy, method: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = http::Request::builder().method(method).uri("/data/x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        policy.check(&head).map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    fn policy(addr: &str, hosts: &[&str]) -> HostPolicy {
        HostPolicy::new(
            addr.parse().unwrap(),
            &hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>(),
        )
    }

    #[test]
    fn hosts_are_those_of_the_address_and_those_that_were_given() {
        let local = policy("127.0.0.1:8080", &["Mill.example.org"]);
        for own in [
            "127.0.0.1:8080",
            "localhost:9",
            "LOCALHOST.",
            "[::1]:8080",
            "mill.localhost",
            "mill.example.org:8080",
            "tidemill",
        ] {
            assert_eq!(status(&local, "POST", &[("host", own)]), 200, "{own}");
        }
        for foreign in [
            "evil.example:8080",
            "example.org",
            "127.0.0.1.evil.example",
            "10.1.2.3",
            "xmill.example.org",
            "xlocalhost.example",
            "localhost.evil.example",
        ] {
            assert_eq!(status(&local, "GET", &[("host", foreign)]), 403, "{foreign}");
        }
        assert_eq!(status(&local, "GET", &[]), 200, "no browser");
        assert_eq!(status(&local, "GET", &[("host", "localhost"), ("host", "localhost")]), 400);
        let open = policy("0.0.0.0:8080", &[]);
        assert_eq!(status(&open, "GET", &[("host", "any.example.org")]), 200);
        let named = policy("0.0.0.0:8080", &["ml.example.org"]);
        assert_eq!(status(&named, "GET", &[("host", "any.example.org")]), 403);
        assert_eq!(status(&named, "GET", &[("host", "10.1.2.3:8080")]), 200, "a probe");
    }

    #[test]
    fn pages_of_others_are_refused() {
        let local = policy("127.0.0.1:8080", &["app.example.org", "localhost:3000"]);
        let post = |headers: &[(&str, &str)]| status(&local, "POST", &[&[("host", "127.0.0.1:8080")], headers].concat());
        for foreign in [
            "https://evil.example",
            "null",
            "http://127.0.0.1:3001",
            "http://localhost:8080",
            "?",
            "",
        ] {
            assert_eq!(post(&[("origin", foreign)]), 403, "{foreign}");
        }
        for own in ["http://127.0.0.1:8080", "https://app.example.org", "http://localhost:3000"] {
            assert_eq!(post(&[("origin", own)]), 200, "{own}");
        }
        assert_eq!(post(&[("sec-fetch-site", "cross-site")]), 403);
        assert_eq!(
            post(&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]),
            403,
            "a form"
        );
        assert_eq!(post(&[("sec-fetch-site", "same-origin")]), 200);
        let link = [
            ("host", "127.0.0.1"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
        ];
        assert_eq!((status(&local, "GET", &link), status(&local, "GET", &link[..2])), (200, 403));
        // Behind a proxy that ends TLS.
        let open = policy("0.0.0.0:8080", &[]);
        let page = [("host", "ml.example.org"), ("origin", "https://ml.example.org")];
        assert_eq!(status(&open, "POST", &page), 200);
        assert_eq!(status(&open, "POST", &[page[0], ("origin", "https://evil.example")]), 403);
    }

    #[test]
    fn a_host_is_read_without_its_port() {
        assert_eq!(
            (host_of("a:1"), host_of("a"), host_of("[::1]:1"), host_of("::1")),
            ("a", "a", "[::1]", "::1")
        );
    }
}
