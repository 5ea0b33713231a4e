//! What a window's Parquet segments hold together, however their rows were cut into files: each id counts once.

use std::collections::BTreeMap;

use arrow_array::{Array, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};
use tidemill_core::{Error, Hasher, Result, layout, record::WindowSummary};
use tidemill_store::Store;

/// Segments read concurrently: where each request wrote one, a window has thousands.
const CONCURRENCY: usize = 16;

/// By id: when it was first served, by which version, with which score.
type Seen = BTreeMap<String, (i64, u32, u64)>;

/// Reads all segments of the window that starts at `start`. Rows that are not sealed yet are not counted.
///
/// # Errors
/// `Input` if an object in the window's folder is not a segment.
pub async fn summarize_window(store: &Store, model: &str, start: Timestamp) -> Result<WindowSummary> {
    let listed = store.list_all(&layout::segment_prefix(model, start)).await?;
    let mut segments: Vec<String> = listed.into_iter().map(|meta| meta.key).collect();
    segments.retain(|key| key.ends_with(".parquet"));
    let mut seen = Seen::new();
    let each = segments.clone().into_iter().map(|key| async move {
        let bytes = store.get(&key).await;
        (key, bytes)
    });
    let mut read = stream::iter(each).buffered(CONCURRENCY);
    while let Some((key, bytes)) = read.next().await {
        let bytes = bytes?;
        let broken = |e: &dyn std::fmt::Display| Error::input(format!("`{key}` is not a segment of the prediction log: {e}"));
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| broken(&e))?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), ["_id", "_served_at", "_version", "_score"]);
        for batch in builder.with_projection(mask).build().map_err(|e| broken(&e))? {
            let batch = batch.map_err(|e| broken(&e))?;
            collect_ids(&batch, &mut seen).ok_or_else(|| broken(&"it lacks `_id`, `_served_at` or `_version`"))?;
        }
    }
    Ok(summarize(segments, &seen))
}

fn collect_ids(batch: &RecordBatch, seen: &mut Seen) -> Option<()> {
    let ids = batch.column_by_name("_id")?.as_any().downcast_ref::<StringArray>()?;
    let times = batch
        .column_by_name("_served_at")?
        .as_any()
        .downcast_ref::<TimestampMicrosecondArray>()?;
    let versions = batch.column_by_name("_version")?.as_any().downcast_ref::<Int64Array>()?;
    let scores = batch
        .column_by_name("_score")
        .and_then(|column| column.as_any().downcast_ref::<Float64Array>());
    for row in 0..batch.num_rows() {
        let score = scores.filter(|s| s.is_valid(row)).map_or(f64::NAN, |s| s.value(row)).to_bits();
        let one = (times.value(row), u32::try_from(versions.value(row)).ok()?, score);
        let first = seen.entry(ids.value(row).to_owned()).or_insert(one);
        *first = one.min(*first);
    }
    Some(())
}

fn summarize(segments: Vec<String>, seen: &Seen) -> WindowSummary {
    let mut versions = BTreeMap::new();
    let mut hash = Hasher::default();
    for (id, (_, version, score)) in seen {
        *versions.entry(*version).or_default() += 1;
        hash.update(&(id.len() as u64).to_le_bytes());
        hash.update(id.as_bytes());
        hash.update(&version.to_le_bytes());
        hash.update(&score.to_le_bytes());
    }
    WindowSummary {
        segments,
        predictions: seen.len() as u64,
        versions,
        digest: hash.finish(),
    }
}
