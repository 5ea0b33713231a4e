//! The findings of a scan, for a person: failed checks with their first bad values, and whether the file is bad as a whole.

use tidemill_core::{Finding, Result, Severity, spec::Contract};

use crate::{
    error_finding,
    scan::{FailedCheck, Scan},
};

/// Maximum number of bad values that a finding shows.
const MAX_EXAMPLES: usize = 3;

impl Scan<'_> {
    /// One finding for each failed check, with the first bad values, and one for malformed lines.
    pub(crate) fn findings(&self) -> Result<Vec<Finding>> {
        let mut findings = self
            .failed
            .iter()
            .map(|failed| self.check_finding(failed))
            .collect::<Result<Vec<_>>>()?;
        if self.malformed_lines > 0 {
            findings.push(self.malformed_lines_finding()?);
        }
        Ok(findings)
    }

    fn check_finding(&self, FailedCheck { check, count, tolerated }: &FailedCheck) -> Result<Finding> {
        let select = format!(
            "WITH {} SELECT {} AS c0 FROM (SELECT *, {} AS __fails FROM typed) WHERE __fails LIMIT {MAX_EXAMPLES}",
            self.typed_cte(true),
            check.example_sql,
            check.failure_sql
        );
        let examples = self.query_texts(&select, "c0")?.into_iter();
        let examples: Vec<String> = examples.map(|text| format!("`{}`", text.unwrap_or_default())).collect();
        let (examples, reason, rows) = (examples.join(", "), &check.reason, self.rows);
        let tolerance = match tolerated {
            true => format!(" (tolerated: `mostly = {}`)", check.mostly),
            false => String::new(),
        };
        Ok(Finding {
            check: check.name.clone(),
            target: check.target.clone(),
            severity: if *tolerated { Severity::Warning } else { check.severity },
            message: format!("{reason}: {count} of {rows} rows, first {examples}{tolerance}"),
            count: *count,
        })
    }

    fn malformed_lines_finding(&self) -> Result<Finding> {
        let select = format!(
            "SELECT 'line ' || CAST(line AS VARCHAR) || ': ' || reason AS c0 FROM raw__rejects ORDER BY line, reason LIMIT {MAX_EXAMPLES}"
        );
        let examples = self
            .query_texts(&select, "c0")?
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("; ");
        let message = format!("{} lines are not CSV with this header: {examples}", self.malformed_lines);
        Ok(error_finding("ragged", &self.dataset.name, message, self.malformed_lines))
    }

    /// The reason to reject the file as a whole, given its number of bad rows.
    pub(crate) fn find_rejection(&self, bad: u64) -> Option<Finding> {
        let Contract {
            minimum_rows,
            maximum_rows,
            maximum_quarantined,
            ..
        } = &self.dataset.contract;
        let (all, name) = (self.rows + self.malformed_lines, &self.dataset.name);
        let (check, message) = if all == 0 {
            ("rows", "the file has no rows".to_owned())
        } else if bad >= all {
            ("quarantine", format!("all {all} rows are bad"))
        } else if bad as f64 > maximum_quarantined * all as f64 {
            let share = 100.0 * bad as f64 / all as f64;
            (
                "quarantine",
                format!("{bad} of {all} rows are bad ({share:.1} %), more than `maximum-quarantined = {maximum_quarantined}` allows"),
            )
        } else if all - bad < *minimum_rows {
            (
                "rows",
                format!("{} good rows are fewer than `minimum-rows = {minimum_rows}`", all - bad),
            )
        } else if let Some(maximum) = maximum_rows.filter(|maximum| all > *maximum) {
            ("rows", format!("{all} rows are more than `maximum-rows = {maximum}`"))
        } else {
            return None;
        };
        Some(error_finding(check, name, message, bad))
    }
}
