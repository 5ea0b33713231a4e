//! `spin.toml`, version 2, as far as it is carried out here. A field that would be ignored is refused.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tidemill_core::{Error, Result};

/// An application.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    spin_manifest_version: u32,
    #[serde(rename = "application")]
    _application: Application,
    /// The application's variables.
    #[serde(default)]
    variables: BTreeMap<String, Variable>,
    /// What starts a component.
    pub(crate) trigger: Triggers,
    /// By name.
    pub(crate) component: BTreeMap<String, Component>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "for people and tools; read so that anything else is refused")]
struct Application {
    name: String,
    version: Option<String>,
    description: Option<String>,
    #[serde(default)]
    authors: Vec<String>,
    #[serde(default)]
    tool: BTreeMap<String, toml::Table>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Variable {
    default: Option<String>,
    #[serde(default)]
    required: bool,
    #[serde(default, rename = "secret")]
    _secret: bool,
    #[serde(rename = "description")]
    _description: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Triggers {
    #[serde(default)]
    pub(crate) http: Vec<Http>,
}

/// A route and who answers there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    #[serde(rename = "id")]
    _id: Option<String>,
    pub(crate) route: Place,
    pub(crate) component: String,
}

/// Where a component answers.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a route is a path, or `{ private = true }`")]
pub(crate) enum Place {
    /// For everybody.
    Public(String),
    /// For the application's own components, at `http://<component>.spin.internal`.
    Private {
        #[serde(rename = "private")]
        _private: bool,
    },
}

/// One component.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Component {
    source: PathBuf,
    #[serde(rename = "description")]
    _description: Option<String>,
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    pub(crate) key_value_stores: Vec<String>,
    #[serde(rename = "build")]
    _build: Option<toml::Table>,
    #[serde(default, rename = "tool")]
    _tool: BTreeMap<String, toml::Table>,
}

impl Manifest {
    /// Reads and checks it.
    ///
    /// # Errors
    /// `Config` says where it is wrong.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::config(format!("`{}` cannot be read: {e}", path.display())))?;
        let wrong = |why: &dyn std::fmt::Display| Error::config(format!("`{}` cannot be run here: {why}", path.display()));
        let manifest: Self = toml::from_str(&text).map_err(|e| wrong(&e))?;
        match manifest.spin_manifest_version {
            2 => Ok(manifest),
            other => Err(wrong(&format!("`spin_manifest_version` is {other}; it must be 2"))),
        }
    }

    /// The application's variables with their values: the given ones, else their defaults.
    pub(crate) fn values(&self, given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
        if let Some(unknown) = given.keys().find(|name| !self.variables.contains_key(*name)) {
            let known: Vec<String> = self.variables.keys().map(|name| format!("`{name}`")).collect();
            return Err(Error::config(format!(
                "the application has no variable `{unknown}`; it has {}",
                known.join(", ")
            )));
        }
        let mut values = BTreeMap::new();
        for (name, variable) in &self.variables {
            match (given.get(name).or(variable.default.as_ref()), variable.required) {
                (Some(value), _) => drop(values.insert(name.clone(), value.clone())),
                (None, true) => return Err(Error::config(format!("the variable `{name}` is required and has no value"))),
                (None, false) => {
                    return Err(Error::config(format!(
                        "the variable `{name}` needs a `default`, or `required = true`"
                    )));
                }
            }
        }
        Ok(values)
    }
}

impl Component {
    /// Where its bytes are: beside the manifest.
    pub(crate) fn path(&self, name: &str, manifest: &Path) -> Result<PathBuf> {
        let folder = manifest
            .parent()
            .ok_or_else(|| Error::config(format!("the component `{name}` has no folder to lie in")))?;
        Ok(folder.join(&self.source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        spin_manifest_version = 2
        [application]
        name = "mill"
        [variables]
        place = { default = "s3://tide" }
        key = { required = true, secret = true }
        [[trigger.http]]
        route = "/..."
        component = "predict"
        [component.predict]
        source = "predict.wasm"
        allowed_outbound_hosts = ["https://*.amazonaws.com"]
        [component.predict.variables]
        tidemill_store = "{{ place }}"
    "#;

    fn read(text: &str) -> Result<Manifest> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spin.toml");
        std::fs::write(&path, text).unwrap();
        Manifest::read(&path)
    }

    #[test]
    fn values_are_given_or_defaults() {
        let manifest = read(TEXT).unwrap();
        let given = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let values = manifest.values(&given(&[("key", "k")])).unwrap();
        assert_eq!((values["place"].as_str(), values["key"].as_str()), ("s3://tide", "k"));
        assert!(manifest.values(&given(&[])).unwrap_err().message.contains("`key` is required"));
        let error = manifest.values(&given(&[("kee", "k")])).unwrap_err();
        assert!(
            error.message.contains("`kee`") && error.message.contains("`key`, `place`"),
            "{error}"
        );
    }

    #[test]
    fn what_is_not_carried_out_is_refused() {
        let files = TEXT.replace("source = ", "files = [\"a\"]\nsource = ");
        assert!(read(&files).unwrap_err().message.contains("`files`"));
        let old = TEXT.replace("version = 2", "version = 1");
        assert!(read(&old).unwrap_err().message.contains("it must be 2"));
    }
}
