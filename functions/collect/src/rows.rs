//! Rows that arrive over HTTP: the format of the file that they become, and whether the body can be such a file.

use tidemill_core::{Error, Result};

/// File extensions, each with its content types and extensions.
const CONTENT_TYPES: [(&str, &[&str]); 3] = [
    ("csv", &["text/csv", "application/csv", "csv"]),
    (
        "jsonl",
        &[
            "application/x-ndjson",
            "application/jsonl",
            "application/x-jsonlines",
            "application/json",
            "jsonl",
            "ndjson",
            "json",
        ],
    ),
    ("parquet", &["application/vnd.apache.parquet", "application/x-parquet", "parquet"]),
];

/// The file extension for a content type, if the type is known.
pub(crate) fn file_extension(content_type: &str) -> Option<&'static str> {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    CONTENT_TYPES
        .into_iter()
        .find(|(_, names)| names.contains(&kind.as_str()))
        .map(|(extension, _)| extension)
}

/// Returns the extension and the bytes of the file that a body becomes. A JSON array of objects becomes JSON lines.
///
/// # Errors
/// `Input` if the content type is unknown or the body does not have it; rows are checked later, against the contract.
pub(crate) fn to_file(content_type: &str, body: &[u8]) -> Result<(&'static str, Vec<u8>)> {
    let extension = file_extension(content_type).ok_or_else(|| {
        let known = CONTENT_TYPES.map(|(_, names)| format!("`{}`", names[0])).join(", ");
        Error::input(format!("content type `{content_type}` is unknown; send {known}"))
    })?;
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Error::input("the body is empty; send at least one row"));
    }
    match extension {
        "parquet" if !(body.starts_with(b"PAR1") && body.ends_with(b"PAR1")) => Err(Error::input(
            "the body is not a whole Parquet file: it must start and end with `PAR1`",
        )),
        "parquet" => Ok((extension, body.to_vec())),
        "jsonl" => Ok((extension, to_json_lines(body)?)),
        _ => std::str::from_utf8(body)
            .map(|_| (extension, body.to_vec()))
            .map_err(|e| Error::input(format!("the body is not UTF-8 from byte {} on; save it as UTF-8", e.valid_up_to()))),
    }
}

fn to_json_lines(body: &[u8]) -> Result<Vec<u8>> {
    let not_json = |e: serde_json::Error| Error::input(format!("the body is not JSON: {e}"));
    let array = body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[');
    let rows: Vec<serde_json::Value> = if array {
        serde_json::from_slice(body).map_err(not_json)?
    } else {
        serde_json::Deserializer::from_slice(body)
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(not_json)?
    };
    if let Some(n) = rows.iter().position(|row| !row.is_object()) {
        return Err(Error::input(format!("row {} is `{}`; each row is one JSON object", n + 1, rows[n])));
    }
    if rows.is_empty() {
        return Err(Error::input("the body has no rows; send at least one"));
    }
    Ok(rows.iter().flat_map(|row| format!("{row}\n").into_bytes()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &str, body: &[u8]) -> String {
        to_file(kind, body).unwrap_err().message
    }

    #[test]
    fn json_arrays_become_lines() {
        let expected = b"{\"a\":1}\n{\"a\":null}\n".to_vec();
        assert_eq!(
            to_file("application/json", b" [{\"a\":1},{\"a\":null}]").unwrap(),
            ("jsonl", expected.clone())
        );
        assert_eq!(
            to_file("application/x-ndjson", b"{\"a\":1}\n{\"a\":null}").unwrap(),
            ("jsonl", expected)
        );
    }

    #[test]
    fn what_cannot_be_rows_is_said() {
        assert!(message("text/html", b"x").contains("`text/html` is unknown; send `text/csv`"));
        assert!(message("text/csv", b" \n").contains("empty"));
        assert!(message("text/csv", b"a\nzo\xEB\n").contains("not UTF-8 from byte 4"));
        assert!(message("application/json", b"[1]").contains("row 1 is `1`"));
        assert!(message("application/json", b"[]").contains("no rows"));
        assert!(message("application/json", b"{\"a\":").contains("not JSON"));
        assert!(message("parquet", b"PAR1....").contains("whole Parquet"));
    }
}
