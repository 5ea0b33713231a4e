//! The child of a run, for as long as the run has something open.

use std::{
    path::Path,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tidemill_core::{Error, Result};

use super::{
    pool::Pool,
    process::ChildProcess,
    wire::{Reply, Request},
};
use crate::sql::{
    guard::abbreviate,
    job::{EmptyTable, Executor, QueryJob, RowStream, SourceFile},
    plan::PlanError,
};

/// Beyond its deadline, a query has so long to say itself that it was interrupted; then its process is ended.
const GRACE: Duration = Duration::from_secs(1);

/// Where a run finds the child that it has. A clone is the same run's.
#[derive(Debug, Clone, Default)]
pub(in crate::sql) struct Seat(Arc<Mutex<Weak<Place>>>);

/// A place among the children, with the child that runs there. Cheap to clone; the last one gives it back.
#[derive(Debug, Clone)]
pub(in crate::sql) struct Lease {
    place: Arc<Place>,
}

#[derive(Debug)]
struct Place {
    pool: Arc<Pool>,
    /// `None` until the first request, and after a child ended.
    child: Mutex<Option<ChildProcess>>,
}

impl Seat {
    /// The run's child, or a free one.
    pub(in crate::sql) fn lease(&self, pool: &Arc<Pool>) -> Result<Lease> {
        let mut seat = self.0.lock();
        if let Some(place) = seat.upgrade() {
            return Ok(Lease { place });
        }
        let place = Arc::new(Place {
            child: Mutex::new(pool.take()?),
            pool: Arc::clone(pool),
        });
        *seat = Arc::downgrade(&place);
        Ok(Lease { place })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pool.give_back(self.child.get_mut().take());
    }
}

impl Lease {
    /// Sends a request to the child. `accept` gives the wrong reply back.
    fn call<T>(
        &self,
        request: &Request,
        what: &str,
        deadline: Instant,
        accept: impl FnOnce(Reply, Vec<u8>, u64) -> std::result::Result<T, Reply>,
    ) -> Result<T> {
        let mut place = self.place.child.lock();
        let Some(mut child) = place.take() else {
            return Err(Error::limit(format!(
                "the process of a query ended with another query of its run: it is {what}"
            )));
        };
        let replied = child.call(request, what, deadline);
        let accepted = replied.and_then(|(reply, body)| accept(reply, body, child.id).map_err(|reply| child.reply_error(&reply)));
        // One that may have been harmed has no further request, not even of this run.
        *place = child.is_healthy().then_some(child);
        accepted
    }

    /// The deadline of `steps` queries in one request, from when there is a child that is ready.
    fn deadline(&self, steps: u32) -> Result<Instant> {
        let mut place = self.place.child.lock();
        let running = place.take().and_then(|mut child| child.is_healthy().then_some(child));
        let mut child = match running {
            Some(child) => child,
            None => self.place.pool.start_child()?,
        };
        child.wait_until_ready()?;
        *place = Some(child);
        Ok(Instant::now() + self.place.pool.timeout() * steps + GRACE)
    }

    fn convert(&self, request: &Request, sources: &[SourceFile], steps: u32) -> Result<()> {
        let key = sources.first().map_or("an object", |source| &source.key);
        self.call(
            request,
            &format!("the reading of `{key}`"),
            self.deadline(steps)?,
            |reply, _, _| match reply {
                Reply::Done => Ok(()),
                other => Err(other),
            },
        )
    }
}

fn quote(sql: &str) -> String {
    format!("`{}`", abbreviate(sql))
}

impl Executor for Lease {
    fn query(&self, job: QueryJob) -> Result<RowStream> {
        let (what, deadline) = (quote(&job.sql), self.deadline(1)?);
        let (child, reader) = self.call(&Request::Query(job), &what, deadline, |reply, _, child| match reply {
            Reply::Opened { reader } => Ok((child, reader)),
            other => Err(other),
        })?;
        Ok(Box::new(ChildRows {
            lease: self.clone(),
            child,
            reader,
            what,
            deadline,
            is_done: false,
        }))
    }

    fn export(&self, job: QueryJob, to: &Path) -> Result<u64> {
        let what = quote(&job.sql);
        let request = Request::Export { job, to: to.to_owned() };
        self.call(&request, &what, self.deadline(1)?, |reply, _, _| match reply {
            Reply::Exported { rows } => Ok(rows),
            other => Err(other),
        })
    }

    fn plan(&self, sql: &str, tables: Vec<EmptyTable>) -> Result<Vec<String>, PlanError> {
        let request = Request::Plan {
            sql: sql.to_owned(),
            tables,
        };
        self.call(&request, &quote(sql), self.deadline(1)?, |reply, _, _| match reply {
            Reply::Planned(planned) => Ok(planned),
            other => Err(other),
        })?
    }

    fn convert_csv(&self, source: &SourceFile, rows: &Path, rejects: &Path) -> Result<()> {
        let request = Request::ConvertCsv {
            source: source.clone(),
            rows: rows.to_owned(),
            rejects: rejects.to_owned(),
        };
        self.convert(&request, std::slice::from_ref(source), 2)
    }

    fn convert_json_lines(&self, sources: &[SourceFile], rows: &Path) -> Result<()> {
        let request = Request::ConvertJsonLines {
            sources: sources.to_vec(),
            rows: rows.to_owned(),
        };
        self.convert(&request, sources, 3)
    }
}

/// The rows of a query in a child.
struct ChildRows {
    lease: Lease,
    child: u64,
    reader: u64,
    what: String,
    deadline: Instant,
    is_done: bool,
}

impl ChildRows {
    /// Whether the child that runs the query is still there.
    fn is_open(&self) -> bool {
        self.lease.place.child.lock().as_ref().is_some_and(|child| child.id == self.child)
    }

    fn read(&self) -> Result<Option<Vec<u8>>> {
        if !self.is_open() {
            return Err(Error::limit(format!(
                "the process of a query ended before all rows were read, with another query of its run: it is {}",
                self.what
            )));
        }
        let request = Request::Next { reader: self.reader };
        self.lease.call(&request, &self.what, self.deadline, |reply, rows, _| match reply {
            Reply::Rows => Ok(Some(rows)),
            Reply::End => Ok(None),
            other => Err(other),
        })
    }
}

impl Iterator for ChildRows {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let item = self.read().transpose();
        self.is_done = !matches!(item, Some(Ok(_)));
        item
    }
}

impl Drop for ChildRows {
    fn drop(&mut self) {
        if self.is_done || !self.is_open() {
            return;
        }
        let request = Request::Close { reader: self.reader };
        let deadline = Instant::now() + 2 * GRACE;
        let is_ended = self.lease.call(&request, &self.what, deadline, |reply, _, _| match reply {
            Reply::Closed { is_ended } => Ok(is_ended),
            other => Err(other),
        });
        if is_ended != Ok(true) {
            // A query that goes on has the memory of the next one.
            self.lease.place.child.lock().take();
        }
    }
}
