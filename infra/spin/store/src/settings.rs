//! Where the store is and who may open it, from Spin's variables: a secret has its place there, and none in the manifest.

use tidemill_core::{Error, Result};
use tidemill_store::log::Serving;

use crate::bindings::fermyon::spin::variables;

/// What is passed on to the S3 client, under the names of the environment variables that they are elsewhere.
const AWS: [&str; 10] = [
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "aws_region",
    "aws_endpoint_url",
    "aws_allow_http",
    "aws_virtual_hosted_style_request",
    "aws_timeout",
    "aws_connect_timeout",
    "aws_skip_signature",
];

/// What the variables say.
pub(crate) struct Settings {
    /// `s3://bucket/prefix`.
    pub(crate) store: String,
    /// How predictions are filed.
    pub(crate) serving: Serving,
    /// Under the names of AWS's environment variables.
    pub(crate) aws: Vec<(String, String)>,
}

/// `Config` names the variable that is missing or wrong.
pub(crate) fn read() -> Result<Settings> {
    let store = needed("tidemill_store", "where the store is, `s3://<bucket>/<prefix>`")?;
    let fields = "the models as JSON (`{\"models\": {\"<model>\": {\"window\": \"1 day\", \"time\": \"<column>\"}}}`)";
    let config = needed("tidemill_config", fields)?;
    let serving = serde_json::from_str(&config).map_err(|e| {
        Error::config(format!(
            "the variable `tidemill_config` does not say what is served: {e}; give {fields}"
        ))
    })?;
    let mut aws = Vec::new();
    for name in AWS {
        if let Some(value) = variable(name)? {
            aws.push((name.to_ascii_uppercase(), value));
        }
    }
    Ok(Settings { store, serving, aws })
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
