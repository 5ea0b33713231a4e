//! The manifest as it is written: version 2, and of that what a project needs. What Spin takes beyond it, `rules.rs` knows.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value as Json, json};
use tidemill_core::{Error, Result};

/// `spin.toml`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Manifest {
    /// 2.
    pub spin_manifest_version: u8,
    /// `[application]`.
    pub application: Application,
    /// What whoever starts the application gives.
    pub variables: BTreeMap<String, Variable>,
    /// What calls which component.
    pub trigger: Triggers,
    /// By id.
    pub component: BTreeMap<String, Component>,
}

/// `[application]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Application {
    /// The project's.
    pub name: String,
    /// Of what wrote the manifest.
    pub version: String,
    /// For people.
    pub description: String,
    /// What Spin does not look at, by the tool's name.
    pub tool: BTreeMap<String, Tool>,
}

/// `[application.tool.tidemill]`: what of the project is here.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tool {
    /// The stages that run here.
    pub stages: Vec<String>,
    /// The stages that must run elsewhere over the same bucket, and why.
    pub elsewhere: BTreeMap<String, String>,
}

/// `[variables]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Variable {
    /// For people.
    pub description: String,
    /// It must be given.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// What it is if it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Not to be shown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

/// `[[trigger.…]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Triggers {
    /// `[[trigger.http]]`.
    pub http: Vec<HttpTrigger>,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HttpTrigger {
    /// What is asked for: `/v2/...`.
    pub route: String,
    /// Who answers.
    pub component: String,
}

/// `[component.<id>]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Component {
    /// For people.
    pub description: String,
    /// The file, from the manifest's folder.
    pub source: String,
    /// The hosts that it may ask.
    pub allowed_outbound_hosts: Vec<String>,
    /// What it sees of the application's variables.
    pub variables: BTreeMap<String, String>,
    /// What it is told of the project.
    pub environment: BTreeMap<String, String>,
    /// How it is made again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
}

/// `[component.<id>.build]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Build {
    /// For `spin build`.
    pub command: String,
    /// Where, from the manifest's folder.
    pub workdir: String,
    /// For `spin watch`, from `workdir`.
    pub watch: Vec<String>,
}

impl Manifest {
    /// As TOML, with what a reader should know first.
    pub fn toml(&self) -> Result<String> {
        let body = toml::to_string_pretty(self).map_err(|e| Error::bug(format!("the manifest cannot be written: {e}")))?;
        Ok(format!(
            "# Written by `tidemill deploy spin` from tidemill.toml: change that, and write this again.\n{body}"
        ))
    }
}

/// A manifest as sections of named things, to be compared: see [`crate::difference`]. What components are told is looked into.
pub fn sections(name: &str, text: &str) -> Result<Json> {
    let wrong = |why: String| {
        Error::input(format!(
            "`{name}` is no manifest to compare with: {why}; mend it, or remove it and write it again"
        ))
    };
    let manifest: Json = toml::from_str(text).map_err(|e| wrong(e.to_string().trim_end().to_owned()))?;
    let mut components = manifest.get("component").cloned().unwrap_or_else(|| json!({}));
    let each = components.as_object_mut().into_iter().flatten();
    for told in each.filter_map(|(_, component)| component.pointer_mut("/environment")?.get_mut(super::CONFIG)) {
        let parsed = told.as_str().and_then(|text| serde_json::from_str(text).ok());
        *told = parsed.unwrap_or_else(|| told.clone());
    }
    let routes = manifest.pointer("/trigger/http").and_then(Json::as_array).into_iter().flatten();
    let routes = routes.filter_map(|trigger| {
        let route = trigger.get("route")?.as_str()?;
        Some((route.to_owned(), json!({ "component": trigger.get("component") })))
    });
    let application = manifest.get("application").cloned().unwrap_or_else(|| json!({}));
    Ok(json!({
        "application": { "application": application },
        "variables": manifest.get("variables").cloned().unwrap_or_else(|| json!({})),
        "routes": routes.collect::<serde_json::Map<String, Json>>(),
        "components": components,
    }))
}
