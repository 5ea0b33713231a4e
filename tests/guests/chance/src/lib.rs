//! Says what its clock and its randomness are.

use tidemill_sdk::prelude::*;

/// Says what its clock and its randomness are.
#[derive(Debug)]
pub struct Chance;

impl Stage for Chance {
    const NAME: &'static str = "chance";
    type Config = serde_json::Value;
    fn run(trigger: &Trigger, _: Self::Config, host: &dyn Host) -> Result<Outcome> {
        use std::hash::{BuildHasher, RandomState};
        let random = RandomState::new().hash_one(&trigger.key);
        let clock = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| d.as_secs());
        let _ = host;
        Ok(Outcome::done(
            "looked",
            &serde_json::json!({ "random": random.to_string(), "clock": clock }),
        ))
    }
}

tidemill_sdk::export!(Chance);
