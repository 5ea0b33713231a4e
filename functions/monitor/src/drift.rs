//! Features of the window against the version's training profile: DuckDB counts bins by block, `tidemill_stats` judges. The scores
//! join the features' family of tests, so that the false-alarm rate is one for the window.

use std::collections::BTreeMap;

use tidemill_core::{
    Host, ObjectsExt, Result, Table,
    record::{ColumnDrift, ModelVersion, Profile},
    spec::{DriftMethod, Model},
};
use tidemill_stats::{BlockCounts, Distance, DriftSettings, detect_drift};

use crate::{bins, bins::Bins, read, scores};

/// Counts by column, then block, then bin.
pub(crate) type Counts = Vec<BTreeMap<i64, Vec<u64>>>;

/// The log's table, its columns, and the rows that count: each prediction once.
pub(crate) struct PredictionTable {
    pub(crate) table: Table,
    pub(crate) columns: Vec<String>,
}

/// `SELECT … FROM` this: each prediction once, whatever the files hold twice.
pub(crate) const DISTINCT_PREDICTIONS: &str = "(SELECT DISTINCT ON (\"_id\") * FROM predictions ORDER BY \"_id\", \"_served_at\")";

/// One entry a feature in signature order, then `_score` where earlier windows of the version give a reference.
pub(crate) fn measure(
    served: &PredictionTable,
    version: &ModelVersion,
    earlier: &[String],
    model: &Model,
    host: &dyn Host,
) -> Result<Vec<ColumnDrift>> {
    let features = count_features(served, version, model, host)?;
    let score = scores::count_scores(served, version, earlier, model, host)?;
    // Two families that split the rate by their columns: the scores have other blocks than the features.
    let rate = model.monitor.false_alarm_rate / (features.len() + score.len()).max(1) as f64;
    let mut drift = judge_columns(&features, rate * features.len() as f64, model, host);
    drift.extend(judge_columns(&score, rate * score.len() as f64, model, host));
    Ok(drift)
}

fn judge_columns(columns: &[(String, BlockCounts)], rate: f64, model: &Model, host: &dyn Host) -> Vec<ColumnDrift> {
    let (distance, method) = match model.monitor.method {
        DriftMethod::JensenShannon => (Distance::JensenShannon, "jensen-shannon"),
        DriftMethod::Psi => (Distance::Psi, "psi"),
        DriftMethod::LInfinity => (Distance::LInfinity, "l-infinity"),
    };
    let settings = DriftSettings {
        distance,
        false_alarm_rate: rate,
        minimum_effect: model.monitor.minimum_effect,
        seed: host.context().seed,
    };
    let (names, counts): (Vec<&String>, Vec<BlockCounts>) = columns.iter().map(|(name, column)| (name, column.clone())).unzip();
    names
        .into_iter()
        .zip(detect_drift(&counts, &settings))
        .zip(&counts)
        .map(|((column, verdict), counts)| ColumnDrift {
            column: column.clone(),
            method: method.into(),
            statistic: verdict.statistic,
            threshold: verdict.threshold,
            p_value: verdict.p_value,
            drifted: verdict.drifted,
            blocks: counts.current.len() as u64,
        })
        .collect()
}

fn count_features(served: &PredictionTable, version: &ModelVersion, model: &Model, host: &dyn Host) -> Result<Vec<(String, BlockCounts)>> {
    let profile: Profile = host.objects().get_json(&version.profile)?;
    let columns: Vec<(String, Bins)> = version
        .signature
        .inputs
        .iter()
        .filter(|input| served.columns.contains(&input.name))
        .filter_map(|input| profile.columns.get(&input.name).map(|p| (input.name.clone(), Bins::of(p))))
        .collect();
    let blocks = match version.profile.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/blocks.parquet"),
        None => "blocks.parquet".to_owned(),
    };
    let reference = read_reference(&blocks, &columns, host)?;
    let current = count_bins(std::slice::from_ref(&served.table), DISTINCT_PREDICTIONS, &columns, model, host)?;
    Ok(pair_counts(columns, reference, current))
}

/// Both sides by column; every column has all blocks of its side, in the same order.
pub(crate) fn pair_counts(columns: Vec<(String, Bins)>, reference: Counts, current: Counts) -> Vec<(String, BlockCounts)> {
    let side = |counts: Counts| {
        let all: std::collections::BTreeSet<i64> = counts.iter().flat_map(|c| c.keys().copied()).collect();
        let whole = |mut of: BTreeMap<i64, Vec<u64>>, bins: &Bins| -> Vec<Vec<u64>> {
            all.iter()
                .map(|block| of.remove(block).unwrap_or_else(|| vec![0; bins.count()]))
                .collect()
        };
        let bins = columns.iter().map(|(_, bins)| bins);
        counts.into_iter().zip(bins).map(|(of, bins)| whole(of, bins)).collect::<Vec<_>>()
    };
    let (reference, current) = (side(reference), side(current));
    let ordered: Vec<bool> = columns.iter().map(|(_, bins)| bins.ordered()).collect();
    let names = columns.into_iter().map(|(name, _)| name);
    names
        .zip(ordered)
        .zip(reference.into_iter().zip(current))
        .map(|((name, ordered), (reference, current))| {
            (
                name,
                BlockCounts {
                    ordered,
                    reference,
                    current,
                },
            )
        })
        .collect()
}

fn read_reference(key: &str, columns: &[(String, Bins)], host: &dyn Host) -> Result<Counts> {
    let sql = "SELECT epoch_us(\"block\") AS block, CAST(\"column\" AS VARCHAR) AS feature, CAST(\"bin\" AS BIGINT) AS bin, \
               CAST(sum(\"count\") AS BIGINT) AS count FROM blocks GROUP BY ALL ORDER BY ALL";
    let batches = read::query(host, sql, &[Table::parquet("blocks", [key])])?;
    let features = read::texts(&batches, "feature")?;
    let place: BTreeMap<&str, i64> = (0..).zip(columns).map(|(i, (name, _))| (name.as_str(), i)).collect();
    let index: Vec<Option<i64>> = features.iter().map(|f| f.as_deref().and_then(|f| place.get(f).copied())).collect();
    gather_counts(&index, &batches, columns)
}

/// Counts of bins by block, in one pass over the rows of `from`, which must have `_time`.
pub(crate) fn count_bins(tables: &[Table], from: &str, columns: &[(String, Bins)], model: &Model, host: &dyn Host) -> Result<Counts> {
    if columns.is_empty() {
        return Ok(Counts::new());
    }
    let list = |items: Vec<String>| items.join(", ");
    let binned = list(columns.iter().map(|(name, bins)| bins.sql(name)).collect());
    let indices = list((0..columns.len()).map(|i| i.to_string()).collect());
    let sql = format!(
        "SELECT block, CAST(feature AS BIGINT) AS feature, CAST(bin AS BIGINT) AS bin, count(*) AS count FROM (\
         SELECT CAST({} AS BIGINT) AS block, unnest([{indices}]) AS feature, unnest([{binned}]) AS bin FROM {from} WHERE \"_time\" IS NOT NULL\
         ) GROUP BY ALL ORDER BY ALL",
        bins::block_sql(model.monitor.block)?
    );
    let batches = read::query(host, &sql, tables)?;
    let index = read::integers(&batches, "feature")?;
    gather_counts(&index, &batches, columns)
}

fn gather_counts(index: &[Option<i64>], batches: &[arrow_array::RecordBatch], columns: &[(String, Bins)]) -> Result<Counts> {
    let blocks = read::integers(batches, "block")?;
    let (bins, counts) = (read::integers(batches, "bin")?, read::integers(batches, "count")?);
    let mut gathered: Counts = vec![BTreeMap::new(); columns.len()];
    for (((index, block), bin), count) in index.iter().zip(blocks).zip(bins).zip(counts) {
        let (Some(index), Some(block), Some(count)) = (index.and_then(|i| usize::try_from(i).ok()), block, count) else {
            continue;
        };
        let bins = &columns[index].1;
        if let Some(place) = bin.and_then(|bin| bins.place(bin)) {
            gathered[index].entry(block).or_insert_with(|| vec![0; bins.count()])[place] += count.unsigned_abs();
        }
    }
    Ok(gathered)
}
