//! Checks an uploaded file against its dataset's contract.
//!
//! - *Reads* the trigger: a CSV, JSON lines or Parquet file under `raw/<dataset>/`.
//! - *Writes* `datasets/<dataset>/<run>/data.parquet` with the good rows, `profile.json` in the same folder, and
//!   `quarantine/<dataset>/<run>/rejected.parquet` with the bad rows and the reasons for each.
//! - *Decides* `done` with a [`DataFile`], or `rejected` if the file as a whole is bad: not readable, other columns than the contract's,
//!   too many bad rows, or an assertion that does not hold.
//!
//! Bad data is an outcome with findings, never an error. The work is SQL that the host runs, so the rows never enter the stage: each module
//! builds one kind of query.

mod checks;
mod file;
mod findings;
mod header;
mod profile;
mod quarantine;
mod scan;
mod spans;
mod values;

use serde::Deserialize;
use tidemill_core::{
    Finding, Format, Host, ObjectsExt, Outcome, Result, Severity, Stage, Table, Trigger, layout, record::DataFile, spec::Dataset,
};

use crate::{profile::GoodRows, scan::Scan};

/// Configuration, from `tidemill.toml`.
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

    /// Checks the file that triggered the run. The outcome's result is a [`DataFile`].
    fn run(trigger: &Trigger, Config { dataset }: Config, host: &dyn Host) -> Result<Outcome> {
        // First the bytes, then the columns, then the rows: each step relies on the one before.
        let Some(format) = Format::from_key(&trigger.key) else {
            return Ok(Outcome::rejected(
                "the file's kind is unknown",
                vec![file::unknown_format(&trigger.key)],
            ));
        };
        if let Some(finding) = file::find_defect(&trigger.key, format, host.objects())? {
            return Ok(Outcome::rejected("the file cannot be read", vec![finding]));
        }
        let table = Table {
            name: "raw".into(),
            keys: vec![trigger.key.clone()],
            format,
        };
        let columns = match header::read_header(&dataset.contract, &table, host.sql())? {
            Ok(columns) => columns,
            Err(findings) => return Ok(Outcome::rejected("its columns are not the contract's", findings)),
        };
        host.report_progress(0.2, "checking");
        let checks = checks::compile_checks(&dataset, &columns)?;
        let scan = Scan::new(&dataset, &columns, checks, &table, host.sql())?;
        host.report_progress(0.5, "writing");
        write_rows(&scan, host)
    }
}

/// Writes bad rows to quarantine and good rows to the dataset, unless the file is rejected as a whole.
fn write_rows(scan: &Scan<'_>, host: &dyn Host) -> Result<Outcome> {
    let dataset = &scan.dataset.name;
    let run = &host.context().run_key;
    let quarantine = layout::quarantine(dataset, run);
    let quarantined = scan.write_quarantine(&quarantine)?;
    let mut findings = scan.findings()?;
    if let Some(rejection) = scan.find_rejection(quarantined) {
        let reason = rejection.message.clone();
        findings.push(rejection);
        return Ok(Outcome::rejected(reason, findings));
    }
    let GoodRows {
        profile,
        from,
        until,
        spans,
        failed,
    } = profile::profile_good_rows(scan)?;
    let is_rejected = failed.iter().any(|finding| finding.severity == Severity::Error);
    findings.extend(failed);
    if is_rejected {
        return Ok(Outcome::rejected("an assertion about the whole data file is false", findings));
    }
    let data = layout::data_file(dataset, run);
    let data_file = DataFile {
        dataset: dataset.clone(),
        digest: scan.write_good(&data)?.digest,
        data,
        profile: layout::data_profile(dataset, run),
        rows: profile.rows,
        quarantined,
        quarantine: (quarantined > 0).then_some(quarantine),
        from,
        until,
        spans,
    };
    host.objects().create_json(&data_file.profile, &profile)?;
    let reason = format!("{} good rows, {quarantined} in quarantine", data_file.rows);
    Ok(Outcome::done(reason, &data_file).with_findings(findings).with_as_of(until))
}

/// A finding that rejects the file or sends rows to quarantine.
fn error_finding(check: &str, target: &str, message: String, count: u64) -> Finding {
    Finding {
        check: check.into(),
        target: target.into(),
        severity: Severity::Error,
        message,
        count,
    }
}

tidemill_sdk::export!(Validate);
