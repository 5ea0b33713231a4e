//! The report of one window: put together, and written under a name made from the labels that it knew. The same labels give the same
//! bytes; late labels give another report beside it.

use std::collections::BTreeMap;

use serde::Serialize;
use tidemill_core::{
    Error, Host, Meta, ObjectsExt, Result, Table, digest_json,
    record::{Log, Report, Version, Window},
    time::key_time,
};

use crate::{
    Config, accuracy,
    drift::{self, Served},
    read,
};

/// Earlier windows are taken as the reference of scores until they make so many blocks.
const REFERENCE_BLOCKS: u64 = 20;

/// Makes and writes the report.
pub(crate) fn make(window: &Window, config: &Config, host: &dyn Host) -> Result<Report> {
    let labels = labels(&config.model.name, host)?;
    host.progress(0.1, "reading the window's predictions");
    let served = served(window, host)?;
    let version = version(window, host)?;
    let (rows, window_rows) = rows(window, config, host)?;
    let mut report = empty(window, rows, window_rows, key(window, &labels));
    if let Some(version) = version {
        report.version = Some(version.version);
        report.training = version.metrics.clone();
        if let Some(served) = &served {
            host.progress(0.3, "measuring drift");
            let earlier = earlier(window, version.version, config, host)?;
            report.drift = drift::measure(served, &version, &earlier, &config.model, host)?;
            report.drifted = report.drift.iter().any(|c| c.drifted);
            host.progress(0.8, "measuring accuracy");
            (report.labelled, report.metrics) = accuracy::measure(served, window, &version, &labels, config, host)?;
        }
    }
    host.objects().create_json(&report.key, &report)?;
    Ok(report)
}

/// One sentence for a person.
pub(crate) fn sentence(report: &Report) -> String {
    let drifted: Vec<String> = report
        .drift
        .iter()
        .filter(|c| c.drifted)
        .map(|c| format!("`{}`", c.column))
        .collect();
    let drift = match (report.version, drifted.is_empty()) {
        (None, _) => "no version served".to_owned(),
        (Some(version), true) => format!("version {version}, no drift in {} columns", report.drift.len()),
        (Some(version), false) => format!("version {version}, drift in {}", drifted.join(", ")),
    };
    format!("{} predictions, {} with their truth; {drift}", report.predictions, report.labelled)
}

fn empty(window: &Window, rows: u64, window_rows: u64, key: String) -> Report {
    Report {
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
        parts: window.parts.clone(),
    }
}

/// All objects under `labels/<model>/`.
pub(crate) fn labels(model: &str, host: &dyn Host) -> Result<Vec<Meta>> {
    host.objects().list_all(&format!("labels/{model}/"))
}

/// `reports/<model>/<start>/<digest>/report.json`; the digest is over what the labels came from, the parts and the label files.
fn key(window: &Window, labels: &[Meta]) -> String {
    #[derive(Serialize)]
    struct Known<'a> {
        parts: Vec<&'a str>,
        labels: &'a [Meta],
        predictions: &'a str,
    }
    let known = Known {
        parts: window.parts.iter().map(|p| p.digest.as_str()).collect(),
        labels,
        predictions: window.digest.as_str(),
    };
    format!(
        "reports/{}/{}/{}/report.json",
        window.model,
        key_time(window.start),
        digest_json(&known).short()
    )
}

fn served(window: &Window, host: &dyn Host) -> Result<Option<Served>> {
    let segments = segments(window, host)?;
    if segments.is_empty() || window.predictions == 0 {
        return Ok(None);
    }
    let table = Table::parquet("predictions", segments);
    let columns = read::columns(host, &table)?;
    Ok((!columns.is_empty()).then_some(Served { table, columns }))
}

fn segments(window: &Window, host: &dyn Host) -> Result<Vec<String>> {
    let key = format!("logs/{}/{}.json", window.model, key_time(window.start));
    match host.objects().find_json::<Log>(&key)? {
        Some(log) => Ok(log.segments),
        None if window.predictions == 0 => Ok(Vec::new()),
        None => Err(Error::transient(format!(
            "`{key}`, which names the files of the window's predictions, is not there yet"
        ))),
    }
}

/// The version that predicted most of the window; of equals the newest.
fn majority(window: &Window) -> Option<u32> {
    let most = window
        .versions
        .iter()
        .filter(|(_, rows)| **rows > 0)
        .max_by_key(|(version, rows)| (**rows, **version));
    most.map(|(version, _)| *version)
}

fn version(window: &Window, host: &dyn Host) -> Result<Option<Version>> {
    let key = |version| format!("models/{}/versions/{version}.json", window.model);
    majority(window).map(|version| host.objects().get_json(&key(version))).transpose()
}

/// Distinct keys of the dataset before the window's end, and in the window.
fn rows(window: &Window, config: &Config, host: &dyn Host) -> Result<(u64, u64)> {
    if window.parts.is_empty() {
        return Ok((0, 0));
    }
    let time = read::name(&config.dataset.time);
    let keys: Vec<String> = config.dataset.key.iter().map(|k| read::name(k)).collect();
    let select = match keys.is_empty() {
        true => format!("SELECT {time} AS time"),
        false => format!("SELECT min({time}) AS time"),
    };
    let group = if keys.is_empty() {
        String::new()
    } else {
        format!(" GROUP BY {}", keys.join(", "))
    };
    let sql = format!(
        "SELECT count(*) AS rows, count(*) FILTER (WHERE time >= {start}) AS within FROM ({select} FROM parts WHERE {time} < {end}{group})",
        start = read::time(window.start),
        end = read::time(window.end),
    );
    let batches = read::query(host, &sql, &[Table::parquet("parts", window.parts.iter().map(|p| &p.data))])?;
    Ok((read::count(&batches, "rows")?, read::count(&batches, "within")?))
}

/// The segments of the version's earliest windows before this one. Windows close in order, so all earlier ones are there.
fn earlier(window: &Window, version: u32, config: &Config, host: &dyn Host) -> Result<Vec<String>> {
    let (mut segments_found, mut blocks) = (Vec::new(), 0);
    for meta in host.objects().list_all(&format!("windows/{}/", window.model))? {
        let old: Window = host.objects().get_json(&meta.key)?;
        if old.start >= window.start || blocks >= REFERENCE_BLOCKS {
            break;
        }
        if majority(&old) == Some(version) {
            segments_found.extend(segments(&old, host)?);
            blocks += blocks_in(&old, config);
        }
    }
    Ok(segments_found)
}

fn blocks_in(window: &Window, config: &Config) -> u64 {
    let (mut at, mut count) = (config.model.monitor.block.start_of(window.start), 0);
    while at < window.end && count < REFERENCE_BLOCKS {
        at = config.model.monitor.block.next(at);
        count += 1;
    }
    count
}
