//! The component's settings: Spin's variables name the store, and the environment, which the manifest sets, names the served models.

use tidemill_core::{Error, Result, pipeline::deployment::ServingConfig};

use crate::bindings::fermyon::spin::variables;

/// The environment variable that lists the served models.
const CONFIG: &str = "TIDEMILL_CONFIG";

/// The served models, each with the window and the time column by which its predictions are filed.
pub(crate) fn serving() -> Result<ServingConfig> {
    let fields = "the models as JSON (`{\"models\": {\"<model>\": {\"window\": \"1 day\", \"time\": \"<column>\"}}}`)";
    let config = std::env::var(CONFIG).map_err(|_| Error::config(format!("`{CONFIG}` is not set: give {fields}")))?;
    serde_json::from_str(&config).map_err(|e| Error::config(format!("`{CONFIG}` does not describe what is served: {e}; give {fields}")))
}

/// A variable of Spin; `None` if it is not declared.
pub(crate) fn variable(name: &str) -> Result<Option<String>> {
    match variables::get(name) {
        Ok(value) => Ok(Some(value)),
        Err(variables::Error::Undefined(_) | variables::Error::InvalidName(_)) => Ok(None),
        Err(variables::Error::Provider(why) | variables::Error::Other(why)) => {
            Err(Error::transient(format!("the variable `{name}` could not be had: {why}")))
        }
    }
}
