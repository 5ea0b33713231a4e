//! Conversion of text to Parquet: once per content, however many queries read it.
//!
//! No column is typed here: a type that is guessed from a file's values differs from file to file, and changes values that do not fit it.

use std::path::Path;

use tidemill_core::{Error, Result, sql::quote_string};

use super::{
    csv, error,
    instances::{Instances, path_list},
    job::SourceFile,
    quotes,
    session::{Session, Watchdog},
};

/// Greatest object of JSON lines, in bytes. DuckDB takes twice as much memory for each thread that reads.
const MAX_JSON_OBJECT: u64 = 64 << 20;

impl Instances {
    /// Writes the rows of a CSV, and its rejects, to Parquet files.
    pub(super) fn copy_csv(&self, source: &SourceFile, rows: &Path, rejects: &Path) -> Result<()> {
        let header = csv::read_header(source)?;
        quotes::check_quotes(source, header.delimiter)?;
        let session = self.session(true)?;
        let objects = std::slice::from_ref(source);
        let select = format!("SELECT * FROM {}", csv::read_csv_call(source, &header));
        self.copy_to_parquet(&session, &select, rows, objects)?;
        let bad = "SELECT line::BIGINT AS line, string_agg(error_message, '; ' ORDER BY byte_position, error_message) AS reason, \
                   any_value(csv_line) AS raw FROM reject_errors GROUP BY line ORDER BY line";
        self.copy_to_parquet(&session, bad, rejects, objects)
    }

    /// Writes the rows of JSON lines: the columns of all files together, as text, except lists and structs, which keep their types.
    pub(super) fn copy_json_lines(&self, sources: &[SourceFile], rows: &Path) -> Result<()> {
        let session = self.session(self.has_memory_for_each_thread(4 * MAX_JSON_OBJECT))?;
        let read = |how: &str| {
            let files = path_list(sources.iter().map(|source| source.path.as_path()));
            format!(
                "SELECT * FROM read_json([{files}], format = 'newline_delimited', maximum_object_size = {MAX_JSON_OBJECT}, \
                 hive_partitioning = false, {how})"
            )
        };
        let columns = self.json_columns(&session, sources, &read)?;
        let columns: Vec<String> = columns
            .iter()
            .map(|(name, kind)| format!("{}: {}", quote_string(name), quote_string(kind)))
            .collect();
        self.copy_to_parquet(&session, &read(&format!("columns = {{{}}}", columns.join(", "))), rows, sources)
    }

    /// Returns the objects' field names, each with the type to read it as.
    fn json_columns(&self, session: &Session, sources: &[SourceFile], read: &dyn Fn(&str) -> String) -> Result<Vec<(String, String)>> {
        // With a format that no value has, times stay text, also inside objects.
        let how = "sample_size = -1, union_by_name = true, map_inference_threshold = -1, dateformat = '%%', timestampformat = '%%'";
        let described = self.query_pairs(session, &format!("DESCRIBE {}", read(how)), sources)?;
        if let Some((name, _)) = described.iter().find(|(name, _)| is_invented(name, &described)) {
            let keys = format!(
                "SELECT DISTINCT unnest(json_keys(json)), '' FROM ({})",
                read("records = false, columns = {json: 'JSON'}")
            );
            if !self.query_pairs(session, &keys, sources)?.iter().any(|(key, _)| key == name) {
                let key = sources.first().map_or("an object", |source| &source.key);
                return Err(Error::input(format!(
                    "`{key}`: names of an object's values differ in capitals only, or one is empty, so that `{name}` would have to stand for it: \
                     rename it, and put the file under a new key"
                )));
            }
        }
        let is_nested = |kind: &str| kind.ends_with(']') || kind.starts_with("STRUCT") || kind.starts_with("MAP");
        let read_as = |(name, kind): (String, String)| match is_nested(&kind) {
            true => (name, kind),
            false => (name, "VARCHAR".to_owned()),
        };
        Ok(described.into_iter().map(read_as).collect())
    }

    fn query_pairs(&self, session: &Session, sql: &str, sources: &[SourceFile]) -> Result<Vec<(String, String)>> {
        let watch = Watchdog::start(session, self.timeout())?;
        let pairs = session.prepare(sql).and_then(|mut statement| {
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<duckdb::Result<Vec<(String, String)>>>()
        });
        watch.explain(pairs.map_err(|e| error::from_duckdb(&e, sources)))
    }

    fn copy_to_parquet(&self, session: &Session, sql: &str, to: &Path, sources: &[SourceFile]) -> Result<()> {
        let watch = Watchdog::start(session, self.timeout())?;
        let copied = session.execute_batch(&format!(
            "COPY ({sql}) TO {} (FORMAT parquet, COMPRESSION snappy, USE_TMP_FILE false)",
            quote_string(&to.to_string_lossy())
        ));
        watch.explain(copied.map_err(|e| error::from_duckdb(&e, sources)))
    }
}

/// Whether DuckDB may have invented the name: `A_1` beside `a`, or `C2` for a missing name.
fn is_invented(name: &str, all: &[(String, String)]) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_twin = name
        .rsplit_once('_')
        .is_some_and(|(base, number)| is_number(number) && all.iter().any(|(other, _)| other.to_lowercase() == base.to_lowercase()));
    is_twin || name.strip_prefix('C').is_some_and(is_number)
}
