//! Registers a candidate that passed its gates: creates a version and moves the alias `champion` to it.
//!
//! - *Reads* the outcome of `evaluate` that triggers it, and the model's versions and aliases.
//! - *Writes* `models/<model>/versions/<number>.json`, and `models/<model>/aliases/champion.json` with its history.
//! - *Decides* `done` with a [`Registration`], or `rejected` if a gate failed or the champion changed since the evaluation.
//!
//! A version belongs to one evaluation. A repeated run, also after a crash in the middle, finds that version and continues from there; it
//! never creates a second one.

#[cfg(test)]
mod tests;
mod version;

use serde::Deserialize;
use tidemill_core::{
    Error, ErrorKind, Finding, Host, ObjectsExt, Outcome, Result, Severity, Stage, Trigger, layout,
    record::{Evaluation, ModelVersion, OutcomeRecord, Registration},
};
use tidemill_registry::{CHAMPION, CurrentAlias, Registry};

/// Configuration, from `tidemill.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The model's name.
    pub model: String,
}

/// The stage.
#[derive(Debug)]
pub struct Register;

impl Stage for Register {
    const NAME: &'static str = "register";
    type Config = Config;
    const SQL: bool = false;

    /// Triggered by the outcome of `evaluate`; its result is a [`Registration`].
    fn run(trigger: &Trigger, Config { model }: Config, host: &dyn Host) -> Result<Outcome> {
        let record: OutcomeRecord = host.objects().get_json(&trigger.key)?;
        let evaluation: Evaluation = serde_json::from_value(record.result.clone())
            .map_err(|e| Error::input(format!("`{}` holds no evaluation: {e}", trigger.key)))?;
        if !evaluation.failed.is_empty() {
            return Ok(Outcome::rejected("the candidate did not pass its gates", evaluation.failed));
        }
        let registry = Registry::new(host.objects(), &model);
        let key = version::evaluation_key(&record, &trigger.key);
        // The alias is read before the versions: a moved alias implies that its version is listed.
        let champion = registry.current_alias(CHAMPION)?;
        let versions = registry.versions()?;
        let earlier = versions.iter().find(|version| version.evaluation == key);
        let number = match earlier {
            Some(version) => version.version,
            None => registry.next_version()?,
        };
        let version = version::from_evaluation(&model, number, &evaluation, key, host.context());
        if earlier.is_some() {
            // Writes the same bytes again: a repeated run names the same outputs as the first.
            registry.create_version(&version).map_err(retry_conflict)?;
            if registry.confirm_move(CHAMPION, number, champion.as_ref())? {
                return Ok(registered(&version));
            }
        }
        if champion.as_ref().map(|c| c.alias.version) != evaluation.champion_version {
            return Ok(superseded(&model, &evaluation, champion.as_ref()));
        }
        if earlier.is_none() {
            registry.create_version(&version).map_err(retry_conflict)?;
        }
        registry.move_alias(CHAMPION, &version, champion.as_ref()).map_err(retry_conflict)?;
        Ok(registered(&version))
    }
}

/// Another run of the stage was faster: when this run is retried, it sees the result of the other one.
fn retry_conflict(error: Error) -> Error {
    match error.kind {
        ErrorKind::Conflict => Error::transient(error.message),
        _ => error,
    }
}

fn registered(version: &ModelVersion) -> Outcome {
    let registration = Registration {
        model: version.model.clone(),
        version: version.version,
        key: layout::version(&version.model, version.version),
        onnx_digest: version.onnx_digest.clone(),
    };
    Outcome::done(
        format!("version {} of `{}` is the champion", version.version, version.model),
        &registration,
    )
    .with_as_of(version.as_of)
}

fn superseded(model: &str, evaluation: &Evaluation, champion: Option<&CurrentAlias>) -> Outcome {
    let name = |version: Option<u32>| version.map_or("none".to_owned(), |v| format!("version {v}"));
    let (then, now) = (name(evaluation.champion_version), name(champion.map(|c| c.alias.version)));
    let message = format!("the candidate was compared with champion {then}, which is now {now}; evaluate it again");
    let finding = Finding {
        check: "champion".into(),
        target: model.into(),
        severity: Severity::Error,
        message,
        count: 0,
    };
    Outcome::rejected(format!("the champion of `{model}` changed since the evaluation"), vec![finding])
}

tidemill_sdk::export!(Register);
