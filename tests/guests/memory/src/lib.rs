//! Takes memory until there is none.

use tidemill_sdk::prelude::*;

/// Takes memory until there is none.
#[derive(Debug)]
pub struct Memory;

impl Stage for Memory {
    const NAME: &'static str = "memory";
    type Config = serde_json::Value;
    fn run(trigger: &Trigger, _: Self::Config, host: &dyn Host) -> Result<Outcome> {
        let mut held: Vec<Vec<u8>> = Vec::new();
        while host.context().seed != 0 || !trigger.key.is_empty() {
            held.push(std::hint::black_box(vec![1; 1 << 20]));
        }
        Ok(Outcome::done(format!("{}", held.len()), &serde_json::json!({})))
    }
}

tidemill_sdk::export!(Memory);
