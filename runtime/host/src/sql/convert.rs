//! Text as Parquet: read once for each content, however many queries ask for it. What stands in the text is not interpreted: a type that
//! is guessed from a file's values differs from file to file, and mends nothing that it changed.

use std::sync::Arc;

use tidemill_core::{Error, Result, digest_json};

use super::{
    SqlEngine, Watch,
    cache::{Kept, Placed},
    csv, fault, list, paths, reader,
    session::Session,
};

impl SqlEngine {
    /// The rows of a CSV, and its rejects.
    pub(super) fn csv(&self, placed: &Arc<Placed>) -> Result<(Arc<Kept>, Arc<Kept>)> {
        let header = csv::header(placed)?;
        let name = |what: &str| format!("{}.csv.{what}.parquet", placed.digest);
        let (rows, rejects) = (name("rows"), name("rejects"));
        let cache = &self.inner.cache;
        if let (Some(rows), Some(rejects)) = (cache.kept(&rows), cache.kept(&rejects)) {
            return Ok((rows, rejects));
        }
        let session = Session::of(&self.inner.parallel, &self.inner.cache)?;
        let objects = std::slice::from_ref(placed);
        let rows = self.copy(&session, &format!("SELECT * FROM {}", csv::reader(placed, &header)), &rows, objects)?;
        let bad = csv::rejects(&session, placed)?;
        let rejects = self.copy(&session, &bad, &rejects, objects)?;
        Ok((rows, rejects))
    }

    /// The rows of JSON lines: the columns of all files together, as text, but lists and structs as what they are.
    pub(super) fn json_lines(&self, objects: &[Arc<Placed>]) -> Result<Arc<Kept>> {
        if let Some(empty) = objects.iter().find(|placed| placed.size() == 0) {
            return Err(Error::input(format!(
                "`{}` is empty: JSON lines need at least one object",
                empty.key
            )));
        }
        let digests: Vec<&str> = objects.iter().map(|placed| placed.digest.as_str()).collect();
        let name = format!("{}.jsonl.rows.parquet", digest_json(&digests));
        if let Some(rows) = self.inner.cache.kept(&name) {
            return Ok(rows);
        }
        let session = Session::of(&self.inner.parallel, &self.inner.cache)?;
        let read = |how: &str| {
            let files = list(&paths(objects));
            format!("SELECT * FROM read_json([{files}], format = 'newline_delimited', maximum_object_size = 67108864, {how})")
        };
        let columns = self.json_columns(&session, &read("sample_size = -1, union_by_name = true"), objects)?;
        let columns: Vec<String> = columns
            .iter()
            .map(|(name, kind)| format!("{}: {}", csv::text(name), csv::text(kind)))
            .collect();
        self.copy(&session, &read(&format!("columns = {{{}}}", columns.join(", "))), &name, objects)
    }

    /// The names that objects have, each with the type to read it as.
    fn json_columns(&self, session: &Session, sql: &str, objects: &[Arc<Placed>]) -> Result<Vec<(String, String)>> {
        let watch = Watch::start(session, self.inner.timeout)?;
        let described = session.prepare(&format!("DESCRIBE {sql}")).and_then(|mut statement| {
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<duckdb::Result<Vec<(String, String)>>>()
        });
        let described = match described {
            Err(_) if watch.has_fired() => return Err(reader::timed_out(self.inner.timeout)),
            other => other.map_err(|e| fault::of_duckdb(&e, objects))?,
        };
        let is_nested = |kind: &str| kind.ends_with(']') || kind.starts_with("STRUCT") || kind.starts_with("MAP");
        let read_as = |(name, kind): (String, String)| match is_nested(&kind) {
            true => (name, kind),
            false => (name, "VARCHAR".to_owned()),
        };
        Ok(described.into_iter().map(read_as).collect())
    }

    /// Writes rows to a file of the cache, which is there whole or not at all.
    fn copy(&self, session: &Session, sql: &str, name: &str, objects: &[Arc<Placed>]) -> Result<Arc<Kept>> {
        let cache = &self.inner.cache;
        let key = objects.first().map_or("", |placed| &placed.key);
        let temporary = cache.temporary().map_err(|e| cache.failed(key, &e))?;
        let watch = Watch::start(session, self.inner.timeout)?;
        let copied = session.execute_batch(&format!(
            "COPY ({sql}) TO {} (FORMAT parquet, COMPRESSION snappy, USE_TMP_FILE false)",
            csv::text(&temporary.path().to_string_lossy())
        ));
        match copied {
            Err(_) if watch.has_fired() => return Err(reader::timed_out(self.inner.timeout)),
            other => other.map_err(|e| fault::of_duckdb(&e, objects))?,
        }
        objects.iter().try_for_each(|placed| placed.verify())?;
        cache.made(key, temporary, name)
    }
}
