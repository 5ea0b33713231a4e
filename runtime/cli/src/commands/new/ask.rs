//! The questions of `tidemill new` in a terminal.

use std::{
    io::{IsTerminal as _, stdin, stdout},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use dialoguer::{Input, Select, theme::ColorfulTheme};
use tidemill_templates::Template;

use super::{check_empty, project_name};

/// Whether a person can answer.
pub(super) fn is_terminal() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// Which template to start from; `default` is selected first.
pub(super) fn template(mut templates: Vec<Template>, default: &str) -> anyhow::Result<Template> {
    let items: Vec<String> = templates
        .iter()
        .map(|template| format!("{:13} {}", template.id, template.description))
        .collect();
    let first = templates.iter().position(|template| template.id == default).unwrap_or_default();
    let chosen = Select::with_theme(&ColorfulTheme::default())
        .with_prompt("What do you start from?")
        .items(&items)
        .default(first)
        .interact();
    Ok(templates.swap_remove(chosen.context(NOTHING_CREATED)?))
}

/// The folder of the project, which is new or empty.
pub(super) fn folder(suggestion: &str) -> anyhow::Result<PathBuf> {
    let check = |text: &String| {
        let dir = Path::new(text);
        project_name(dir).and_then(|_| check_empty(dir)).map_err(|error| error.message)
    };
    let answer = Input::<String>::with_theme(&ColorfulTheme::default())
        .with_prompt("Folder; its name becomes the project's")
        .default(format!("my-{suggestion}"))
        .validate_with(check)
        .interact_text();
    Ok(answer.context(NOTHING_CREATED)?.into())
}

/// The parameters of the template: those that are set, and an answer for each of the others.
pub(super) fn parameters(template: &Template, set: &[(String, String)]) -> anyhow::Result<Vec<(String, String)>> {
    let mut values = set.to_vec();
    for (name, parameter) in &template.parameters {
        if set.iter().any(|(known, _)| known == name) {
            continue;
        }
        let theme = ColorfulTheme::default();
        let mut input = Input::<String>::with_theme(&theme)
            .with_prompt(&parameter.prompt)
            .validate_with(|value: &String| template.check_parameter(name, value).map_err(|error| error.message));
        if let Some(default) = &parameter.default {
            input = input.default(default.clone());
        }
        values.push((name.clone(), input.interact_text().context(NOTHING_CREATED)?));
    }
    Ok(values)
}

const NOTHING_CREATED: &str = "the question was not answered: nothing was created";
