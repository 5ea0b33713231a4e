//! Detection of unbalanced quotes in a CSV.
//!
//! DuckDB reports an unclosed quote as one reject, or not at all, and drops the rows inside it. Which rows belong to it cannot be
//! determined, so the file is refused as a whole.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
};

use tidemill_core::{Error, Result};

use super::{job::SourceFile, utf8::count_lines};

/// Returns an `Input` error if a quoted value takes in lines that do not belong to it.
pub(super) fn check_quotes(source: &SourceFile, delimiter: char) -> Result<()> {
    let key = &source.key;
    let failed = |e: io::Error| Error::transient(format!("`{key}` could not be read: {e}"));
    let file = BufReader::with_capacity(1 << 20, File::open(&source.path).map_err(failed)?);
    let Some((from, to)) = find_unbalanced(file, delimiter as u8).map_err(failed)? else {
        return Ok(());
    };
    let ends = match to {
        Some(to) => format!("that line {to} closes, and a value goes on behind it"),
        None => "that is never closed".to_owned(),
    };
    Err(Error::input(format!(
        "`{key}` opens a quote in line {from} {ends}: rows between would be lost; close it, or double it (`\"\"`) where it is part of a text, \
         and put the file under a new key"
    )))
}

#[derive(Clone, Copy, PartialEq)]
enum QuoteState {
    /// Before a value, after spaces at most.
    Start,
    Plain,
    Quoted,
    /// After a quote in a quoted value: its end, or the first of two quotes.
    Quote,
    /// After a quoted value, in spaces.
    Behind,
}

/// Finds the first quoted value of several lines that is not closed, or is closed in the middle of a value. Returns its first line and, if
/// it is closed, its last.
fn find_unbalanced(mut reader: impl BufRead, delimiter: u8) -> io::Result<Option<(u64, Option<u64>)>> {
    let (mut state, mut line, mut opened, mut last) = (QuoteState::Start, 1, 0, b'\n');
    loop {
        let bytes = reader.fill_buf()?;
        let Some(&end) = bytes.last() else { break };
        let is_outside = matches!(state, QuoteState::Start | QuoteState::Plain);
        if is_outside && end != b' ' && !bytes.contains(&b'"') {
            line += count_lines(bytes);
            state = if end == delimiter || matches!(end, b'\n' | b'\r') {
                QuoteState::Start
            } else {
                QuoteState::Plain
            };
        } else {
            for &byte in bytes {
                line += u64::from(byte == b'\n');
                state = match (state, byte) {
                    (QuoteState::Quoted, b'"') => QuoteState::Quote,
                    (QuoteState::Quoted, _) | (QuoteState::Quote, b'"') => QuoteState::Quoted,
                    (_, b'\n' | b'\r') => QuoteState::Start,
                    (_, byte) if byte == delimiter => QuoteState::Start,
                    (QuoteState::Start, b' ') => QuoteState::Start,
                    (QuoteState::Start, b'"') => {
                        opened = line;
                        QuoteState::Quoted
                    }
                    (QuoteState::Quote | QuoteState::Behind, b' ') => QuoteState::Behind,
                    (QuoteState::Quote | QuoteState::Behind, _) if line > opened => return Ok(Some((opened, Some(line)))),
                    _ => QuoteState::Plain,
                };
            }
        }
        last = end;
        let length = bytes.len();
        reader.consume(length);
    }
    // If only the last line is affected, DuckDB rejects it.
    let taken = line - u64::from(last == b'\n');
    Ok((state == QuoteState::Quoted && taken > opened).then_some((opened, None)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_takes_rows_is_astray() {
        let found = |text: &str| {
            let whole = find_unbalanced(text.as_bytes(), b',').unwrap();
            // The result does not depend on the size of the pieces.
            for size in 1..9 {
                assert_eq!(
                    find_unbalanced(BufReader::with_capacity(size, text.as_bytes()), b',').unwrap(),
                    whole,
                    "{text:?}"
                );
            }
            whole
        };
        for good in [
            "a,b\n1,2\n",
            "a,b\n1,\"x\ny\"\n2,z\n",
            "a,b\r\n1, \"x\r\ny\" \r\n2,z",
            "a,b\n1,\"x \"\"y\"\"\nz\"\n",
            "a,b\n1,x\"y\n2,z\"\n",
            "a,b\n1,\"\"\n2,\"\",\n",
            // One line that is not CSV, and a file that is truncated in its last line.
            "a,b\n1,\"x\"y\n2,z\n",
            "a,b\n1,\"open",
            "a,b\n1,\"open\n",
            "",
        ] {
            assert_eq!(found(good), None, "{good:?}");
        }
        assert_eq!(found("a,b\n1,\"open\n2,x\n3,y\n"), Some((2, None)));
        assert_eq!(found("a,b\n1,\"open\n2,x"), Some((2, None)));
        assert_eq!(found("a,b\n1,\"open\n2,\"closed\"\n3,y\n"), Some((2, Some(3))));
        assert_eq!(found("a,b\n1,\"x\"y,\"z\n2,z\n3,\"q\"\n"), Some((2, Some(4))));
        assert_eq!(found("a,b\n1,\"x\ny\" z\n"), Some((2, Some(3))));
    }
}
