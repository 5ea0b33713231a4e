//! Names on AWS: what is unique in a template (letters and digits alone) and what is unique in an account and region (where a length
//! is the limit). Both follow from the stage and its resource.

use tidemill_core::{Error, Result, pipeline::Node};

/// Longest value of the parameter `Environment`; names leave room for it.
pub(super) const ENVIRONMENT: usize = 12;

/// How a service names its things.
struct Kind {
    what: &'static str,
    longest: usize,
    /// What Tidemill adds to the name.
    suffix: &'static str,
}

const KINDS: [Kind; 2] = [
    Kind {
        what: "Lambda function",
        longest: 64,
        suffix: "",
    },
    Kind {
        what: "SQS queue",
        longest: 80,
        suffix: DEAD,
    },
];

/// What a dead-letter queue's name ends with.
pub(super) const DEAD: &str = "-dead";

/// The names of one function and all that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// `ValidateFlights`: the beginning of each resource's name in the template.
    pub(super) logical: String,
    /// `validate-flights`.
    pub(super) short: String,
    /// `flights-${Environment}-validate-flights`, for `Fn::Sub`.
    pub(super) full: String,
}

impl Names {
    pub(super) fn of_node(project: &str, node: &Node) -> Result<Self> {
        let own = node.stage == node.resource;
        let short = if own {
            node.stage.clone()
        } else {
            format!("{}-{}", node.stage, node.resource)
        };
        Self::new(project, &short)
    }

    pub(super) fn new(project: &str, short: &str) -> Result<Self> {
        checked_characters("project", project)?;
        checked_characters("stage", short)?;
        let length = project.len() + 1 + ENVIRONMENT + 1 + short.len();
        for Kind { what, longest, suffix } in &KINDS {
            let length = length + suffix.len();
            if length > *longest {
                return Err(Error::config(format!(
                    "the {what} `{project}-<environment>-{short}{suffix}` may have {length} characters (an environment's name has up to \
                     {ENVIRONMENT}), and AWS takes {longest}: shorten the names of the project, the stage or its resource by {}",
                    length - longest
                )));
            }
        }
        Ok(Self {
            logical: logical(short),
            short: short.to_owned(),
            full: format!("{project}-${{Environment}}-{short}"),
        })
    }

    /// `ValidateFlightsQueue`.
    pub(super) fn resource(&self, what: &str) -> String {
        format!("{}{what}", self.logical)
    }
}

/// `validate-flights` → `ValidateFlights`.
pub(super) fn logical(name: &str) -> String {
    let mut logical = String::new();
    for part in name.split(|c: char| !c.is_ascii_alphanumeric()) {
        let mut letters = part.chars();
        logical.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        logical.push_str(letters.as_str());
    }
    logical
}

fn checked_characters(what: &str, name: &str) -> Result<()> {
    match name.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-' && *c != '_') {
        Some(wrong) => Err(Error::config(format!(
            "the {what} name `{name}` has the character `{wrong}`: functions and queues on AWS are named with ASCII letters, digits, `-` and `_`"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow() {
        let names = Names::new("flights", "validate-flight_rows").unwrap();
        assert_eq!(names.resource("Queue"), "ValidateFlightRowsQueue");
        assert_eq!(names.full, "flights-${Environment}-validate-flight_rows");
    }

    #[test]
    fn what_aws_does_not_take_is_said() {
        let message = |project: &str, short: &str| Names::new(project, short).unwrap_err().message;
        let long = message("p", &"x".repeat(55));
        assert!(
            long.contains("Lambda function") && long.contains("70 characters") && long.contains("by 6"),
            "{long}"
        );
        assert!(message("p", "geo.code").contains("the character `.`"));
        assert!(message("flüge", "x").contains("`ü`"));
        assert!(Names::new("p", &"x".repeat(49)).is_ok());
    }
}
