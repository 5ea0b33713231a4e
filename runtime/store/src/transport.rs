//! Why an HTTP request to a store got no response, and how long a client waits for one.
//!
//! A client for another platform implements `object_store`'s `HttpConnector` and returns these errors, so that messages and retries are
//! the same everywhere.

use std::{error::Error as StdError, time::Duration};

use http::{StatusCode, Uri, header};
use object_store::{
    ClientConfigKey, ClientOptions,
    client::{HttpError, HttpErrorKind, HttpResponse},
};

/// Unless AWS_TIMEOUT says otherwise. A request's body has time beside it, by [`upload_time`].
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// Unless AWS_CONNECT_TIMEOUT says otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Servers refuse signatures that are older or newer.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(15 * 60);
/// Bytes a second that a connection must carry.
const MIN_UPLOAD_RATE: usize = 256 << 10;

/// How long the body of a request may take to be sent.
pub fn upload_time(bytes: usize) -> Duration {
    Duration::from_secs((bytes / MIN_UPLOAD_RATE) as u64)
}

/// The timeout that the option `key` sets, or the default.
///
/// # Errors
/// `Generic` if the option is not a length of time.
pub fn timeout_option(options: &ClientOptions, key: ClientConfigKey, default: Duration) -> object_store::Result<Duration> {
    let Some(text) = options.get_config_value(&key) else {
        return Ok(default);
    };
    let parsed = text
        .parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|time| Duration::try_from(time).ok());
    parsed.ok_or_else(|| object_store::Error::Generic {
        store: "S3",
        source: format!(
            "`{text}` is no length of time for AWS_{}; write it like `30s`",
            key.as_ref().to_uppercase()
        )
        .into(),
    })
}

/// Why there was no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The platform does not let the program reach the server.
    NotAllowed,
    /// The machine's own source of credentials has none.
    Credentials,
    /// The server's certificate is not trusted.
    Certificate,
    /// The server's name has no address.
    NameResolution,
    /// No connection could be made.
    Connection,
    /// The request was sent, and there was no response for too long.
    Timeout,
    /// The response refers to another server without naming it.
    Redirect,
    /// The connection broke after the request was sent.
    Interrupted,
    /// The request was refused by a server whose clock says another time.
    ClockSkew,
}

impl Failure {
    /// Whether the request may have been carried out.
    pub fn is_sent(self) -> bool {
        matches!(self, Self::Timeout | Self::Interrupted)
    }
}

/// A request without a response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct TransportError {
    /// Why.
    pub failure: Failure,
    /// The platform's own words, with all causes in one line.
    pub text: String,
}

impl TransportError {
    /// An error for `object_store`, which decides by its kind whether the request is sent again.
    pub fn http(failure: Failure, text: impl Into<String>) -> HttpError {
        let kind = match failure {
            Failure::NameResolution | Failure::Connection | Failure::Credentials => HttpErrorKind::Connect,
            Failure::Timeout => HttpErrorKind::Timeout,
            Failure::Interrupted => HttpErrorKind::Interrupted,
            // Sending again does not help.
            Failure::NotAllowed | Failure::Certificate | Failure::Redirect | Failure::ClockSkew => HttpErrorKind::Decode,
        };
        let text = text.into();
        HttpError::new(kind, Self { failure, text })
    }

    /// The error of a server that did not respond for so long.
    pub fn timeout(after: Duration) -> HttpError {
        Self::http(
            Failure::Timeout,
            format!("the server did not respond for {} s", after.as_secs_f32()),
        )
    }

    /// The transport's error among the causes of another.
    pub fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }
}

/// Replaces responses and errors that only their circumstances explain: those of a source of credentials, a redirect to nowhere, and a
/// refusal by a server whose clock is far from this machine's.
///
/// # Errors
/// [`Failure::Credentials`], [`Failure::Redirect`] or [`Failure::ClockSkew`], or the error that was given.
pub fn check_response(uri: &Uri, response: Result<HttpResponse, HttpError>) -> Result<HttpResponse, HttpError> {
    let is_credentials = is_credentials_service(uri);
    let response = match response {
        Err(error) if is_credentials => return Err(TransportError::http(Failure::Credentials, format!("`{uri}`: {error}"))),
        other => other?,
    };
    let status = response.status();
    if status.is_redirection() && status != StatusCode::NOT_MODIFIED && !response.headers().contains_key(header::LOCATION) {
        return Err(TransportError::http(
            Failure::Redirect,
            format!("a redirect without a location, {status}"),
        ));
    }
    // After FORBIDDEN, object_store may ask the metadata service in the older way.
    if is_credentials && status.is_client_error() && status != StatusCode::FORBIDDEN {
        let text = format!("`{uri}` answered {status}");
        return Err(HttpError::new(
            HttpErrorKind::Decode,
            TransportError {
                failure: Failure::Credentials,
                text,
            },
        ));
    }
    match clock_skew(&response) {
        Some(text) if status == StatusCode::FORBIDDEN && !is_credentials => Err(TransportError::http(Failure::ClockSkew, text)),
        _ => Ok(response),
    }
}

/// Both times, if the server's differs by more than a signature may.
fn clock_skew(response: &HttpResponse) -> Option<String> {
    let date = response.headers().get(header::DATE)?.to_str().ok()?;
    let server = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    let here = jiff::Timestamp::now();
    let difference = here.duration_since(server).unsigned_abs();
    (difference > MAX_CLOCK_SKEW).then(|| format!("it is {here:.0} here and {server:.0} there"))
}

/// The metadata services of AWS's machines and containers, and its token service.
fn is_credentials_service(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    matches!(host, "169.254.169.254" | "169.254.170.2" | "169.254.170.23") || host.starts_with("sts.")
}
