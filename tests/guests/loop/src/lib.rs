//! Never comes back.

use tidemill_sdk::prelude::*;

/// Never comes back.
#[derive(Debug)]
pub struct Loop;

impl Stage for Loop {
    const NAME: &'static str = "loop";
    type Config = serde_json::Value;
    fn run(trigger: &Trigger, _: Self::Config, host: &dyn Host) -> Result<Outcome> {
        let mut count = 0u64;
        while host.context().seed != 0 || !trigger.key.is_empty() {
            count = std::hint::black_box(count.wrapping_add(1));
        }
        Ok(Outcome::done(format!("{count}"), &serde_json::json!({})))
    }
}

tidemill_sdk::export!(Loop);
