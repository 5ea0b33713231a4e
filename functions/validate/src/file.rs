//! Defects of a file that its bytes show before any row is read. DuckDB would report fewer of them, and later.

use tidemill_core::{Finding, Format, Objects, Result};

use crate::error_finding;

/// Number of bytes of a text file that are examined; bad bytes further on send their lines to quarantine. A NUL byte is valid UTF-8:
/// further on it is a character of its value, and only the contract can reject it.
const HEAD_BYTES: u64 = 1 << 20;

/// The finding for a key whose extension names no format.
pub(crate) fn unknown_format(key: &str) -> Finding {
    let message = format!("`{key}` ends in none of `.csv`, `.jsonl`, `.ndjson`, `.parquet`; rename it to what it is");
    error_finding("readable", key, message, 0)
}

/// The reason why the file cannot have the format of its name, if the bytes show it.
pub(crate) fn find_defect(key: &str, format: Format, objects: &dyn Objects) -> Result<Option<Finding>> {
    let size = objects.head(key)?.map_or(0, |meta| meta.size);
    if size == 0 {
        return Ok(Some(error_finding(
            "rows",
            key,
            format!("`{key}` is empty: it has not even a header"),
            0,
        )));
    }
    if format == Format::Parquet {
        let (first, last) = (objects.get_range(key, 0, 4)?, objects.get_range(key, size.saturating_sub(4), 4)?);
        let message = match (first == b"PAR1", last == b"PAR1") {
            (true, true) => return Ok(None),
            (true, false) => {
                format!("`{key}` is a Parquet file that is cut off: its footer is missing after {size} bytes; upload it again")
            }
            _ => format!("`{key}` is not a Parquet file: it does not start with `PAR1`"),
        };
        return Ok(Some(error_finding("readable", key, message, 0)));
    }
    let head = objects.get_range(key, 0, HEAD_BYTES)?;
    Ok(find_encoding_error(&head, size > HEAD_BYTES)
        .map(|what| error_finding("encoding", key, format!("`{key}` {what}; save it as UTF-8"), 0)))
}

fn find_encoding_error(head: &[u8], more: bool) -> Option<String> {
    if head.starts_with(&[0xFF, 0xFE]) || head.starts_with(&[0xFE, 0xFF]) || head.contains(&0) {
        return Some("is not UTF-8 but UTF-16 or binary".to_owned());
    }
    let bad = std::str::from_utf8(head).err()?;
    // The end of the examined bytes may split a character.
    if more && bad.error_len().is_none() {
        return None;
    }
    let at = bad.valid_up_to();
    let line = head[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
    Some(format!("is not UTF-8: byte 0x{:02X} in line {line} (it may be latin-1)", head[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_encodings_are_named() {
        assert_eq!(find_encoding_error("name\nzoë\n".as_bytes(), false), None);
        assert!(
            find_encoding_error(b"name\nzo\xEB\n", false)
                .unwrap()
                .contains("byte 0xEB in line 2 (it may be latin-1)")
        );
        assert!(find_encoding_error(b"\xFF\xFEn\0", false).unwrap().contains("UTF-16"));
    }

    #[test]
    fn a_character_that_the_cut_splits_is_fine() {
        assert_eq!(find_encoding_error(&"ë".as_bytes()[..1], true), None);
        assert!(find_encoding_error(&"ë".as_bytes()[..1], false).is_some());
    }
}
