//! Messages between a process and its children: the length of a head and of a body, the head as JSON, the body as bytes.
//!
//! One request, one reply, in order: nothing is sent ahead, so neither side ever writes while the other does.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tidemill_core::Error;

use crate::sql::{
    job::{EmptyTable, QueryJob, SourceFile},
    plan::PlanError,
};

/// Longest head. A query over 100,000 files has 20 MB of paths.
const MAX_HEAD: u32 = 128 << 20;
/// Longest body: more than a result's longest stream.
const MAX_BODY: u32 = 72 << 20;

/// The first message: what a child may take.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Setup {
    /// The cache's folder.
    pub(super) folder: PathBuf,
    /// Its own folder for data that does not fit its memory.
    pub(super) spill: PathBuf,
    /// Memory of the child, without stacks.
    pub(super) memory_bytes: u64,
    /// Memory that DuckDB counts.
    pub(super) counted_bytes: u64,
    pub(super) spill_bytes: u64,
    pub(super) threads: usize,
    pub(super) timeout: Duration,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Answered by `Opened`.
    Query(QueryJob),
    /// Answered by `Rows` or `End`.
    Next { reader: u64 },
    /// The reader wants no more. Answered by `Closed`.
    Close { reader: u64 },
    /// Answered by `Exported`.
    Export { job: QueryJob, to: PathBuf },
    /// Answered by `Planned`.
    Plan { sql: String, tables: Vec<EmptyTable> },
    /// Answered by `Done`.
    ConvertCsv {
        source: SourceFile,
        rows: PathBuf,
        rejects: PathBuf,
    },
    /// Answered by `Done`.
    ConvertJsonLines { sources: Vec<SourceFile>, rows: PathBuf },
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// The library is open: the reply to the setup.
    Ready,
    Opened {
        reader: u64,
    },
    /// With an Arrow IPC stream as its body.
    Rows,
    End,
    Closed {
        /// Whether the query has ended.
        is_ended: bool,
    },
    Exported {
        rows: u64,
    },
    Planned(Result<Vec<String>, PlanError>),
    Done,
    Failed(Error),
}

/// Writes a message.
pub(super) fn write(writer: &mut impl Write, head: &impl Serialize, body: &[u8]) -> io::Result<()> {
    let head = serde_json::to_vec(head)?;
    for (length, limit) in [(head.len(), MAX_HEAD), (body.len(), MAX_BODY)] {
        let length = u32::try_from(length).ok().filter(|length| *length <= limit);
        writer.write_all(&length.ok_or(io::ErrorKind::InvalidData)?.to_le_bytes())?;
    }
    writer.write_all(&head)?;
    writer.write_all(body)?;
    writer.flush()
}

/// Reads a message.
///
/// # Errors
/// `UnexpectedEof` at the end.
pub(super) fn read<T: DeserializeOwned>(reader: &mut impl Read) -> io::Result<(T, Vec<u8>)> {
    let mut lengths = [0; 8];
    reader.read_exact(&mut lengths)?;
    let [a, b, c, d, e, f, g, h] = lengths;
    let (head, body) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    if head > MAX_HEAD || body > MAX_BODY {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a message of {head} and {body} bytes is none of ours"),
        ));
    }
    let mut bytes = vec![0; head as usize];
    reader.read_exact(&mut bytes)?;
    let head = serde_json::from_slice(&bytes)?;
    bytes.clear();
    bytes.resize(body as usize, 0);
    reader.read_exact(&mut bytes)?;
    Ok((head, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in() {
        let mut wire = Vec::new();
        let error = Error::limit("too much `é`");
        write(&mut wire, &Reply::Failed(error.clone()), &[]).unwrap();
        write(&mut wire, &Reply::Rows, b"\0rows\n").unwrap();
        let mut reader = wire.as_slice();
        assert!(matches!(read(&mut reader).unwrap(), (Reply::Failed(failed), _) if failed == error));
        assert!(matches!(read(&mut reader).unwrap(), (Reply::Rows, body) if body == b"\0rows\n"));
        assert_eq!(read::<Reply>(&mut reader).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        // What is no message is not taken for its length.
        assert_eq!(
            read::<Reply>(&mut &b"error: unrecognized"[..]).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        assert!(write(&mut wire, &Reply::Rows, &vec![0; (MAX_BODY + 1) as usize]).is_err());
    }
}
