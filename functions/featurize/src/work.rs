//! The stage's work in its order: read, cut, judge whether it is enough, fit, write.

use tidemill_core::{
    Digest, Finding, Host, ObjectsExt, Outcome, Result, Severity, Trigger,
    record::{FeatureSet, TrainingRequest},
    spec::Task,
};
use tidemill_ml::{Columns, Transform, Values, model::encode_labels};

use crate::{
    Config,
    parts::{FeatureSource, build_source, quote_identifier, quote_identifiers},
    profile,
    read::{FeatureRows, read_rows},
    slices::{Slice, Spans, assign_slices, slice_at, time_blocks},
};

/// Fewest rows to train on and to judge with.
const MIN_TRAIN_ROWS: u64 = 50;
const MIN_HOLDOUT_ROWS: u64 = 10;

pub(crate) fn run(trigger: &Trigger, config: &Config, host: &dyn Host) -> Result<Outcome> {
    let request: TrainingRequest = host.objects().get_json(&trigger.key)?;
    let refused = |findings: Vec<Finding>| {
        Outcome::rejected(format!("there is not enough to train `{}` on", config.model.name), findings).with_as_of(request.as_of)
    };
    if request.data_files.is_empty() {
        return Ok(refused(vec![finding("rows", "the request names no part".into(), 0)]));
    }
    let source = build_source(&request, config)?;
    host.report_progress(0.05, "reading the parts");
    let Some(rows) = read_rows(&source, config, host)? else {
        return Ok(refused(vec![finding(
            "rows",
            format!("no row has the label `{}`", config.features.label),
            0,
        )]));
    };
    let spans = assign_slices(&rows.times, &config.features);
    let slices: Vec<Slice> = rows.times.iter().map(|time| slice_at(&spans, *time)).collect();
    let classes = class_names(rows.columns.require(&config.features.label)?, config.model.task);
    let findings = check_rows(&rows, &slices, &classes, config)?;
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Ok(refused(findings));
    }
    let set = write(trigger, config, host, &source, &rows, &spans, &slices, classes)?;
    let reason = format!(
        "{} rows to train on, {} to stop, {} held out, {} features",
        set.train_rows,
        set.validation_rows,
        set.holdout_rows,
        set.signature.inputs.len()
    );
    Ok(Outcome::done(reason, &set).with_findings(findings).with_as_of(request.as_of))
}

/// The classes as text, ascending (numbers by value); empty for regression.
fn class_names(label: &Values, task: Task) -> Vec<String> {
    if task == Task::Regression {
        return Vec::new();
    }
    let mut classes: Vec<String> = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    for category in (0..label.len()).filter_map(|row| label.category(row)) {
        if !known.contains(category.as_ref()) {
            known.insert(category.clone().into_owned());
        }
    }
    classes.extend(known);
    if matches!(label, Values::Integer(_)) {
        classes.sort_by_key(|class| class.parse::<i64>().unwrap_or_default());
    }
    classes
}

fn finding(check: &str, message: String, count: u64) -> Finding {
    Finding {
        check: check.into(),
        target: "label".into(),
        severity: Severity::Error,
        message,
        count,
    }
}

fn check_rows(rows: &FeatureRows, slices: &[Slice], classes: &[String], config: &Config) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let count = |slice: Slice| slices.iter().filter(|s| **s == slice).count() as u64;
    for (slice, least) in [(Slice::Train, MIN_TRAIN_ROWS), (Slice::Holdout, MIN_HOLDOUT_ROWS)] {
        let found = count(slice);
        if found < least {
            let message = format!(
                "the {} slice has {found} rows and needs {least}; wait for more data, or change `holdout`",
                slice.name()
            );
            findings.push(finding("rows", message, found));
        }
    }
    if count(Slice::Validation) == 0 {
        let message = "the stop slice is empty, so that training ends only after all rounds".to_owned();
        findings.push(Finding {
            severity: Severity::Warning,
            ..finding("rows", message, 0)
        });
    }
    let wrong = match config.model.task {
        Task::Binary => classes.len() != 2,
        Task::Multiclass => !(2..=1000).contains(&classes.len()),
        Task::Regression => false,
    };
    if wrong {
        let some: Vec<&str> = classes.iter().take(5).map(String::as_str).collect();
        let wanted = if config.model.task == Task::Binary { "2" } else { "2 to 1000" };
        let message = format!(
            "the label has {} classes (`{}`) and needs {wanted}",
            classes.len(),
            some.join("`, `")
        );
        findings.push(finding("classes", message, classes.len() as u64));
        return Ok(findings);
    }
    let label = rows.columns.require(&config.features.label)?;
    for class in classes {
        let trained =
            (0..label.len()).filter(|row| slices[*row] == Slice::Train && label.category(*row).is_some_and(|c| c == class.as_str()));
        if trained.count() == 0 {
            findings.push(finding("classes", format!("the class `{class}` has no row in the train slice"), 0));
        }
    }
    Ok(findings)
}

#[allow(clippy::too_many_arguments)] // one call, of what `run` has gathered
fn write(
    trigger: &Trigger,
    config: &Config,
    host: &dyn Host,
    source: &FeatureSource,
    rows: &FeatureRows,
    spans: &Spans,
    slices: &[Slice],
    classes: Vec<String>,
) -> Result<FeatureSet> {
    let folder = format!("features/{}/{}", config.model.name, host.context().run_key);
    let key = |name: &str| format!("{folder}/{name}");
    host.report_progress(0.3, "fitting the transform");
    let train: Vec<usize> = (0..slices.len()).filter(|row| slices[*row] == Slice::Train).collect();
    let columns = select_rows(&rows.columns, &train)?;
    let label = encode_labels(columns.require(&config.features.label)?, &classes)?;
    let transform = Transform::fit(
        rows.signature.clone(),
        &config.features.transform,
        config.model.trainer.kind,
        &columns,
        &label,
    )?;
    let transform_bytes = transform.to_json()?;
    host.objects().create_immutable(&key("transform.json"), &transform_bytes)?;
    host.report_progress(0.5, "profiling the features");
    let profile = profile::profile(&rows.columns, &rows.signature);
    host.objects().create_json(&key("profile.json"), &profile)?;
    let blocks = time_blocks(&rows.times, config.model.monitor.block);
    let sql = profile::blocks_sql(&rows.columns, &rows.times, &blocks, &profile);
    host.sql().export(&sql, &[], &key("blocks.parquet"))?;
    let mut exported = Vec::new();
    for (index, slice) in Slice::ALL.into_iter().enumerate() {
        host.report_progress(0.7 + 0.1 * index as f64, &format!("writing {}", slice.name()));
        let sql = slice_sql(&source.with, config, rows, spans, slice);
        exported.push(
            host.sql()
                .export(&sql, &source.tables, &key(&format!("{}.parquet", slice.name())))?
                .rows,
        );
    }
    Ok(FeatureSet {
        request: trigger.key.clone(),
        train: key("train.parquet"),
        validation: key("validation.parquet"),
        holdout: key("holdout.parquet"),
        train_rows: exported[0],
        validation_rows: exported[1],
        holdout_rows: exported[2],
        transform: key("transform.json"),
        transform_digest: Digest::sha256(&transform_bytes),
        profile: key("profile.json"),
        signature: rows.signature.clone(),
        label: config.features.label.clone(),
        classes,
    })
}

fn slice_sql(with: &str, config: &Config, rows: &FeatureRows, spans: &Spans, slice: Slice) -> String {
    let time = quote_identifier(&config.features.time);
    let names: Vec<String> = rows.columns.iter().map(|(name, _)| name.to_owned()).collect();
    let of_slice = spans
        .iter()
        .filter(|(.., s)| *s == slice)
        .map(|(start, end, _)| format!("({start}, {end})"));
    let of_slice: Vec<String> = of_slice.collect();
    // A slice without spans is an empty table, not an SQL error.
    let values = if of_slice.is_empty() {
        "(0::BIGINT, 0::BIGINT)".to_owned()
    } else {
        of_slice.join(", ")
    };
    format!(
        "{with}, _spans(_start, _end) AS (VALUES {values})\nSELECT {names} FROM _features JOIN _spans ON epoch_us({time}) >= _start AND \
         epoch_us({time}) < _end ORDER BY {time}, {key}, {names}",
        names = quote_identifiers(&names),
        key = quote_identifiers(&config.features.key)
    )
}

/// Some rows of all columns.
fn select_rows(columns: &Columns, rows: &[usize]) -> Result<Columns> {
    fn pick<T: Clone>(values: &[T], rows: &[usize]) -> Vec<T> {
        rows.iter().map(|row| values[*row].clone()).collect()
    }
    let mut selected = Columns::new();
    for (name, values) in columns.iter() {
        let values = match values {
            Values::Number(v) => Values::Number(pick(v, rows)),
            Values::Integer(v) => Values::Integer(pick(v, rows)),
            Values::Text(v) => Values::Text(pick(v, rows)),
            Values::Boolean(v) => Values::Boolean(pick(v, rows)),
            Values::Timestamp(v) => Values::Timestamp(pick(v, rows)),
        };
        selected.push(name, values)?;
    }
    Ok(selected)
}
