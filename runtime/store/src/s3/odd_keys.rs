//! Listings without the keys that a store cannot have: one such object must not hide all others. `object_store` fails on the first.

use std::{collections::HashSet, sync::LazyLock};

use bytes::Bytes;
use http::{Uri, header};
use object_store::{
    client::{HttpError, HttpResponse},
    path::Path,
};
use parking_lot::Mutex;

/// Keys that are remembered, so that each is told once.
const MAX_REMEMBERED: usize = 10_000;

/// Leaves out of the response to a listing what `object_store` cannot read. Other responses stay as they are.
pub(super) async fn drop_odd_keys(uri: &Uri, response: HttpResponse) -> Result<HttpResponse, HttpError> {
    let is_listing = uri.query().is_some_and(|query| query.split('&').any(|part| part == "list-type=2"));
    if !is_listing || !response.status().is_success() {
        return Ok(response);
    }
    let (mut parts, body) = response.into_parts();
    let bytes = body.bytes().await?;
    let bytes = match std::str::from_utf8(&bytes).ok().and_then(filter) {
        Some((kept, odd)) => {
            odd.iter().for_each(|key| warn(key));
            Bytes::from(kept)
        }
        None => bytes,
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    Ok(HttpResponse::from_parts(parts, bytes.into()))
}

/// The listing without odd keys, and these; `None` if there are none. Keys are escaped in it, so that tags can be searched for.
fn filter(listing: &str) -> Option<(String, Vec<String>)> {
    const END: &str = "</Contents>";
    let (mut kept, mut odd, mut rest) = (String::new(), Vec::new(), listing);
    while let Some(start) = rest.find("<Contents>") {
        let Some(length) = rest[start..].find(END) else { break };
        let (before, entry) = (&rest[..start], &rest[start..start + length + END.len()]);
        kept.push_str(before);
        match odd_key(entry) {
            Some(key) => odd.push(key),
            None => kept.push_str(entry),
        }
        rest = &rest[start + entry.len()..];
    }
    kept.push_str(rest);
    (!odd.is_empty()).then_some((kept, odd))
}

fn odd_key(entry: &str) -> Option<String> {
    let escaped = entry.split_once("<Key>")?.1.split_once("</Key>")?.0;
    match quick_xml::escape::unescape(escaped) {
        Ok(key) => Path::parse(&key).is_err().then(|| key.into_owned()),
        Err(_) => Some(escaped.to_owned()),
    }
}

fn warn(key: &str) {
    static WARNED: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
    let mut warned = WARNED.lock();
    if warned.len() < MAX_REMEMBERED && warned.insert(key.to_owned()) {
        tracing::warn!(
            "passed over: the bucket holds `{}`, which cannot be a key of a store; put the object under a name without control \
             characters and empty segments",
            key.escape_debug()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_keys_are_left_out_and_named() {
        let entry = |key: &str| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>");
        let page = |keys: &[&str]| {
            let entries: String = keys.iter().map(|key| entry(key)).collect();
            format!("<?xml version=\"1.0\"?><ListBucketResult><Name>tide</Name>{entries}<KeyCount>9</KeyCount></ListBucketResult>")
        };
        let good = ["raw/a.csv", "raw/b &amp; c.csv", "raw/folder/", "raw/back\\slash.csv"];
        assert_eq!(filter(&page(&good)), None);
        let mixed = [
            "raw/tab&#9;here.csv",
            good[0],
            "raw//double.csv",
            good[1],
            "raw/a\nb.csv",
            good[2],
            "raw/../x",
            good[3],
        ];
        let (kept, odd) = filter(&page(&mixed)).unwrap();
        assert_eq!(kept, page(&good));
        assert_eq!(odd, ["raw/tab\there.csv", "raw//double.csv", "raw/a\nb.csv", "raw/../x"]);
        assert_eq!(filter("<Contents><Key>raw//x"), None, "cut off");
    }
}
