//! Returns a result that is no object.

use tidemill_sdk::prelude::*;

/// Returns a result that is no object.
#[derive(Debug)]
pub struct Nonsense;

impl Stage for Nonsense {
    const NAME: &'static str = "nonsense";
    type Config = serde_json::Value;
    fn run(trigger: &Trigger, _: Self::Config, host: &dyn Host) -> Result<Outcome> {
        let _ = (trigger, host);
        Ok(Outcome::done("nonsense", &[1, 2, 3]))
    }
}

tidemill_sdk::export!(Nonsense);
