//! Writes a feature set: the transform, the profile with its counts by block, and a table for each slice.

use tidemill_core::{
    ColumnValues, Digest, Host, ObjectsExt, Result, Trigger, layout,
    record::FeatureSet,
    sql::{quote_identifier, quote_identifiers},
};
use tidemill_ml::{Columns, Transform, model::encode_labels};

use crate::{
    Config, blocks,
    slices::{Slice, SlicedRows, time_blocks},
    source::FeatureSource,
};

/// Writes the files of a run, into the run's folder.
pub(crate) struct FeatureWriter<'a> {
    pub(crate) config: &'a Config,
    pub(crate) host: &'a dyn Host,
}

impl FeatureWriter<'_> {
    /// Fits the transform on the train slice and writes everything.
    pub(crate) fn write(&self, trigger: &Trigger, source: &FeatureSource, table: SlicedRows) -> Result<FeatureSet> {
        let transform_digest = self.write_transform(&table)?;
        self.write_profile(&table)?;
        let [train_rows, validation_rows, holdout_rows] = self.write_slices(source, &table)?;
        Ok(FeatureSet {
            request: trigger.key.clone(),
            train: self.slice_key(Slice::Train),
            validation: self.slice_key(Slice::Validation),
            holdout: self.slice_key(Slice::Holdout),
            train_rows,
            validation_rows,
            holdout_rows,
            transform: self.key(layout::TRANSFORM),
            transform_digest,
            profile: self.key("profile.json"),
            signature: table.rows.signature,
            label: self.config.features.label.clone(),
            classes: table.classes,
        })
    }

    fn key(&self, name: &str) -> String {
        layout::feature_file(&self.config.model.name, &self.host.context().run_key, name)
    }

    fn slice_key(&self, slice: Slice) -> String {
        self.key(&format!("{}.parquet", slice.name()))
    }

    fn write_transform(&self, table: &SlicedRows) -> Result<Digest> {
        self.host.report_progress(0.3, "fitting the transform");
        let is_trained = |row: &usize| table.slices[*row] == Slice::Train;
        let train: Vec<usize> = (0..table.slices.len()).filter(is_trained).collect();
        let columns = select_rows(&table.rows.columns, &train)?;
        let features = &self.config.features;
        let label = encode_labels(columns.require(&features.label)?, &table.classes)?;
        let (signature, kind) = (table.rows.signature.clone(), self.config.model.trainer.kind);
        let transform = Transform::fit(signature, &features.transform, kind, &columns, &label)?;
        self.host
            .objects()
            .create_immutable(&self.key(layout::TRANSFORM), &transform.to_json()?)
    }

    fn write_profile(&self, table: &SlicedRows) -> Result<()> {
        self.host.report_progress(0.5, "profiling the features");
        let rows = &table.rows;
        let profile = blocks::profile_features(&rows.columns, &rows.signature);
        self.host.objects().create_json(&self.key("profile.json"), &profile)?;
        let blocks = time_blocks(&rows.times, self.config.model.monitor.block);
        let sql = blocks::blocks_sql(&rows.columns, &rows.times, &blocks, &profile);
        self.host.sql().export(&sql, &[], &self.key("blocks.parquet"))?;
        Ok(())
    }

    /// Writes the three tables and returns their numbers of rows.
    fn write_slices(&self, source: &FeatureSource, table: &SlicedRows) -> Result<[u64; 3]> {
        let mut rows = [0; 3];
        for (index, slice) in Slice::ALL.into_iter().enumerate() {
            self.host
                .report_progress(0.7 + 0.1 * index as f64, &format!("writing {}", slice.name()));
            let sql = self.slice_sql(&source.with, table, slice);
            rows[index] = self.host.sql().export(&sql, &source.tables, &self.slice_key(slice))?.rows;
        }
        Ok(rows)
    }

    fn slice_sql(&self, with: &str, table: &SlicedRows, slice: Slice) -> String {
        let features = &self.config.features;
        let spans = table.spans.iter().filter(|(.., s)| *s == slice);
        let spans: Vec<String> = spans.map(|(start, end, _)| format!("({start}, {end})")).collect();
        // A slice without spans is an empty table, not an SQL error.
        let values = match spans.is_empty() {
            true => "(0::BIGINT, 0::BIGINT)".to_owned(),
            false => spans.join(", "),
        };
        let (time, key) = (quote_identifier(&features.time), quote_identifiers(&features.key));
        let names = quote_identifiers(table.rows.columns.iter().map(|(name, _)| name));
        format!(
            "{with}, _spans(_start, _end) AS (VALUES {values})\nSELECT {names} FROM _features JOIN _spans ON epoch_us({time}) >= _start AND \
             epoch_us({time}) < _end ORDER BY {time}, {key}, {names}"
        )
    }
}

/// Selects rows of all columns.
fn select_rows(columns: &Columns, rows: &[usize]) -> Result<Columns> {
    fn pick<T: Clone>(values: &[T], rows: &[usize]) -> Vec<T> {
        rows.iter().map(|row| values[*row].clone()).collect()
    }
    let mut selected = Columns::new();
    for (name, values) in columns.iter() {
        let values = match values {
            ColumnValues::Number(v) => ColumnValues::Number(pick(v, rows)),
            ColumnValues::Integer(v) => ColumnValues::Integer(pick(v, rows)),
            ColumnValues::Text(v) => ColumnValues::Text(pick(v, rows)),
            ColumnValues::Boolean(v) => ColumnValues::Boolean(pick(v, rows)),
            ColumnValues::Timestamp(v) => ColumnValues::Timestamp(pick(v, rows)),
        };
        selected.push(name, values)?;
    }
    Ok(selected)
}
