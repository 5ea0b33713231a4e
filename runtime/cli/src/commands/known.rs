//! Refuses names that the project does not have, and says which it has: "nothing yet" would be true of them for ever.

use std::collections::BTreeSet;

use tidemill_core::{Error, Result, pipeline::Pipeline, spec::Model};

/// A model of the project.
pub(crate) fn model<'a>(pipeline: &'a Pipeline, model: &str) -> Result<&'a Model> {
    pipeline
        .models
        .get(model)
        .ok_or_else(|| Error::not_found(format!("there is no model `{model}`; there is {}", ticked(pipeline.models.keys()))))
}

/// A stage of the project, and what it is about.
pub(crate) fn stage(pipeline: &Pipeline, stage: &str, subject: Option<&str>) -> Result<()> {
    let pairs = pipeline.nodes.iter().map(|node| (node.stage.as_str(), node.subject.as_str()));
    among(&pairs.collect::<Vec<_>>(), stage, subject)
}

/// `pairs` are stages with what each is about.
fn among(pairs: &[(&str, &str)], stage: &str, subject: Option<&str>) -> Result<()> {
    let subjects: BTreeSet<&str> = pairs.iter().filter(|(name, _)| *name == stage).map(|(_, about)| *about).collect();
    if subjects.is_empty() {
        let stages: BTreeSet<&str> = pairs.iter().map(|(name, _)| *name).collect();
        return Err(Error::not_found(format!(
            "there is no stage `{stage}`; there is {}",
            ticked(stages)
        )));
    }
    match subject.filter(|subject| !subjects.contains(subject)) {
        Some(subject) => Err(Error::not_found(format!(
            "the stage `{stage}` has nothing to do for `{subject}`; it has for {}",
            ticked(subjects)
        ))),
        None => Ok(()),
    }
}

/// `` `a`, `b` ``, or `none`.
pub(crate) fn ticked(names: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
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
    fn the_names_that_there_are_are_said() {
        let pairs = [("validate", "flights"), ("train", "delay"), ("train", "late")];
        assert!(among(&pairs, "train", None).is_ok() && among(&pairs, "train", Some("late")).is_ok());
        let said = |stage, subject| among(&pairs, stage, subject).unwrap_err().message;
        assert_eq!(said("trian", None), "there is no stage `trian`; there is `train`, `validate`");
        assert!(said("train", Some("flights")).ends_with("for `flights`; it has for `delay`, `late`"));
        assert_eq!(ticked([0_u32; 0]), "none");
    }
}
