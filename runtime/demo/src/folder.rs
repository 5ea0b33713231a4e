//! The folder of the demo's projects. It is emptied before a run, so it must be the demo's own.

use std::path::Path;

use anyhow::{Context as _, Result};
use tidemill_core::Error;

/// Marks a folder that the demo created.
const MARKER: &str = ".tidemill-demo";

/// Creates the folder, or empties it if the demo created it.
///
/// # Errors
/// `Invalid` if it holds anything that the demo did not write, or is no folder.
pub fn prepare(folder: &Path) -> Result<()> {
    let marker = folder.join(MARKER);
    if folder.exists() && !marker.is_file() && !is_empty_folder(folder) {
        return Err(Error::input(format!(
            "`{}` is not empty and was not made by the demo, which empties its folder: name a new one with `--dir`",
            folder.display()
        ))
        .into());
    }
    if marker.is_file() {
        std::fs::remove_dir_all(folder).with_context(|| format!("`{}` cannot be emptied", folder.display()))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("`{}` cannot be created", folder.display()))?;
    std::fs::write(&marker, "").with_context(|| format!("`{}` cannot be written", marker.display()))
}

fn is_empty_folder(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_demos_own_folder_is_emptied() -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let folder = scratch.path().join("a/demo");
        prepare(&folder)?;
        std::fs::write(folder.join("project"), "")?;
        prepare(&folder)?;
        assert!(!folder.join("project").exists() && folder.join(MARKER).is_file());

        let own = scratch.path().join("own");
        std::fs::create_dir(&own)?;
        prepare(&own)?;
        let foreign = scratch.path().join("foreign");
        std::fs::create_dir(&foreign)?;
        std::fs::write(foreign.join("thesis.txt"), "years of work")?;
        let error = prepare(&foreign).unwrap_err().to_string();
        assert!(error.contains("foreign") && error.contains("--dir"), "{error}");
        assert_eq!(std::fs::read_to_string(foreign.join("thesis.txt"))?, "years of work");
        let error = prepare(&foreign.join("thesis.txt")).unwrap_err().to_string();
        assert!(error.contains("thesis.txt"), "{error}");
        Ok(())
    }
}
