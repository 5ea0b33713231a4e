//! Where the store is, from Spin's variables; which nodes run here, from the environment, which the manifest writes.

use serde::Deserialize;
use tidemill_core::{Error, Result, pipeline::NodeSettings};
use tidemill_store::Store;

use crate::bindings::fermyon::spin::variables;

/// The application's variables, and the S3 client's settings that they become.
const VARIABLES: [(&str, &str); 5] = [
    ("region", "AWS_REGION"),
    ("endpoint", "AWS_ENDPOINT_URL"),
    ("access_key_id", "AWS_ACCESS_KEY_ID"),
    ("secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    ("session_token", "AWS_SESSION_TOKEN"),
];
/// The environment variable that says which nodes run here.
const CONFIG: &str = "TIDEMILL_CONFIG";

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
    let bucket =
        variable("bucket")?.ok_or_else(|| Error::config("the variable `bucket` is not set: give the name of the store's bucket"))?;
    let prefix = variable("prefix")?.unwrap_or_default();
    // AWS's own variables in the environment are taken too, for what is seldom set.
    let mut aws: Vec<(String, String)> = std::env::vars().filter(|(name, _)| name.starts_with("AWS_")).collect();
    for (name, setting) in VARIABLES {
        if let Some(value) = variable(name)? {
            aws.push((setting.to_owned(), value));
        }
    }
    let aws: Vec<(&str, &str)> = aws.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Store::open_with(&format!("s3://{bucket}/{prefix}"), &aws)
}

/// The nodes.
pub(crate) fn told() -> Result<Told> {
    let what = "the nodes as JSON (`{\"nodes\": [{\"stage\": …}]}`), as `tidemill deploy spin` writes them";
    let text = std::env::var(CONFIG).map_err(|_| Error::config(format!("`{CONFIG}` is not set: give {what}")))?;
    serde_json::from_str(&text).map_err(|e| Error::config(format!("`{CONFIG}` is not {what}: {e}")))
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
