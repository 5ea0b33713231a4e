//! The child: runs one request after the other.
//!
//! Its first thread only reads, so that the child ends with its parent even while a query hangs.

use std::{
    collections::HashMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use tidemill_core::{Error, Result};

use super::{
    limits::{end_process, limit_process, limit_time},
    wire::{self, Reply, Request, Setup},
};
use crate::sql::{
    instances::{InstanceOptions, Instances},
    job::Executor as _,
    stream::QueryStream,
};

/// Time that a query whose reader wants no more has to notice.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Runs queries for the parent process, on standard input and output, until the input ends. For a program whose first argument is
/// [`SQL_WORKER`](super::SQL_WORKER): call it first, before other threads take memory.
pub fn run_sql_worker() -> ExitCode {
    let mut input = io::stdin().lock();
    let Ok((setup, _)) = wire::read::<Setup>(&mut input) else {
        eprintln!("error: a process for SQL is started by `tidemill` itself, which tells it what to do");
        return ExitCode::from(2);
    };
    let _guard = outlive_termination();
    let (sender, requests) = channel();
    let worker = std::thread::Builder::new()
        .name("sql-worker".into())
        .spawn(move || serve_to_the_end(&setup, &requests));
    if let Err(error) = worker {
        eprintln!("error: a process for SQL has no thread: {error}");
        return ExitCode::FAILURE;
    }
    while let Ok((request, _)) = wire::read::<Request>(&mut input) {
        if sender.send(request).is_err() {
            break;
        }
    }
    end_process()
}

/// A service manager asks every process to end; this one ends after its parent, which may still need it.
#[cfg(unix)]
fn outlive_termination() -> Option<(tokio::runtime::Runtime, tokio::signal::unix::Signal)> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().ok()?;
    let signal = {
        let _context = runtime.enter();
        signal(SignalKind::terminate()).ok()?
    };
    Some((runtime, signal))
}

#[cfg(not(unix))]
fn outlive_termination() {}

/// Serves, and ends this process: also after a panic, or the parent would wait for its deadline.
fn serve_to_the_end(setup: &Setup, requests: &Receiver<Request>) {
    let _ = catch_unwind(AssertUnwindSafe(|| serve(setup, requests)));
    end_process()
}

/// Answers requests until nobody reads the answers.
fn serve(setup: &Setup, requests: &Receiver<Request>) {
    let mut output = io::stdout().lock();
    let mut worker = match Worker::open(setup) {
        Ok(worker) => worker,
        Err(error) => {
            let _ = wire::write(&mut output, &Reply::Failed(error), &[]);
            return;
        }
    };
    let mut send = |reply: &Reply, body: &[u8]| wire::write(&mut output, reply, body).is_ok();
    let mut is_heard = send(&Reply::Ready, &[]);
    while is_heard && let Ok(request) = requests.recv() {
        let (reply, body) = worker.answer(request).unwrap_or_else(|error| (Reply::Failed(error), Vec::new()));
        is_heard = send(&reply, &body);
    }
}

struct Worker {
    instances: Instances,
    threads: usize,
    readers: HashMap<u64, QueryStream>,
    opened: u64,
}

impl Worker {
    fn open(setup: &Setup) -> Result<Self> {
        let failed = |e: io::Error| Error::config(format!("a process for SQL cannot limit itself: {e}"));
        limit_process(setup.memory_bytes, setup.threads).map_err(failed)?;
        let options = InstanceOptions {
            folder: setup.folder.clone(),
            spill: setup.spill.clone(),
            memory_bytes: setup.counted_bytes,
            spill_bytes: setup.spill_bytes,
            threads: setup.threads,
            timeout: setup.timeout,
        };
        Ok(Self {
            instances: Instances::open(options, None)?,
            threads: setup.threads,
            readers: HashMap::new(),
            opened: 0,
        })
    }

    fn answer(&mut self, request: Request) -> Result<(Reply, Vec<u8>)> {
        // A backstop: the parent ends a query long before.
        let _ = limit_time(self.instances.timeout(), self.threads);
        let reply = match request {
            Request::Query(job) => {
                let stream = self.instances.start(job)?;
                self.opened += 1;
                self.readers.insert(self.opened, stream);
                Reply::Opened { reader: self.opened }
            }
            Request::Next { reader } => match self.next(reader)? {
                Some(rows) => return Ok((Reply::Rows, rows)),
                None => Reply::End,
            },
            Request::Close { reader } => Reply::Closed {
                is_ended: self.readers.remove(&reader).is_none_or(|stream| stream.close(CLOSE_TIME)),
            },
            Request::Export { job, to } => Reply::Exported {
                rows: self.instances.export(job, &to)?,
            },
            Request::Plan { sql, tables } => Reply::Planned(self.instances.plan(&sql, tables)),
            Request::ConvertCsv { source, rows, rejects } => {
                self.instances.convert_csv(&source, &rows, &rejects)?;
                Reply::Done
            }
            Request::ConvertJsonLines { sources, rows } => {
                self.instances.convert_json_lines(&sources, &rows)?;
                Reply::Done
            }
        };
        Ok((reply, Vec::new()))
    }

    fn next(&mut self, reader: u64) -> Result<Option<Vec<u8>>> {
        let stream = self.readers.get_mut(&reader);
        let rows = stream.ok_or_else(|| Error::bug("a result is read that is not open"))?.next();
        if !matches!(rows, Some(Ok(_))) {
            self.readers.remove(&reader);
        }
        rows.transpose()
    }
}
