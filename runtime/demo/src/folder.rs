//! The folder of the demo's projects. What an earlier run left there is removed before the next one, so the folder must be the demo's own,
//! and whatever else a person put into it stays.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use tidemill_core::Error;

/// Marks a folder that the demo may write to. It stays: an interrupted run is cleared by the next.
const MARKER: &str = ".tidemill-demo";

/// The project of the year.
pub fn flights_project(folder: &Path) -> PathBuf {
    folder.join("flights")
}

/// The project of the control.
pub fn control_project(folder: &Path) -> PathBuf {
    folder.join("control")
}

/// Whether the demo made this folder.
pub fn is_own(folder: &Path) -> bool {
    folder.join(MARKER).is_file()
}

/// Creates the folder, or removes from it what an earlier demo made.
///
/// # Errors
/// `Input` if it is no folder, or holds anything and was not made by the demo.
pub fn prepare(folder: &Path) -> Result<()> {
    if !is_own(folder) {
        check_empty(folder)?;
    }
    fs::create_dir_all(folder).with_context(|| format!("`{}` cannot be created", folder.display()))?;
    let marker = folder.join(MARKER);
    fs::write(&marker, "").with_context(|| format!("`{}` cannot be written", marker.display()))?;
    for project in [flights_project(folder), control_project(folder)] {
        remove(&project)?;
        remove(&project.with_extension("log"))?;
    }
    Ok(())
}

fn check_empty(folder: &Path) -> Result<()> {
    let shown = folder.display();
    let refuse = |why: &str| -> Result<()> { Err(Error::input(format!("`{shown}` {why}: name a new folder with `--dir`")).into()) };
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => refuse("is not empty and was not made by the demo, which removes what is there"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => refuse("is not a folder"),
        Err(error) => refuse(&format!("cannot be opened ({error})")),
    }
}

fn remove(path: &Path) -> Result<()> {
    let removed = match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("`{}` of an earlier demo cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use tidemill_core::ErrorKind;

    use super::*;

    fn kind(error: &anyhow::Error) -> Option<ErrorKind> {
        error.downcast_ref::<Error>().map(|error| error.kind)
    }

    #[test]
    fn what_an_earlier_demo_made_is_removed_and_nothing_else() -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let folder = scratch.path().join("a/demo");
        prepare(&folder)?;
        assert!(is_own(&folder));
        for project in [flights_project(&folder), control_project(&folder)] {
            fs::create_dir_all(project.join(".tidemill/store"))?;
            fs::write(project.join("tidemill.toml"), "")?;
            fs::write(project.with_extension("log"), "")?;
        }
        fs::write(folder.join("notes.txt"), "about the demo")?;
        prepare(&folder)?;
        let mut left: Vec<_> = fs::read_dir(&folder)?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<_>>()?;
        left.sort();
        assert_eq!(left, [MARKER, "notes.txt"]);
        Ok(())
    }

    #[test]
    fn an_empty_folder_is_taken() -> Result<()> {
        let scratch = tempfile::tempdir()?;
        assert!(!is_own(scratch.path()));
        prepare(scratch.path())?;
        assert!(is_own(scratch.path()));
        Ok(())
    }

    #[test]
    fn a_foreign_folder_is_refused_and_stays() -> Result<()> {
        let foreign = tempfile::tempdir()?;
        // Named as the demo's own are.
        let precious = flights_project(foreign.path()).join("thesis.txt");
        fs::create_dir(flights_project(foreign.path()))?;
        fs::write(&precious, "years of work")?;
        let error = prepare(foreign.path()).unwrap_err();
        assert_eq!(kind(&error), Some(ErrorKind::Input));
        let shown = foreign.path().display().to_string();
        assert!(error.to_string().contains(&shown) && error.to_string().contains("--dir"), "{error}");
        assert_eq!(fs::read_to_string(&precious)?, "years of work");
        assert!(!is_own(foreign.path()), "a refused folder is not marked");

        let error = prepare(&precious).unwrap_err();
        assert_eq!(kind(&error), Some(ErrorKind::Input));
        assert!(error.to_string().contains("thesis.txt` is not a folder"), "{error}");
        assert_eq!(fs::read_to_string(&precious)?, "years of work");
        Ok(())
    }
}
