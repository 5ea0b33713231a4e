//! Answers that no handler gives: those of connections that end before a request, and bodies for the bare refusals of the HTTP library.

use http::StatusCode;
use serde_json::json;

use super::limits::{MAX_HEAD_BYTES, MAX_HEADERS};

/// The bytes of an answer after which the connection ends.
pub(super) fn last_answer(status: StatusCode, headers: &str, message: &str) -> Vec<u8> {
    let body = format!("{}\n", json!({ "error": message }));
    format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}connection: close\r\n\r\n{body}",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        body.len()
    )
    .into_bytes()
}

/// The answer in place of a bare one that the HTTP library gives to what it cannot parse. `None` for every other answer: those of handlers
/// have further headers.
pub(super) fn explain(bare: &[u8]) -> Option<Vec<u8>> {
    if !bare.starts_with(b"HTTP/1.1 4") || bare.len() > 256 {
        return None;
    }
    let head = std::str::from_utf8(bare).ok()?.strip_suffix("\r\n\r\n")?;
    let (first, headers) = head.split_once("\r\n")?;
    let is_bare = headers.split("\r\n").all(|header| {
        let (name, value) = header.split_once(':').unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => value.trim() == "0",
            "connection" => value.trim() == "close",
            "date" => true,
            _ => false,
        }
    });
    let status: u16 = first.split(' ').nth(1)?.parse().ok()?;
    let message = match status {
        400 => "the request is not HTTP: its first line, a header, or its length cannot be read; this is a server of HTTP without TLS"
            .to_owned(),
        414 => "the address is too long: at most 65534 bytes are read".to_owned(),
        431 => format!(
            "the head is too large: at most {MAX_HEADERS} headers and {} KiB, with the first line, are read",
            MAX_HEAD_BYTES >> 10
        ),
        _ => return None,
    };
    is_bare.then(|| last_answer(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), "", &message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_answers_get_a_body() {
        let explained = |head: &str| explain(head.as_bytes()).map(|answer| String::from_utf8(answer).unwrap());
        let bare = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        let answer = explained(bare).unwrap();
        assert!(answer.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{answer}");
        assert!(answer.contains("at most 100 headers and 128 KiB"), "{answer}");
        assert!(
            explained("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
                .unwrap()
                .contains("not HTTP")
        );
        for other in [
            "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\nno",
        ] {
            assert_eq!(explained(other), None, "{other}");
        }
    }
}
