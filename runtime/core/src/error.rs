//! Why something could not be decided. A failed check is not an error but an [`Outcome`](crate::Outcome).

use serde::{Deserialize, Serialize};

/// A result whose error says its kind.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure: it drives the retry, the exit code and the HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// What the user configured cannot work.
    Config,
    /// The data or the request is not what it must be.
    Input,
    /// Something named does not exist.
    NotFound,
    /// It may work later: the only kind that is tried again.
    Transient,
    /// A budget of time, memory, size or rights was exceeded.
    Limit,
    /// Ours to mend.
    Bug,
}

impl ErrorKind {
    /// All kinds, for tables and tests.
    pub const ALL: [ErrorKind; 6] = [Self::Config, Self::Input, Self::NotFound, Self::Transient, Self::Limit, Self::Bug];

    /// The process exit code of a command that fails with this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Config => 2,
            Self::Input => 3,
            Self::NotFound => 4,
            Self::Transient => 5,
            Self::Limit => 6,
            Self::Bug => 70,
        }
    }

    /// The HTTP status of a request that fails with this kind.
    pub fn http_status(self) -> u16 {
        match self {
            Self::Input => 400,
            Self::NotFound => 404,
            Self::Transient => 503,
            Self::Limit => 413,
            Self::Config | Self::Bug => 500,
        }
    }

    /// Whether the flow tries the run again.
    pub fn is_retryable(self) -> bool {
        self == Self::Transient
    }

    /// The word that is written in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Input => "input",
            Self::NotFound => "not-found",
            Self::Transient => "transient",
            Self::Limit => "limit",
            Self::Bug => "bug",
        }
    }
}

impl std::fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure with its kind and a message that names the object, shows the bad value and says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Drives retry, exit code and status.
    pub kind: ErrorKind,
    /// For a person: lower-case, no final period, literals in backticks.
    pub message: String,
}

impl Error {
    /// An error of any kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
    /// What the user configured cannot work.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }
    /// The data or the request is wrong.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Input, message)
    }
    /// Something named does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }
    /// It may work later.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Transient, message)
    }
    /// A budget was exceeded.
    pub fn limit(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Limit, message)
    }
    /// Ours to mend.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Bug, message)
    }
    /// The same error, saying what was being done.
    #[must_use]
    pub fn context(mut self, doing: impl std::fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }
}
