//! Reads, and then writes, what it was not granted; says what it was told.

use tidemill_sdk::prelude::*;

/// Reads, and then writes, what it was not granted; says what it was told.
#[derive(Debug)]
pub struct Ungranted;

impl Stage for Ungranted {
    const NAME: &'static str = "ungranted";
    type Config = serde_json::Value;
    fn run(trigger: &Trigger, _: Self::Config, host: &dyn Host) -> Result<Outcome> {
        let read = host.objects().get("secrets/key");
        let written = host.objects().create("secrets/made", trigger.key.as_bytes());
        let told = |error: Option<Error>| error.map(|error| error.to_string());
        Ok(Outcome::done(
            "asked",
            &serde_json::json!({ "read": told(read.err()), "written": told(written.err()) }),
        ))
    }
}

tidemill_sdk::export!(Ungranted);
