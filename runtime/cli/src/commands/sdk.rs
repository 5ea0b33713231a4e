//! The SDK in a new project: the crates that a stage in Rust depends on, copied from the installed package, so that the project builds on
//! any machine and stays as it is when Tidemill is upgraded.

use std::{fs, path::Path};

use tidemill_core::{Error, Result};
use tidemill_templates::RenderedFile;

use crate::project::{Installation, read_error};

/// Where a project has the SDK: the value of a template's parameter `tidemill-path` for which it is copied.
pub(super) const VENDORED: &str = "vendor/tidemill";
/// The versions that the SDK is tested with: in the project's own folder, where cargo looks for them.
const LOCK: &str = "Cargo.lock";

/// The files of the SDK in a project.
pub(super) fn files() -> Result<Vec<RenderedFile>> {
    let folder = Installation::of_this_program().sdk().ok_or_else(|| {
        Error::config(format!(
            "a stage in Rust depends on Tidemill's crates, which a package brings along and this program does not have: install Tidemill \
             (`pip install tidemill=={}`), or set TIDEMILL_SDK to a folder that `cargo xtask sdk <folder>` wrote in a checkout, or name the \
             checkout: `--set tidemill-path=<path>`",
            env!("CARGO_PKG_VERSION")
        ))
    })?;
    let mut files = Vec::new();
    collect(&folder, VENDORED, &mut files)?;
    for file in &mut files {
        if file.path == format!("{VENDORED}/{LOCK}") {
            file.path = LOCK.to_owned();
        }
    }
    Ok(files)
}

fn collect(folder: &Path, place: &str, files: &mut Vec<RenderedFile>) -> Result<()> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>());
    let mut paths = entries.map_err(|e| read_error(folder, &e))?;
    paths.sort();
    for path in paths {
        let place = format!("{place}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            collect(&path, &place, files)?;
        } else {
            let bytes = fs::read(&path).map_err(|e| read_error(&path, &e))?;
            files.push(RenderedFile { path: place, bytes });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_collected_by_place() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("runtime/sdk")).unwrap();
        fs::write(folder.path().join("runtime/sdk/lib.rs"), "a").unwrap();
        fs::write(folder.path().join("Cargo.toml"), "b").unwrap();
        let mut files = Vec::new();
        collect(folder.path(), VENDORED, &mut files).unwrap();
        let found: Vec<(&str, &[u8])> = files.iter().map(|file| (file.path.as_str(), &file.bytes[..])).collect();
        assert_eq!(
            found,
            [
                ("vendor/tidemill/Cargo.toml", &b"b"[..]),
                ("vendor/tidemill/runtime/sdk/lib.rs", b"a")
            ]
        );
        assert!(collect(&folder.path().join("none"), VENDORED, &mut files).is_err());
    }
}
