//! A write-ahead file: records, each with its length, its CRC-32 (IEEE 802.3) and its bytes. What is behind the last whole record was
//! never acknowledged. A damaged record among others is passed over: reading goes on at the next one whose checksum fits.
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

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contents<'a> {
    /// The whole records, in order.
    pub(super) records: Vec<&'a [u8]>,
    /// Where the last of them ends.
    pub(super) end: usize,
    /// Bytes that were written whole, and are no record any more.
    pub(super) damaged: usize,
}

/// Reads a file. `may_begin` says whether bytes may be the beginning of a record: behind a damaged one each place is tried.
pub(super) fn read_records(bytes: &[u8], may_begin: impl Fn(&[u8]) -> bool) -> Contents<'_> {
    let mut found = Contents::default();
    while let Some((start, record)) = next_record(bytes, found.end, &may_begin) {
        found.damaged += start - found.end;
        found.end = start + HEADER + record.len();
        found.records.push(record);
    }
    if let Some(record) = read_record(&bytes[found.end..])
        && record.bytes.last().is_some_and(|last| *last != 0)
    {
        // A write that was cut off ends in the zeros that were there before.
        found.damaged += HEADER + record.bytes.len();
    }
    found
}

/// The first whole record at `from` or behind it.
fn next_record<'a>(bytes: &'a [u8], from: usize, may_begin: &impl Fn(&[u8]) -> bool) -> Option<(usize, &'a [u8])> {
    if let Some(record) = read_record(&bytes[from..]).filter(StoredRecord::is_whole) {
        return Some((from, record.bytes));
    }
    let last = bytes.iter().rposition(|byte| *byte != 0)?;
    (from + 1..last).find_map(|start| {
        let record = read_record(&bytes[start..]).filter(|record| may_begin(record.bytes) && record.is_whole())?;
        Some((start, record.bytes))
    })
}

/// Bytes that have the form of a record.
struct StoredRecord<'a> {
    checksum: u32,
    bytes: &'a [u8],
}

impl StoredRecord<'_> {
    fn is_whole(&self) -> bool {
        crc32(self.bytes) == self.checksum
    }
}

fn read_record(bytes: &[u8]) -> Option<StoredRecord<'_>> {
    let (length, checksum) = read_record_header(bytes).filter(|(length, _)| *length <= MAX_RECORD_SIZE)?;
    let bytes = bytes.get(HEADER..HEADER + length)?;
    Some(StoredRecord { checksum, bytes })
}

fn read_record_header(bytes: &[u8]) -> Option<(usize, u32)> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (checksum, _) = rest.split_first_chunk()?;
    let length = u32::from_le_bytes(*length) as usize;
    (length > 0).then_some((length, u32::from_le_bytes(*checksum)))
}

/// Cuts off a torn tail, so that each later reading finds the same records. A damaged file stays as it is.
pub(super) fn truncate_torn_tail(path: &Path, may_begin: impl Fn(&[u8]) -> bool) -> io::Result<()> {
    let bytes = std::fs::read(path)?;
    let Contents { end, damaged, .. } = read_records(&bytes, may_begin);
    if end < bytes.len() && damaged == 0 {
        let torn = bytes[end..].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if torn > 0 {
            tracing::warn!(
                "prediction log: an unfinished write of {torn} bytes, which was never acknowledged, is cut off `{}`",
                path.display()
            );
        }
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(end as u64)?;
        file.sync_all()?;
    }
    Ok(())
}

/// Renames a file that is not what it was written as, so that it is neither read again nor lost.
pub(super) fn put_aside(path: &Path) -> io::Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(".damaged");
    let aside = PathBuf::from(name);
    std::fs::rename(path, &aside)?;
    sync_parent_dir(&aside)?;
    Ok(aside)
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
            bytes[..read_records(&bytes, |_| true).end].to_vec()
        };
        let whole = written();
        wal.append(std::iter::once(&b"three"[..])).unwrap();
        let full = written();
        for cut in whole.len()..full.len() {
            for zeros in [0, 3, 100] {
                std::fs::write(&path, [&full[..cut], &vec![0; zeros]].concat()).unwrap();
                truncate_torn_tail(&path, |_| true).unwrap();
                assert_eq!(std::fs::read(&path).unwrap(), whole, "cut at {cut}, then {zeros} zeros");
            }
        }
        let mut bad = full.clone();
        *bad.last_mut().unwrap() ^= 1;
        let found = read_records(&bad, |_| true);
        assert_eq!((found.records, found.end), (vec![&b"one"[..], b"two"], whole.len()));
        assert_eq!(found.damaged, HEADER + 5, "it was written whole");
        assert_eq!(read_records(&[0; 64], |_| true), Contents::default());
    }

    #[test]
    fn a_flipped_bit_costs_one_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wal");
        let mut wal = WriteAheadFile::create(path.clone()).unwrap();
        let records = [&b"first of all"[..], b"second", b"third and last"];
        wal.append(records.into_iter()).unwrap();
        let bytes = &std::fs::read(&path).unwrap()[..100];
        let ends = [HEADER + 12, 2 * HEADER + 18, 3 * HEADER + 32];
        for position in 0..ends[2] {
            for bit in 0..8 {
                let mut bad = bytes.to_vec();
                bad[position] ^= 1 << bit;
                let found = read_records(&bad, |_| true);
                let lost = ends.iter().position(|end| position < *end).unwrap();
                let kept: Vec<&[u8]> = (0..3).filter(|n| *n != lost).map(|n| records[n]).collect();
                assert_eq!(found.records, kept, "bit {bit} of byte {position}");
                // Of the last one alone, a length that is wrong looks like a write that was cut off.
                assert!(found.damaged > 0 || position >= ends[1], "bit {bit} of byte {position}");
            }
        }
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
        assert_eq!(read_records(&bytes, |_| true).records, vec![record.as_slice(); 10]);
        assert_eq!(bytes.len() as u64, wal.reserved);
    }
}
