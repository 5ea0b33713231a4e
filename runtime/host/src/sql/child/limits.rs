//! What a child may take of the machine. It sets the limits itself, before it opens DuckDB's library.
//!
//! Memory is limited as data (`RLIMIT_DATA`: the heap and private pages that can be written), not as address space: allocators reserve much
//! more of that than they use. DuckDB reports an allocation that fails as an error, as a rule; what does not is a crash of the child. On
//! other systems than Linux, data is not what allocators use, and time alone is limited.

use std::{io, time::Duration};

/// Open files: a query over all parts of a dataset opens each.
pub(super) const MAX_FILES: u64 = 16_384;
/// Stacks count as data, although little of them is ever touched: that of each thread of DuckDB, and of those that run queries.
const STACKS_BYTES: u64 = 128 << 20;
const THREAD_STACK_BYTES: u64 = 8 << 20;

/// Memory for all stacks of a child whose two instances have so many threads each.
pub(super) fn stack_bytes(threads: usize) -> u64 {
    STACKS_BYTES + 2 * threads as u64 * THREAD_STACK_BYTES
}

/// Limits memory, files and dumps of this process.
#[cfg(unix)]
pub(super) fn limit_process(memory_bytes: u64, threads: usize) -> io::Result<()> {
    use rustix::process::Resource;
    lower(Resource::Core, 0)?;
    lower(Resource::Nofile, MAX_FILES)?;
    lower(Resource::Data, memory_bytes + stack_bytes(threads))
}

/// Sets a limit, unless it is lower already; a soft limit below is raised to it.
#[cfg(unix)]
fn lower(resource: rustix::process::Resource, most: u64) -> io::Result<()> {
    use rustix::process::{Rlimit, getrlimit, setrlimit};
    let most = getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
    Ok(setrlimit(
        resource,
        Rlimit {
            current: Some(most),
            maximum: Some(most),
        },
    )?)
}

/// Limits the processor's time from now on: a child that is alone in the world ends, too.
#[cfg(unix)]
pub(super) fn limit_time(timeout: Duration, threads: usize) -> io::Result<()> {
    use rustix::{
        process::{Resource, Rlimit, getrlimit, setrlimit},
        time::{ClockId, clock_gettime},
    };
    let used = clock_gettime(ClockId::ProcessCPUTime).tv_sec;
    let more = (timeout.as_secs() + 60).saturating_mul(threads as u64 + 1);
    let maximum = getrlimit(Resource::Cpu).maximum;
    let current = u64::try_from(used).unwrap_or_default().saturating_add(more);
    Ok(setrlimit(
        Resource::Cpu,
        Rlimit {
            current: Some(maximum.map_or(current, |maximum| maximum.min(current))),
            maximum,
        },
    )?)
}

/// Ends this process at once, whatever its threads do.
#[cfg(unix)]
pub(super) fn end_process() -> ! {
    use rustix::process::{Signal, getpid, kill_process};
    let _ = kill_process(getpid(), Signal::KILL);
    std::process::abort()
}

#[cfg(not(unix))]
pub(super) fn limit_process(_memory_bytes: u64, _threads: usize) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn limit_time(_timeout: Duration, _threads: usize) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn end_process() -> ! {
    std::process::abort()
}
