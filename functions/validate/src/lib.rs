//! Checks what was uploaded against the dataset's contract: good rows become a part of the dataset, bad rows go to quarantine with
//! the reason of each, and a part that is bad as a whole is refused.
//!
//! Bad data is an outcome, never an error. The work is SQL that the host runs; the rows themselves never come in here.

mod checks;
mod file;
mod header;
mod profile;
mod scan;
mod values;

use serde::Deserialize;
use tidemill_core::{Finding, Format, Host, ObjectsExt, Outcome, Result, Severity, Stage, Table, Trigger, record::Part, spec::Dataset};

/// What it is told by `tidemill.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The dataset, with its contract.
    pub dataset: Dataset,
}

/// The stage.
#[derive(Debug)]
pub struct Validate;

impl Stage for Validate {
    const NAME: &'static str = "validate";
    type Config = Config;

    /// Triggered by a file in `raw/<dataset>/`; its facts are a `Part`.
    fn run(trigger: &Trigger, Config { dataset }: Config, host: &dyn Host) -> Result<Outcome> {
        let Some(format) = Format::of_key(&trigger.key) else {
            return Ok(refused("the file's kind is unknown", vec![file::unknown(&trigger.key)]));
        };
        if let Some(finding) = file::broken(&trigger.key, format, host.objects())? {
            return Ok(refused("the file cannot be read", vec![finding]));
        }
        let table = Table {
            name: "raw".into(),
            keys: vec![trigger.key.clone()],
            format,
        };
        let columns = match header::read(&dataset.contract, &table, host.sql())? {
            Ok(columns) => columns,
            Err(findings) => return Ok(refused("its columns are not the contract's", findings)),
        };
        host.progress(0.2, "checking");
        let checks = checks::of(&dataset, &columns)?;
        let scan = scan::Scan::new(&dataset, &columns, checks, &table, host.sql())?;
        host.progress(0.5, "writing");
        let folder = format!("{}/{}", dataset.name, host.context().run_key);
        let bad = scan.quarantine(&format!("quarantine/{folder}/rejected.parquet"))?;
        let mut findings = scan.findings()?;
        if let Some(refusal) = scan.refusal(bad) {
            let reason = refusal.message.clone();
            findings.push(refusal);
            return Ok(refused(&reason, findings));
        }
        let good = profile::of(&scan)?;
        findings.extend(good.failed.iter().cloned());
        if good.failed.iter().any(|finding| finding.severity == Severity::Error) {
            return Ok(refused("an assertion about the whole part is false", findings));
        }
        let part = Part {
            data: format!("datasets/{folder}/data.parquet"),
            digest: scan.export(&format!("datasets/{folder}/data.parquet"))?.digest,
            profile: format!("datasets/{folder}/profile.json"),
            rows: good.profile.rows,
            quarantined: bad,
            quarantine: (bad > 0).then(|| format!("quarantine/{folder}/rejected.parquet")),
            from: good.from,
            until: good.until,
            dataset: dataset.name,
        };
        host.objects().create_json(&part.profile, &good.profile)?;
        let reason = format!("{} good rows, {} in quarantine", part.rows, part.quarantined);
        Ok(Outcome::done(reason, &part).with_findings(findings).with_as_of(part.until))
    }
}

fn refused(reason: &str, findings: Vec<Finding>) -> Outcome {
    Outcome::rejected(reason, findings)
}

/// A finding that rejects.
fn error(check: &str, subject: &str, message: String, count: u64) -> Finding {
    Finding {
        check: check.into(),
        subject: subject.into(),
        severity: Severity::Error,
        message,
        count,
    }
}

tidemill_sdk::export!(Validate);
