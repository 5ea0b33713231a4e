//! The error type of every Tidemill crate. A failed check is not an error but an [`Outcome`](crate::Outcome): an error means that nothing
//! could be decided.
//!
//! Decide by [`Error::kind`], never by the message.

use std::{error::Error as StdError, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// A result with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of a failure. It decides the retry, the exit code and the HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The configuration cannot work.
    Config,
    /// The data or the request is invalid.
    Input,
    /// A named object does not exist.
    NotFound,
    /// The caller or the stage has no right to do this.
    Denied,
    /// A create-only or compare-and-swap write found other content.
    Conflict,
    /// Too much memory, data or rows.
    Limit,
    /// Too many requests or runs: retry later.
    Busy,
    /// The work took longer than its timeout.
    Timeout,
    /// A store or a network failed and may work later.
    Transient,
    /// A defect of Tidemill or of a stage.
    Bug,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: [ErrorKind; 10] = [
        Self::Config,
        Self::Input,
        Self::NotFound,
        Self::Denied,
        Self::Conflict,
        Self::Limit,
        Self::Busy,
        Self::Timeout,
        Self::Transient,
        Self::Bug,
    ];

    /// The process exit code of a command that fails with this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Config => 2,
            Self::Input => 3,
            Self::NotFound => 4,
            Self::Transient => 5,
            Self::Limit => 6,
            Self::Denied => 7,
            Self::Conflict => 8,
            Self::Busy => 9,
            // 10 is `deploy --plan --exit-code` with a difference.
            Self::Timeout => 11,
            Self::Bug => 70,
        }
    }

    /// The HTTP status of a request that fails with this kind.
    pub fn http_status(self) -> u16 {
        match self {
            Self::Input => 400,
            Self::Denied => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::Limit => 413,
            Self::Busy => 429,
            Self::Config | Self::Bug => 500,
            Self::Transient => 503,
            Self::Timeout => 504,
        }
    }

    /// Whether a run that fails with this kind is retried.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Transient | Self::Busy)
    }

    /// The kind as records, logs and the contract write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Input => "input",
            Self::NotFound => "not-found",
            Self::Denied => "denied",
            Self::Conflict => "conflict",
            Self::Limit => "limit",
            Self::Busy => "busy",
            Self::Timeout => "timeout",
            Self::Transient => "transient",
            Self::Bug => "bug",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure: its kind, a message that names the object, shows the bad value and says what to do, and optionally its source.
///
/// The source is for logs on this machine: it is not serialised, not part of the message, and not compared.
///
/// ```
/// use tidemill_core::{Error, ErrorKind};
///
/// let error = Error::not_found("there is no object `raw/flights/2013-05.csv`").context("cannot validate");
/// assert_eq!(error.kind, ErrorKind::NotFound);
/// assert_eq!(error.kind.http_status(), 404);
/// assert_eq!(error.to_string(), "cannot validate: there is no object `raw/flights/2013-05.csv`");
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Error {
    /// The kind.
    pub kind: ErrorKind,
    /// The message: lower-case, no final period, literals in backticks.
    pub message: String,
    #[serde(skip)]
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of the given kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }
    /// The configuration cannot work.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }
    /// The data or the request is invalid.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Input, message)
    }
    /// A named object does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }
    /// The caller or the stage has no right to do this.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Denied, message)
    }
    /// A write found other content.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }
    /// Too much memory, data or rows.
    pub fn limit(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Limit, message)
    }
    /// Too many requests or runs.
    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Busy, message)
    }
    /// The work took longer than its timeout.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Timeout, message)
    }
    /// A store or a network failed and may work later.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Transient, message)
    }
    /// A defect.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Bug, message)
    }
    /// The same error with the attempted action in front of the message.
    #[must_use]
    pub fn context(mut self, action: impl fmt::Display) -> Self {
        self.message = format!("{action}: {}", self.message);
        self
    }
    /// The same error with the lower-level error that caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl PartialEq for Error {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.message == other.message
    }
}

impl Eq for Error {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_kind_has_its_own_word_and_exit_code() {
        let words: BTreeSet<&str> = ErrorKind::ALL.iter().map(|kind| kind.as_str()).collect();
        let codes: BTreeSet<u8> = ErrorKind::ALL.iter().map(|kind| kind.exit_code()).collect();
        assert_eq!((words.len(), codes.len()), (ErrorKind::ALL.len(), ErrorKind::ALL.len()));
        for kind in ErrorKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn statuses_are_those_of_http() {
        for (kind, status) in [
            (ErrorKind::Denied, 403),
            (ErrorKind::Conflict, 409),
            (ErrorKind::Limit, 413),
            (ErrorKind::Busy, 429),
            (ErrorKind::Transient, 503),
            (ErrorKind::Timeout, 504),
        ] {
            assert_eq!(kind.http_status(), status);
        }
        let retried: Vec<ErrorKind> = ErrorKind::ALL.into_iter().filter(|kind| kind.is_retryable()).collect();
        assert_eq!(retried, [ErrorKind::Busy, ErrorKind::Transient]);
    }

    #[test]
    fn a_source_is_for_logs_alone() {
        let plain = Error::transient("the store does not answer");
        let caused = plain.clone().with_source(std::io::Error::other("connection reset"));
        assert_eq!(caused.source().unwrap().to_string(), "connection reset");
        assert_eq!((plain.to_string(), &plain), (caused.to_string(), &caused));
        let text = serde_json::to_string(&caused).unwrap();
        assert_eq!(text, r#"{"kind":"transient","message":"the store does not answer"}"#);
        assert_eq!(serde_json::from_str::<Error>(&text).unwrap(), caused);
    }
}
