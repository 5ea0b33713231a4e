//! Where the store is, from Spin's variables; which nodes run here, from the environment, which the manifest writes.

use serde::Deserialize;
use tidemill_core::{Error, Result, pipeline::NodeSettings};

use crate::bindings::fermyon::spin::variables;

/// The environment variable that says which nodes run here.
const CONFIG: &str = "TIDEMILL_CONFIG";

/// Measurement the application was told of the project.
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

/// The nodes.
pub(crate) fn told() -> Result<Told> {
    let what = "the nodes as JSON (`{\"nodes\": [{\"stage\": …}]}`), as `tidemill deploy spin` writes them";
    let text = std::env::var(CONFIG).map_err(|_| Error::config(format!("`{CONFIG}` is not set: give {what}")))?;
    serde_json::from_str(&text).map_err(|e| Error::config(format!("`{CONFIG}` is not {what}: {e}")))
}

/// `None` where it is not declared.
pub(crate) fn variable(name: &str) -> Result<Option<String>> {
    match variables::get(name) {
        Ok(value) => Ok(Some(value)),
        Err(variables::Error::Undefined(_) | variables::Error::InvalidName(_)) => Ok(None),
        Err(variables::Error::Provider(why) | variables::Error::Other(why)) => {
            Err(Error::transient(format!("the variable `{name}` could not be had: {why}")))
        }
    }
}
