//! What CloudFormation does not take, said before it is asked.

use std::collections::BTreeSet;

use tidemill_core::{Error, Result};

use super::template::{Section, Template};

/// CloudFormation's limits of one template.
const RESOURCES: usize = 500;
const PARAMETERS: usize = 200;
/// Characters of the policies in one role.
const POLICY: usize = 10_240;

pub(super) fn check(template: &Template) -> Result<()> {
    names("parameters", &template.parameters)?;
    names("resources", &template.resources)?;
    let split = "split the project: two projects may share a bucket's data by `collect`";
    // Each queue that calls a function is a resource too.
    let sources = template.resources.iter().filter(|(name, _)| name.ends_with("Queue")).count();
    for (what, count, most) in [
        ("resources", template.resources.len() + sources, RESOURCES),
        ("parameters", template.parameters.len(), PARAMETERS),
    ] {
        if count > most {
            return Err(Error::config(format!(
                "the template has {count} {what}, and CloudFormation takes {most} in one stack: {split}"
            )));
        }
    }
    for (name, resource) in template.resources.iter().filter(|(name, _)| name.ends_with("Role")) {
        let length = serde_json::to_string(resource).map_or(0, |text| text.len());
        if length > POLICY {
            return Err(Error::config(format!(
                "the policy of `{name}` has {length} characters, and IAM takes {POLICY}: give the stage fewer and wider `reads` and `writes`"
            )));
        }
    }
    Ok(())
}

/// Names in a template are letters and digits, so two names of a project may become one.
fn names<T>(what: &str, section: &Section<T>) -> Result<()> {
    let mut seen = BTreeSet::new();
    match section.iter().find(|(name, _)| !seen.insert(*name)) {
        Some((name, _)) => Err(Error::config(format!(
            "two of the template's {what} would be called `{name}`: names there are letters and digits alone, so `a-b`, `a_b` and `aB` \
             are one; rename a dataset, model or stage"
        ))),
        None => Ok(()),
    }
}
