//! Text as Parquet: read once for each content, however many queries ask for it.

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
        let bad = "SELECT line::BIGINT AS line, string_agg(error_message, '; ' ORDER BY byte_position, error_message) AS reason, \
                   any_value(csv_line) AS raw FROM reject_errors GROUP BY line ORDER BY line";
        let rejects = self.copy(&session, bad, &rejects, objects)?;
        Ok((rows, rejects))
    }

    /// The rows of JSON lines, typed over all files together.
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
        let sql = format!(
            "SELECT * FROM read_json([{}], format = 'newline_delimited', sample_size = -1, union_by_name = true, maximum_object_size = 67108864)",
            list(&paths(objects))
        );
        self.copy(&session, &sql, &name, objects)
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
