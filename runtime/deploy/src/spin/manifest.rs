//! The manifest as it is written: the parts of version 2 that a project needs. `rules.rs` describes everything that Spin accepts.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value as Json, json};
use tidemill_core::{Error, Result};

/// `spin.toml`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Manifest {
    /// Version of the format: 2.
    pub spin_manifest_version: u8,
    /// `[application]`.
    pub application: Application,
    /// The variables that are set when the application is started.
    pub variables: BTreeMap<String, Variable>,
    /// The triggers, each with the component that it calls.
    pub trigger: Triggers,
    /// Components by id.
    pub component: BTreeMap<String, Component>,
}

/// `[application]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Application {
    /// The project's name.
    pub name: String,
    /// Version of the program that wrote the manifest.
    pub version: String,
    /// Description for people.
    pub description: String,
    /// Settings that Spin ignores, by the tool's name.
    pub tool: BTreeMap<String, Tool>,
}

/// `[application.tool.tidemill]`: the parts of the project in this application.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tool {
    /// The stages that run in the application.
    pub stages: Vec<String>,
    /// The stages that must run elsewhere over the same bucket, and why.
    pub elsewhere: BTreeMap<String, String>,
}

/// `[variables]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Variable {
    /// Description for people.
    pub description: String,
    /// Whether a value must be given.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// The value if none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whether the value is secret.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

/// `[[trigger.…]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Triggers {
    /// `[[trigger.http]]`.
    pub http: Vec<HttpTrigger>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HttpTrigger {
    /// The path: `/v2/...`.
    pub route: String,
    /// The id of the component that answers.
    pub component: String,
}

/// `[component.<id>]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Component {
    /// Description for people.
    pub description: String,
    /// The component's file, from the manifest's folder.
    pub source: String,
    /// The hosts that the component may call.
    pub allowed_outbound_hosts: Vec<String>,
    /// The application's variables that the component sees.
    pub variables: BTreeMap<String, String>,
    /// The environment, with the component's part of the configuration.
    pub environment: BTreeMap<String, String>,
    /// How the component is rebuilt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
}

/// `[component.<id>.build]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Build {
    /// The command of `spin build`.
    pub command: String,
    /// The working directory, from the manifest's folder.
    pub workdir: String,
    /// The paths that `spin watch` watches, from `workdir`.
    pub watch: Vec<String>,
}

impl Manifest {
    /// Serializes the manifest as TOML, with a note for readers at the top.
    pub fn toml(&self) -> Result<String> {
        let body = toml::to_string_pretty(self).map_err(|e| Error::bug(format!("the manifest cannot be written: {e}")))?;
        Ok(format!(
            "# Written by `tidemill deploy spin` from tidemill.toml: change that, and write this again.\n{body}"
        ))
    }
}

/// A manifest as sections of named items, for comparison: see [`crate::difference`]. The configuration of each component is parsed.
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
