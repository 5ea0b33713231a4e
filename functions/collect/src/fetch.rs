//! Files from a URL. The server's content type takes precedence over the URL's extension.

use std::collections::BTreeMap;

use tidemill_core::{Error, FetchResponse, Host, Result, text::redact_url};

use crate::{rows, write_once};

/// Fetches the file and returns the key that was written, if the file is new.
pub(crate) fn collect_url(dataset: &str, url: &str, headers: BTreeMap<String, String>, host: &dyn Host) -> Result<Vec<String>> {
    let accept = "text/csv, application/x-ndjson, application/vnd.apache.parquet, */*;q=0.1";
    let mut headers: Vec<(String, String)> = headers.into_iter().collect();
    headers.push(("accept".to_owned(), accept.to_owned()));
    let answer = host.fetch(url, &headers)?;
    let shown = redact_url(url);
    check_status(&shown, answer.status)?;
    let (ending, bytes) = rows::to_file(&detect_content_type(url, &answer), &answer.body).map_err(|e| e.context(format!("`{shown}`")))?;
    Ok(write_once(dataset, ending, &bytes, host)?.into_iter().collect())
}

fn check_status(url: &str, status: u16) -> Result<()> {
    match status {
        200 => Ok(()),
        429 | 500..=599 => Err(Error::transient(format!("`{url}` answered {status}"))),
        _ => Err(Error::input(format!(
            "`{url}` answered {status}; 200 was expected: look at the address and the headers in `collect`"
        ))),
    }
}

/// The content type, or the URL's extension if the server sent no known type.
fn detect_content_type(url: &str, answer: &FetchResponse) -> String {
    let header = answer
        .headers
        .iter()
        .find(|(name, _)| name == "content-type")
        .map(|(_, value)| value.clone())
        .unwrap_or_default();
    if rows::file_extension(&header).is_some() {
        return header;
    }
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/')
        .next()
        .and_then(|name| name.rsplit_once('.'))
        .map_or(header, |(_, ending)| ending.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use tidemill_core::ErrorKind;

    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert!(check_status("u", 200).is_ok());
        assert_eq!(
            [429, 500, 503].map(|s| check_status("u", s).unwrap_err().kind),
            [ErrorKind::Transient; 3]
        );
        assert_eq!(
            [301, 403, 404].map(|s| check_status("u", s).unwrap_err().kind),
            [ErrorKind::Input; 3]
        );
    }

    #[test]
    fn a_vague_content_type_leaves_it_to_the_ending() {
        let answer = |kind: &str| FetchResponse {
            status: 200,
            headers: vec![("content-type".into(), kind.into())],
            body: vec![],
        };
        assert_eq!(
            detect_content_type("http://h/a.parquet?x=1.csv", &answer("application/octet-stream")),
            "parquet"
        );
        assert_eq!(
            detect_content_type("http://h/a.parquet", &answer("text/csv; charset=utf-8")),
            "text/csv; charset=utf-8"
        );
    }
}
