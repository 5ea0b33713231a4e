//! Refuses names that the project does not have, and says which it has: "nothing yet" would be true of them for ever.

use std::collections::BTreeSet;

use tidemill_core::{Error, Result, pipeline::Pipeline, spec::Model};

/// A model of the project.
pub(crate) fn require_model<'a>(pipeline: &'a Pipeline, model: &str) -> Result<&'a Model> {
    pipeline.models.get(model).ok_or_else(|| {
        Error::not_found(format!(
            "there is no model `{model}`; there is {}",
            quoted_list(pipeline.models.keys())
        ))
    })
}

/// A stage of the project, and what it is about.
pub(crate) fn require_stage(pipeline: &Pipeline, stage: &str, resource: Option<&str>) -> Result<()> {
    let pairs = pipeline.nodes.iter().map(|node| (node.stage.as_str(), node.resource.as_str()));
    require_pair(&pairs.collect::<Vec<_>>(), stage, resource)
}

/// `pairs` are stages with what each is about.
fn require_pair(pairs: &[(&str, &str)], stage: &str, resource: Option<&str>) -> Result<()> {
    let resources: BTreeSet<&str> = pairs.iter().filter(|(name, _)| *name == stage).map(|(_, about)| *about).collect();
    if resources.is_empty() {
        let stages: BTreeSet<&str> = pairs.iter().map(|(name, _)| *name).collect();
        return Err(Error::not_found(format!(
            "there is no stage `{stage}`; there is {}",
            quoted_list(stages)
        )));
    }
    match resource.filter(|resource| !resources.contains(resource)) {
        Some(resource) => Err(Error::not_found(format!(
            "the stage `{stage}` has nothing to do for `{resource}`; it has for {}",
            quoted_list(resources)
        ))),
        None => Ok(()),
    }
}

/// `` `a`, `b` ``, or `none`.
pub(crate) fn quoted_list(names: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let pairs = [("validate", "flights"), ("train", "delay"), ("train", "late")];
        assert!(require_pair(&pairs, "train", None).is_ok() && require_pair(&pairs, "train", Some("late")).is_ok());
        let said = |stage, resource| require_pair(&pairs, stage, resource).unwrap_err().message;
        assert_eq!(said("trian", None), "there is no stage `trian`; there is `train`, `validate`");
        assert!(said("train", Some("flights")).ends_with("for `flights`; it has for `delay`, `late`"));
        assert_eq!(quoted_list([0_u32; 0]), "none");
    }
}
