//! References to secrets. A reference is part of configurations, records and deployed files; the secret itself is read by the host that needs
//! it, when it needs it, and is in none of them.

use crate::{Error, Result};

/// Where a secret is: `env:NAME` or `file:/path`.
///
/// ```
/// use tidemill_core::secret::SecretRef;
///
/// assert_eq!(SecretRef::parse("env:SOURCE_TOKEN").unwrap().to_string(), "env:SOURCE_TOKEN");
/// let error = SecretRef::parse("Bearer abcdef").unwrap_err();
/// assert!(!error.message.contains("abcdef"), "{error}");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// A variable of the environment.
    Variable(String),
    /// A file, by its whole path; a line end after the secret is not part of it.
    File(String),
}

impl SecretRef {
    /// Reads a reference.
    ///
    /// # Errors
    /// `Config` if it is none. The message does not repeat it: it may be the secret.
    pub fn parse(text: &str) -> Result<Self> {
        let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        match text.split_once(':') {
            Some(("env", name)) if is_name(name) => Ok(Self::Variable(name.to_owned())),
            Some(("file", path)) if path.starts_with('/') => Ok(Self::File(path.to_owned())),
            _ => Err(Error::config(
                "the value of a header is `env:NAME` or `file:/path`, where the whole value is: written here, it would be in the store and in \
                 what is deployed",
            )),
        }
    }
}

impl std::fmt::Display for SecretRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read() {
        assert_eq!(SecretRef::parse("env:A_1").unwrap(), SecretRef::Variable("A_1".into()));
        assert_eq!(
            SecretRef::parse("file:/run/secrets/a").unwrap(),
            SecretRef::File("/run/secrets/a".into())
        );
        for wrong in ["", "env:", "env:A B", "file:a", "file:", "vault:a", "A"] {
            assert!(
                SecretRef::parse(wrong).unwrap_err().message.contains("`env:NAME` or `file:/path`"),
                "{wrong}"
            );
        }
    }
}
