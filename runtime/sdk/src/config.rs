//! A stage's configuration from JSON. An error names the stage and, through serde, the field; it is the user's to mend.

use tidemill_core::{Error, Result, Stage};

/// Reads the resolved configuration of `S`. A stage whose `Config` is `()` accepts an empty object.
///
/// # Errors
/// `Config`, naming the stage and the field.
pub fn read<S: Stage>(text: &str) -> Result<S::Config> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| invalid_config::<S>(&error))?;
    let empty = value.as_object().is_some_and(serde_json::Map::is_empty);
    match serde_json::from_value(value) {
        Err(_) if empty && size_of::<S::Config>() == 0 => serde_json::from_str("null").map_err(|error| invalid_config::<S>(&error)),
        other => other.map_err(|error| invalid_config::<S>(&error)),
    }
}

fn invalid_config<S: Stage>(error: &serde_json::Error) -> Error {
    Error::config(format!("the configuration of stage `{}` cannot be read: {error}", S::NAME))
}

#[cfg(test)]
mod tests {
    use tidemill_core::{Host, Outcome, Trigger};

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        #[allow(dead_code)]
        rounds: u32,
    }
    #[derive(Debug)]
    struct Grow;
    impl Stage for Grow {
        const NAME: &'static str = "grow";
        type Config = Config;
        fn run(_: &Trigger, _: Config, _: &dyn Host) -> Result<Outcome> {
            Ok(Outcome::skipped("nothing"))
        }
    }
    struct Plain;
    impl Stage for Plain {
        const NAME: &'static str = "plain";
        type Config = ();
        fn run(_: &Trigger, (): (), _: &dyn Host) -> Result<Outcome> {
            Ok(Outcome::skipped("nothing"))
        }
    }

    #[test]
    fn an_error_names_the_stage_and_the_field() {
        assert_eq!(read::<Grow>(r#"{"rounds":3}"#).unwrap().rounds, 3);
        for (text, field) in [(r#"{"round":3}"#, "`round`"), ("{}", "`rounds`"), ("{", "EOF")] {
            let error = read::<Grow>(text).unwrap_err();
            assert_eq!(error.kind, tidemill_core::ErrorKind::Config);
            assert!(error.message.contains("`grow`") && error.message.contains(field), "{error}");
        }
    }

    #[test]
    fn no_configuration_is_an_empty_object_or_null() {
        read::<Plain>("{}").unwrap();
        read::<Plain>("null").unwrap();
        read::<Plain>(r#"{"x":1}"#).unwrap_err();
    }
}
