//! Limits of connections. Those of requests are in [`ServeLimits`](crate::serve::ServeLimits); `docs/limits.md` lists both.

use std::time::Duration;

/// Largest head of a request: its first line and its headers.
pub const MAX_HEAD_BYTES: usize = 128 << 10;
/// Largest number of headers of a request: the HTTP library's own limit, which it holds without an allocation.
pub const MAX_HEADERS: usize = 100;
/// Requests under way on one connection of HTTP/2.
pub const MAX_STREAMS: u32 = 100;

/// Limits of the connections of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// From the connection to its first byte.
    pub first_byte: Duration,
    /// From the first byte of a request's head to its last.
    pub head: Duration,
    /// From an answer to the next request on its connection. Longer than balancers keep theirs (60 s on AWS, 75 s in nginx): they would
    /// otherwise send requests into closed ones.
    pub idle: Duration,
    /// For the client to take a part of an answer.
    pub write: Duration,
    /// Open connections. Half of the files that the process may open, if that is less.
    pub connections: usize,
    /// For accepted requests once the server stops.
    pub drain: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(90),
            write: Duration::from_secs(30),
            connections: 4096,
            drain: Duration::from_secs(25),
        }
    }
}

impl HttpLimits {
    /// The connections that this process can hold: the others of its files are for the store, the log and the stages.
    pub(super) fn max_connections(&self) -> usize {
        let limit = std::fs::read_to_string("/proc/self/limits").ok();
        let files = limit.as_deref().and_then(open_files).unwrap_or(usize::MAX);
        self.connections.min(files / 2).max(1)
    }
}

/// The soft limit of open files in `/proc/self/limits`; `None` where there is no limit.
fn open_files(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_read() {
        let line = "Limit                     Soft Limit           Hard Limit           Units\nMax open files            ";
        assert_eq!(
            open_files(&format!("{line}64                   4096                 files")),
            Some(64)
        );
        assert_eq!(open_files(&format!("{line}unlimited            unlimited            files")), None);
        assert_eq!(open_files(""), None);
    }
}
