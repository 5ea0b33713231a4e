//! The project's files as a ConfigMap. Its name follows from its content and it never changes, so that pods of an earlier configuration, and
//! those that a roll-back starts, have the files that they were written with.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value as Json, json};
use tidemill_core::{Error, Hasher, Result, text::quoted_list};

/// The most that a ConfigMap holds, in bytes.
pub const MAX_PROJECT_BYTES: usize = 1 << 20;

/// A project's files, as a ConfigMap names them.
#[derive(Debug)]
pub(super) struct ProjectFiles<'a> {
    /// By key, with the path from the project's folder.
    files: BTreeMap<String, (&'a str, &'a [u8])>,
    /// The ConfigMap's name.
    pub(super) name: String,
}

impl<'a> ProjectFiles<'a> {
    pub(super) fn new(base: &str, files: &'a BTreeMap<String, Vec<u8>>) -> Result<Self> {
        check_size(files)?;
        let mut hash = Hasher::default();
        let mut keys = BTreeMap::new();
        for (path, bytes) in files {
            if path.starts_with('/') || path.split('/').any(|part| part == "..") {
                return Err(Error::config(format!(
                    "`{path}` is not in the project's folder, and only what is goes into the cluster: move it there"
                )));
            }
            for part in [path.as_bytes(), bytes] {
                hash.update(&(part.len() as u64).to_le_bytes());
                hash.update(part);
            }
            keys.insert(unused_key(path, &keys), (path.as_str(), bytes.as_slice()));
        }
        Ok(Self {
            files: keys,
            name: format!("{base}-project-{}", &hash.finish().short()[..8]),
        })
    }

    /// The volume that puts each file where the project has it.
    pub(super) fn volume(&self, name: &str) -> Json {
        let items = self.files.iter().map(|(key, (path, _))| json!({ "key": key, "path": path }));
        json!({ "name": name, "configMap": { "name": self.name, "items": items.collect::<Vec<_>>() } })
    }

    /// The ConfigMap. What is no text is in `binaryData`.
    pub(super) fn config_map(&self, metadata: Json) -> Json {
        let mut object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "immutable": true });
        for (key, (_, bytes)) in &self.files {
            match std::str::from_utf8(bytes) {
                Ok(text) => object["data"][key] = text.into(),
                Err(_) => object["binaryData"][key] = BASE64_STANDARD.encode(bytes).into(),
            }
        }
        object
    }
}

fn check_size(files: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    let size = |bytes: &Vec<u8>| format!("{:.1} MiB", bytes.len() as f64 / f64::from(1 << 20));
    if files.values().map(Vec::len).sum::<usize>() <= MAX_PROJECT_BYTES {
        return Ok(());
    }
    let mut largest: Vec<(&String, &Vec<u8>)> = files.iter().collect();
    largest.sort_by_key(|(_, bytes)| std::cmp::Reverse(bytes.len()));
    let largest = largest.into_iter().take(3).map(|(path, bytes)| format!("{path} ({})", size(bytes)));
    Err(Error::config(format!(
        "the project's files are larger than the 1 MiB that a ConfigMap holds ({}): build an image with them, `FROM` Tidemill's image with `COPY \
         . /project`, and pass `--image` with its name and `--project-in-image`",
        quoted_list(largest)
    )))
}

/// A key for a path: a ConfigMap's have no `/`.
fn unused_key(path: &str, keys: &BTreeMap<String, (&str, &[u8])>) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let key: String = path.chars().map(|c| if is_plain(c) { c } else { '.' }).collect();
    let taken: BTreeSet<&str> = keys.keys().map(String::as_str).collect();
    let numbered = (2..).map(|n| format!("{key}.{n}"));
    let mut candidates = std::iter::once(key.clone()).chain(numbered);
    candidates.find(|key| !taken.contains(key.as_str())).unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(all: &[(&str, &[u8])]) -> BTreeMap<String, Vec<u8>> {
        all.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect()
    }

    #[test]
    fn keys_are_unique_and_binary_files_are_kept() {
        let files = files(&[("a.b", b"text\n"), ("a/b", b"other"), ("stages/geo code.wasm", b"\0asm\xff")]);
        let project = ProjectFiles::new("mill", &files).unwrap();
        let map = project.config_map(json!({ "name": project.name }));
        assert_eq!(map["data"], json!({ "a.b": "text\n", "a.b.2": "other" }));
        assert_eq!(map["binaryData"], json!({ "stages.geo.code.wasm": "AGFzbf8=" }));
        let items = &project.volume("project")["configMap"]["items"];
        assert_eq!(items[2], json!({ "key": "stages.geo.code.wasm", "path": "stages/geo code.wasm" }));
    }

    #[test]
    fn the_name_follows_from_the_content() {
        let name = |all: &[(&str, &[u8])]| ProjectFiles::new("mill", &files(all)).unwrap().name;
        let first = name(&[("tidemill.toml", b"a")]);
        assert!(
            first.starts_with("mill-project-") && first.len() == "mill-project-".len() + 8,
            "{first}"
        );
        assert_eq!(first, name(&[("tidemill.toml", b"a")]));
        assert_ne!(first, name(&[("tidemill.toml", b"b")]));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = |all: &[(&str, &[u8])]| ProjectFiles::new("mill", &files(all)).unwrap_err().message;
        let large = refused(&[("tidemill.toml", b"a"), ("stages/x.wasm", &vec![255; MAX_PROJECT_BYTES])]);
        assert!(
            large.contains("`stages/x.wasm (1.0 MiB)`") && large.contains("--project-in-image"),
            "{large}"
        );
        assert!(refused(&[("../shared/a.toml", b"a")]).contains("`../shared/a.toml`"));
        assert!(refused(&[("/etc/a.toml", b"a")]).contains("not in the project's folder"));
    }
}
