//! The data files that a window, a report or a request names: a list of a few, or the root of a tree of many.
//!
//! The tree follows from the files alone, however and whenever they came, so equal sets have equal names in every store. Where a node of
//! it ends depends on the content of the files, so two sets that differ in a few files share all nodes but a few, and the next window of
//! a dataset of many files writes little.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::DataFile;
use crate::{Digest, Error, Objects, Result, layout};

/// Above this number of files, a record names a set.
const MAX_LISTED: usize = 32;
/// A node has at least this many items, unless it is the last of its level.
const MIN_NODE: usize = 64;
/// A node has at most this many items.
const MAX_NODE: usize = 1024;
/// A node ends after an item whose digest ends like this: after one of 256.
const NODE_END: &str = "00";

/// Data files of a dataset, by time, then digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DataFiles {
    /// The files themselves.
    Listed(Vec<DataFile>),
    /// The root of their tree.
    Set(DataFileSet),
}

/// A node of the tree by its digest, and the sums over the files below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DataFileSet {
    /// The dataset's name in `tidemill.toml`.
    pub dataset: String,
    /// SHA-256 of the node, which is stored at `datasets/<dataset>/sets/<digest>.json`.
    pub set: Digest,
    /// Number of data files.
    pub files: u64,
    /// Number of their rows.
    pub rows: u64,
    /// Earliest event time.
    pub from: Timestamp,
    /// Latest event time.
    pub until: Timestamp,
}

/// `datasets/<dataset>/sets/<digest>.json`, named by its content: a node has files or other nodes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct SetNode {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    files: Vec<DataFile>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    nodes: Vec<DataFileSet>,
}

/// A node to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetObject {
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// The key, which the digest determines.
    pub key: String,
    /// The node as JSON.
    pub bytes: Vec<u8>,
}

impl From<Vec<DataFile>> for DataFiles {
    fn from(files: Vec<DataFile>) -> Self {
        Self::Listed(files)
    }
}

impl DataFiles {
    /// The files of `dataset`, which are in their order ([`DataFile::order`]), and the objects to store before a record names them.
    pub fn build(dataset: &str, files: &[DataFile]) -> Result<(Self, Vec<SetObject>)> {
        if files.len() <= MAX_LISTED {
            return Ok((Self::Listed(files.to_vec()), Vec::new()));
        }
        let mut objects = Vec::new();
        let mut level = Vec::new();
        for files in split(files, |file| &file.digest) {
            let node = SetNode {
                files: files.to_vec(),
                nodes: Vec::new(),
            };
            level.push(node.store(dataset, &mut objects)?);
        }
        while level.len() > 1 {
            let mut above = Vec::new();
            for nodes in split(&level, |node| &node.set) {
                let node = SetNode {
                    files: Vec::new(),
                    nodes: nodes.to_vec(),
                };
                above.push(node.store(dataset, &mut objects)?);
            }
            level = above;
        }
        let root = level.pop().ok_or_else(|| Error::bug("a set of data files has no root"))?;
        Ok((Self::Set(root), objects))
    }

    /// The files, each checked to be what the record names.
    ///
    /// # Errors
    /// `NotFound` if a node is not in the store, `Input` if it was changed.
    pub fn read(&self, objects: &dyn Objects) -> Result<Vec<DataFile>> {
        match self {
            Self::Listed(files) => Ok(files.clone()),
            Self::Set(root) => {
                let mut files = Vec::new();
                root.read(objects, &mut files)?;
                Ok(files)
            }
        }
    }

    /// Number of files.
    pub fn count(&self) -> u64 {
        match self {
            Self::Listed(files) => files.len() as u64,
            Self::Set(root) => root.files,
        }
    }

    /// Number of rows of all files; a key that two of them hold counts twice.
    pub fn rows(&self) -> u64 {
        match self {
            Self::Listed(files) => files.iter().map(|file| file.rows).sum(),
            Self::Set(root) => root.rows,
        }
    }

    /// Earliest and latest event time; `None` without files.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        match self {
            Self::Listed(files) => {
                let from = files.iter().map(|file| file.from).min()?;
                Some((from, files.iter().map(|file| file.until).max()?))
            }
            Self::Set(root) => Some((root.from, root.until)),
        }
    }

    /// Digests that determine the files: theirs, or that of the set.
    pub fn digests(&self) -> Vec<&str> {
        match self {
            Self::Listed(files) => files.iter().map(|file| file.digest.as_str()).collect(),
            Self::Set(root) => vec![root.set.as_str()],
        }
    }
}

impl DataFileSet {
    fn key(&self) -> String {
        layout::data_file_set(&self.dataset, &self.set)
    }

    fn read(&self, objects: &dyn Objects, files: &mut Vec<DataFile>) -> Result<()> {
        let key = self.key();
        let bytes = objects.get(&key)?;
        let found = Digest::sha256(&bytes);
        if found != self.set {
            return Err(Error::input(format!(
                "`{key}` is not what its name says: its SHA-256 is `{found}`; restore it"
            )));
        }
        let node: SetNode =
            serde_json::from_slice(&bytes).map_err(|e| Error::input(format!("`{key}` is not a set of data files: {e}; restore it")))?;
        files.extend(node.files);
        node.nodes.iter().try_for_each(|node| node.read(objects, files))
    }
}

impl SetNode {
    /// Adds the node to `objects`, and returns its name and sums.
    fn store(&self, dataset: &str, objects: &mut Vec<SetObject>) -> Result<DataFileSet> {
        let mut bytes = serde_json::to_vec(self).map_err(|e| Error::bug(format!("a set of data files cannot be written as JSON: {e}")))?;
        bytes.push(b'\n');
        let digest = Digest::sha256(&bytes);
        let spans = self.files.iter().map(|file| (file.from, file.until));
        let spans = spans.chain(self.nodes.iter().map(|node| (node.from, node.until)));
        let span = spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let (from, until) = span.ok_or_else(|| Error::bug("a node of a set of data files is empty"))?;
        let files = self.files.len() as u64 + self.nodes.iter().map(|node| node.files).sum::<u64>();
        let rows = self
            .files
            .iter()
            .map(|file| file.rows)
            .chain(self.nodes.iter().map(|node| node.rows));
        let named = DataFileSet {
            dataset: dataset.to_owned(),
            set: digest.clone(),
            files,
            rows: rows.sum(),
            from,
            until,
        };
        objects.push(SetObject {
            digest,
            key: named.key(),
            bytes,
        });
        Ok(named)
    }
}

/// Splits the items of a level into those of each node.
fn split<T>(items: &[T], digest: impl Fn(&T) -> &Digest) -> Vec<&[T]> {
    let (mut nodes, mut start) = (Vec::new(), 0);
    for (index, item) in items.iter().enumerate() {
        let length = index + 1 - start;
        if length == MAX_NODE || (length >= MIN_NODE && digest(item).as_str().ends_with(NODE_END)) {
            nodes.push(&items[start..=index]);
            start = index + 1;
        }
    }
    if start < items.len() {
        nodes.push(&items[start..]);
    }
    nodes
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, collections::BTreeMap};

    use super::*;
    use crate::{ObjectMeta, PutResult};

    /// The objects of a test: reads only.
    #[derive(Default)]
    struct Nodes(RefCell<BTreeMap<String, Vec<u8>>>);

    impl Nodes {
        /// Adds the objects; returns how many were new.
        fn add(&self, objects: Vec<SetObject>) -> usize {
            let before = self.0.borrow().len();
            self.0
                .borrow_mut()
                .extend(objects.into_iter().map(|object| (object.key, object.bytes)));
            self.0.borrow().len() - before
        }
    }

    impl Objects for Nodes {
        fn get(&self, key: &str) -> Result<Vec<u8>> {
            let found = self.0.borrow().get(key).cloned();
            found.ok_or_else(|| Error::not_found(format!("`{key}` is not in the store")))
        }
        fn get_range(&self, key: &str, _: u64, _: u64) -> Result<Vec<u8>> {
            self.get(key)
        }
        fn head(&self, _: &str) -> Result<Option<ObjectMeta>> {
            Ok(None)
        }
        fn create(&self, _: &str, _: &[u8]) -> Result<PutResult> {
            Ok(PutResult::Conflict)
        }
        fn swap(&self, _: &str, _: Option<&Digest>, _: &[u8]) -> Result<PutResult> {
            Ok(PutResult::Conflict)
        }
        fn list(&self, _: &str, _: Option<&str>, _: u32) -> Result<Vec<ObjectMeta>> {
            Ok(Vec::new())
        }
    }

    fn file(number: i64) -> DataFile {
        let at = |hours: i64| Timestamp::from_second(hours * 3600).unwrap();
        let digest = Digest::sha256(&number.to_le_bytes());
        DataFile {
            dataset: "d".into(),
            data: format!("datasets/d/{}/data.parquet", digest.short()),
            profile: String::new(),
            rows: 10,
            quarantined: 0,
            quarantine: None,
            from: at(number),
            until: at(number + 2),
            digest,
            spans: Vec::new(),
        }
    }

    fn files(count: i64) -> Vec<DataFile> {
        (0..count).map(file).collect()
    }

    #[test]
    fn a_few_files_are_listed_and_read_as_before() {
        let (listed, objects) = DataFiles::build("d", &files(32)).unwrap();
        assert_eq!((&listed, objects.len()), (&DataFiles::Listed(files(32)), 0));
        let json = serde_json::to_string(&listed).unwrap();
        assert_eq!(json, serde_json::to_string(&files(32)).unwrap());
        assert_eq!(serde_json::from_str::<DataFiles>(&json).unwrap(), listed);
        assert_eq!(listed.digests().len(), 32);
        let none: DataFiles = serde_json::from_str("[]").unwrap();
        assert_eq!((none.count(), none.rows(), none.span()), (0, 0, None));
    }

    #[test]
    fn a_set_is_read_back_and_sums_its_files() {
        for count in [33, 64, 65, 1000, 5000] {
            let all = files(count);
            let (set, objects) = DataFiles::build("d", &all).unwrap();
            let nodes = Nodes::default();
            nodes.add(objects);
            let set: DataFiles = serde_json::from_str(&serde_json::to_string(&set).unwrap()).unwrap();
            assert_eq!(set.read(&nodes).unwrap(), all);
            assert_eq!((set.count(), set.rows()), (count as u64, 10 * count as u64));
            assert_eq!(set.span(), Some((all[0].from, all[all.len() - 1].until)));
            assert_eq!(set.digests().len(), 1);
        }
    }

    #[test]
    fn a_file_more_changes_few_nodes_wherever_it_comes() {
        let all = files(20_000);
        let nodes = Nodes::default();
        let (whole, objects) = DataFiles::build("d", &all).unwrap();
        assert!(nodes.add(objects) > 20);
        for gap in [0, 9_000, 19_999] {
            let mut fewer = all.clone();
            fewer.remove(gap);
            let (set, objects) = DataFiles::build("d", &fewer).unwrap();
            assert_ne!(set, whole);
            let new = nodes.add(objects);
            assert!(new <= 6, "{new} nodes for the file at {gap}");
            assert_eq!(set.read(&nodes).unwrap(), fewer);
        }
        assert_eq!(DataFiles::build("d", &all).unwrap().0, whole, "equal files, equal name");
    }

    #[test]
    fn a_node_that_was_changed_is_named() {
        let (set, objects) = DataFiles::build("d", &files(40)).unwrap();
        let nodes = Nodes::default();
        let key = objects[0].key.clone();
        nodes.add(objects);
        nodes.0.borrow_mut().insert(key.clone(), b"{}".to_vec());
        let error = set.read(&nodes).unwrap_err();
        assert!(error.message.contains(&format!("`{key}` is not what its name says")), "{error}");
    }
}
