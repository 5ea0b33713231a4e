//! Sums up JSON lines: how often each field is there, and the least, greatest and mean number in it.
//!
//! Tidemill calls `run`. `tidemill.toml` grants what it may read and write. The clock is the data's, and randomness comes from the run's
//! seed, so that the same object gives the same outcome each time.

mod summary;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde_json::json;
use tidemill_sdk::prelude::*;

/// Configuration, from `config` in `tidemill.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// Fields that are left out.
    #[serde(default)]
    pub ignore: Vec<String>,
}

/// The stage.
#[derive(Debug)]
pub struct {{project-name | pascal_case}};

impl Stage for {{project-name | pascal_case}} {
    const NAME: &'static str = "{{project-name | kebab_case}}";
    type Config = Config;

    fn run(trigger: &Trigger, config: Config, host: &dyn Host) -> Result<Outcome> {
        let bytes = host.objects().get(&trigger.key)?;
        let (summary, wrong) = summary::summarise(&String::from_utf8_lossy(&bytes), &config.ignore);
        if !wrong.is_empty() {
            // Bad data is an outcome, not an error.
            let reason = format!("{} lines are no JSON objects", wrong.len());
            let finding = |message: String| Finding {
                check: "json".into(),
                target: trigger.key.clone(),
                severity: Severity::Error,
                message,
                count: 1,
            };
            return Ok(Outcome::rejected(reason, wrong.into_iter().map(finding).collect()));
        }
        // Named by the run's key, so that a run which is repeated after a crash writes the same object again.
        let key = format!("{{project-name | kebab_case}}/{}.json", host.context().run_key);
        host.objects().create_json(&key, &summary)?;
        let result = json!({ "rows": summary.rows, "summary": key });
        Ok(Outcome::done(format!("summed up {} rows", summary.rows), &result))
    }
}

tidemill_sdk::export!({{project-name | pascal_case}});
