//! The store that an application's variables name, as a component on Spin is told of it: a secret has its place there, and none in the
//! manifest. AWS's own variables in the environment are taken too, for what is seldom set.

use tidemill_core::{Error, Result};

use crate::Store;

/// The application's variables, and the S3 client's settings that they become.
const VARIABLES: [(&str, &str); 5] = [
    ("region", "AWS_REGION"),
    ("endpoint", "AWS_ENDPOINT_URL"),
    ("access_key_id", "AWS_ACCESS_KEY_ID"),
    ("secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    ("session_token", "AWS_SESSION_TOKEN"),
];

impl Store {
    /// The store in the bucket `bucket`, under `prefix`. `variable` gives a variable's value by its name, or `None` where it is not
    /// declared; an empty value counts as none, because an optional variable has an empty default.
    ///
    /// # Errors
    /// `Config` names the variable that is missing or wrong; what `variable` cannot give is its own error.
    pub fn open_variables(variable: impl Fn(&str) -> Result<Option<String>>) -> Result<Self> {
        let given = |name: &str| Ok::<_, Error>(variable(name)?.filter(|value| !value.is_empty()));
        let bucket =
            given("bucket")?.ok_or_else(|| Error::config("the variable `bucket` is not set: give the name of the store's bucket"))?;
        let prefix = given("prefix")?.unwrap_or_default();
        let mut aws: Vec<(String, String)> = std::env::vars().filter(|(name, _)| name.starts_with("AWS_")).collect();
        for (name, setting) in VARIABLES {
            if let Some(value) = given(name)? {
                aws.push((setting.to_owned(), value));
            }
        }
        let aws: Vec<(&str, &str)> = aws.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Self::open_with(&format!("s3://{bucket}/{prefix}"), &aws)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_must_be_named() {
        let told = |name: &str| {
            Ok(match name {
                "access_key_id" | "secret_access_key" => Some("a".to_owned()),
                "prefix" => Some("mill".to_owned()),
                "bucket" | "endpoint" => Some(String::new()),
                _ => None,
            })
        };
        let error = Store::open_variables(told).unwrap_err();
        assert!(error.message.contains("the variable `bucket` is not set"), "{error}");
        let named = |name: &str| {
            if name == "bucket" {
                Ok(Some("tide".to_owned()))
            } else {
                told(name)
            }
        };
        let store = Store::open_variables(named).unwrap();
        assert_eq!(store.bucket().unwrap().location(), "s3://tide/mill");
        let away = Store::open_variables(|_| Err(Error::transient("no provider"))).unwrap_err();
        assert_eq!(away.message, "no provider");
    }
}
