//! OCI image layouts, read as their specification says and as a container runtime does.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::EntryType;

/// The user that the image declares.
pub(super) const USER: u64 = 65532;

/// Passes bytes on, and digests them.
struct Digesting<R>(R, Sha256);

impl<R: Read> Digesting<R> {
    fn new(inner: R) -> Self {
        Self(inner, Sha256::new())
    }

    /// The digest of all bytes to the end.
    fn finish(mut self) -> Result<String> {
        io::copy(&mut self, &mut io::sink())?;
        let digest = self.1.finalize();
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("sha256:{digits}"))
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(bytes)?;
        self.1.update(&bytes[..read]);
        Ok(read)
    }
}

/// An image layout, and the blobs that were found to be what their descriptors say.
pub(super) struct Layout {
    folder: PathBuf,
    read: BTreeSet<PathBuf>,
}

impl Layout {
    pub(super) fn open(folder: PathBuf) -> Result<Self> {
        let version: Value = serde_json::from_slice(&fs::read(folder.join("oci-layout"))?)?;
        ensure!(version == json!({"imageLayoutVersion": "1.0.0"}), "{version}");
        let read = BTreeSet::new();
        Ok(Self { folder, read })
    }

    /// The file of a blob, once its digest and size are as described.
    pub(super) fn blob(&mut self, descriptor: &Value) -> Result<PathBuf> {
        let digest = descriptor["digest"].as_str().context("a descriptor has a digest")?;
        let path = self.folder.join("blobs").join(digest.replace(':', "/"));
        let file = File::open(&path).with_context(|| path.display().to_string())?;
        ensure!(descriptor["size"] == file.metadata()?.len(), "{descriptor} has another size");
        ensure!(Digesting::new(file).finish()? == digest, "{descriptor} has other bytes");
        self.read.insert(path.clone());
        Ok(path)
    }

    pub(super) fn json(&mut self, descriptor: &Value) -> Result<Value> {
        Ok(serde_json::from_slice(&fs::read(self.blob(descriptor)?)?)?)
    }

    /// The manifests that the index names, by name.
    pub(super) fn manifests(&mut self) -> Result<Vec<(String, Value)>> {
        let index: Value = serde_json::from_slice(&fs::read(self.folder.join("index.json"))?)?;
        let manifests = index["manifests"].as_array().context("an index has manifests")?;
        let named = manifests.iter().map(|descriptor| {
            let name = descriptor["annotations"]["org.opencontainers.image.ref.name"].as_str();
            Ok((name.context("a manifest has a name")?.to_owned(), self.json(descriptor)?))
        });
        named.collect()
    }

    /// All blobs were read: none lies there that nothing refers to.
    pub(super) fn check_complete(&self) -> Result<()> {
        let there: BTreeSet<PathBuf> = fs::read_dir(self.folder.join("blobs/sha256"))?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()?;
        ensure!(there == self.read, "strays: {:?}", there.symmetric_difference(&self.read));
        Ok(())
    }
}

pub(super) fn array(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().with_context(|| format!("`{value}` is no list"))
}

/// Unpacks a layer as a container runtime does, and checks each entry. Returns the digest of what the archive held.
pub(super) fn unpack(layer: &Path, to: &Path, time: i64) -> Result<String> {
    let mut archive = tar::Archive::new(Digesting::new(GzDecoder::new(File::open(layer)?)));
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(is_root()?);
    let mut last = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let (path, header) = (entry.path()?.into_owned(), entry.header());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let kinds = [EntryType::Regular, EntryType::Directory, EntryType::Symlink];
        ensure!(kinds.contains(&header.entry_type()) && !name.starts_with(".wh."), "{path:?}");
        let (user, group, mode) = (header.uid()?, header.gid()?, header.mode()?);
        ensure!(
            user == group && [0, USER].contains(&user),
            "{path:?} is of user {user}, group {group}"
        );
        ensure!(mode & 0o6000 == 0, "{path:?} changes who runs it");
        let is_shared = mode & 0o002 != 0 && header.entry_type() != EntryType::Symlink;
        ensure!(!is_shared || mode & 0o1000 != 0, "{path:?} is written by all");
        ensure!(i64::try_from(header.mtime()?)? == time, "{path:?} has a time of its own");
        let bytes = path.to_string_lossy().trim_end_matches('/').as_bytes().to_vec();
        ensure!(last < bytes, "{path:?} is out of order");
        ensure!(entry.unpack_in(to)?, "{path:?} leads out of the image");
        last = bytes;
    }
    archive.into_inner().finish()
}

pub(super) fn is_root() -> Result<bool> {
    Ok(fs::metadata("/proc/self")?.uid() == 0)
}
