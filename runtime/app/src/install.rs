//! What is installed beside the program.

use std::path::{Path, PathBuf};

/// What is installed beside the program.
#[derive(Debug, Clone, Default)]
pub struct Installation {
    /// `share/tidemill` of a package.
    share: Option<PathBuf>,
}

impl Installation {
    /// Of the running program: `share/tidemill` beside the folder of its file, links resolved.
    pub fn of_this_program() -> Self {
        let program = std::env::current_exe().and_then(std::fs::canonicalize).ok();
        let prefix = program.as_deref().and_then(Path::parent).and_then(Path::parent);
        let share = prefix.map(|prefix| prefix.join("share/tidemill"));
        Self {
            share: share.filter(|folder| folder.is_dir()),
        }
    }

    /// The folder of the demo's flights: a Parquet file for each month.
    pub fn demo_data(&self) -> Option<PathBuf> {
        let folder = self.share.as_ref()?.join("data/flights");
        folder.is_dir().then_some(folder)
    }
}
