//! A folder that is deployed, written as a whole: all files are made beside their places first, and moved there when the last one is made.
//! If one cannot be made, the folder keeps what it had.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

/// Files in the making.
pub(super) struct NewFiles {
    folder: PathBuf,
    /// In the folder, so that moving is renaming.
    made: TempDir,
    /// Places from the folder, in the order in which they come into being.
    places: Vec<String>,
}

impl NewFiles {
    /// Begins to write to a folder, which is made where it is missing.
    pub(super) fn begin(folder: &Path) -> Result<Self> {
        let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        fs::create_dir_all(here).with_context(|| format!("cannot make `{}`", here.display()))?;
        let made = tempfile::Builder::new().prefix(".tidemill-").tempdir_in(here);
        Ok(Self {
            made: made.with_context(|| format!("cannot write to `{}`", here.display()))?,
            folder: folder.to_owned(),
            places: Vec::new(),
        })
    }

    /// Makes a file. Places have `/` between folders.
    pub(super) fn write(&mut self, place: &str, bytes: &[u8]) -> Result<()> {
        self.make(place, |path| fs::write(path, bytes))
    }

    /// Makes a copy of a file. It is no hard link: a program that overwrote it would change the original, which belongs to an installed
    /// package. Where the file system can share blocks, it does.
    pub(super) fn copy(&mut self, place: &str, from: &Path) -> Result<()> {
        self.make(place, |path| fs::copy(from, path).map(drop))
            .with_context(|| format!("cannot copy `{}`", from.display()))
    }

    /// Makes a copy of a program, which is executable even if the original lost that when it was unpacked.
    pub(super) fn copy_program(&mut self, place: &str, from: &Path) -> Result<()> {
        self.copy(place, from)?;
        let path = self.made.path().join(place);
        make_executable(&path).with_context(|| format!("cannot make `{}` executable", self.folder.join(place).display()))
    }

    fn make(&mut self, place: &str, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<()> {
        let path = self.made.path().join(place);
        let above = path.parent().map_or(Ok(()), fs::create_dir_all);
        above
            .and_then(|()| make(&path))
            .with_context(|| format!("cannot write `{}`", self.folder.join(place).display()))?;
        self.places.push(place.to_owned());
        Ok(())
    }

    /// Moves the files to their places, removes those that no longer belong there, and returns the paths of the new ones.
    pub(super) fn commit(self, stale: &[String]) -> Result<Vec<String>> {
        let mut written = Vec::new();
        for place in &self.places {
            let to = self.folder.join(place);
            let above = to.parent().map_or(Ok(()), fs::create_dir_all);
            above
                .and_then(|()| fs::rename(self.made.path().join(place), &to))
                .with_context(|| format!("cannot write `{}`", to.display()))?;
            written.push(to.display().to_string());
        }
        for place in stale {
            fs::remove_file(self.folder.join(place)).with_context(|| format!("cannot remove `{place}`"))?;
        }
        Ok(written)
    }
}

#[cfg(unix)]
fn make_executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_are_written_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("sam");
        fs::create_dir_all(&at).unwrap();
        fs::write(at.join("template.yaml"), "old").unwrap();
        fs::write(at.join("own"), "mine").unwrap();
        let mut files = NewFiles::begin(&at).unwrap();
        files.write("template.yaml", b"new").unwrap();
        let error = files.copy("lib/x", &folder.path().join("nowhere")).unwrap_err();
        assert!(format!("{error:#}").contains("nowhere"), "{error:#}");
        drop(files);
        assert_eq!(fs::read(at.join("template.yaml")).unwrap(), b"old");
        assert_eq!(fs::read_dir(&at).unwrap().count(), 2, "nothing is left beside them");

        let mut files = NewFiles::begin(&at).unwrap();
        files.copy("lib/x", &at.join("own")).unwrap();
        files.write("template.yaml", b"new").unwrap();
        let written = files.commit(&["own".to_owned()]).unwrap();
        assert!(written.len() == 2 && written[0].ends_with("lib/x"), "{written:?}");
        assert_eq!(fs::read(at.join("lib/x")).unwrap(), b"mine");
        assert_eq!(fs::read(at.join("template.yaml")).unwrap(), b"new");
        assert!(!at.join("own").exists());
        assert_eq!(fs::read_dir(&at).unwrap().count(), 2);
    }
}
