//! Counts the lines of an object and writes the count: the stage of the guide.

use tidemill_sdk::prelude::*;

/// Counts the lines of an object and writes the count: the stage of the guide.
#[derive(Debug)]
pub struct TenLine;

impl Stage for TenLine {
    const NAME: &'static str = "ten-line";
    type Config = serde_json::Value;
    fn run(trigger: &Trigger, _: Self::Config, host: &dyn Host) -> Result<Outcome> {
        let text = host.objects().get(&trigger.key)?;
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
        let facts = serde_json::json!({ "lines": lines });
        host.objects().create_json(
            &format!("counts/{}/{}/lines.json", host.context().resource, host.context().run_key),
            &facts,
        )?;
        Ok(Outcome::done(format!("{lines} lines"), &facts))
    }
}

tidemill_sdk::export!(TenLine);
