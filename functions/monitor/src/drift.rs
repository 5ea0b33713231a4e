//! Drift of the window's features against the version's training profile: DuckDB counts bins by block, and `tidemill_stats` decides. The
//! scores share the features' false-alarm rate, which is one rate for the window.

use std::collections::BTreeMap;

use tidemill_core::{
    Host, ObjectsExt, Result, Table,
    record::{ColumnDrift, ModelVersion, Profile},
    spec::Model,
};
use tidemill_stats::{BlockCounts, DriftSettings, detect_drift, profile::Bins};

use crate::{
    counts::{Counts, DISTINCT_PREDICTIONS, PredictionTable, count_bins, gather_counts, pair_counts},
    read, scores,
};

/// One entry per feature in signature order, then `_score` if earlier windows of the version give a reference.
pub(crate) fn measure(
    served: &PredictionTable,
    version: &ModelVersion,
    earlier: &[String],
    model: &Model,
    host: &dyn Host,
) -> Result<Vec<ColumnDrift>> {
    let features = count_features(served, version, model, host)?;
    let score = scores::count_scores(served, version, earlier, model, host)?;
    // Two families share the rate in proportion to their columns, because the scores have other blocks than the features.
    let rate = model.monitor.false_alarm_rate / (features.len() + score.len()).max(1) as f64;
    let mut drift = judge_columns(&features, rate * features.len() as f64, model, host);
    drift.extend(judge_columns(&score, rate * score.len() as f64, model, host));
    Ok(drift)
}

fn judge_columns(columns: &[(String, BlockCounts)], rate: f64, model: &Model, host: &dyn Host) -> Vec<ColumnDrift> {
    let settings = DriftSettings {
        method: model.monitor.method,
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
            method: settings.method.name().into(),
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
        .filter_map(|input| {
            profile
                .columns
                .get(&input.name)
                .map(|p| (input.name.clone(), Bins::from_profile(p)))
        })
        .collect();
    let blocks = match version.profile.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/blocks.parquet"),
        None => "blocks.parquet".to_owned(),
    };
    let reference = read_reference(&blocks, &columns, host)?;
    let current = count_bins(std::slice::from_ref(&served.table), DISTINCT_PREDICTIONS, &columns, model, host)?;
    Ok(pair_counts(columns, reference, current))
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
