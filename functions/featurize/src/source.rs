//! The common table expressions over the dataset's files: `<dataset>` is the files merged by key, and `_features` is the rows of the user's
//! SELECT that have a label and a time.
//!
//! If two data files have a row with the same key, the row of the later file is kept: by greatest event time, then by digest. If one file
//! has two rows with the same key, both are kept, in a total order. Rows without a key are left out.

use jiff::Timestamp;
use tidemill_core::{
    Error, Result, Table,
    record::DataFile,
    sql::{quote_identifier, quote_identifiers, timestamp_literal},
};

use crate::Config;

/// The table of all data files; in `_files__numbered` each row has the place of its file.
const FILES: &str = "_files";

/// The SQL that every query of the stage starts with, and the tables that it reads.
pub(crate) struct FeatureSource {
    pub(crate) with: String,
    pub(crate) tables: Vec<Table>,
}

/// The rows of these files that are older than `as_of`.
pub(crate) fn build_source(files: &[DataFile], as_of: Timestamp, config: &Config) -> Result<FeatureSource> {
    let dataset = &config.dataset;
    if let Some(file) = files.iter().find(|file| file.dataset != dataset.name) {
        let (found, wanted) = (&file.dataset, &dataset.name);
        return Err(Error::input(format!(
            "the request names a data file of `{found}`, and the features are made from `{wanted}`"
        )));
    }
    let (key, time) = (quote_identifiers(&dataset.key), quote_identifier(&dataset.time));
    let (name, as_of) = (quote_identifier(&dataset.name), timestamp_literal(as_of));
    let (event, label) = (quote_identifier(&config.features.time), quote_identifier(&config.features.label));
    let select = config.features.sql.trim().trim_end_matches(';');
    let with = format!(
        "WITH _latest AS (\n    SELECT {key}, max(_file) AS _file FROM {FILES}__numbered GROUP BY {key}\n), \
         {name} AS (\n    SELECT _all.* EXCLUDE (_file) FROM {FILES}__numbered AS _all JOIN _latest USING ({key}, _file) WHERE {time} < {as_of}\n), \
         _selected AS (\n{select}\n), \
         _features AS (\n    SELECT * FROM _selected WHERE {event} IS NOT NULL AND {label} IS NOT NULL\n)\n"
    );
    let tables = vec![file_table(files)];
    Ok(FeatureSource { with, tables })
}

/// All distinct data files, the latest last.
fn file_table(files: &[DataFile]) -> Table {
    let mut files: Vec<&DataFile> = files.iter().collect();
    files.sort_by(|a, b| (a.until, &a.digest).cmp(&(b.until, &b.digest)));
    files.dedup_by(|a, b| a.digest == b.digest);
    Table::parquet(FILES, files.iter().map(|file| file.data.as_str()))
}
