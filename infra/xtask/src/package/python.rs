//! Wheels: <https://packaging.python.org/en/latest/specifications/binary-distribution-format/>. An installer puts `…data/scripts` into the
//! environment's folder of programs, and `…data/data` below its prefix.

use std::path::{Path, PathBuf};

use anyhow::Result;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::{
    archive::{Packing, Zip},
    tree::Tree,
};

/// A wheel, apart from its files.
pub(super) struct Wheel {
    pub(super) name: String,
    pub(super) version: String,
    /// Where it can be installed, such as `py3-none-any`.
    pub(super) tag: String,
    pub(super) summary: &'static str,
}

impl Wheel {
    /// `tidemill_lambda_arm64-0.1.0`: file names separate their parts with `-`.
    fn base(&self) -> String {
        format!("{}-{}", self.name.replace('-', "_"), self.version)
    }

    fn file_name(&self) -> String {
        format!("{}-{}.whl", self.base(), self.tag)
    }

    /// Where an installed file is in the wheel.
    fn place(&self, path: &str) -> String {
        match path.strip_prefix("bin/") {
            Some(program) => format!("{}.data/scripts/{program}", self.base()),
            None => format!("{}.data/data/{path}", self.base()),
        }
    }

    fn metadata(&self) -> String {
        format!(
            "Metadata-Version: 2.1\nName: {}\nVersion: {}\nSummary: {}\nLicense: Apache-2.0\n\
             Classifier: Operating System :: POSIX :: Linux\nClassifier: Programming Language :: Rust\nRequires-Python: >=3.8\n",
            self.name, self.version, self.summary
        )
    }

    fn description(&self) -> String {
        format!(
            "Wheel-Version: 1.0\nGenerator: cargo xtask package ({})\nRoot-Is-Purelib: false\nTag: {}\n",
            self.version, self.tag
        )
    }

    /// Writes the wheel into the folder. Its description comes last, so that a reader finds it without the rest.
    pub(super) fn write(&self, tree: &Tree, packing: &Packing, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(self.file_name());
        let mut zip = Zip::create(&path, packing)?;
        let mut record = Record::default();
        let mut files: Vec<_> = tree.entries().map(|(path, entry)| (self.place(path), entry)).collect();
        files.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, entry) in files {
            let bytes = entry.read()?;
            record.add(&name, &bytes);
            zip.add(&name, &bytes, entry.is_executable)?;
        }
        let about = format!("{}.dist-info", self.base());
        for (name, text) in [("METADATA", self.metadata()), ("WHEEL", self.description())] {
            let name = format!("{about}/{name}");
            record.add(&name, text.as_bytes());
            zip.add(&name, text.as_bytes(), false)?;
        }
        let name = format!("{about}/RECORD");
        zip.add(&name, record.finish(&name).as_bytes(), false)?;
        zip.finish()?;
        Ok(path)
    }
}

/// The list of a wheel's files: path, digest, size.
#[derive(Default)]
struct Record(String);

impl Record {
    fn add(&mut self, path: &str, bytes: &[u8]) {
        let digest = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(bytes));
        self.0 += &format!("{path},sha256={digest},{}\n", bytes.len());
    }

    /// The list cannot hold its own digest.
    fn finish(self, own: &str) -> String {
        format!("{}{own},,\n", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::package::archive::tests::{folder, packing};

    fn wheel() -> Wheel {
        Wheel {
            name: "tide-mill".into(),
            version: "1.2.3".into(),
            tag: "py3-none-any".into(),
            summary: "A mill",
        }
    }

    #[test]
    fn the_record_names_digests_and_sizes() {
        let mut record = Record::default();
        record.add("a", b"abc");
        assert_eq!(
            record.finish("RECORD"),
            "a,sha256=ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0,3\nRECORD,,\n"
        );
    }

    #[test]
    fn a_wheel_has_its_files_in_their_places_and_the_same_bytes_again() {
        let folder = folder("wheel");
        let mut tree = Tree::default();
        tree.add_text("share/tide/a.txt", "a");
        tree.add_text("bin/tide", "b");
        let path = wheel().write(&tree, &packing(), &folder).unwrap();
        assert_eq!(path.file_name().unwrap(), "tide_mill-1.2.3-py3-none-any.whl");
        let bytes = std::fs::read(&path).unwrap();
        wheel().write(&tree, &packing(), &folder).unwrap();
        assert_eq!(bytes, std::fs::read(&path).unwrap());
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
        let names: Vec<String> = (0..archive.len())
            .map(|at| archive.by_index(at).unwrap().name().unwrap().into_owned())
            .collect();
        assert_eq!(
            names,
            [
                "tide_mill-1.2.3.data/data/share/tide/a.txt",
                "tide_mill-1.2.3.data/scripts/tide",
                "tide_mill-1.2.3.dist-info/METADATA",
                "tide_mill-1.2.3.dist-info/WHEEL",
                "tide_mill-1.2.3.dist-info/RECORD",
            ]
        );
        let mut record = String::new();
        archive
            .by_name("tide_mill-1.2.3.dist-info/RECORD")
            .unwrap()
            .read_to_string(&mut record)
            .unwrap();
        assert_eq!(record.lines().count(), names.len());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
