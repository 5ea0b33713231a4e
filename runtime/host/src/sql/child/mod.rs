//! DuckDB in children of this process. A query that takes too much memory, hangs or crashes costs the run that made it, and nothing else.
//!
//! A child is `tidemill sql-worker`: requests on its standard input, replies on its standard output (`wire`). It limits its own memory and
//! files before it opens the library (`limits`), runs what it is told (`worker`), and ends when its input does, so when its parent dies.
//! The parent ends it at the deadline (`process`). The guard is in the child alone, where the parser is: the parent opens no DuckDB at all.
//!
//! A run leases one child for all that it does at once (`lease`), so that runs neither share a child nor wait for each other while they hold
//! one. Children are used again while they are healthy (`pool`).

mod lease;
mod limits;
mod pool;
mod process;
mod wire;
mod worker;

use std::path::PathBuf;

pub(super) use lease::Seat;
pub(super) use pool::Pool;
pub use worker::run_sql_worker;

/// The command that makes a program a child: its first argument.
pub const SQL_WORKER: &str = "sql-worker";

/// The children of an engine.
#[derive(Debug, Clone)]
pub struct SqlChildren {
    /// A program that calls [`run_sql_worker`] if its first argument is [`SQL_WORKER`].
    pub program: PathBuf,
    /// How many there are at most. They share the memory of the engine; a run that finds none free waits.
    pub count: usize,
}

impl SqlChildren {
    /// Two children that run this very program, also if its file has been replaced since.
    pub fn of_this_program() -> std::io::Result<Self> {
        let here = PathBuf::from("/proc/self/exe");
        let program = if here.exists() { here } else { std::env::current_exe()? };
        Ok(Self { program, count: 2 })
    }
}
