//! A layer of an image: files below its root, as a gzipped archive. Entries are sorted, have one time, and belong to root unless someone
//! else is named.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
};

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use tar::EntryType;

use super::layout::{Descriptor, Layout};
use crate::package::{
    archive::{hex, mode},
    tree::{self, Tree},
};

const MEDIA_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The mode of a folder that all may read.
const FOLDER_MODE: u32 = 0o755;

/// Files by their paths below the image's root.
pub(super) struct Layer {
    entries: BTreeMap<String, Entry>,
    /// The time of all entries, in seconds since 1970.
    time: u64,
}

/// An entry of a layer.
struct Entry {
    content: Content,
    mode: u32,
    /// User and group.
    owner: u64,
}

/// What an entry holds.
pub(super) enum Content {
    Folder,
    /// Where a link leads.
    Link(String),
    Bytes(Vec<u8>),
    /// A file of the package.
    Packed(tree::Entry),
}

/// A layer that was written: as a registry knows it, and the digest of what it unpacks to.
pub(super) struct Written {
    pub(super) descriptor: Descriptor,
    pub(super) diff_id: String,
}

impl Layer {
    pub(super) fn new(time: u64) -> Self {
        let entries = BTreeMap::new();
        Self { entries, time }
    }

    /// The files of a package below `prefix`.
    pub(super) fn of_tree(tree: &Tree, prefix: &str, time: u64) -> Self {
        let mut layer = Self::new(time);
        for (path, entry) in tree.entries() {
            let mode = mode(entry.is_executable);
            layer.add(&format!("{prefix}/{path}"), Content::Packed(entry.clone()), mode, 0);
        }
        layer
    }

    /// Adds an entry, and the folders that it is in where they are missing. The mode keeps its permissions alone, and the sticky bit.
    pub(super) fn add(&mut self, path: &str, content: Content, mode: u32, owner: u64) {
        for (at, _) in path.match_indices('/') {
            self.entries.entry(path[..at].to_owned()).or_insert(Entry {
                content: Content::Folder,
                mode: FOLDER_MODE,
                owner: 0,
            });
        }
        let mode = mode & 0o1777;
        self.entries.insert(path.to_owned(), Entry { content, mode, owner });
    }

    /// A file that all may read.
    pub(super) fn add_bytes(&mut self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.add(path, Content::Bytes(bytes.into()), mode(false), 0);
    }

    /// A folder of this user's.
    pub(super) fn add_folder(&mut self, path: &str, owner: u64) {
        self.add(path, Content::Folder, FOLDER_MODE, owner);
    }

    /// Writes the layer as a blob of the layout. `level` is from 1, fast, to 9, small.
    pub(super) fn write(&self, level: u32, layout: &Layout, name: &str) -> Result<Written> {
        let fresh = layout.folder().join(format!("{name}.new"));
        let file = BufWriter::new(File::create(&fresh).with_context(|| format!("cannot create {}", fresh.display()))?);
        // The header holds no name and no time.
        let gzip = GzBuilder::new().mtime(0).write(Digesting::new(file), Compression::new(level));
        let mut archive = tar::Builder::new(Digesting::new(gzip));
        for (path, entry) in &self.entries {
            self.append(&mut archive, path, entry)
                .with_context(|| format!("`{path}` cannot be packed"))?;
        }
        let (gzip, diff_id, _) = archive.into_inner()?.finish();
        let (mut file, digest, size) = gzip.finish()?.finish();
        file.flush()?;
        let descriptor = Descriptor {
            media_type: MEDIA_TYPE,
            digest,
            size,
        };
        layout.place(&fresh, &descriptor)?;
        Ok(Written { descriptor, diff_id })
    }

    fn append(&self, archive: &mut tar::Builder<impl Write>, path: &str, entry: &Entry) -> Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_mode(entry.mode);
        header.set_mtime(self.time);
        header.set_uid(entry.owner);
        header.set_gid(entry.owner);
        let packed;
        let bytes = match &entry.content {
            Content::Folder => {
                header.set_entry_type(EntryType::Directory);
                return Ok(archive.append_data(&mut header, format!("{path}/"), io::empty())?);
            }
            Content::Link(target) => {
                header.set_entry_type(EntryType::Symlink);
                return Ok(archive.append_link(&mut header, path, target)?);
            }
            Content::Bytes(bytes) => bytes,
            Content::Packed(entry) => {
                packed = entry.read()?;
                &packed
            }
        };
        header.set_entry_type(EntryType::Regular);
        header.set_size(bytes.len() as u64);
        Ok(archive.append_data(&mut header, path, bytes.as_slice())?)
    }
}

/// Passes bytes on, and digests them.
struct Digesting<W> {
    inner: W,
    digest: Sha256,
    size: u64,
}

impl<W: Write> Digesting<W> {
    fn new(inner: W) -> Self {
        let digest = Sha256::new();
        Self { inner, digest, size: 0 }
    }

    /// Where the bytes went, their digest, and how many they were.
    fn finish(self) -> (W, String, u64) {
        (self.inner, format!("sha256:{}", hex(&self.digest.finalize())), self.size)
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digest.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The digest of a file that is there.
pub(super) fn digest_of(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(hex(&Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::archive::tests::folder;

    fn layer() -> Layer {
        let mut layer = Layer::new(1_796_081_296);
        layer.add_bytes("usr/lib/b", "b".repeat(1000));
        layer.add("lib", Content::Link("usr/lib".into()), 0o777, 0);
        layer.add("usr/bin/a", Content::Bytes(b"a".to_vec()), 0o4755, 0);
        layer.add_folder("data", 65532);
        layer
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let folder = folder("layer");
        let layout = Layout::create(&folder).unwrap();
        let one = layer().write(6, &layout, "one").unwrap();
        let two = layer().write(6, &layout, "two").unwrap();
        assert_eq!((&one.descriptor, &one.diff_id), (&two.descriptor, &two.diff_id));
        let blob = fs::read(layout.blob(&one.descriptor)).unwrap();
        assert_eq!(one.descriptor.digest, format!("sha256:{}", hex(&Sha256::digest(&blob))));
        assert_eq!(one.descriptor.size, blob.len() as u64);
        let mut unpacked = Vec::new();
        io::Read::read_to_end(&mut flate2::read::GzDecoder::new(blob.as_slice()), &mut unpacked).unwrap();
        assert_eq!(one.diff_id, format!("sha256:{}", hex(&Sha256::digest(&unpacked))));
        let mut found = Vec::new();
        for entry in tar::Archive::new(unpacked.as_slice()).entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(
                (header.mtime().unwrap(), header.gid().unwrap()),
                (1_796_081_296, header.uid().unwrap())
            );
            let path = entry.path().unwrap().display().to_string();
            found.push((path, header.mode().unwrap(), header.uid().unwrap()));
        }
        let expected = [
            ("data/", 0o755, 65532),
            ("lib", 0o777, 0),
            ("usr/", 0o755, 0),
            ("usr/bin/", 0o755, 0),
            // No program changes its user.
            ("usr/bin/a", 0o755, 0),
            ("usr/lib/", 0o755, 0),
            ("usr/lib/b", 0o644, 0),
        ];
        assert_eq!(found, expected.map(|(path, mode, owner)| (path.to_owned(), mode, owner)));
        fs::remove_dir_all(&folder).unwrap();
    }
}
