//! A running query: its own thread produces Arrow IPC streams, a few ahead of the reader.
//!
//! The reading side enforces the time limit by interrupting the query; dropping the reader ends the thread.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use arrow_array::{RecordBatch, StructArray};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::SchemaRef;
use duckdb::Connection;
use tidemill_core::{Error, Result};

use super::{
    cache::CachedFile,
    error,
    session::{Interrupt, Session},
};

/// A stream is closed once its batches take this much memory; 64 MiB is the most that one call can carry.
const STREAM_SIZE: usize = 16 << 20;
const MAX_STREAM_SIZE: usize = 64 << 20;

/// A query result: Arrow IPC streams, in order. It owns its data, so it can be kept beside its host.
pub struct SqlReader {
    receiver: Receiver<Result<Vec<u8>>>,
    first: Option<Result<Vec<u8>>>,
    interrupt: Interrupt,
    deadline: Instant,
    timeout: Duration,
    is_done: bool,
}

impl std::fmt::Debug for SqlReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlReader").field("is_done", &self.is_done).finish_non_exhaustive()
    }
}

impl SqlReader {
    /// Starts the query. Errors at the start of the query are returned here, not by the first [`next`](Iterator::next).
    pub(super) fn start(session: Session, sql: String, placed: Vec<Arc<CachedFile>>, deadline: Instant, timeout: Duration) -> Result<Self> {
        let interrupt = session.interrupt();
        let (sender, receiver) = sync_channel(2);
        std::thread::Builder::new()
            .name("sql".into())
            .spawn(move || {
                if let Err(error) = stream_query(&session, &sql, &placed, &sender) {
                    let _ = sender.send(Err(error));
                }
            })
            .map_err(|e| Error::transient(format!("no thread could be started for a query: {e}")))?;
        let mut reader = Self {
            receiver,
            first: None,
            interrupt,
            deadline,
            timeout,
            is_done: false,
        };
        match reader.next() {
            Some(Err(error)) => Err(error),
            first => {
                reader.first = first;
                reader.is_done = false;
                Ok(reader)
            }
        }
    }
}

impl Iterator for SqlReader {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.first.is_some() {
            return self.first.take();
        }
        if self.is_done {
            return None;
        }
        let item = match self.receiver.recv_timeout(self.deadline.saturating_duration_since(Instant::now())) {
            Ok(item) => Some(item),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                self.interrupt.fire();
                Some(Err(timeout_error(self.timeout)))
            }
        };
        self.is_done = !matches!(item, Some(Ok(_)));
        item
    }
}

impl Drop for SqlReader {
    fn drop(&mut self) {
        self.interrupt.fire();
    }
}

pub(super) fn timeout_error(timeout: Duration) -> Error {
    Error::timeout(format!(
        "a query took longer than its {} seconds; raise the timeout of the stage, or read less at a time",
        timeout.as_secs_f64()
    ))
}

fn stream_query(connection: &Connection, sql: &str, placed: &[Arc<CachedFile>], sender: &SyncSender<Result<Vec<u8>>>) -> Result<()> {
    let mut batches: Vec<RecordBatch> = Vec::new();
    let mut size = 0;
    let mut is_sent = false;
    let schema = run(connection, sql, placed, |schema, batch| {
        size += batch.get_array_memory_size();
        batches.push(batch);
        if size < STREAM_SIZE {
            return Ok(true);
        }
        size = 0;
        is_sent = true;
        send(schema, std::mem::take(&mut batches), sender)
    })?;
    if !batches.is_empty() || !is_sent {
        send(&schema, batches, sender)?;
    }
    Ok(())
}

/// Runs a query and passes each batch to `take` until it returns false.
pub(super) fn run(
    connection: &Connection,
    sql: &str,
    placed: &[Arc<CachedFile>],
    mut take: impl FnMut(&SchemaRef, RecordBatch) -> Result<bool>,
) -> Result<SchemaRef> {
    let failed = |e: duckdb::Error| error::from_duckdb(&e, placed);
    let mut statement = connection.prepare(sql).map_err(failed)?;
    let schema = statement.stream_arrow([]).map_err(failed)?.get_schema();
    while let Some(rows) = statement.step().map_err(failed)? {
        if !take(&schema, batch(&schema, &rows)?)? {
            break;
        }
    }
    placed.iter().try_for_each(|placed| placed.verify())?;
    Ok(schema)
}

/// DuckDB does not distinguish nullable columns from others; neither does the schema.
fn batch(schema: &SchemaRef, rows: &StructArray) -> Result<RecordBatch> {
    RecordBatch::try_new(Arc::clone(schema), rows.columns().to_vec())
        .map_err(|e| Error::bug(format!("DuckDB's rows do not fit their schema: {e}")))
}

fn send(schema: &SchemaRef, batches: Vec<RecordBatch>, sender: &SyncSender<Result<Vec<u8>>>) -> Result<bool> {
    let whole =
        arrow_select::concat::concat_batches(schema, &batches).map_err(|e| Error::bug(format!("a result cannot be joined: {e}")))?;
    drop(batches);
    send_parts(&whole, sender)
}

/// Sends rows, halved while they are too large for one call.
fn send_parts(rows: &RecordBatch, sender: &SyncSender<Result<Vec<u8>>>) -> Result<bool> {
    let stream = encode(rows)?;
    if stream.len() <= MAX_STREAM_SIZE {
        return Ok(sender.send(Ok(stream)).is_ok());
    }
    if rows.num_rows() < 2 {
        return Err(Error::limit(format!(
            "one row of a query's result has {} bytes, at most {MAX_STREAM_SIZE} are allowed; select less of it",
            stream.len()
        )));
    }
    let half = rows.num_rows() / 2;
    Ok(send_parts(&rows.slice(0, half), sender)? && send_parts(&rows.slice(half, rows.num_rows() - half), sender)?)
}

fn encode(rows: &RecordBatch) -> Result<Vec<u8>> {
    let failed = |e: arrow_schema::ArrowError| Error::bug(format!("a result cannot be written as Arrow: {e}"));
    let mut writer = StreamWriter::try_new(Vec::new(), &rows.schema()).map_err(failed)?;
    writer.write(rows).map_err(failed)?;
    writer.into_inner().map_err(failed)
}
