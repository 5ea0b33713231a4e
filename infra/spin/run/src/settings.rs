//! The store's location, from Spin's variables, and the nodes of the application, from the environment that the manifest sets.

use serde::Deserialize;
use tidemill_core::{Error, Result, pipeline::NodeSettings};

use crate::bindings::fermyon::spin::variables;

/// The environment variable with the nodes.
const CONFIG: &str = "TIDEMILL_CONFIG";

/// The configuration of the application.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Settings {
    /// The nodes of the chain's stages, stage by stage in the chain's order.
    #[serde(default)]
    nodes: Vec<NodeSettings>,
}

impl Settings {
    /// The nodes of one stage, by the stage's index in the chain.
    pub(crate) fn stage(&self, index: u32) -> Option<&[NodeSettings]> {
        let mut stages = self.nodes.chunk_by(|one, next| one.stage == next.stage);
        stages.nth(usize::try_from(index).ok()?)
    }
}

/// Reads the configuration.
pub(crate) fn read() -> Result<Settings> {
    let content = "the nodes as JSON (`{\"nodes\": [{\"stage\": …}]}`), as `tidemill deploy spin` writes them";
    let text = std::env::var(CONFIG).map_err(|_| Error::config(format!("`{CONFIG}` is not set: give {content}")))?;
    serde_json::from_str(&text).map_err(|e| Error::config(format!("`{CONFIG}` is not {content}: {e}")))
}

/// A variable of Spin; `None` if it is not declared.
pub(crate) fn variable(name: &str) -> Result<Option<String>> {
    match variables::get(name) {
        Ok(value) => Ok(Some(value)),
        Err(variables::Error::Undefined(_) | variables::Error::InvalidName(_)) => Ok(None),
        Err(variables::Error::Provider(why) | variables::Error::Other(why)) => {
            Err(Error::transient(format!("the variable `{name}` cannot be read: {why}")))
        }
    }
}
