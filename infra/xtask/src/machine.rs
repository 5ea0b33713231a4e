//! The machine: its folders, and how commands are run in the prepared environment.
//!
//! The environment is read here alone. Everything that is downloaded or built goes to `CARGO_TARGET_DIR`.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// Folders and settings.
pub(crate) struct Machine {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// Cargo's target folder.
    pub(crate) target: PathBuf,
    /// `TIDEMILL_WASM_ROUTE=debian` selects Debian's packages although rustup would do.
    pub(crate) wasm_route: Option<String>,
}

/// How programs are compiled: see `Cargo.toml`.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    /// For the demo and the tests.
    Dev,
    /// For measurements.
    Release,
}

/// The prepared environment: variables that are set on commands.
#[derive(Clone, Default)]
pub(crate) struct Environment(Vec<(&'static str, PathBuf)>);

impl Machine {
    pub(crate) fn new() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.ancestors().nth(2).context("xtask is not where it was built")?.to_path_buf();
        let target = preset("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        Ok(Self {
            target: root.join(target),
            wasm_route: env::var("TIDEMILL_WASM_ROUTE").ok(),
            root,
        })
    }

    /// A folder under the target folder, created where it is missing.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.target.join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(folder)
    }

    /// A command that runs in the checkout, without the variables in which `cargo run` describes xtask itself.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST") || text == "CARGO_CRATE_NAME" {
                command.env_remove(&name);
            }
        }
        command
    }

    /// The folder of the programs of a profile.
    pub(crate) fn programs(&self, profile: Profile) -> PathBuf {
        self.target.join(match profile {
            Profile::Dev => "debug",
            Profile::Release => "release",
        })
    }

    /// Flags of the compiler that keep this machine's folders out of what it makes: where a panic's message names a file of a dependency, it
    /// is the same file on every machine. The checkout is not among them, because cargo names our own files from there already.
    pub(crate) fn remapped_paths(&self) -> Vec<String> {
        let home = preset("CARGO_HOME").or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
        let remapped = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
        let home = home.map(|home| remapped(&home, "/cargo"));
        home.into_iter().chain([remapped(&self.target, "/target")]).collect()
    }

    /// Cargo, with the environment.
    pub(crate) fn cargo(&self, environment: &Environment) -> Command {
        let mut command = self.command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        environment.apply(&mut command);
        command
    }
}

impl Environment {
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<PathBuf>) {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value.into()));
    }

    /// Adds the variables of another one.
    pub(crate) fn extend(&mut self, other: Self) {
        other.0.into_iter().for_each(|(name, value)| self.set(name, value));
    }

    /// Sets the variables on a command; folders of libraries come before those that are searched already.
    pub(crate) fn apply(&self, command: &mut Command) {
        for (name, value) in &self.0 {
            command.env(name, value);
            if *name == "DUCKDB_LIB_DIR" {
                let search = if cfg!(target_os = "macos") {
                    "DYLD_LIBRARY_PATH"
                } else {
                    "LD_LIBRARY_PATH"
                };
                command.env(search, with_first(value, env::var_os(search)));
            }
        }
    }
}

/// The path that an environment variable sets, if it sets one.
pub(crate) fn preset(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn with_first(folder: &Path, rest: Option<std::ffi::OsString>) -> std::ffi::OsString {
    let rest: Vec<PathBuf> = rest.iter().flat_map(env::split_paths).filter(|path| path != folder).collect();
    env::join_paths(std::iter::once(folder.to_path_buf()).chain(rest)).unwrap_or_else(|_| folder.into())
}

/// Runs a command and returns its output; an error holds the end of its messages.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let shown = display(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("`{shown}` cannot be started"))?;
    if !output.status.success() {
        let messages = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = messages.trim().lines().collect();
        let tail = lines[lines.len().saturating_sub(12)..].join("\n  ");
        bail!("`{shown}` failed ({}):\n  {tail}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command that the person sees; an error names it.
pub(crate) fn run_command(command: &mut Command) -> Result<()> {
    let shown = display(command);
    let status = command.status().with_context(|| format!("`{shown}` cannot be started"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Runs the command as the last one: its exit code becomes that of xtask.
pub(crate) fn run_to_exit_code(command: &mut Command) -> Result<ExitCode> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("`{program}` cannot be started"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Whether a program can be started.
pub(crate) fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn display(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    let mut text = words.join(" ");
    if text.len() > 160 {
        text = text.chars().take(160).chain(['…']).collect();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_folders_come_first_and_once() {
        let joined = with_first(Path::new("/a"), Some("/b:/a:/c".into()));
        assert_eq!(joined, "/a:/b:/c");
        assert_eq!(with_first(Path::new("/a"), None), "/a");
    }

    #[test]
    fn an_error_holds_the_messages() {
        let error = capture(Command::new("sh").args(["-c", "echo the reason >&2; exit 3"]))
            .unwrap_err()
            .to_string();
        assert!(error.contains("the reason") && error.contains("3"), "{error}");
        assert!(
            capture(&mut Command::new("no-such-program-here"))
                .unwrap_err()
                .to_string()
                .contains("cannot be started")
        );
    }
}
