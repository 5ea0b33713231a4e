//! Where the store is and who may open it, from Spin's variables: a secret has its place there, and none in the manifest. What is served
//! stands in the environment, which the manifest writes; AWS's own variables in it are taken too, for what is seldom set.

use tidemill_core::{Error, Result};
use tidemill_store::log::Serving;

use crate::bindings::fermyon::spin::variables;

/// The application's variables, and the S3 client's settings that they become.
const VARIABLES: [(&str, &str); 5] = [
    ("region", "AWS_REGION"),
    ("endpoint", "AWS_ENDPOINT_URL"),
    ("access_key_id", "AWS_ACCESS_KEY_ID"),
    ("secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    ("session_token", "AWS_SESSION_TOKEN"),
];
/// The environment variable that says what is served.
const CONFIG: &str = "TIDEMILL_CONFIG";

/// What this component was told.
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
    let bucket =
        variable("bucket")?.ok_or_else(|| Error::config("the variable `bucket` is not set: give the name of the store's bucket"))?;
    let prefix = variable("prefix")?.unwrap_or_default();
    let mut aws: Vec<(String, String)> = std::env::vars().filter(|(name, _)| name.starts_with("AWS_")).collect();
    for (name, setting) in VARIABLES {
        if let Some(value) = variable(name)? {
            aws.push((setting.to_owned(), value));
        }
    }
    Ok(Settings {
        store: format!("s3://{bucket}/{prefix}"),
        serving: serving()?,
        aws,
    })
}

fn serving() -> Result<Serving> {
    let fields = "the models as JSON (`{\"models\": {\"<model>\": {\"window\": \"1 day\", \"time\": \"<column>\"}}}`)";
    let config = std::env::var(CONFIG).map_err(|_| Error::config(format!("`{CONFIG}` is not set: give {fields}")))?;
    serde_json::from_str(&config).map_err(|e| Error::config(format!("`{CONFIG}` does not describe what is served: {e}; give {fields}")))
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
