//! Ports of URLs and of hosts, for what the pods may reach: policies name ports, and addresses alone, of which a name has many.

use std::collections::BTreeSet;

use tidemill_core::{Error, Result};

pub(super) const HTTP: u16 = 80;
pub(super) const HTTPS: u16 = 443;

/// The port of an `http` or `https` URL.
///
/// # Errors
/// `Config` if it is none; `what` says where it is written.
pub(super) fn url_port(what: &str, url: &str) -> Result<u16> {
    let invalid = || {
        Error::config(format!(
            "{what} is `{url}`: it must be a URL such as `https://s3.example.com` or `http://storage:9000`"
        ))
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(invalid)?;
    let default = match scheme {
        "https" => HTTPS,
        "http" => HTTP,
        _ => return Err(invalid()),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match split_port(authority) {
        (host, _) if host.is_empty() || host.contains('@') => Err(invalid()),
        (_, None) => Ok(default),
        (_, Some(port)) => port.parse().map_err(|_| invalid()),
    }
}

/// The ports of a host that a stage may fetch from: that which is written, or those of both schemes.
pub(super) fn host_ports(host: &str) -> BTreeSet<u16> {
    match split_port(host).1.and_then(|port| port.parse().ok()) {
        Some(port) => BTreeSet::from([port]),
        None => BTreeSet::from([HTTP, HTTPS]),
    }
}

/// `host:port` → its parts. The colons of an IPv6 address are in brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_those_of_the_url() {
        let port = |url| url_port("--endpoint", url);
        assert_eq!(port("https://s3.example.com").unwrap(), 443);
        assert_eq!(port("http://storage/x?y").unwrap(), 80);
        assert_eq!(port("http://storage:9000/").unwrap(), 9000);
        assert_eq!(port("http://[fd00::1]:9000").unwrap(), 9000);
        assert_eq!(port("https://[fd00::1]").unwrap(), 443);
        for wrong in [
            "storage:9000",
            "ftp://storage",
            "http://",
            "http://storage:port",
            "https://a:b@storage",
        ] {
            assert!(port(wrong).unwrap_err().message.contains(wrong), "{wrong}");
        }
        assert_eq!(host_ports("api.example.org"), BTreeSet::from([80, 443]));
        assert_eq!(host_ports("api.example.org:8443"), BTreeSet::from([8443]));
    }
}
