//! Listings in the order of the keys' bytes, from servers that list in another order.
//!
//! S3 lists by bytes. Servers that keep files walk their folders: `a/x` before `a-b/x`, although `-` is less than `/`. Where a page
//! begins and when it is complete is chosen so that neither order leaves a key out.

use std::collections::BTreeMap;

use futures::{Stream, TryStreamExt, pin_mut};
use tidemill_core::ObjectMeta;

use crate::ListedObject;

/// In which order a backend lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListingOrder {
    /// By the bytes of the keys.
    Bytes,
    /// By bytes or folder by folder.
    Folders,
    /// In none.
    Unknown,
}

impl ListingOrder {
    /// Where a listing under `prefix` must begin (exclusive) to hold every key greater than `after`; `None`: at the beginning.
    pub(super) fn start_offset<'a>(self, prefix: &str, after: &'a str) -> Option<&'a str> {
        let rest = after.strip_prefix(prefix)?;
        let begin = match self {
            Self::Bytes => rest,
            Self::Folders => {
                // What is greater than `a-b` by its bytes may stand in the folder `a`, which was walked before. And a server that begins
                // behind the name `a` leaves out what is in a folder of this name: so a character less, and never just a folder's name.
                let cut = rest.bytes().position(|byte| byte < b'/').unwrap_or(rest.len());
                let mut begin = rest[..cut].trim_end_matches('/');
                while let Some((last, _)) = begin.char_indices().next_back() {
                    begin = &begin[..last];
                    if !begin.ends_with('/') {
                        break;
                    }
                    begin = begin.trim_end_matches('/');
                }
                begin
            }
            Self::Unknown => "",
        };
        (!begin.is_empty()).then(|| &after[..prefix.len() + begin.len()])
    }

    /// Up to which key (inclusive) nothing can be added to a listing under `prefix` any more when `last` was listed last.
    fn settled_key<'a>(self, prefix: &str, last: &'a str) -> &'a str {
        let rest = last.get(prefix.len()..).unwrap_or_default();
        let length = match self {
            Self::Bytes => rest.len(),
            // Behind the folder `a`, `a-b` may still come.
            Self::Folders => rest.find('/').unwrap_or(rest.len()),
            Self::Unknown => return "",
        };
        &last[..prefix.len() + length]
    }

    /// The first `limit` keys greater than `after` of a listing under `prefix`, in the order of their bytes.
    pub(super) async fn collect_page<E>(
        self,
        listed: impl Stream<Item = Result<ListedObject, E>>,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListedObject>, E> {
        let mut found = BTreeMap::new();
        let mut settled = String::new();
        pin_mut!(listed);
        while found.len() < limit || found.range(..=settled.clone()).count() < limit {
            let Some(ListedObject { meta, change_token: stamp }) = listed.try_next().await? else {
                break;
            };
            if self.settled_key(prefix, &meta.key) != settled {
                self.settled_key(prefix, &meta.key).clone_into(&mut settled);
            }
            if after.is_none_or(|after| meta.key.as_str() > after) {
                found.insert(meta.key, (meta.size, stamp));
            }
        }
        let stamped = |(key, (size, stamp))| ListedObject {
            meta: ObjectMeta { key, size },
            change_token: stamp,
        };
        Ok(found.into_iter().take(limit).map(stamped).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;

    use super::*;

    /// Names that share beginnings, with characters on both sides of `/`.
    fn keys() -> Vec<String> {
        let names = ["a", "a-b", "a.b", "a0", "b", "b-", "é"];
        let mut keys = Vec::new();
        for one in names {
            for two in names {
                keys.push(format!("p/{one}/{two}"));
                keys.push(format!("p/{one}/{two}/x"));
            }
            keys.push(format!("p/{one}.json"));
        }
        keys.sort();
        keys
    }

    /// How a server of files sorts: name by name.
    fn walked(mut keys: Vec<String>) -> Vec<String> {
        keys.sort_by(|a, b| a.split('/').cmp(b.split('/')));
        keys
    }

    /// A server's listing after a key, in its own order; one that walks folders leaves out the folder that it begins behind.
    fn listing(keys: &[String], begin: Option<&str>, by_bytes: bool) -> Vec<Result<ListedObject, Infallible>> {
        let behind = |key: &&String| match begin {
            None => true,
            Some(begin) if by_bytes => key.as_str() > begin,
            Some(begin) => key.split('/').cmp(begin.split('/')).is_gt() && !key.starts_with(&format!("{begin}/")),
        };
        let stamped = |key: &String| {
            let meta = ObjectMeta { key: key.clone(), size: 1 };
            Ok(ListedObject { meta, change_token: 1 })
        };
        keys.iter().filter(behind).map(stamped).collect()
    }

    #[tokio::test]
    async fn no_page_of_either_order_leaves_a_key_out() {
        let sorted = keys();
        for (order, served) in [
            (ListingOrder::Bytes, sorted.clone()),
            (ListingOrder::Folders, sorted.clone()),
            (ListingOrder::Folders, walked(sorted.clone())),
        ] {
            let by_bytes = served == sorted;
            for limit in [1, 2, 3, 7, 1000] {
                let mut found: Vec<String> = Vec::new();
                loop {
                    let after = found.last().map(String::as_str);
                    let begin = after.and_then(|after| order.start_offset("p/", after));
                    let listed = stream::iter(listing(&served, begin, by_bytes));
                    let Ok(page) = order.collect_page(listed, "p/", after, limit).await;
                    let last = page.len() < limit;
                    found.extend(page.into_iter().map(|found| found.meta.key));
                    if last {
                        break;
                    }
                }
                assert_eq!(found, sorted, "{order:?} {by_bytes} {limit}");
            }
        }
    }

    #[tokio::test]
    async fn a_flat_folder_is_read_no_further_than_needed() {
        let names = ["p/a", "p/b", "p/c"].map(String::from);
        let mut taken = 0;
        let listed = stream::iter(listing(&names, None, true)).inspect_ok(|_| taken += 1);
        let Ok(page) = ListingOrder::Folders.collect_page(listed, "p/", None, 2).await;
        assert_eq!((page.len(), taken), (2, 2));
    }
}
