//! A write-ahead file: records, each with its length, its CRC-32 (IEEE 802.3) and its bytes. Reading stops at the first record that is
//! not whole: the records after it were never acknowledged.
//!
//! The file grows by steps of zeros: an fsync into blocks that are already there does not wait for the file system's journal.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crc32fast::hash as crc32;
use tidemill_store::sync_parent_dir;

const HEADER: usize = 8;
/// Bytes of a record at most: larger lengths are torn writes.
pub(super) const MAX_RECORD_SIZE: usize = 64 << 20;
/// The file grows by this many bytes.
const PREALLOCATION: u64 = 1 << 20;

/// The file that is being written.
pub(super) struct WriteAheadFile {
    pub(super) path: PathBuf,
    file: File,
    /// Bytes that are known to be on the disk.
    durable: u64,
    /// The size of the file: zeros follow the records.
    reserved: u64,
    /// The buffer of one write, kept for the next.
    buffer: Vec<u8>,
}

impl WriteAheadFile {
    /// Creates the file; its name is on the disk when this returns.
    pub(super) fn create(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().create_new(true).write(true).open(&path)?;
        sync_parent_dir(&path)?;
        Ok(Self {
            path,
            file,
            durable: 0,
            reserved: 0,
            buffer: Vec::new(),
        })
    }

    /// Writes the records, and returns when they are on the disk. After an error none of them counts.
    pub(super) fn append<'a>(&mut self, records: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        self.buffer.clear();
        for record in records {
            self.buffer.extend_from_slice(&(record.len() as u32).to_le_bytes());
            self.buffer.extend_from_slice(&crc32(record).to_le_bytes());
            self.buffer.extend_from_slice(record);
        }
        let end = self.durable + self.buffer.len() as u64;
        let reserved = if end > self.reserved {
            end.next_multiple_of(PREALLOCATION)
        } else {
            self.reserved
        };
        if reserved > self.reserved {
            self.buffer.resize((reserved - self.durable) as usize, 0);
        }
        let written = self
            .file
            .seek(SeekFrom::Start(self.durable))
            .and_then(|_| self.file.write_all(&self.buffer))
            .and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => (self.durable, self.reserved) = (end, reserved),
            // The client may repeat a refused request: take back what the first attempt left, if the disk allows it.
            Err(_) => {
                self.reserved = self.durable;
                drop(self.file.set_len(self.durable).and_then(|()| self.file.sync_data()));
            }
        }
        written
    }
}

/// The whole records of a file, and how many bytes they take.
pub(super) fn read_records(bytes: &[u8]) -> (Vec<&[u8]>, usize) {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some((length, checksum)) = read_record_header(&bytes[at..]) {
        let Some(record) = bytes.get(at + HEADER..at + HEADER + length) else {
            break;
        };
        if length > MAX_RECORD_SIZE || crc32(record) != checksum {
            break;
        }
        found.push(record);
        at += HEADER + length;
    }
    (found, at)
}

fn read_record_header(bytes: &[u8]) -> Option<(usize, u32)> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (checksum, _) = rest.split_first_chunk()?;
    let length = u32::from_le_bytes(*length) as usize;
    (length > 0).then_some((length, u32::from_le_bytes(*checksum)))
}

/// Cuts off a torn tail, so that each later reading finds the same records.
pub(super) fn truncate_torn_tail(path: &Path) -> io::Result<()> {
    let bytes = std::fs::read(path)?;
    let (_, whole) = read_records(&bytes);
    if whole < bytes.len() {
        if bytes[whole..].iter().any(|byte| *byte != 0) {
            tracing::warn!("prediction log: an unfinished write is cut off `{}`", path.display());
        }
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(whole as u64)?;
        file.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_checksum() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn a_torn_tail_is_cut_off_wherever_it_tore() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wal");
        let mut wal = WriteAheadFile::create(path.clone()).unwrap();
        wal.append([&b"one"[..], b"two"].into_iter()).unwrap();
        let written = || {
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!(bytes.len() as u64 % PREALLOCATION, 0);
            bytes[..read_records(&bytes).1].to_vec()
        };
        let whole = written();
        wal.append(std::iter::once(&b"three"[..])).unwrap();
        let full = written();
        for cut in whole.len()..full.len() {
            for zeros in [0, 3, 100] {
                std::fs::write(&path, [&full[..cut], &vec![0; zeros]].concat()).unwrap();
                truncate_torn_tail(&path).unwrap();
                assert_eq!(std::fs::read(&path).unwrap(), whole, "cut at {cut}, then {zeros} zeros");
            }
        }
        let mut bad = full.clone();
        *bad.last_mut().unwrap() ^= 1;
        assert_eq!(read_records(&bad), (vec![&b"one"[..], b"two"], whole.len()));
        assert_eq!(read_records(&[0; 64]).1, 0);
    }

    #[test]
    fn records_cross_the_steps_of_growth() {
        let folder = tempfile::tempdir().unwrap();
        let mut wal = WriteAheadFile::create(folder.path().join("a.wal")).unwrap();
        let record = vec![7; PREALLOCATION as usize / 3];
        for _ in 0..10 {
            wal.append(std::iter::once(record.as_slice())).unwrap();
        }
        let bytes = std::fs::read(&wal.path).unwrap();
        assert_eq!(read_records(&bytes).0, vec![record.as_slice(); 10]);
        assert_eq!(bytes.len() as u64, wal.reserved);
    }
}
