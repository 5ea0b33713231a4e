//! Who makes a request.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The identity that a request is made under. An audit record holds it as `<kind>:<name>`.
///
/// ```
/// use tidemill_control::{Principal, PrincipalKind};
///
/// let anna = Principal::new(PrincipalKind::Local, "anna");
/// assert_eq!(anna.to_string(), "local:anna");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Principal {
    kind: PrincipalKind,
    name: String,
}

/// How a principal is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrincipalKind {
    /// A user of this machine, whom the operating system has authenticated.
    Local,
    /// A user whom a server has authenticated.
    User,
    /// A program with credentials of its own.
    Service,
}

impl Principal {
    /// A principal that the caller has authenticated.
    pub fn new(kind: PrincipalKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }

    /// The user that runs this process: `USER`, else `LOGNAME`, else `unknown`.
    pub fn local() -> Self {
        let variables = ["USER", "LOGNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
        let name = variables.into_iter().find(|name| !name.is_empty());
        Self::new(PrincipalKind::Local, name.unwrap_or_else(|| "unknown".into()))
    }

    /// How it is known.
    pub fn kind(&self) -> PrincipalKind {
        self.kind
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            PrincipalKind::Local => "local",
            PrincipalKind::User => "user",
            PrincipalKind::Service => "service",
        };
        write!(f, "{kind}:{}", self.name)
    }
}
