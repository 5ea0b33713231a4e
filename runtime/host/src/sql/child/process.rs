//! A child, as its parent sees it: one request at a time, each with a deadline, at which the child is ended.

use std::{
    io,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tidemill_core::{Error, ErrorKind, Result};

use super::{
    SQL_WORKER,
    limits::{MAX_FILES, stack_bytes},
    wire::{self, Reply, Request, Setup},
};

/// Time to open the library, on a machine that is busy.
const START_TIME: Duration = Duration::from_secs(60);
/// Variables that tell a program where its libraries are. A child sees no other: no credentials, no zone, no locale.
const VARIABLES: [&str; 3] = ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SystemRoot"];

/// Tells children apart.
static STARTED: AtomicU64 = AtomicU64::new(0);

/// A running child. Dropping it ends it.
pub(super) struct ChildProcess {
    /// Different for each child of this process.
    pub(super) id: u64,
    process: Child,
    requests: ChildStdin,
    replies: Receiver<io::Result<(Reply, Vec<u8>)>>,
    is_ready: bool,
    is_healthy: bool,
    memory_bytes: u64,
    /// Greatest size of its stacks.
    stack_bytes: u64,
    timeout: Duration,
    /// Its data that did not fit its memory.
    _spill: TempDir,
}

impl std::fmt::Debug for ChildProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChildProcess").field("id", &self.id).finish_non_exhaustive()
    }
}

impl ChildProcess {
    /// Starts a child, and does not wait until it is ready.
    pub(super) fn start(program: &Path, mut setup: Setup) -> Result<Self> {
        let failed = |e: io::Error| {
            Error::transient(format!(
                "`{} {SQL_WORKER}`, which runs SQL, could not be started: {e}",
                program.display()
            ))
        };
        let spill = tempfile::Builder::new()
            .prefix("spill-")
            .tempdir_in(&setup.folder)
            .map_err(failed)?;
        spill.path().clone_into(&mut setup.spill);
        let mut process = command(program).spawn().map_err(failed)?;
        let (Some(mut requests), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(Error::bug("a process for SQL has no input or no output"));
        };
        let (sender, replies) = channel();
        let read = move || {
            let mut output = io::BufReader::new(output);
            loop {
                let reply = wire::read(&mut output);
                let is_last = reply.is_err();
                if sender.send(reply).is_err() || is_last {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("sql-replies".into()).spawn(read).map_err(failed)?;
        // A child that ended already is noticed by its first request.
        let _ = wire::write(&mut requests, &setup, &[]);
        Ok(Self {
            id: STARTED.fetch_add(1, Ordering::Relaxed),
            process,
            requests,
            replies,
            is_ready: false,
            is_healthy: true,
            memory_bytes: setup.memory_bytes,
            stack_bytes: stack_bytes(setup.threads),
            timeout: setup.timeout,
            _spill: spill,
        })
    }

    /// Whether it runs, and nothing was seen that may have harmed it.
    pub(super) fn is_healthy(&mut self) -> bool {
        self.is_healthy && matches!(self.process.try_wait(), Ok(None))
    }

    /// Whether another run may have it: it is healthy, and most of its memory is free. Neither DuckDB nor the allocator gives back all that a
    /// query took, and the next one must not fail for that.
    pub(super) fn is_reusable(&mut self) -> bool {
        let most = self.memory_bytes / 2 + self.stack_bytes;
        self.is_healthy() && data_bytes(self.process.id()).is_none_or(|bytes| bytes < most)
    }

    /// Makes it the last request.
    pub(super) fn retire(&mut self) {
        self.is_healthy = false;
    }

    /// Waits until it has opened the library.
    pub(super) fn wait_until_ready(&mut self) -> Result<()> {
        if !self.is_ready {
            let (reply, _) = self.receive("its start", Instant::now() + START_TIME)?;
            if !matches!(reply, Reply::Ready) {
                return Err(self.reply_error(&reply));
            }
            self.is_ready = true;
        }
        Ok(())
    }

    /// Sends a request to a child that is ready, and waits for the reply, until the deadline. `what` names it in messages.
    pub(super) fn call(&mut self, request: &Request, what: &str, deadline: Instant) -> Result<(Reply, Vec<u8>)> {
        if wire::write(&mut self.requests, request, &[]).is_err() {
            return Err(self.end_error(what));
        }
        self.receive(what, deadline)
    }

    fn receive(&mut self, what: &str, deadline: Instant) -> Result<(Reply, Vec<u8>)> {
        match self.replies.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Ok((Reply::Failed(error), _))) => {
                // What failed so may have left something behind: memory, or a thread that does not notice its end.
                self.is_healthy &= !matches!(error.kind, ErrorKind::Limit | ErrorKind::Bug | ErrorKind::Timeout);
                Err(match error.kind {
                    ErrorKind::Limit => Error::limit(format!("{}; it is {what}, in a process with {}", error.message, self.limits())),
                    ErrorKind::Timeout => Error::timeout(format!("{}; it is {what}", error.message)),
                    _ => error,
                })
            }
            Ok(Ok(reply)) => Ok(reply),
            Err(RecvTimeoutError::Timeout) => {
                self.retire();
                let _ = self.process.kill();
                Err(Error::timeout(format!(
                    "a query took longer than its {} seconds and its process was ended: it is {what}; read less at a time",
                    self.timeout.as_secs_f64()
                )))
            }
            Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => Err(self.end_error(what)),
        }
    }

    pub(super) fn reply_error(&mut self, reply: &Reply) -> Error {
        self.retire();
        Error::bug(format!("a process for SQL gave the wrong reply: {reply:?}"))
    }

    /// The error of a child that ended by itself.
    fn end_error(&mut self, what: &str) -> Error {
        self.retire();
        // It closed its output: whatever it still does, it is at its end.
        let _ = self.process.kill();
        let how = self.process.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
        if !self.is_ready {
            return Error::config(format!(
                "the process that runs SQL ended before it was ready ({how}): `tidemill doctor` says whether DuckDB's library is there"
            ));
        }
        Error::limit(format!(
            "the process of a query ended before its result ({how}), as it does when it needs more than it may have, {}: it is {what}; \
             read fewer rows or columns at a time",
            self.limits()
        ))
    }

    fn limits(&self) -> String {
        format!(
            "{} MiB of memory, {} seconds and {MAX_FILES} open files",
            self.memory_bytes >> 20,
            self.timeout.as_secs_f64()
        )
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Memory of a process that counts as data, where the system says so.
fn data_bytes(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kilobytes << 10)
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .arg(SQL_WORKER)
        .env_clear()
        .envs(VARIABLES.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        // By default mimalloc takes a gigabyte of pages that can be written, then 32 MiB for each thread, and uses them little by little:
        // they would count as data.
        .envs([("MIMALLOC_ARENA_RESERVE", "0"), ("MIMALLOC_EAGER_COMMIT", "0")])
        // By default glibc's heap takes over large blocks bit by bit, and keeps them.
        .env("MALLOC_TRIM_THRESHOLD_", "131072")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        // Ctrl-C is for the parent, which lets runs finish.
        command.arg0("tidemill").process_group(0);
    }
    command
}
