//! Requests of a component to the network: to the hosts that its manifest allows, and to no other.

use std::{sync::Arc, time::Duration};

use http_body_util::BodyExt as _;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tidemill_core::{Error as Refused, Result};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::chain::Chain;

/// Unless the component says otherwise.
const CONNECT: Duration = Duration::from_secs(10);
const FIRST_BYTE: Duration = Duration::from_secs(60);
/// Servers close connections that were not used for a while.
const IDLE: Duration = Duration::from_secs(15);

/// Shared by all components: connections are kept.
pub(crate) type Client = legacy::Client<HttpsConnector<HttpConnector>, WasiBody>;

/// A client for all components.
pub(crate) fn client() -> Result<Client> {
    let connector = tidemill_store::https_connector(CONNECT).map_err(|e| Refused::config(format!("no TLS for components: {e}")))?;
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder.pool_idle_timeout(IDLE).pool_timer(TokioTimer::new());
    Ok(builder.build(connector))
}

/// One entry of `allowed_outbound_hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// None is any.
    scheme: Option<String>,
    host: Host,
    /// First and last; none is any.
    ports: Option<(u16, u16)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Any,
    /// All names below this one.
    Below(String),
    Is(String),
}

impl Allowed {
    /// `https://*.example.com`, `http://127.0.0.1:8333`, `*://*:*`.
    pub(crate) fn parse(component: &str, text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Refused::config(format!(
                "`{text}` among `allowed_outbound_hosts` of `{component}` {why}; write it like `https://*.example.com` or `http://127.0.0.1:8333`"
            ))
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("names no scheme"))?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('/') {
            return Err(wrong("has a path"));
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (rest, None),
        };
        let known = match scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        let number = |text: &str| text.parse::<u16>().map_err(|_| wrong("has a port that is no number"));
        let ports = match (port, known) {
            (Some("*"), _) => None,
            (Some(port), _) => match port.split_once("..") {
                Some((first, behind)) => Some((number(first)?, number(behind)?.saturating_sub(1))),
                None => Some((number(port)?, number(port)?)),
            },
            (None, Some(port)) => Some((port, port)),
            (None, None) => return Err(wrong("names no port")),
        };
        let host = match host {
            "" => return Err(wrong("names no host")),
            "self" => return Err(wrong("means the application itself, which is not offered here")),
            "*" => Host::Any,
            name => match name.strip_prefix("*.") {
                Some(name) => Host::Below(format!(".{name}").to_ascii_lowercase()),
                None => Host::Is(name.to_ascii_lowercase()),
            },
        };
        Ok(Self {
            scheme: (scheme != "*").then(|| scheme.to_owned()),
            host,
            ports,
        })
    }

    fn allows(&self, uri: &http::Uri) -> bool {
        let scheme = uri.scheme_str().unwrap_or("https");
        let port = uri.port_u16().unwrap_or(if scheme == "http" { 80 } else { 443 });
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        self.scheme.as_deref().is_none_or(|allowed| allowed == scheme)
            && self.ports.is_none_or(|(first, last)| (first..=last).contains(&port))
            && match &self.host {
                Host::Any => true,
                Host::Below(name) => host.ends_with(name),
                Host::Is(name) => host == *name,
            }
    }
}

/// One instance's way out.
pub(crate) struct Outbound {
    allowed: Arc<Vec<Allowed>>,
    client: Client,
    chain: Chain,
}

impl Outbound {
    pub(crate) fn new(allowed: Arc<Vec<Allowed>>, client: Client, chain: Chain) -> Self {
        Self { allowed, client, chain }
    }
}

pub(crate) type Processed = Box<dyn Future<Output = Result<(), Error>> + Send>;
pub(crate) type Sent = (http::Response<WasiBody>, Processed);

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Processed,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        if !self.allowed.iter().any(|allowed| allowed.allows(request.uri())) {
            tracing::warn!(
                "a component may not reach `{}`: it is not among its `allowed_outbound_hosts`",
                request.uri()
            );
            return Box::new(std::future::ready(Err(Error::HttpRequestDenied)));
        }
        if let Some(component) = Chain::component(request.uri()) {
            return Box::new(self.chain.clone().call(component.to_owned(), request));
        }
        let client = self.client.clone();
        let patience = options.and_then(|options| options.first_byte_timeout).unwrap_or(FIRST_BYTE);
        Box::new(async move {
            let answer = tokio::time::timeout(patience, client.request(request)).await;
            let answer = answer.map_err(|_| Error::HttpResponseTimeout)?.map_err(|e| unanswered(&e))?;
            let processed: Processed = Box::new(std::future::ready(Ok(())));
            Ok((answer.map(|body| body.map_err(Error::from).boxed_unsync()), processed))
        })
    }
}

fn unanswered(error: &legacy::Error) -> Error {
    tracing::debug!("a component's request failed: {error}");
    if error.is_connect() {
        Error::ConnectionRefused
    } else {
        Error::ConnectionTerminated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rule: &str, uri: &str) -> bool {
        Allowed::parse("x", rule).unwrap().allows(&uri.parse().unwrap())
    }

    #[test]
    fn what_is_named_and_nothing_else() {
        for (rule, uri) in [
            ("https://s3.example.com", "https://s3.example.com/a/b"),
            ("https://*.amazonaws.com", "https://tide.s3.eu-west-1.amazonaws.com/a"),
            ("http://127.0.0.1:8333", "http://127.0.0.1:8333/tide"),
            ("http://127.0.0.1:8000..9000", "http://127.0.0.1:8999/"),
            ("*://*:*", "http://anything:1/"),
            ("http://[::1]:80", "http://[::1]/"),
        ] {
            assert!(allows(rule, uri), "{rule} {uri}");
        }
        for (rule, uri) in [
            ("https://s3.example.com", "http://s3.example.com/"),
            ("https://s3.example.com", "https://s3.example.com:8443/"),
            ("https://*.amazonaws.com", "https://amazonaws.com.evil.org/"),
            ("https://*.amazonaws.com", "https://amazonaws.com/"),
            ("http://127.0.0.1:8333", "http://127.0.0.1:8334/"),
            ("http://127.0.0.1:8000..9000", "http://127.0.0.1:9000/"),
        ] {
            assert!(!allows(rule, uri), "{rule} {uri}");
        }
        for bad in ["s3.example.com", "https://a/b", "*://a", "http://a:x", "http://self"] {
            assert!(Allowed::parse("x", bad).unwrap_err().message.contains(&format!("`{bad}`")), "{bad}");
        }
    }
}
