//! The conformance suite of backends, as functions over any [`Store`]: a new backend conforms when [`run_all`] returns.
//!
//! They panic at the first difference, so they are for tests. Each uses keys of its own: the store need not be empty.

use bytes::Bytes;
use tidemill_core::{Digest, ErrorKind, PutResult};

use crate::Store;

/// Runs every check.
pub async fn run_all(store: &Store) {
    reads_what_was_written(store).await;
    creates_once(store).await;
    one_creator_wins(store).await;
    swaps_by_content(store).await;
    one_swapper_wins(store).await;
    gives_ranges(store).await;
    lists_in_pages(store).await;
    keeps_odd_keys(store).await;
    refuses_bad_keys(store).await;
}

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

async fn put(store: &Store, key: &str, content: &str) -> PutResult {
    store.create(key, text(content)).await.expect("a create")
}

/// Bytes come back; what is missing is `NotFound`; removing twice is fine.
pub async fn reads_what_was_written(store: &Store) {
    let key = "conformance/read/a";
    assert_eq!(store.get(key).await.expect_err("nothing is there").kind, ErrorKind::NotFound);
    assert_eq!(store.head(key).await, Ok(None));
    assert_eq!(put(store, key, "one").await, PutResult::Written);
    assert_eq!(store.get(key).await, Ok(text("one")));
    assert_eq!(store.head(key).await.expect("a head").map(|meta| meta.size), Some(3));
    assert_eq!(store.replace(key, text("two!")).await, Ok(()));
    assert_eq!(store.get(key).await, Ok(text("two!")));
    assert_eq!(store.delete(key).await, Ok(()));
    assert_eq!(store.delete(key).await, Ok(()));
    assert_eq!(store.head(key).await, Ok(None));
    let large = Bytes::from(vec![7_u8; 3 << 20]);
    assert_eq!(store.create("conformance/read/large", large.clone()).await, Ok(PutResult::Written));
    let whole = store.digest("conformance/read/large").await.expect("a digest");
    assert_eq!((whole.digest, whole.size), (Digest::sha256(&large), 3 << 20));
    let listed = store.list_with_tokens("conformance/read/").await.expect("a listing");
    assert!(
        listed
            .iter()
            .any(|found| found.meta.size == whole.size && found.change_token == whole.change_token)
    );
    assert_eq!(store.digest(key).await.expect_err("it was removed").kind, ErrorKind::NotFound);
    let size = large.len() as u64;
    assert_eq!(store.get_at_most("conformance/read/large", size).await, Ok(large));
    let refused = store
        .get_at_most("conformance/read/large", size - 1)
        .await
        .expect_err("it is larger");
    assert_eq!(refused.kind, ErrorKind::Limit);
    assert!(refused.message.contains("`conformance/read/large` has 3145728 bytes"), "{refused}");
    assert_eq!(put(store, "conformance/read/large", "short").await, PutResult::Conflict);
    assert_eq!(put(store, "conformance/read/empty", "").await, PutResult::Written);
    assert_eq!(store.get("conformance/read/empty").await, Ok(Bytes::new()));
}

/// The same bytes again are unchanged, others a conflict that changes nothing.
pub async fn creates_once(store: &Store) {
    let key = "conformance/create/a";
    assert_eq!(put(store, key, "one").await, PutResult::Written);
    assert_eq!(put(store, key, "one").await, PutResult::Unchanged);
    assert_eq!(put(store, key, "two").await, PutResult::Conflict);
    assert_eq!(store.get(key).await, Ok(text("one")));
}

/// Of eight creators with different bytes one is told `Written`, and its bytes stand.
pub async fn one_creator_wins(store: &Store) {
    for round in 0..20 {
        let key = format!("conformance/create-race/{round}");
        let winner = race(store, &key, None).await;
        assert_eq!(store.get(&key).await, Ok(text(&winner)));
    }
}

/// Only the expected content is replaced.
pub async fn swaps_by_content(store: &Store) {
    let key = "conformance/swap/a";
    let one = Digest::sha256(b"one");
    assert_eq!(
        store.swap(key, Some(&one), text("two")).await,
        Ok(PutResult::Conflict),
        "nothing is there"
    );
    assert_eq!(store.head(key).await, Ok(None));
    assert_eq!(store.swap(key, None, text("one")).await, Ok(PutResult::Written));
    assert_eq!(store.swap(key, None, text("two")).await, Ok(PutResult::Conflict));
    assert_eq!(
        store.swap(key, Some(&Digest::sha256(b"other")), text("two")).await,
        Ok(PutResult::Conflict)
    );
    assert_eq!(store.swap(key, Some(&one), text("two")).await, Ok(PutResult::Written));
    assert_eq!(
        store.swap(key, Some(&one), text("two")).await,
        Ok(PutResult::Unchanged),
        "told twice"
    );
    assert_eq!(store.swap(key, Some(&one), text("three")).await, Ok(PutResult::Conflict));
    assert_eq!(store.get(key).await, Ok(text("two")));
}

/// Of eight swappers that expect the same one is told `Written`, and its bytes stand.
pub async fn one_swapper_wins(store: &Store) {
    let key = "conformance/swap-race/a";
    let mut current = "start".to_owned();
    assert_eq!(put(store, key, &current).await, PutResult::Written);
    for _ in 0..20 {
        current = race(store, key, Some(&Digest::sha256(current.as_bytes()))).await;
        assert_eq!(store.get(key).await, Ok(text(&current)));
    }
}

async fn race(store: &Store, key: &str, expected: Option<&Digest>) -> String {
    let salt = expected.map_or("", Digest::short);
    let racers: Vec<_> = (0..8)
        .map(|racer| {
            let (store, key, expected) = (store.clone(), key.to_owned(), expected.cloned());
            let content = format!("{salt}{racer}");
            tokio::spawn(async move { (store.swap(&key, expected.as_ref(), text(&content)).await, content) })
        })
        .collect();
    let mut winners = Vec::new();
    for racer in racers {
        match racer.await.expect("a racer") {
            (Ok(PutResult::Written), content) => winners.push(content),
            (other, _) => assert_eq!(other, Ok(PutResult::Conflict)),
        }
    }
    assert_eq!(winners.len(), 1, "{winners:?}");
    winners.remove(0)
}

/// Ranges end at the object's end.
pub async fn gives_ranges(store: &Store) {
    let key = "conformance/range/a";
    assert_eq!(put(store, key, "0123456789").await, PutResult::Written);
    for (offset, length, expected) in [
        (0, 4, "0123"),
        (3, 3, "345"),
        (8, 10, "89"),
        (10, 1, ""),
        (99, u64::MAX, ""),
        (0, 0, ""),
    ] {
        assert_eq!(store.get_range(key, offset, length).await, Ok(text(expected)), "{offset} {length}");
    }
    let missing = store.get_range("conformance/range/none", 0, 1).await;
    assert_eq!(missing.expect_err("nothing is there").kind, ErrorKind::NotFound);
}

/// Ascending by bytes, in pages, under whole segments only.
pub async fn lists_in_pages(store: &Store) {
    let mut keys: Vec<String> = ["a", "a.b", "a-b", "a/b", "a/c/d", "ab", "a0", "b", "é", "Z"]
        .map(|name| format!("conformance/list/{name}/x"))
        .into();
    keys.extend((0..25).map(|n| format!("conformance/list/n/{n:02}")));
    keys.sort();
    for key in &keys {
        put(store, key, "x").await;
    }
    put(store, "conformance/list-not/x", "x").await;
    for limit in [1, 3, 7, 1000] {
        assert_eq!(pages(store, "conformance/list/", limit).await, keys, "pages of {limit}");
    }
    assert_eq!(pages(store, "conformance/list", 1000).await, keys, "without the slash");
    let middle = store
        .list("conformance/list/", Some("conformance/list/n/10x"), 2)
        .await
        .expect("a list");
    assert_eq!(
        middle.iter().map(|meta| &meta.key).collect::<Vec<_>>(),
        ["conformance/list/n/11", "conformance/list/n/12"]
    );
    assert_eq!(store.list("conformance/nothing/", None, 10).await, Ok(vec![]));
    assert_eq!(store.list("conformance/list/", None, 0).await, Ok(vec![]));
}

async fn pages(store: &Store, prefix: &str, limit: usize) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    loop {
        let page = store.list(prefix, keys.last().map(String::as_str), limit).await.expect("a list");
        let done = page.len() < limit;
        keys.extend(page.into_iter().map(|meta| meta.key));
        if done {
            return keys;
        }
    }
}

/// What is read back under a listed key is what was written under it.
pub async fn keeps_odd_keys(store: &Store) {
    let names = [
        "with space",
        "ünï/çødé",
        "a+b",
        "a%2Fb",
        "%",
        "q?x=1&y#z",
        "{a}",
        "[b]*",
        "'quoted\"",
        "~",
        "日本.csv",
        ".hidden",
    ];
    for name in names {
        let key = format!("conformance/odd/{name}");
        assert_eq!(put(store, &key, name).await, PutResult::Written, "{key}");
        assert_eq!(store.get(&key).await, Ok(text(name)), "{key}");
    }
    let listed = pages(store, "conformance/odd/", 1000).await;
    assert_eq!(listed.len(), names.len());
    for name in names {
        assert!(listed.contains(&format!("conformance/odd/{name}")), "{name}: {listed:?}");
    }
}

/// What one backend could not hold, none takes.
pub async fn refuses_bad_keys(store: &Store) {
    for key in [
        "",
        "/a",
        "a/",
        "a//b",
        "../a",
        "a/../b",
        ".",
        "a\\b",
        "a\u{0}b",
        ".tidemill/x",
        &"k".repeat(2000),
    ] {
        let error = store.create(key, text("x")).await.expect_err("a bad key");
        assert_eq!(error.kind, ErrorKind::Input, "{error}");
        assert!(store.get(key).await.is_err() && store.head(key).await.is_err() && store.delete(key).await.is_err());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn memory() {
        run_all(&Store::memory()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn local_files() {
        let folder = tempfile::tempdir().expect("a folder");
        run_all(&Store::local(folder.path()).expect("a store")).await;
    }
}
