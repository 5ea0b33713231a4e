//! The tools of these tests, and what is made with them: projects from templates, components in Python and JavaScript.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use tidemill_core::Digest;
use tidemill_tests::trained;

/// Everything that is needed, or `None` where something is missing and nobody insists.
pub(crate) struct Tools {
    pub(crate) tidemill: PathBuf,
    /// Programs of the environment with componentize-py.
    pub(crate) python: PathBuf,
    /// A folder whose `node_modules` holds jco.
    pub(crate) jco: PathBuf,
    /// `cargo xtask`, built.
    pub(crate) xtask: PathBuf,
}

impl Tools {
    pub(crate) fn find() -> Option<Self> {
        let path = |name: &str| {
            let path = std::env::var_os(name).map(PathBuf::from);
            if path.is_none() {
                assert!(std::env::var_os("CI").is_none(), "{name} is not set: run `cargo xtask test`");
                eprintln!("left out: {name} is not set; `cargo xtask test` sets it");
            }
            path
        };
        path("TIDEMILL_SDK")?;
        Some(Self {
            tidemill: trained::find_tidemill()?,
            python: path("TIDEMILL_COMPONENTIZE_PY")?,
            jco: path("TIDEMILL_JCO")?,
            xtask: path("TIDEMILL_XTASK")?,
        })
    }

    /// `tidemill new`, to a folder of this name.
    pub(crate) fn new_project(&self, template: &str, folder: &Path, name: &str, set: &[&str]) -> Result<PathBuf> {
        let mut command = Command::new(&self.tidemill);
        command.args(["new", "--template", template, name]).current_dir(folder);
        for pair in set {
            command.args(["--set", pair]);
        }
        succeeded(command.output()?)?;
        let project = folder.join(name);
        if template == "stage-js" {
            // What `npm install` would get once more.
            std::os::unix::fs::symlink(self.jco.join("node_modules"), project.join("node_modules"))?;
        }
        Ok(project)
    }

    /// Runs the blocks of a project's README that are fenced like this.
    pub(crate) fn readme(&self, project: &Path, kind: &str) -> Result<()> {
        let readme = fs::read_to_string(project.join("README.md"))?;
        let script = block(&readme, kind).with_context(|| format!("README.md has no block `sh {kind}`"))?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let own = [
            self.python.clone(),
            self.tidemill.parent().context("tidemill is in no folder")?.to_path_buf(),
        ];
        let path = std::env::join_paths(own.into_iter().chain(std::env::split_paths(&path)))?;
        let mut command = Command::new("bash");
        command
            .args(["-c", &format!("{CARGO}{script}")])
            .current_dir(project)
            .env("PATH", path);
        // What is generated is compiled as a user would, not with the lints of the runner.
        command.env_remove("RUSTC_WORKSPACE_WRAPPER").env_remove("CLIPPY_ARGS");
        command.env("XTASK", &self.xtask).env("NATIVE", native());
        succeeded(command.output()?).with_context(|| format!("{}: sh {kind}", project.display()))
    }

    /// The component of a template's stage, built from what `tidemill new` makes. Names are the project's.
    pub(crate) fn component(&self, template: &str, name: &str) -> Result<PathBuf> {
        let parts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates").join(template);
        self.made_once(template, &[parts], |folder| {
            let project = self.new_project(template, folder, name, &[])?;
            self.readme(&project, "build")?;
            Ok(project.join("summary.wasm"))
        })
    }

    /// The component of a probe: its source put into a template in the place of the stage's.
    pub(crate) fn probe(&self, template: &str, file: &str) -> Result<PathBuf> {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let source = tests.join("tests/templates/probes").join(file);
        let parts = [tests.join("../templates").join(template), source.clone()];
        self.made_once(file, &parts, |folder| {
            let project = self.new_project(template, folder, "probe", &[])?;
            let ending = Path::new(file).extension().context("a probe has an ending")?;
            fs::copy(&source, project.join("summary").with_extension(ending))?;
            self.readme(&project, "build")?;
            Ok(project.join("summary.wasm"))
        })
    }

    /// Made once for these sources, and kept from test to test.
    fn made_once(&self, name: &str, sources: &[PathBuf], make: impl FnOnce(&Path) -> Result<PathBuf>) -> Result<PathBuf> {
        let keep = Path::new(env!("CARGO_TARGET_TMPDIR")).join("languages").join(name);
        fs::create_dir_all(&keep)?;
        let lock = File::create(keep.join("lock"))?;
        lock.lock()?;
        let mut stamp = String::new();
        for source in sources {
            stamped(source, &mut stamp)?;
        }
        let made = keep.join("made.wasm");
        if fs::read_to_string(keep.join("stamp")).ok().as_deref() != Some(&stamp) {
            let folder = tempfile::tempdir()?;
            fs::copy(make(folder.path())?, &made)?;
            fs::write(keep.join("stamp"), &stamp)?;
        }
        Ok(made)
    }
}

/// The files of a project by path, without what cargo built.
pub(crate) fn files(project: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut open = vec![project.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.strip_prefix(project)?.display().to_string();
            if name == "target" {
                continue;
            }
            match path.is_dir() && !path.is_symlink() {
                true => open.push(path),
                false => _ = found.insert(name),
            }
        }
    }
    Ok(found)
}

/// Native builds of the Rust templates, which share most of what they depend on.
fn native() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("native")
}

/// `cargo` as the session of a README sees it: components are built in this machine's way, all else in a folder that is kept.
const CARGO: &str = r#"
set -euo pipefail
cargo() {
    case " $* " in
        *" wasm32-wasip2 "*) "$XTASK" component "$PWD";;
        *) CARGO_TARGET_DIR="$NATIVE" CARGO_PROFILE_DEV_DEBUG=0 command cargo "$@";;
    esac
}
"#;

fn stamped(source: &Path, stamp: &mut String) -> Result<()> {
    if source.is_dir() {
        let mut entries = fs::read_dir(source)?.map(|e| Ok(e?.path())).collect::<Result<Vec<_>>>()?;
        entries.sort();
        return entries.iter().try_for_each(|entry| stamped(entry, stamp));
    }
    let bytes = fs::read(source).with_context(|| format!("{}", source.display()))?;
    *stamp += &format!("{} {}\n", source.display(), Digest::sha256(&bytes));
    Ok(())
}

/// The lines of the blocks that are fenced as `sh <kind>`.
pub(crate) fn block(text: &str, kind: &str) -> Option<String> {
    let fence = format!("```sh {kind}\n");
    let blocks = text.split(&fence).skip(1);
    let lines: String = blocks.filter_map(|rest| rest.split("```").next()).collect();
    (!lines.is_empty()).then_some(lines)
}

pub(crate) fn succeeded(output: Output) -> Result<()> {
    ensure!(output.status.success(), "{}: {}", output.status, said(&output));
    Ok(())
}

pub(crate) fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
