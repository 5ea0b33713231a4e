//! CSV as a table: the header is read here, every column is text, and lines that are not CSV go to a table of rejects.
//!
//! DuckDB's sniffer is not used: it guesses, and a guess may differ between two files of one dataset.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read as _},
};

use tidemill_core::{Error, Result, sql::quote_string, text::truncate};

use super::job::SourceFile;

/// Largest header that is read, in bytes.
const MAX_HEADER_SIZE: u64 = 1 << 20;
/// Longest name of a column, in bytes: names stand in records.
const MAX_NAME_SIZE: usize = 1024;
/// Characters of the file that a message shows at most.
const SHOWN_CHARACTERS: usize = 80;

/// The delimiter and the columns of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) delimiter: char,
    pub(super) columns: Vec<String>,
}

/// Reads the header.
pub(super) fn read_header(source: &SourceFile) -> Result<Header> {
    let key = &source.key;
    let failed = |e: std::io::Error| Error::transient(format!("`{key}` could not be read: {e}"));
    let mut reader = BufReader::new(File::open(&source.path).map_err(failed)?).take(MAX_HEADER_SIZE + 1);
    let mut line = Vec::new();
    // A quoted name may contain a line break: the header ends where the number of quotes is even.
    while line.is_empty() || line.iter().filter(|byte| **byte == b'"').count() % 2 == 1 {
        if reader.read_until(b'\n', &mut line).map_err(failed)? == 0 {
            break;
        }
    }
    let line = String::from_utf8_lossy(&line);
    if line.len() as u64 > MAX_HEADER_SIZE {
        return Err(Error::input(format!(
            "`{key}` has no end of its header in the first {MAX_HEADER_SIZE} bytes, which begin `{}`: a CSV begins with a line of column \
             names; put a file with a header under a new key",
            truncate(&line, SHOWN_CHARACTERS)
        )));
    }
    parse_header(key, line.trim_start_matches('\u{feff}').trim_end_matches(['\n', '\r']))
}

fn parse_header(key: &str, line: &str) -> Result<Header> {
    if line.trim().is_empty() {
        return Err(Error::input(format!(
            "`{key}` is empty: a CSV begins with a line of column names; put a file with a header under a new key"
        )));
    }
    let delimiter = detect_delimiter(line);
    let columns = split_header(line, delimiter);
    if let Some(position) = columns.iter().position(|name| name.trim().is_empty()) {
        return Err(Error::input(format!(
            "`{key}` has no name for column {} in its header `{}`: every column needs one",
            position + 1,
            truncate(line, SHOWN_CHARACTERS)
        )));
    }
    if let Some(position) = columns.iter().position(|name| name.len() > MAX_NAME_SIZE) {
        return Err(Error::input(format!(
            "`{key}` has a name of {} bytes for column {}, which begins `{}`; at most {MAX_NAME_SIZE} are allowed: is the line a header?",
            columns[position].len(),
            position + 1,
            truncate(&columns[position], SHOWN_CHARACTERS)
        )));
    }
    let lower: Vec<String> = columns.iter().map(|name| name.to_lowercase()).collect();
    if let Some(twice) = (1..lower.len()).find(|index| lower[..*index].contains(&lower[*index])) {
        return Err(Error::input(format!(
            "`{key}` names the column `{}` twice in its header (case does not tell columns apart): rename one",
            columns[twice]
        )));
    }
    Ok(Header { delimiter, columns })
}

/// The most frequent of `,` `;` tab `|` in the header, outside quotes.
fn detect_delimiter(line: &str) -> char {
    let mut is_quoted = false;
    let mut counts = [(',', 0), (';', 0), ('\t', 0), ('|', 0)];
    for character in line.chars() {
        is_quoted ^= character == '"';
        if let Some((_, count)) = counts.iter_mut().find(|(candidate, _)| *candidate == character && !is_quoted) {
            *count += 1;
        }
    }
    // Ties go to the first delimiter: a line with none of them is one column.
    counts
        .into_iter()
        .rev()
        .max_by_key(|(_, count)| *count)
        .map_or(',', |(candidate, _)| candidate)
}

fn split_header(line: &str, delimiter: char) -> Vec<String> {
    let mut columns = vec![String::new()];
    let mut is_quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let last = columns.len() - 1;
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                columns[last].push('"');
            }
            '"' => is_quoted = !is_quoted,
            c if c == delimiter && !is_quoted => columns.push(String::new()),
            c => columns[last].push(c),
        }
    }
    columns
}

/// The table function call that reads the file.
pub(super) fn read_csv_call(source: &SourceFile, header: &Header) -> String {
    let columns: Vec<String> = header
        .columns
        .iter()
        .map(|name| format!("{}: 'VARCHAR'", quote_string(name)))
        .collect();
    format!(
        "read_csv({}, auto_detect = false, header = true, columns = {{{}}}, delim = {}, quote = '\"', escape = '\"', \
         hive_partitioning = false, ignore_errors = true, store_rejects = true, rejects_limit = 0, rejects_table = 'reject_errors', rejects_scan = 'reject_scans')",
        quote_string(&source.path.to_string_lossy()),
        columns.join(", "),
        quote_string(&header.delimiter.to_string()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let header = parse_header("k", r#"a,"b ""x"", y",c d"#).unwrap();
        assert_eq!(header.columns, ["a", r#"b "x", y"#, "c d"]);
        assert_eq!(parse_header("k", "a;b;c,d").unwrap().delimiter, ';');
        assert_eq!(parse_header("k", "a\tb").unwrap().columns, ["a", "b"]);
        assert_eq!(parse_header("k", "only").unwrap().delimiter, ',');
        assert!(parse_header("raw/x.csv", " ").unwrap_err().message.contains("`raw/x.csv` is empty"));
        assert!(parse_header("k", "a,,c").unwrap_err().message.contains("column 2"));
        assert!(parse_header("k", "a,b,A").unwrap_err().message.contains("`A` twice"));
    }

    #[test]
    fn a_name_that_is_too_long_is_shown_in_part() {
        let line = format!("a,{}", "é".repeat(MAX_NAME_SIZE));
        let message = parse_header("k", &line).unwrap_err().message;
        assert!(message.contains("2048 bytes for column 2") && message.len() < 400, "{message}");
    }
}
