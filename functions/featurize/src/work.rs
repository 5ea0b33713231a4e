//! The stage's work in its order: read, cut, judge whether it is enough, fit, write.

use tidemill_core::{
    Digest, Finding, Host, ObjectsExt, Outcome, Result, Severity, Trigger,
    record::{FeatureSet, Request},
    spec::Task,
};
use tidemill_ml::{Columns, Transform, Values, model::labels};

use crate::{
    Config,
    parts::{Source, list, quoted, source},
    profile,
    read::{Rows, read},
    slices::{Slice, Spans, blocks, cut, slice_of},
};

/// Fewest rows to train on and to judge with.
const LEAST_TRAIN: u64 = 50;
const LEAST_HOLDOUT: u64 = 10;

pub(crate) fn run(trigger: &Trigger, config: &Config, host: &dyn Host) -> Result<Outcome> {
    let request: Request = host.objects().get_json(&trigger.key)?;
    let refused = |findings: Vec<Finding>| {
        Outcome::rejected(format!("there is not enough to train `{}` on", config.model.name), findings).with_as_of(request.as_of)
    };
    if request.parts.is_empty() {
        return Ok(refused(vec![finding("rows", "the request names no part".into(), 0)]));
    }
    let source = source(&request, config)?;
    host.progress(0.05, "reading the parts");
    let Some(rows) = read(&source, config, host)? else {
        return Ok(refused(vec![finding(
            "rows",
            format!("no row has the label `{}`", config.features.label),
            0,
        )]));
    };
    let spans = cut(&rows.times, &config.features);
    let slices: Vec<Slice> = rows.times.iter().map(|time| slice_of(&spans, *time)).collect();
    let classes = classes(rows.columns.need(&config.features.label)?, config.model.task);
    let findings = judge(&rows, &slices, &classes, config)?;
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Ok(refused(findings));
    }
    let set = write(trigger, config, host, &source, &rows, &spans, &slices, classes)?;
    let reason = format!(
        "{} rows to train on, {} to stop, {} held out, {} features",
        set.train_rows,
        set.stop_rows,
        set.holdout_rows,
        set.signature.inputs.len()
    );
    Ok(Outcome::done(reason, &set).with_findings(findings).with_as_of(request.as_of))
}

/// The classes as text, ascending (numbers by value); empty for regression.
fn classes(label: &Values, task: Task) -> Vec<String> {
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
        subject: "label".into(),
        severity: Severity::Error,
        message,
        count,
    }
}

fn judge(rows: &Rows, slices: &[Slice], classes: &[String], config: &Config) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let count = |slice: Slice| slices.iter().filter(|s| **s == slice).count() as u64;
    for (slice, least) in [(Slice::Train, LEAST_TRAIN), (Slice::Holdout, LEAST_HOLDOUT)] {
        let found = count(slice);
        if found < least {
            let message = format!(
                "the {} slice has {found} rows and needs {least}; wait for more data, or change `holdout`",
                slice.name()
            );
            findings.push(finding("rows", message, found));
        }
    }
    if count(Slice::Stop) == 0 {
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
    let label = rows.columns.need(&config.features.label)?;
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
    source: &Source,
    rows: &Rows,
    spans: &Spans,
    slices: &[Slice],
    classes: Vec<String>,
) -> Result<FeatureSet> {
    let folder = format!("features/{}/{}", config.model.name, host.context().run_key);
    let key = |name: &str| format!("{folder}/{name}");
    host.progress(0.3, "fitting the transform");
    let train: Vec<usize> = (0..slices.len()).filter(|row| slices[*row] == Slice::Train).collect();
    let columns = select(&rows.columns, &train)?;
    let label = labels(columns.need(&config.features.label)?, &classes)?;
    let transform = Transform::fit(
        rows.signature.clone(),
        &config.features.transform,
        config.model.trainer.kind,
        &columns,
        &label,
    )?;
    let transform_bytes = transform.to_json()?;
    host.objects().create_same(&key("transform.json"), &transform_bytes)?;
    host.progress(0.5, "profiling the features");
    let profile = profile::profile(&rows.columns, &rows.signature);
    host.objects().create_json(&key("profile.json"), &profile)?;
    let blocks = blocks(&rows.times, config.model.monitor.block);
    let sql = profile::blocks_sql(&rows.columns, &rows.times, &blocks, &profile);
    host.sql().export(&sql, &[], &key("blocks.parquet"))?;
    let mut exported = Vec::new();
    for (index, slice) in Slice::ALL.into_iter().enumerate() {
        host.progress(0.7 + 0.1 * index as f64, &format!("writing {}", slice.name()));
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
        stop: key("stop.parquet"),
        holdout: key("holdout.parquet"),
        train_rows: exported[0],
        stop_rows: exported[1],
        holdout_rows: exported[2],
        transform: key("transform.json"),
        transform_digest: Digest::of(&transform_bytes),
        profile: key("profile.json"),
        signature: rows.signature.clone(),
        label: config.features.label.clone(),
        classes,
    })
}

fn slice_sql(with: &str, config: &Config, rows: &Rows, spans: &Spans, slice: Slice) -> String {
    let time = quoted(&config.features.time);
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
        names = list(&names),
        key = list(&config.features.key)
    )
}

/// Some rows of all columns.
fn select(columns: &Columns, rows: &[usize]) -> Result<Columns> {
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
