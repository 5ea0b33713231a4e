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
use tidemill_core::{Finding, Format, Host, ObjectsExt, Outcome, Result, Severity, Stage, Table, Trigger, record::DataFile, spec::Dataset};

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
        let Some(format) = Format::from_key(&trigger.key) else {
            return Ok(reject("the file's kind is unknown", vec![file::unknown_format(&trigger.key)]));
        };
        if let Some(finding) = file::find_defect(&trigger.key, format, host.objects())? {
            return Ok(reject("the file cannot be read", vec![finding]));
        }
        let table = Table {
            name: "raw".into(),
            keys: vec![trigger.key.clone()],
            format,
        };
        let columns = match header::read_header(&dataset.contract, &table, host.sql())? {
            Ok(columns) => columns,
            Err(findings) => return Ok(reject("its columns are not the contract's", findings)),
        };
        host.report_progress(0.2, "checking");
        let checks = checks::compile_checks(&dataset, &columns)?;
        let scan = scan::Scan::new(&dataset, &columns, checks, &table, host.sql())?;
        host.report_progress(0.5, "writing");
        let folder = format!("{}/{}", dataset.name, host.context().run_key);
        let bad = scan.write_quarantine(&format!("quarantine/{folder}/rejected.parquet"))?;
        let mut findings = scan.findings()?;
        if let Some(refusal) = scan.find_rejection(bad) {
            let reason = refusal.message.clone();
            findings.push(refusal);
            return Ok(reject(&reason, findings));
        }
        let good = profile::of(&scan)?;
        findings.extend(good.failed.iter().cloned());
        if good.failed.iter().any(|finding| finding.severity == Severity::Error) {
            return Ok(reject("an assertion about the whole part is false", findings));
        }
        let part = DataFile {
            data: format!("datasets/{folder}/data.parquet"),
            digest: scan.write_good(&format!("datasets/{folder}/data.parquet"))?.digest,
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

fn reject(reason: &str, findings: Vec<Finding>) -> Outcome {
    Outcome::rejected(reason, findings)
}

/// A finding that rejects.
fn error_finding(check: &str, resource: &str, message: String, count: u64) -> Finding {
    Finding {
        check: check.into(),
        target: resource.into(),
        severity: Severity::Error,
        message,
        count,
    }
}

tidemill_sdk::export!(Validate);
