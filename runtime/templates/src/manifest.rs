//! `metadata/spin-template.toml`: names, parameters and their allowed values. Fields of Spin without a meaning here are rejected, so that
//! no template depends on them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidemill_core::{Error, Result, text::quoted_list};

/// A template as it is in `templates/`.
pub(crate) struct Source {
    manifest: &'static str,
    files: &'static [(&'static str, &'static [u8])],
}

const SOURCES: &[Source] = &include!(concat!(env!("OUT_DIR"), "/templates.rs"));

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    manifest_version: String,
    id: String,
    description: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    parameters: BTreeMap<String, Parameter>,
}

/// A choice made with `--set` when a project is created.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Always `string`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the value means.
    pub prompt: String,
    /// The value if none is set; without a default the parameter must be set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// A regular expression that must be found in the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
}

/// A template.
#[derive(Debug, Clone, Serialize)]
pub struct Template {
    /// The template's name for `--template`.
    pub id: String,
    /// A description in one sentence.
    pub description: String,
    /// Search terms.
    pub tags: Vec<String>,
    /// Parameters by name.
    pub parameters: BTreeMap<String, Parameter>,
    #[serde(skip)]
    pub(crate) files: &'static [(&'static str, &'static [u8])],
}

/// All templates, by id.
///
/// # Errors
/// `Bug` if the metadata of a template cannot be read.
pub fn all() -> Result<Vec<Template>> {
    let mut all = SOURCES.iter().map(parse_template).collect::<Result<Vec<_>>>()?;
    all.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(all)
}

/// The template with this id.
///
/// # Errors
/// `NotFound` if there is none; the message lists the existing ids.
pub fn find(id: &str) -> Result<Template> {
    let all = all()?;
    let names: Vec<String> = all.iter().map(|template| format!("`{}`", template.id)).collect();
    all.into_iter().find(|template| template.id == id).ok_or_else(|| {
        Error::not_found(format!(
            "there is no template `{id}`; there is {}; `tidemill new --list` says what each is for",
            names.join(", ")
        ))
    })
}

fn parse_template(source: &Source) -> Result<Template> {
    let manifest: Manifest = toml::from_str(source.manifest)
        .map_err(|e| Error::bug(format!("a template's metadata cannot be read: {}", e.to_string().trim_end())))?;
    if manifest.manifest_version != "1" {
        let (id, version) = (&manifest.id, &manifest.manifest_version);
        return Err(Error::bug(format!(
            "the template `{id}` has manifest_version `{version}`, and only `1` can be read"
        )));
    }
    Ok(Template {
        id: manifest.id,
        description: manifest.description,
        tags: manifest.tags,
        parameters: manifest.parameters,
        files: source.files,
    })
}

impl Template {
    /// The values of all parameters: the given values, and the defaults of the others.
    ///
    /// # Errors
    /// `Input` if a name is not a parameter, a value does not match its pattern, or a parameter without a default is not set.
    pub fn resolve_values(&self, set: &[(String, String)]) -> Result<BTreeMap<String, String>> {
        let mut values = BTreeMap::new();
        for (name, value) in set {
            let parameter = self.parameters.get(name).ok_or_else(|| self.unknown_parameter(name))?;
            self.check_value(name, parameter, value)?;
            if values.insert(name.clone(), value.clone()).is_some() {
                return Err(Error::input(format!("the parameter `{name}` is set twice; set it once")));
            }
        }
        for (name, parameter) in &self.parameters {
            if values.contains_key(name) {
                continue;
            }
            let default = parameter.default.clone().ok_or_else(|| {
                Error::input(format!(
                    "the template `{}` needs `{name}` ({}): add `--set {name}=…`",
                    self.id, parameter.prompt
                ))
            })?;
            values.insert(name.clone(), default);
        }
        Ok(values)
    }

    /// Checks one value of a parameter.
    ///
    /// # Errors
    /// `Input` if the value does not match the parameter's pattern, or there is no such parameter.
    pub fn check_parameter(&self, name: &str, value: &str) -> Result<()> {
        let parameter = self.parameters.get(name).ok_or_else(|| self.unknown_parameter(name))?;
        self.check_value(name, parameter, value)
    }

    fn unknown_parameter(&self, name: &str) -> Error {
        let there = quoted_list(self.parameters.keys());
        Error::input(format!("the template `{}` has no parameter `{name}`; it has {there}", self.id))
    }

    fn check_value(&self, name: &str, parameter: &Parameter, value: &str) -> Result<()> {
        let Some(pattern) = &parameter.pattern else { return Ok(()) };
        let wanted = regex::Regex::new(pattern)
            .map_err(|e| Error::bug(format!("the template `{}` has a wrong pattern for `{name}`: {e}", self.id)))?;
        if wanted.is_match(value) {
            return Ok(());
        }
        Err(Error::input(format!(
            "`{name}` is `{value}`, which does not match `{pattern}` ({})",
            parameter.prompt
        )))
    }
}

#[cfg(test)]
mod tests {
    use tidemill_core::ErrorKind;

    use super::*;

    fn template() -> Template {
        parse_template(&Source {
            manifest: r#"
                manifest_version = "1"
                id = "t"
                description = "For the test."
                tags = ["test"]
                [parameters]
                on = { type = "string", prompt = "What triggers it", default = "raw/a/**", pattern = '^[a-z*/]+$' }
                who = { type = "string", prompt = "Whose it is" }
            "#,
            files: &[],
        })
        .unwrap()
    }

    fn set(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn defaults_stand_where_nothing_is_set() {
        let values = template().resolve_values(&set(&[("who", "me")])).unwrap();
        assert_eq!((values["on"].as_str(), values["who"].as_str()), ("raw/a/**", "me"));
    }

    #[test]
    fn wrong_values_are_named() {
        for (pairs, parts) in [
            (&[("who", "me"), ("on", "Raw")][..], &["`on` is `Raw`", "What triggers it"][..]),
            (&[("hwo", "me")], &["no parameter `hwo`", "`on`, `who`"]),
            (&[], &["needs `who`", "--set who="]),
            (&[("who", "me"), ("who", "you")], &["`who` is set twice"]),
        ] {
            let error = template().resolve_values(&set(pairs)).unwrap_err();
            assert!(
                error.kind == ErrorKind::Input && parts.iter().all(|part| error.message.contains(part)),
                "{error}"
            );
        }
        let error = find("flihgts").unwrap_err();
        assert!(error.kind == ErrorKind::NotFound && error.message.contains("`flights`"), "{error}");
    }
}
