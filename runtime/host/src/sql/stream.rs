//! A running query: its own thread produces Arrow IPC streams, a few ahead of the reader.
//!
//! The reading side enforces the time limit by interrupting the query; dropping the reader ends the thread.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
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
    error::{self, timeout_error},
    instances::STACK_SIZE,
    job::{QueryJob, SourceFile},
    session::{Interrupt, Session},
};

/// A stream is closed once its batches take this much memory; 64 MiB is the most that one call can carry.
const STREAM_SIZE: usize = 16 << 20;
const MAX_STREAM_SIZE: usize = 64 << 20;

/// A query's result: Arrow IPC streams, in order.
pub(super) struct QueryStream {
    receiver: Receiver<Result<Vec<u8>>>,
    first: Option<Result<Vec<u8>>>,
    interrupt: Interrupt,
    deadline: Instant,
    timeout: Duration,
    is_done: bool,
}

impl QueryStream {
    /// Starts the query. Errors at the start of the query are returned here, not by the first [`next`](Iterator::next).
    pub(super) fn start(session: Session, job: QueryJob, deadline: Instant, timeout: Duration) -> Result<Self> {
        let interrupt = session.interrupt();
        let (sender, receiver) = sync_channel(2);
        std::thread::Builder::new()
            .name("sql".into())
            .stack_size(STACK_SIZE)
            .spawn(move || {
                // Without a word from here, rows that are missing would look like the end.
                let streamed = catch_unwind(AssertUnwindSafe(|| stream_query(&session, &job, &sender)));
                if let Err(error) = streamed.unwrap_or_else(|_| Err(Error::bug("the thread of a query ended without a result"))) {
                    let _ = sender.send(Err(error));
                }
            })
            .map_err(|e| Error::transient(format!("no thread could be started for a query: {e}")))?;
        let mut stream = Self {
            receiver,
            first: None,
            interrupt,
            deadline,
            timeout,
            is_done: false,
        };
        match stream.next() {
            Some(Err(error)) => Err(error),
            first => {
                stream.first = first;
                stream.is_done = false;
                Ok(stream)
            }
        }
    }
}

impl QueryStream {
    /// Interrupts the query; whether it has ended, at most `time` later.
    pub(super) fn close(self, time: Duration) -> bool {
        self.interrupt.fire();
        let deadline = Instant::now() + time;
        // Rows that are ready are in the way of the end.
        loop {
            match self.receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(end) => return end == RecvTimeoutError::Disconnected,
            }
        }
    }
}

impl Iterator for QueryStream {
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

impl Drop for QueryStream {
    fn drop(&mut self) {
        self.interrupt.fire();
    }
}

fn stream_query(connection: &Connection, job: &QueryJob, sender: &SyncSender<Result<Vec<u8>>>) -> Result<()> {
    let mut batches: Vec<RecordBatch> = Vec::new();
    let mut size = 0;
    let mut is_sent = false;
    let schema = run(connection, &job.sql, &job.sources, |schema, batch| {
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
    sources: &[SourceFile],
    mut take: impl FnMut(&SchemaRef, RecordBatch) -> Result<bool>,
) -> Result<SchemaRef> {
    let failed = |e: duckdb::Error| error::from_duckdb(&e, sources);
    let mut statement = connection.prepare(sql).map_err(failed)?;
    let schema = statement.stream_arrow([]).map_err(failed)?.get_schema();
    while let Some(rows) = statement.step().map_err(failed)? {
        if !take(&schema, batch(&schema, &rows)?)? {
            break;
        }
    }
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
