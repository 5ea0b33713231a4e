//! Archives and checksums. What an archive holds decides its bytes: entries are sorted, times are the commit's, modes are two.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use zip::{CompressionMethod, DateTime, System, ZipWriter, write::SimpleFileOptions};

use super::{date::Time, tree::Tree};

/// How files are packed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packing {
    /// From 1, fast, to 9, small.
    pub(super) level: u32,
    /// The time of all entries.
    pub(super) time: Time,
}

/// The mode of a file.
pub(super) fn mode(is_executable: bool) -> u32 {
    if is_executable { 0o755 } else { 0o644 }
}

/// Writes `<base>.tar.gz` into the folder, with the tree in one top folder of that name.
pub(super) fn tar_gz(tree: &Tree, base: &str, packing: &Packing, folder: &Path) -> Result<PathBuf> {
    let path = folder.join(format!("{base}.tar.gz"));
    let file = BufWriter::new(File::create(&path).with_context(|| format!("cannot create {}", path.display()))?);
    // The header holds no name and no time.
    let gzip = GzBuilder::new().mtime(0).write(file, Compression::new(packing.level));
    let mut archive = tar::Builder::new(gzip);
    for (name, entry) in tree.entries() {
        let bytes = entry.read()?;
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(mode(entry.is_executable));
        header.set_mtime(packing.time.seconds);
        header.set_uid(0);
        header.set_gid(0);
        header.set_entry_type(tar::EntryType::Regular);
        archive.append_data(&mut header, format!("{base}/{name}"), bytes.as_slice())?;
    }
    archive.into_inner()?.finish()?.flush()?;
    Ok(path)
}

/// A zip archive that is written entry by entry, in the order that a wheel wants.
pub(super) struct Zip {
    writer: ZipWriter<BufWriter<File>>,
    options: SimpleFileOptions,
}

impl Zip {
    pub(super) fn create(path: &Path, packing: &Packing) -> Result<Self> {
        let at = packing.time;
        let time = DateTime::from_date_and_time(at.year, at.month, at.day, at.hour, at.minute, at.second)
            .with_context(|| format!("{} is no time for a zip archive", at.rfc3339()))?;
        let options = SimpleFileOptions::default()
            .system(System::Unix)
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(packing.level.into()))
            .last_modified_time(time);
        let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self {
            writer: ZipWriter::new(BufWriter::new(file)),
            options,
        })
    }

    pub(super) fn add(&mut self, name: &str, bytes: &[u8], is_executable: bool) -> Result<()> {
        self.writer
            .start_file(name, self.options.unix_permissions(mode(is_executable)))
            .with_context(|| format!("`{name}` cannot be packed"))?;
        Ok(self.writer.write_all(bytes)?)
    }

    pub(super) fn finish(self) -> Result<()> {
        Ok(self.writer.finish()?.flush()?)
    }
}

/// Writes `SHA256SUMS` of all files in the folder, as `sha256sum --check` reads it.
pub(super) fn checksums(folder: &Path) -> Result<()> {
    const NAME: &str = "SHA256SUMS";
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_file() && name != NAME {
            let digest = hex(&Sha256::digest(fs::read(&path)?));
            lines.push((name.clone(), format!("{digest}  {name}\n")));
        }
    }
    lines.sort();
    let text: String = lines.into_iter().map(|(_, line)| line).collect();
    Ok(fs::write(folder.join(NAME), text)?)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An empty folder for one test.
    pub(in crate::package) fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    pub(in crate::package) fn packing() -> Packing {
        Packing {
            level: 6,
            time: Time::new(1_796_081_296),
        }
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let folder = folder("archive");
        let mut tree = Tree::default();
        tree.add_text("share/b.txt", "b".repeat(1000));
        tree.add_text("bin/a", "a");
        tree.add_text(&format!("share/{}/long.txt", "deep/".repeat(40)), "c");
        let one = fs::read(tar_gz(&tree, "mill-1", &packing(), &folder).unwrap()).unwrap();
        let mut again = Tree::default();
        tree.entries().rev().for_each(|(name, entry)| again.add(name, entry.clone()));
        let two = fs::read(tar_gz(&again, "mill-1", &packing(), &folder).unwrap()).unwrap();
        assert_eq!(one, two);
        let mut names = Vec::new();
        for entry in tar::Archive::new(flate2::read::GzDecoder::new(one.as_slice())).entries().unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.header().mtime().unwrap(), 1_796_081_296);
            names.push(entry.path().unwrap().display().to_string());
        }
        assert_eq!((names.len(), names[0].as_str()), (3, "mill-1/bin/a"));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn checksums_name_each_file() {
        let folder = folder("sums");
        fs::write(folder.join("b"), "abc").unwrap();
        fs::write(folder.join("a"), "").unwrap();
        checksums(&folder).unwrap();
        checksums(&folder).unwrap();
        assert_eq!(
            fs::read_to_string(folder.join("SHA256SUMS")).unwrap(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a\n\
             ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  b\n"
        );
        fs::remove_dir_all(&folder).unwrap();
    }
}
