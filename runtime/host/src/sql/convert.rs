//! Conversion of text to Parquet: once per content, however many queries read it.
//!
//! No column is typed here: a type that is guessed from a file's values differs from file to file, and changes values that do not fit it.

use std::sync::Arc;

use tidemill_core::{Error, Result, digest_json, sql::quote_string};

use super::{
    SqlEngine, Watchdog,
    cache::{CacheEntry, CachedFile},
    csv, error, path_list, paths, quotes, reader,
    session::Session,
};

impl SqlEngine {
    /// Returns the rows of a CSV, and its rejects.
    pub(super) fn convert_csv(&self, placed: &Arc<CachedFile>) -> Result<(Arc<CacheEntry>, Arc<CacheEntry>)> {
        let header = csv::read_header(placed)?;
        let name = |what: &str| format!("{}.csv.{what}.parquet", placed.digest);
        let (rows, rejects) = (name("rows"), name("rejects"));
        let cache = &self.inner.cache;
        if let (Some(rows), Some(rejects)) = (cache.get(&rows), cache.get(&rejects)) {
            return Ok((rows, rejects));
        }
        quotes::check_quotes(placed, header.delimiter)?;
        let session = self.session(true)?;
        let objects = std::slice::from_ref(placed);
        let rows = self.copy_to_parquet(
            &session,
            &format!("SELECT * FROM {}", csv::read_csv_call(placed, &header)),
            &rows,
            objects,
        )?;
        let bad = "SELECT line::BIGINT AS line, string_agg(error_message, '; ' ORDER BY byte_position, error_message) AS reason, \
                   any_value(csv_line) AS raw FROM reject_errors GROUP BY line ORDER BY line";
        let rejects = self.copy_to_parquet(&session, bad, &rejects, objects)?;
        Ok((rows, rejects))
    }

    /// Returns the rows of JSON lines: the columns of all files together, as text, except lists and structs, which keep their types.
    pub(super) fn convert_json_lines(&self, objects: &[Arc<CachedFile>]) -> Result<Arc<CacheEntry>> {
        if let Some(empty) = objects.iter().find(|placed| placed.size() == 0) {
            return Err(Error::input(format!(
                "`{}` is empty: JSON lines need at least one object",
                empty.key
            )));
        }
        let digests: Vec<&str> = objects.iter().map(|placed| placed.digest.as_str()).collect();
        let name = format!("{}.jsonl.rows.parquet", digest_json(&digests));
        if let Some(rows) = self.inner.cache.get(&name) {
            return Ok(rows);
        }
        let session = self.session(true)?;
        let read = |how: &str| {
            let files = path_list(&paths(objects));
            format!("SELECT * FROM read_json([{files}], format = 'newline_delimited', maximum_object_size = 67108864, {how})")
        };
        let columns = self.json_columns(&session, objects, &read)?;
        let columns: Vec<String> = columns
            .iter()
            .map(|(name, kind)| format!("{}: {}", quote_string(name), quote_string(kind)))
            .collect();
        self.copy_to_parquet(&session, &read(&format!("columns = {{{}}}", columns.join(", "))), &name, objects)
    }

    /// Returns the objects' field names, each with the type to read it as.
    fn json_columns(&self, session: &Session, objects: &[Arc<CachedFile>], read: &dyn Fn(&str) -> String) -> Result<Vec<(String, String)>> {
        // With a format that no value has, times stay text, also inside objects.
        let how = "sample_size = -1, union_by_name = true, map_inference_threshold = -1, dateformat = '%%', timestampformat = '%%'";
        let described = self.query_pairs(session, &format!("DESCRIBE {}", read(how)), objects)?;
        if let Some((name, _)) = described.iter().find(|(name, _)| is_invented(name, &described)) {
            let keys = format!(
                "SELECT DISTINCT unnest(json_keys(json)), '' FROM ({})",
                read("records = false, columns = {json: 'JSON'}")
            );
            if !self.query_pairs(session, &keys, objects)?.iter().any(|(key, _)| key == name) {
                let key = objects.first().map_or("an object", |placed| &placed.key);
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

    fn query_pairs(&self, session: &Session, sql: &str, objects: &[Arc<CachedFile>]) -> Result<Vec<(String, String)>> {
        let watch = Watchdog::start(session, self.inner.timeout)?;
        let pairs = session.prepare(sql).and_then(|mut statement| {
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<duckdb::Result<Vec<(String, String)>>>()
        });
        match pairs {
            Err(_) if watch.has_fired() => Err(reader::timeout_error(self.inner.timeout)),
            other => other.map_err(|e| error::from_duckdb(&e, objects)),
        }
    }

    /// Writes rows to a file of the cache, completely or not at all.
    fn copy_to_parquet(&self, session: &Session, sql: &str, name: &str, objects: &[Arc<CachedFile>]) -> Result<Arc<CacheEntry>> {
        let cache = &self.inner.cache;
        let key = objects.first().map_or("", |placed| &placed.key);
        let temporary = cache.create_temporary().map_err(|e| cache.io_error(key, &e))?;
        let watch = Watchdog::start(session, self.inner.timeout)?;
        let copied = session.execute_batch(&format!(
            "COPY ({sql}) TO {} (FORMAT parquet, COMPRESSION snappy, USE_TMP_FILE false)",
            quote_string(&temporary.path().to_string_lossy())
        ));
        match copied {
            Err(_) if watch.has_fired() => return Err(reader::timeout_error(self.inner.timeout)),
            other => other.map_err(|e| error::from_duckdb(&e, objects))?,
        }
        objects.iter().try_for_each(|placed| placed.verify())?;
        cache.insert_derived(key, temporary, name)
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
