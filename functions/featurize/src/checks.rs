//! Checks whether there is enough data to train on and to evaluate with.

use std::collections::BTreeSet;

use tidemill_core::{ColumnValues, Finding, Result, Severity, spec::Task};

use crate::{
    Config,
    slices::{Slice, SlicedRows},
};

/// Minimum number of rows to train on.
const MIN_TRAIN_ROWS: u64 = 50;
/// Minimum number of rows to evaluate with.
const MIN_HOLDOUT_ROWS: u64 = 10;

/// The classes as text, ascending (numbers by value); empty for regression.
pub(crate) fn class_names(label: &ColumnValues, task: Task) -> Vec<String> {
    if task == Task::Regression {
        return Vec::new();
    }
    let mut known = BTreeSet::new();
    for category in (0..label.len()).filter_map(|row| label.category(row)) {
        if !known.contains(category.as_ref()) {
            known.insert(category.clone().into_owned());
        }
    }
    let mut classes: Vec<String> = known.into_iter().collect();
    if matches!(label, ColumnValues::Integer(_)) {
        classes.sort_by_key(|class| class.parse::<i64>().unwrap_or_default());
    }
    classes
}

/// A finding that rejects the request.
pub(crate) fn error_finding(check: &str, message: String, count: u64) -> Finding {
    Finding {
        check: check.into(),
        target: "label".into(),
        severity: Severity::Error,
        message,
        count,
    }
}

/// Checks the number of rows of each slice and of each class. A finding with severity `Error` rejects the request.
pub(crate) fn check_rows(table: &SlicedRows, config: &Config) -> Result<Vec<Finding>> {
    let mut findings = slice_findings(&table.slices);
    match class_count_finding(&table.classes, config.model.task) {
        Some(finding) => findings.push(finding),
        None => findings.extend(untrained_class_findings(table, config)?),
    }
    Ok(findings)
}

fn slice_findings(slices: &[Slice]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let count = |slice: Slice| slices.iter().filter(|s| **s == slice).count() as u64;
    for (slice, minimum) in [(Slice::Train, MIN_TRAIN_ROWS), (Slice::Holdout, MIN_HOLDOUT_ROWS)] {
        let (found, name) = (count(slice), slice.name());
        if found < minimum {
            let message = format!("the {name} slice has {found} rows and needs {minimum}; wait for more data, or change `holdout`");
            findings.push(error_finding("rows", message, found));
        }
    }
    if count(Slice::Validation) == 0 {
        let message = "the validation slice is empty, so that training ends only after all rounds".to_owned();
        findings.push(Finding {
            severity: Severity::Warning,
            ..error_finding("rows", message, 0)
        });
    }
    findings
}

fn class_count_finding(classes: &[String], task: Task) -> Option<Finding> {
    let (is_allowed, allowed) = match task {
        Task::Binary => (classes.len() == 2, "2"),
        Task::Multiclass => ((2..=1000).contains(&classes.len()), "2 to 1000"),
        Task::Regression => (true, "none"),
    };
    let (count, some) = (classes.len(), classes.iter().take(5).map(String::as_str).collect::<Vec<_>>());
    let message = format!("the label has {count} classes (`{}`) and needs {allowed}", some.join("`, `"));
    (!is_allowed).then(|| error_finding("classes", message, count as u64))
}

fn untrained_class_findings(table: &SlicedRows, config: &Config) -> Result<Vec<Finding>> {
    let label = table.rows.columns.require(&config.features.label)?;
    let is_trained = |class: &str| {
        let mut rows = (0..label.len()).filter(|row| table.slices[*row] == Slice::Train);
        rows.any(|row| label.category(row).is_some_and(|c| c == class))
    };
    let untrained = table.classes.iter().filter(|class| !is_trained(class));
    let finding = |class: &String| error_finding("classes", format!("the class `{class}` has no row in the train slice"), 0);
    Ok(untrained.map(finding).collect())
}
