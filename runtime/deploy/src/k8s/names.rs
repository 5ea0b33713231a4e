//! Names on Kubernetes: lower-case letters, digits and `-`, at most 63 characters, a letter first, since Services are names in the DNS.

use tidemill_core::{Error, Result};

/// The longest name of a Service.
const LONGEST: usize = 63;
/// The longest that is added to a project's name where a Service or a label has it.
const SUFFIX: &str = "-coordinator";

/// The names of a project's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// What all names begin with: the project's name, in lower case and with `-` for `_`. The servers have it as it is.
    pub(super) base: String,
    pub(super) coordinator: String,
    /// The Secret with the store's credentials.
    pub(super) store_secret: String,
    /// The Secret with what `collect` sends.
    pub(super) collect_secret: String,
}

impl Names {
    pub(super) fn new(project: &str) -> Result<Self> {
        let base = project.to_ascii_lowercase().replace('_', "-");
        let reason = if !base.starts_with(|c: char| c.is_ascii_lowercase()) {
            Some("must begin with a letter".to_owned())
        } else if base.ends_with('-') {
            Some("must end with a letter or a digit".to_owned())
        } else if base.len() + SUFFIX.len() > LONGEST {
            let most = LONGEST - SUFFIX.len();
            Some(format!(
                "has {} characters and may have {most}, since `{SUFFIX}` follows",
                base.len()
            ))
        } else {
            None
        };
        match reason {
            Some(reason) => Err(Error::config(format!(
                "the project's name `{project}` is part of names in the cluster's DNS, where `{base}` {reason}: change `name` of [project]"
            ))),
            None => Ok(Self {
                coordinator: format!("{base}{SUFFIX}"),
                store_secret: format!("{base}-store"),
                collect_secret: format!("{base}-collect"),
                base,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_named_for_the_dns() {
        assert_eq!(Names::new("Flights_2").unwrap().coordinator, "flights-2-coordinator");
        let message = |project: &str| Names::new(project).unwrap_err().message;
        assert!(message("2013-flights").contains("must begin with a letter"));
        assert!(message("flights_").contains("`flights-` must end"));
        assert!(message(&"f".repeat(52)).contains("may have 51"));
        assert!(Names::new(&"f".repeat(51)).is_ok());
    }
}
