//! Admits a candidate that passed its gates: a new version, and the alias `champion` moved to it.
//!
//! A version belongs to one evaluation. A run that is made again, also after a crash in the middle, finds that version and goes on
//! from there; it never makes a second.

mod alias;
#[cfg(test)]
mod tests;
mod version;

use serde::Deserialize;
use tidemill_core::{
    Error, Finding, Host, ObjectsExt, Outcome, Result, Severity, Stage, Trigger,
    record::{Evaluation, OutcomeRecord, Registration},
};

/// What it is told by `tidemill.toml`.
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

    /// Triggered by the outcome of `evaluate`; its facts are a `Registration`.
    fn run(trigger: &Trigger, Config { model }: Config, host: &dyn Host) -> Result<Outcome> {
        let objects = host.objects();
        let record: OutcomeRecord = objects.get_json(&trigger.key)?;
        let evaluation: Evaluation = serde_json::from_value(record.result.clone())
            .map_err(|e| Error::input(format!("`{}` holds no evaluation: {e}", trigger.key)))?;
        if !evaluation.failed.is_empty() {
            return Ok(Outcome::rejected("the candidate did not pass its gates", evaluation.failed));
        }
        let admitted = version::find(&model, version::evaluation_key(&record, &trigger.key), objects)?;
        let champion = alias::read(&model, objects)?;
        let evaluated = version::evaluation_key(&record, &trigger.key);
        if let Some(own) = &admitted.own {
            // The same bytes again: a run after a crash writes what the first wrote.
            version::admit(&model, own.version, &evaluation, evaluated, host)?;
        }
        if let Some(version) = &admitted.own
            && alias::was_moved_to(&model, version.version, champion.as_ref(), objects)?
        {
            return Ok(done(version));
        }
        if champion.as_ref().map(|c| c.alias.version) != evaluation.champion_version {
            return Ok(superseded(&model, &evaluation, champion.as_ref()));
        }
        let version = match admitted.own {
            Some(version) => version,
            None => version::admit(&model, admitted.next, &evaluation, evaluated, host)?,
        };
        alias::shift(&version, champion, objects)?;
        Ok(done(&version))
    }
}

fn done(version: &tidemill_core::record::ModelVersion) -> Outcome {
    let facts = Registration {
        model: version.model.clone(),
        version: version.version,
        key: version::key(&version.model, version.version),
        onnx_digest: version.onnx_digest.clone(),
    };
    Outcome::done(
        format!("version {} of `{}` is the champion", version.version, version.model),
        &facts,
    )
    .with_as_of(version.as_of)
}

fn superseded(model: &str, evaluation: &Evaluation, champion: Option<&alias::Current>) -> Outcome {
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
