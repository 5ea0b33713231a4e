//! Rejects names that the project does not have, and lists those that it has: an empty list would be true of a misspelt name too.

use std::collections::BTreeSet;

use tidemill_core::{Error, Result, pipeline::Pipeline, text::quoted_list};

/// A stage of the project, and the dataset or model that it runs for.
pub(crate) fn require_stage(pipeline: &Pipeline, stage: &str, resource: Option<&str>) -> Result<()> {
    let pairs = pipeline.nodes.iter().map(|node| (node.stage.as_str(), node.resource.as_str()));
    require_pair(&pairs.collect::<Vec<_>>(), stage, resource)
}

/// A dataset or model of the project, or an added stage.
pub(crate) fn require_resource(pipeline: &Pipeline, resource: &str) -> Result<()> {
    let resources: BTreeSet<&str> = pipeline.nodes.iter().map(|node| node.resource.as_str()).collect();
    match resources.contains(resource) {
        true => Ok(()),
        false => Err(Error::not_found(format!(
            "no stage runs for `{resource}`; stages run for {}",
            quoted_list(resources)
        ))),
    }
}

/// `pairs` are stages with the resource of each.
fn require_pair(pairs: &[(&str, &str)], stage: &str, resource: Option<&str>) -> Result<()> {
    let resources: BTreeSet<&str> = pairs
        .iter()
        .filter(|(name, _)| *name == stage)
        .map(|(_, resource)| *resource)
        .collect();
    if resources.is_empty() {
        let stages: BTreeSet<&str> = pairs.iter().map(|(name, _)| *name).collect();
        return Err(Error::not_found(format!(
            "there is no stage `{stage}`; there is {}",
            quoted_list(stages)
        )));
    }
    match resource.filter(|resource| !resources.contains(resource)) {
        Some(resource) => Err(Error::not_found(format!(
            "the stage `{stage}` does not run for `{resource}`; it runs for {}",
            quoted_list(resources)
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let pairs = [("validate", "flights"), ("train", "delay"), ("train", "late")];
        assert!(require_pair(&pairs, "train", None).is_ok() && require_pair(&pairs, "train", Some("late")).is_ok());
        let message = |stage, resource| require_pair(&pairs, stage, resource).unwrap_err().message;
        assert_eq!(message("trian", None), "there is no stage `trian`; there is `train`, `validate`");
        assert!(message("train", Some("flights")).ends_with("for `flights`; it runs for `delay`, `late`"));
    }
}
