//! Accuracy: predictions against labels. The labels are computed by the features' own SQL over the dataset's rows of the window, and joined
//! by key; a label by prediction id (under `labels/`) takes precedence. A prediction without a label is not scored.

use tidemill_core::{
    Format, Host, ObjectMeta, Result, Table,
    gate::Metrics,
    record::{DataFile, ModelVersion, MonitoringWindow},
    spec::Task,
    sql::{quote_identifier, quote_identifiers, timestamp_literal},
};

use crate::{
    Config,
    counts::{DISTINCT_PREDICTIONS, PredictionTable},
    read,
};

/// The number of the version's predictions whose label is known, and its metrics over them.
pub(crate) fn measure(
    served: &PredictionTable,
    window: &MonitoringWindow,
    files: &[DataFile],
    version: &ModelVersion,
    labels: &[ObjectMeta],
    config: &Config,
    host: &dyn Host,
) -> Result<(u64, Metrics)> {
    let Some(scores) = score_columns(served, version, config.model.task) else {
        return Ok((0, Metrics::new()));
    };
    let (mut truths, mut tables) = (Vec::new(), vec![served.table.clone()]);
    if let Some((sql, bound)) = labels_by_id(labels) {
        truths.push(sql);
        tables.extend(bound);
    }
    if let Some((sql, bound)) = labels_by_key(served, window, files, config) {
        truths.push(sql);
        tables.extend(bound);
    }
    if truths.is_empty() {
        return Ok((0, Metrics::new()));
    }
    let listed: String = (0..)
        .zip(&scores)
        .map(|(i, s)| format!(", CAST(p.{} AS DOUBLE) AS s{i}", quote_identifier(s)))
        .collect();
    let sql = format!(
        "WITH served AS (SELECT * FROM {DISTINCT_PREDICTIONS} WHERE \"_version\" = {version}), \
         truth AS ({truths}) \
         SELECT t.label AS label{listed} FROM (SELECT DISTINCT ON (id) id, label FROM truth WHERE label IS NOT NULL ORDER BY id, place) t \
         JOIN served p ON p.\"_id\" = t.id ORDER BY t.id",
        version = version.version,
        truths = truths.join(" UNION ALL "),
    );
    let batches = read::query(host, &sql, &tables)?;
    let truth: Vec<String> = read::texts(&batches, "label")?.into_iter().map(Option::unwrap_or_default).collect();
    let mut columns = Vec::new();
    for i in 0..scores.len() {
        let column = read::numbers(&batches, &format!("s{i}"))?;
        columns.push(column.into_iter().map(|v| v.unwrap_or(f64::NAN)).collect::<Vec<f64>>());
    }
    Ok((
        truth.len() as u64,
        compute_metrics(config.model.task, &columns, &truth, &version.classes),
    ))
}

fn compute_metrics(task: Task, scores: &[Vec<f64>], truth: &[String], classes: &[String]) -> Metrics {
    if truth.is_empty() {
        return Metrics::new();
    }
    match task {
        Task::Binary => {
            let positive = classes.last().map(String::as_str).unwrap_or_default();
            let truth: Vec<bool> = truth.iter().map(|t| t.eq_ignore_ascii_case(positive)).collect();
            tidemill_stats::binary_metrics(&scores[0], &truth)
        }
        Task::Regression => {
            let truth: Vec<f64> = truth.iter().map(|t| t.parse().unwrap_or(f64::NAN)).collect();
            tidemill_stats::regression_metrics(&scores[0], &truth)
        }
        Task::Multiclass => {
            let index = |t: &String| classes.iter().position(|c| c == t).unwrap_or(classes.len());
            let truth: Vec<usize> = truth.iter().map(index).collect();
            let rows = (0..truth.len())
                .flat_map(|row| scores.iter().map(move |column| column[row]))
                .collect::<Vec<f64>>();
            tidemill_stats::multiclass_metrics(&rows, classes.len(), &truth)
        }
    }
}

/// The score columns of the log, or `None` if the log lacks one.
fn score_columns(served: &PredictionTable, version: &ModelVersion, task: Task) -> Option<Vec<String>> {
    let wanted = match task {
        Task::Multiclass => version.classes.iter().map(|class| format!("_score_{class}")).collect(),
        _ => vec!["_score".to_owned()],
    };
    wanted.iter().all(|c| served.columns.contains(c)).then_some(wanted)
}

/// The labels by prediction id: one table per format, because each format is read differently.
fn labels_by_id(labels: &[ObjectMeta]) -> Option<(String, Vec<Table>)> {
    let mut tables: Vec<Table> = Vec::new();
    for meta in labels {
        let Some(format) = Format::from_key(&meta.key) else { continue };
        match tables.iter_mut().find(|t| t.format == format) {
            Some(table) => table.keys.push(meta.key.clone()),
            None => tables.push(Table {
                name: format!("labels{}", tables.len()),
                keys: vec![meta.key.clone()],
                format,
            }),
        }
    }
    let select = |t: &Table| {
        format!(
            "SELECT CAST(id AS VARCHAR) AS id, CAST(label AS VARCHAR) AS label, 0 AS place FROM {}",
            t.name
        )
    };
    let sql: Vec<String> = tables.iter().map(select).collect();
    (!tables.is_empty()).then(|| (sql.join(" UNION ALL "), tables))
}

/// The labels by key, or `None` if requests carry no key or the dataset has no rows in the window.
fn labels_by_key(served: &PredictionTable, window: &MonitoringWindow, files: &[DataFile], config: &Config) -> Option<(String, Vec<Table>)> {
    let features = &config.features;
    let in_window = |file: &&DataFile| file.until >= window.start && file.from < window.end;
    let mut files: Vec<&DataFile> = files.iter().filter(in_window).collect();
    files.sort_by_key(|file| (file.until, &file.digest));
    files.dedup_by_key(|file| &file.digest);
    if files.is_empty() || features.key.is_empty() || !features.key.iter().all(|k| served.columns.contains(k)) {
        return None;
    }
    let table = Table::parquet("files", files.iter().map(|file| &file.data));
    let on: Vec<String> = features.key.iter().map(|k| format!("p.{0} = f.{0}", quote_identifier(k))).collect();
    let sql = format!(
        "SELECT p.\"_id\" AS id, CAST(f.{label} AS VARCHAR) AS label, 1 AS place FROM served p JOIN ({truth}) f ON {on}",
        label = quote_identifier(&features.label),
        truth = labels_sql(config, window),
        on = on.join(" AND "),
    );
    Some((sql, vec![table]))
}

/// The features' SQL over the window's rows. If two data files have a row with the same key, the row of the later file is kept, as in
/// `featurize`.
fn labels_sql(config: &Config, window: &MonitoringWindow) -> String {
    let features = &config.features;
    let columns = config.dataset.contract.columns.iter();
    let content = columns
        .filter(|(_, column)| !column.optional)
        .map(|(name, _)| quote_identifier(name));
    let order: Vec<String> = std::iter::once("\"_file\" DESC".to_owned()).chain(content).collect();
    format!(
        "WITH {dataset} AS (SELECT * EXCLUDE (\"_file\") FROM files__numbered WHERE {time} >= {start} AND {time} < {end} \
         QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {order}) = 1) SELECT * FROM (\n{sql}\n)",
        order = order.join(", "),
        dataset = quote_identifier(&features.dataset),
        time = quote_identifier(&features.time),
        keys = quote_identifiers(&features.key),
        start = timestamp_literal(window.start),
        end = timestamp_literal(window.end),
        sql = features.sql.trim().trim_end_matches(';'),
    )
}
