//! Panics.

use tidemill_sdk::prelude::*;

/// Panics.
#[derive(Debug)]
pub struct Panic;

impl Stage for Panic {
    const NAME: &'static str = "panic";
    type Config = serde_json::Value;
    // Its name is what the test looks for.
    #[inline(never)]
    fn run(trigger: &Trigger, _: Self::Config, host: &dyn Host) -> Result<Outcome> {
        let _ = host;
        panic!("no such flight as `{}`", trigger.key)
    }
}

tidemill_sdk::export!(Panic);
