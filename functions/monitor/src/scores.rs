//! Drift of the predictions. The training profile holds no scores, because a model is never again as confident as on its own training rows.
//! The reference is what the same version predicted in its earliest windows; until there are enough, `_score` is left out.

use tidemill_core::{
    Host, Result, Table,
    record::ModelVersion,
    spec::{ColumnType, Model},
};
use tidemill_stats::{BlockCounts, profile::Bins};

use crate::{
    counts::{DISTINCT_PREDICTIONS, PredictionTable, count_bins, pair_counts},
    read,
};

/// The counts of the `_score` column, or none if there is no reference. `earlier` are the segments of the version's earliest windows.
pub(crate) fn count_scores(
    served: &PredictionTable,
    version: &ModelVersion,
    earlier: &[String],
    model: &Model,
    host: &dyn Host,
) -> Result<Vec<(String, BlockCounts)>> {
    if earlier.is_empty() || !served.columns.iter().any(|c| c == "_score") {
        return Ok(Vec::new());
    }
    let reference = Table::parquet("predictions", earlier);
    let own = format!("(SELECT * FROM {} WHERE \"_version\" = {})", DISTINCT_PREDICTIONS, version.version);
    let edges = decile_edges(&reference, &own, host)?;
    let columns = vec![(
        "_score".to_owned(),
        Bins::Numbers {
            kind: ColumnType::Number,
            edges,
        },
    )];
    let old = count_bins(&[reference], &own, &columns, model, host)?;
    let new = count_bins(std::slice::from_ref(&served.table), &own, &columns, model, host)?;
    let mut column = pair_counts(columns, old, new);
    column.retain(|(_, c)| c.reference.len() >= tidemill_stats::MIN_BLOCKS && !c.current.is_empty());
    Ok(column)
}

/// The distinct inner deciles of the reference scores.
fn decile_edges(reference: &Table, own: &str, host: &dyn Host) -> Result<Vec<f64>> {
    let sql = format!(
        "SELECT unnest(quantile_disc(CAST(\"_score\" AS DOUBLE), [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])) AS edge \
         FROM {own} WHERE \"_score\" IS NOT NULL AND NOT isnan(\"_score\")"
    );
    let batches = read::query(host, &sql, std::slice::from_ref(reference))?;
    let mut edges: Vec<f64> = read::numbers(&batches, "edge")?.into_iter().flatten().collect();
    edges.dedup();
    Ok(edges)
}
