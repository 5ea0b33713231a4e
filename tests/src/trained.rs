//! The small project after its first training, made once and copied from then on: by any test, of any test process.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use anyhow::{Context as _, Result, ensure};
use tidemill_harness::server::Server;
use tidemill_host::Store;

use crate::small;

/// The program to test. Without one a test says so and passes, except where `CI` is set.
pub fn find_tidemill() -> Option<PathBuf> {
    let path = std::env::var_os("TIDEMILL").map(PathBuf::from);
    if path.is_none() {
        assert!(std::env::var_os("CI").is_none(), "TIDEMILL is not set: run `cargo xtask test`");
        eprintln!("skipped: TIDEMILL is not set; `cargo xtask test` sets it");
    }
    path
}

/// A copy in `folder` of the project with version 1 of `alarm` as champion, trained on the first two days. `keep` is a folder
/// that outlives the test, such as `CARGO_TARGET_TMPDIR`.
pub fn project(tidemill: &Path, keep: &Path, folder: &Path) -> Result<PathBuf> {
    let made = keep.join("trained");
    fs::create_dir_all(&made)?;
    let lock = File::create(made.join("lock"))?;
    lock.lock()?;
    let stamp = stamp(tidemill)?;
    if fs::read_to_string(made.join("stamp")).ok().as_deref() != Some(&stamp) {
        let _ = fs::remove_dir_all(made.join("small"));
        train(tidemill, &made)?;
        fs::write(made.join("stamp"), &stamp)?;
    }
    let to = folder.join("small");
    copy(&made.join("small"), &to)?;
    Ok(to)
}

/// What the trained project depends on: the program and the components, by size and time.
fn stamp(tidemill: &Path) -> Result<String> {
    let components = std::env::var_os("TIDEMILL_COMPONENTS").map(PathBuf::from);
    let mut files = vec![tidemill.to_owned()];
    for entry in components.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten() {
        files.push(entry?.path());
    }
    files.sort();
    let mut stamp = small::day(1).len().to_string();
    for file in files {
        let data = fs::metadata(&file).with_context(|| format!("{}", file.display()))?;
        let time = data.modified()?.duration_since(UNIX_EPOCH)?.as_nanos();
        stamp += &format!("\n{} {} {time}", file.display(), data.len());
    }
    Ok(stamp)
}

fn train(tidemill: &Path, folder: &Path) -> Result<()> {
    let project = small::project(folder)?;
    let server = Server::up(tidemill, &project, &[])?;
    for day in [1, 2] {
        let file = folder.join(format!("day-{day}.csv"));
        fs::write(&file, small::csv(&small::day(day)))?;
        server.run_command(&["put", "readings", &file.to_string_lossy()])?;
        server.wait_for_decision("alarm", &format!("2024-01-{day:02}T00-00-00Z"))?;
    }
    ensure!(server.champion("alarm")?.is_some(), "no model was trained");
    server.stop()
}

/// A folder with all that is in it.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&from, &to)?;
        } else {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

/// The store of a project.
pub fn store(project: &Path) -> Result<Store> {
    Ok(Store::local(&project.join(".tidemill/store"))?)
}
