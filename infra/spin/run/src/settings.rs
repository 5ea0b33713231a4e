//! Where the store is, and which nodes run here, from Spin's variables.

use serde::Deserialize;
use tidemill_core::{Error, Result, pipeline::NodeSettings};
use tidemill_store::{AWS_VARIABLES, Store};

use crate::bindings::fermyon::spin::variables;

/// What the application was told of the project.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Told {
    /// The nodes of the chain's stages, stage by stage in the chain's order.
    #[serde(default)]
    nodes: Vec<NodeSettings>,
}

impl Told {
    /// The nodes of one stage, by its place in the chain.
    pub(crate) fn stage(&self, place: u32) -> Option<&[NodeSettings]> {
        let mut stages = self.nodes.chunk_by(|one, next| one.stage == next.stage);
        stages.nth(usize::try_from(place).ok()?)
    }
}

/// `Config` names the variable that is missing or wrong.
pub(crate) fn store() -> Result<Store> {
    let location = needed("tidemill_store", "where the store is, `s3://<bucket>/<prefix>`")?;
    let mut aws = Vec::new();
    for name in AWS_VARIABLES {
        if let Some(value) = variable(name)? {
            aws.push((name.to_ascii_uppercase(), value));
        }
    }
    let aws: Vec<(&str, &str)> = aws.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Store::open_with(&location, &aws)
}

/// The nodes.
pub(crate) fn told() -> Result<Told> {
    let what = "the nodes as JSON (`{\"nodes\": [{\"stage\": …}]}`), as `tidemill deploy spin` writes them";
    let text = needed("tidemill_config", what)?;
    serde_json::from_str(&text).map_err(|e| Error::config(format!("the variable `tidemill_config` is not {what}: {e}")))
}

fn needed(name: &str, what: &str) -> Result<String> {
    variable(name)?.ok_or_else(|| Error::config(format!("the variable `{name}` is not set: give {what}")))
}

/// None where it is not declared, or empty: an optional variable has an empty default.
fn variable(name: &str) -> Result<Option<String>> {
    match variables::get(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(variables::Error::Undefined(_) | variables::Error::InvalidName(_)) => Ok(None),
        Err(variables::Error::Provider(why) | variables::Error::Other(why)) => {
            Err(Error::transient(format!("the variable `{name}` could not be had: {why}")))
        }
    }
}
