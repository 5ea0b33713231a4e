//! Which files are installed, and where below the prefix: `runtime/app/src/install.rs` looks for them there.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use super::{
    arch::Arch,
    elf::{self, Glibc},
    sdk,
};
use crate::{guests, lambda, machine::Machine};

/// Files by their paths below the prefix.
#[derive(Debug, Default)]
pub(super) struct Tree(BTreeMap<String, Entry>);

/// A file of a package.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    source: Source,
    pub(super) is_executable: bool,
    /// Whether it needs a C library: a program or a library of the machine.
    is_native: bool,
}

#[derive(Debug, Clone)]
enum Source {
    File(PathBuf),
    Text(String),
}

/// Libraries that programs load.
pub(super) struct Libraries {
    pub(super) duckdb: PathBuf,
    pub(super) onnx_runtime: PathBuf,
}

impl Entry {
    pub(super) fn read(&self) -> Result<Vec<u8>> {
        match &self.source {
            Source::File(path) => fs::read(path).with_context(|| format!("cannot read {}", path.display())),
            Source::Text(text) => Ok(text.clone().into_bytes()),
        }
    }
}

impl Tree {
    pub(super) fn add(&mut self, path: &str, entry: Entry) {
        self.0.insert(path.to_owned(), entry);
    }

    /// A file that is read by someone.
    pub(super) fn add_file(&mut self, path: &str, source: PathBuf) {
        self.add(
            path,
            Entry {
                source: Source::File(source),
                is_executable: false,
                is_native: false,
            },
        );
    }

    pub(super) fn add_text(&mut self, path: &str, text: impl Into<String>) {
        self.add(
            path,
            Entry {
                source: Source::Text(text.into()),
                is_executable: false,
                is_native: false,
            },
        );
    }

    fn add_native(&mut self, path: &str, source: &Path, is_executable: bool) {
        self.add(
            path,
            Entry {
                source: Source::File(source.to_owned()),
                is_executable,
                is_native: true,
            },
        );
    }

    /// Sorted by path.
    pub(super) fn entries(&self) -> impl DoubleEndedIterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// The glibc that all programs and libraries in it can run with.
    pub(super) fn needed_glibc(&self) -> Result<Glibc> {
        let natives = self.0.values().filter(|entry| entry.is_native);
        let mut needed = Glibc(2, 0);
        for entry in natives {
            if let Source::File(path) = &entry.source {
                needed = needed.max(elf::needed_glibc(path)?);
            }
        }
        Ok(needed)
    }
}

/// What a person installs.
pub(super) fn main(machine: &Machine, libraries: &Libraries, program: &Path, sbom: &str, licences: &str) -> Result<Tree> {
    let mut tree = Tree::default();
    tree.add_native("bin/tidemill", program, true);
    tree.add_native("lib/tidemill/libduckdb.so", &libraries.duckdb, false);
    tree.add_native("lib/tidemill/libonnxruntime.so", &libraries.onnx_runtime, false);
    let components = machine.target.join("components");
    for package in guests::shipped(&machine.root)?.iter().flatten() {
        let file = guests::file_name(package);
        tree.add_file(&format!("share/tidemill/components/{file}"), components.join(&file));
    }
    let data = machine.root.join("templates/flights/data");
    for file in files(&data, "parquet")? {
        tree.add_file(&format!("share/tidemill/data/flights/{file}"), data.join(&file));
    }
    for (path, bytes) in sdk::files(machine)? {
        let text = String::from_utf8(bytes).with_context(|| format!("{path} is no text"))?;
        tree.add_text(&format!("share/tidemill/sdk/{path}"), text);
    }
    tree.add_text("share/tidemill/sbom.cdx.json", sbom);
    tree.add_text("share/tidemill/LICENSES.txt", licences);
    Ok(tree)
}

/// What `deploy sam` packs: programs and libraries for Lambda.
pub(super) fn lambda(arch: Arch, libraries: &Libraries, programs: &Path) -> Result<Tree> {
    let mut tree = Tree::default();
    let at = format!("share/tidemill/lambda/{}", arch.name());
    for program in lambda::FUNCTIONS {
        tree.add_native(&format!("{at}/programs/{program}/bootstrap"), &programs.join(program), true);
    }
    tree.add_native(&format!("{at}/engines/lib/libduckdb.so"), &libraries.duckdb, false);
    tree.add_native(&format!("{at}/engines/lib/libonnxruntime.so"), &libraries.onnx_runtime, false);
    Ok(tree)
}

fn files(folder: &Path, extension: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == extension) {
            found.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    ensure!(!found.is_empty(), "there is no .{extension} in {}", folder.display());
    Ok(found)
}
