//! The report of one window, stored under a name that depends on the labels that it is computed from. The same labels give the same bytes;
//! late labels give another report in the same folder.

use std::collections::BTreeMap;

use serde::Serialize;
use tidemill_core::{
    Error, ErrorKind, Host, Level, ObjectMeta, ObjectsExt, Result, Table, digest_json,
    layout::{self, Key, Prefix},
    record::{ModelVersion, MonitoringReport, MonitoringWindow, WindowSegments},
    sql::{quote_identifier, quote_identifiers, timestamp_literal},
};

use crate::{Config, accuracy, counts::PredictionTable, drift, read};

/// Maximum number of blocks of earlier windows in the reference of the scores.
const MAX_REFERENCE_BLOCKS: u64 = 20;

/// Measures the window and writes its report.
pub(crate) fn write_report(window: &MonitoringWindow, config: &Config, host: &dyn Host) -> Result<MonitoringReport> {
    let labels = host.objects().list_all(&Prefix::Labels.under(&config.model.name))?;
    host.report_progress(0.1, "reading the window's predictions");
    let served = prediction_table(window, host)?;
    let version = serving_version(window, host)?;
    let (rows, window_rows) = count_rows(window, config, host)?;
    let mut report = new_report(window, rows, window_rows, report_key(window, &labels));
    report.version = majority_version(window);
    if let Some(version) = version {
        report.training = version.metrics.clone();
        if let Some(served) = &served {
            host.report_progress(0.3, "measuring drift");
            let earlier = reference_segments(window, version.version, config, host)?;
            report.drift = drift::measure(served, &version, &earlier, &config.model, host)?;
            report.drifted = report.drift.iter().any(|c| c.drifted);
            host.report_progress(0.8, "measuring accuracy");
            (report.labelled, report.metrics) = accuracy::measure(served, window, &version, &labels, config, host)?;
        }
    }
    host.objects().create_json(&report.key, &report)?;
    Ok(report)
}

/// The report in one sentence, for a person.
pub(crate) fn summarize(report: &MonitoringReport) -> String {
    let drifted: Vec<String> = report
        .drift
        .iter()
        .filter(|c| c.drifted)
        .map(|c| format!("`{}`", c.column))
        .collect();
    let drift = match (report.version, drifted.is_empty()) {
        (Some(version), _) if report.training.is_empty() => {
            format!("version {version}, which has no record any more: neither drift nor accuracy is judged")
        }
        (None, _) => "no version served".to_owned(),
        (Some(version), true) => format!("version {version}, no drift in {} columns", report.drift.len()),
        (Some(version), false) => format!("version {version}, drift in {}", drifted.join(", ")),
    };
    format!("{} predictions, {} with their truth; {drift}", report.predictions, report.labelled)
}

fn new_report(window: &MonitoringWindow, rows: u64, window_rows: u64, key: String) -> MonitoringReport {
    MonitoringReport {
        model: window.model.clone(),
        start: window.start,
        end: window.end,
        as_of: window.as_of,
        previous: window.previous,
        key,
        version: None,
        predictions: window.predictions,
        rows,
        window_rows,
        drift: Vec::new(),
        drifted: false,
        labelled: 0,
        metrics: BTreeMap::new(),
        training: BTreeMap::new(),
        data_files: window.data_files.clone(),
    }
}

/// `reports/<model>/<start>/<digest>/report.json`; the digest covers the sources of the labels: data files and label files.
fn report_key(window: &MonitoringWindow, labels: &[ObjectMeta]) -> String {
    #[derive(Serialize)]
    struct Known<'a> {
        data_files: Vec<&'a str>,
        labels: &'a [ObjectMeta],
        predictions: &'a str,
    }
    let known = Known {
        data_files: window.data_files.iter().map(|file| file.digest.as_str()).collect(),
        labels,
        predictions: window.digest.as_str(),
    };
    layout::report(&window.model, window.start, digest_json(&known).short())
}

fn prediction_table(window: &MonitoringWindow, host: &dyn Host) -> Result<Option<PredictionTable>> {
    let segments = window_segments(window, host)?;
    if segments.is_empty() || window.predictions == 0 {
        return Ok(None);
    }
    let table = Table::parquet("predictions", segments);
    let columns = read::column_names(host, &table)?;
    Ok((!columns.is_empty()).then_some(PredictionTable { table, columns }))
}

fn window_segments(window: &MonitoringWindow, host: &dyn Host) -> Result<Vec<String>> {
    let key = layout::window_segments(&window.model, window.start);
    match host.objects().find_json::<WindowSegments>(&key)? {
        Some(log) => Ok(log.segments),
        None if window.predictions == 0 => Ok(Vec::new()),
        None => Err(Error::transient(format!(
            "`{key}`, which names the files of the window's predictions, is not there yet"
        ))),
    }
}

/// The version that made most of the window's predictions; ties go to the newest version.
fn majority_version(window: &MonitoringWindow) -> Option<u32> {
    let most = window
        .versions
        .iter()
        .filter(|(_, rows)| **rows > 0)
        .max_by_key(|(version, rows)| (**rows, **version));
    most.map(|(version, _)| *version)
}

fn serving_version(window: &MonitoringWindow, host: &dyn Host) -> Result<Option<ModelVersion>> {
    match majority_version(window) {
        Some(version) => host.objects().find_json(&layout::version(&window.model, version)),
        None => Ok(None),
    }
}

/// The number of distinct keys of the dataset before the window's end, and in the window.
fn count_rows(window: &MonitoringWindow, config: &Config, host: &dyn Host) -> Result<(u64, u64)> {
    if window.data_files.is_empty() {
        return Ok((0, 0));
    }
    let (time, key) = (quote_identifier(&config.dataset.time), &config.dataset.key);
    let (select, group) = match key.is_empty() {
        true => (format!("SELECT {time} AS time"), String::new()),
        false => (
            format!("SELECT min({time}) AS time"),
            format!(" GROUP BY {}", quote_identifiers(key)),
        ),
    };
    let sql = format!(
        "SELECT count(*) AS rows, count(*) FILTER (WHERE time >= {start}) AS within FROM ({select} FROM files WHERE {time} < {end}{group})",
        start = timestamp_literal(window.start),
        end = timestamp_literal(window.end),
    );
    let batches = read::query(
        host,
        &sql,
        &[Table::parquet("files", window.data_files.iter().map(|file| &file.data))],
    )?;
    Ok((read::first_count(&batches, "rows")?, read::first_count(&batches, "within")?))
}

/// The segments of the version's earliest windows before this one. Windows close in order, so all earlier ones exist.
fn reference_segments(window: &MonitoringWindow, version: u32, config: &Config, host: &dyn Host) -> Result<Vec<String>> {
    let (mut segments_found, mut blocks) = (Vec::new(), 0);
    for old in closed_windows(&window.model, host)? {
        let old = old?;
        if old.start >= window.start || blocks >= MAX_REFERENCE_BLOCKS {
            break;
        }
        if majority_version(&old) == Some(version) {
            segments_found.extend(window_segments(&old, host)?);
            blocks += count_blocks(&old, config);
        }
    }
    Ok(segments_found)
}

/// The closed windows of a model, the earliest first, each read when it is asked for. What is no window is passed over.
pub(crate) fn closed_windows<'a>(model: &str, host: &'a dyn Host) -> Result<impl Iterator<Item = Result<MonitoringWindow>> + 'a> {
    let listed = host.objects().list_all(&Prefix::Windows.under(model))?.into_iter();
    let windows = listed.filter(|meta| matches!(Key::parse(&meta.key), Some(Key::Window { .. })));
    Ok(windows.filter_map(|meta| match host.objects().get_json(&meta.key) {
        Err(error) if error.kind == ErrorKind::Input => {
            host.log(Level::Warning, &format!("passed over: {error}"));
            None
        }
        read => Some(read),
    }))
}

fn count_blocks(window: &MonitoringWindow, config: &Config) -> u64 {
    let (mut at, mut count) = (config.model.monitor.block.window_start(window.start), 0);
    while at < window.end && count < MAX_REFERENCE_BLOCKS {
        at = config.model.monitor.block.next_window(at);
        count += 1;
    }
    count
}
