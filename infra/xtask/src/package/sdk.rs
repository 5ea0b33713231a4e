//! The SDK: the crates that a stage in Rust depends on, as a workspace of its own outside the checkout. `tidemill new` copies it into a
//! project.
//!
//! Manifests and sources are the checkout's, at the same places, so that a stage names either in the same way. Only the root is made here:
//! a manifest with what the crates inherit, and a lock file with the versions that they are tested with.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    machine::{Machine, capture},
    step::step,
};

/// What a stage names; the other crates follow from its manifest.
const ROOT: &str = "tidemill-sdk";
/// The contract, which the SDK's bindings are generated from when it is compiled.
const CONTRACT: &str = "runtime/wit/stage";
const HEADER: &str = "# Tidemill's SDK: the crates that a stage in Rust depends on. A copy, made by `cargo xtask sdk`.\n";
/// In the place of the workspace's lints.
const LINTS: &str = "\
# A stage's author can do nothing about what a newer compiler finds here.
[workspace.lints.rust]
warnings = \"allow\"
";

/// `cargo xtask sdk <folder>`.
pub(crate) fn command(machine: &Machine, to: &Path) -> Result<ExitCode> {
    step("SDK", || Ok((write(machine, to)?, to.display().to_string())))?;
    Ok(ExitCode::SUCCESS)
}

/// The SDK under the target folder, for `TIDEMILL_SDK`.
pub(crate) fn prepare(machine: &Machine) -> Result<(PathBuf, String)> {
    let folder = machine.target.join("sdk");
    write(machine, &folder)?;
    Ok((folder, "from this checkout".into()))
}

/// Makes the folder hold the SDK and nothing else. What is right already is not touched: cargo goes by the times of files.
pub(crate) fn write(machine: &Machine, to: &Path) -> Result<()> {
    let is_sdk = fs::read_to_string(to.join("Cargo.toml")).is_ok_and(|manifest| manifest.starts_with(HEADER));
    let is_new = fs::read_dir(to).map_or(!to.exists(), |mut entries| entries.next().is_none());
    ensure!(
        is_sdk || is_new,
        "`{}` holds something else than an earlier SDK; name a new folder",
        to.display()
    );
    let files = files(machine)?;
    for stale in files_below(to, to)?.difference(&files.keys().cloned().collect()) {
        fs::remove_file(to.join(stale)).with_context(|| format!("cannot remove {}", to.join(stale).display()))?;
    }
    for (path, bytes) in &files {
        let path = to.join(path);
        if fs::read(&path).ok().as_ref() != Some(bytes) {
            fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
            fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

/// The SDK's files by path.
pub(crate) fn files(machine: &Machine) -> Result<BTreeMap<String, Vec<u8>>> {
    let read = |path: &str| fs::read_to_string(machine.root.join(path)).with_context(|| format!("cannot read {path}"));
    let workspace = Workspace::parse(&read("Cargo.toml")?)?;
    let crates = workspace.closure(ROOT, &read)?;
    let folders = crates.values().map(|found| found.folder.as_str()).chain([CONTRACT]);
    let mut git = machine.command("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"])
        .args(folders);
    let mut files = BTreeMap::new();
    // A file that was removed is listed until that is committed.
    let listed = capture(&mut git)?;
    for path in listed
        .split('\0')
        .filter(|path| !path.is_empty() && machine.root.join(path).is_file())
    {
        files.insert(path.to_owned(), fs::read(machine.root.join(path))?);
    }
    files.insert("Cargo.toml".into(), workspace.manifest(&crates).into_bytes());
    files.insert("Cargo.lock".into(), cut_lock(&read("Cargo.lock")?, crates.keys())?.into_bytes());
    files.insert("LICENSE".into(), read("LICENSE")?.into_bytes());
    Ok(files)
}

/// What the checkout's root manifest says for its crates.
struct Workspace {
    resolver: String,
    package: String,
    /// The line of each dependency.
    dependencies: BTreeMap<String, String>,
}

/// A crate of ours.
struct Found {
    /// Its folder in the checkout.
    folder: String,
    /// The dependencies that it takes from the workspace.
    inherited: BTreeSet<String>,
}

impl Workspace {
    fn parse(manifest: &str) -> Result<Self> {
        let mut dependencies = BTreeMap::new();
        for line in section(manifest, "[workspace.dependencies]")?.lines() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, rest) = line
                .split_once(" = ")
                .with_context(|| format!("Cargo.toml: `{line}` is no dependency"))?;
            ensure!(
                rest.matches(['{', '[']).count() == rest.matches(['}', ']']).count(),
                "Cargo.toml: `{name}` takes more than one line, and xtask reads one"
            );
            dependencies.insert(name.to_owned(), line.to_owned());
        }
        let resolver = section(manifest, "[workspace]")?
            .lines()
            .find(|line| line.starts_with("resolver = "));
        Ok(Self {
            resolver: resolver.context("Cargo.toml names no resolver")?.to_owned(),
            package: section(manifest, "[workspace.package]")?.trim().to_owned(),
            dependencies,
        })
    }

    /// A crate of the workspace, and those of ours that it depends on.
    fn closure(&self, root: &str, read: &dyn Fn(&str) -> Result<String>) -> Result<BTreeMap<String, Found>> {
        let mut found = BTreeMap::new();
        let mut open = vec![root.to_owned()];
        while let Some(name) = open.pop() {
            if found.contains_key(&name) {
                continue;
            }
            let folder = self
                .folder(&name)
                .with_context(|| format!("`{name}` is no crate of the workspace"))?;
            let inherited = self.inherited(&read(&format!("{folder}/Cargo.toml"))?);
            open.extend(inherited.iter().filter(|name| self.folder(name).is_some()).cloned());
            let folder = folder.to_owned();
            found.insert(name, Found { folder, inherited });
        }
        Ok(found)
    }

    /// The folder of a crate of ours.
    fn folder(&self, name: &str) -> Option<&str> {
        self.dependencies.get(name)?.split("path = \"").nth(1)?.split('"').next()
    }

    /// The dependencies that a manifest takes from here.
    fn inherited(&self, manifest: &str) -> BTreeSet<String> {
        let lines = manifest.lines().filter(|line| line.contains("workspace = true"));
        let names = lines.filter_map(|line| line.split(['.', ' ']).next());
        names
            .filter(|name| self.dependencies.contains_key(*name))
            .map(str::to_owned)
            .collect()
    }

    /// The root manifest of a workspace that has these crates alone.
    fn manifest(&self, crates: &BTreeMap<String, Found>) -> String {
        let members: Vec<String> = crates.values().map(|found| format!("\"{}\"", found.folder)).collect();
        let needed: BTreeSet<&String> = crates.values().flat_map(|found| &found.inherited).collect();
        let needed: Vec<&str> = needed.into_iter().map(|name| self.dependencies[name].as_str()).collect();
        format!(
            "{HEADER}[workspace]\n{}\nmembers = [{}]\n\n[workspace.package]\n{}\n\n[workspace.dependencies]\n{}\n\n{LINTS}",
            self.resolver,
            members.join(", "),
            self.package,
            needed.join("\n")
        )
    }
}

/// The lines of a table, without its subtables.
fn section<'a>(manifest: &'a str, header: &str) -> Result<&'a str> {
    let (_, rest) = manifest
        .split_once(&format!("\n{header}\n"))
        .with_context(|| format!("Cargo.toml has no {header}"))?;
    Ok(rest.split("\n[").next().unwrap_or(rest))
}

/// Of a lock file, these packages and all that they depend on.
fn cut_lock<'a>(lock: &str, roots: impl Iterator<Item = &'a String>) -> Result<String> {
    let mut blocks = lock.split("\n[[package]]\n");
    let head = blocks.next().unwrap_or_default().trim_end();
    let blocks: Vec<&str> = blocks.map(str::trim_end).collect();
    let mut open: Vec<String> = roots.cloned().collect();
    let mut kept = BTreeSet::new();
    while let Some(dependency) = open.pop() {
        // `name`, with the version where there are several, and with the source where that is not enough.
        let mut words = dependency.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next());
        let is_meant =
            |block: &str| value(block, "name") == Some(name) && version.is_none_or(|version| value(block, "version") == Some(version));
        let Some(at) = blocks.iter().position(|block| is_meant(block)) else {
            bail!("Cargo.lock has no package `{dependency}`; `cargo metadata` writes it anew");
        };
        if kept.insert(at) {
            let listed = blocks[at].split("dependencies = [").nth(1).unwrap_or_default();
            open.extend(listed.split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
    let kept = kept.into_iter().map(|at| format!("\n\n[[package]]\n{}", blocks[at]));
    Ok(format!("{head}{}\n", kept.collect::<String>()))
}

fn value<'a>(block: &'a str, key: &str) -> Option<&'a str> {
    let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))?;
    Some(line.trim_matches('"'))
}

/// Paths of files from `root`.
fn files_below(folder: &Path, root: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    if !folder.exists() {
        return Ok(found);
    }
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        match path.is_dir() {
            true => found.append(&mut files_below(&path, root)?),
            false => _ = found.insert(path.strip_prefix(root)?.display().to_string()),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "# Ours.\n[workspace]\nresolver = \"3\"\nmembers = [\"a\", \"b\", \"c\"]\n\n[workspace.package]\nversion = \"0.1.0\"\n\n\
                            [workspace.dependencies]\n# ours\na = { path = \"x/a\" }\nb = { path = \"x/b\" }\nc = { path = \"x/c\" }\n\n\
                            serde = { version = \"1\", features = [\"derive\"] } # why\nsha2 = \"0.10\"\n\n[workspace.lints.rust]\nunsafe_code = \"deny\"\n";

    fn read(path: &str) -> Result<String> {
        Ok(match path {
            "x/a/Cargo.toml" => "[package]\nversion.workspace = true\n[dependencies]\nb.workspace = true\nserde.workspace = true\n",
            "x/b/Cargo.toml" => "[dev-dependencies]\nserde = { workspace = true, features = [\"rc\"] }\n",
            other => bail!("{other} is not needed"),
        }
        .to_owned())
    }

    #[test]
    fn the_workspace_has_what_its_crates_inherit() {
        let workspace = Workspace::parse(MANIFEST).unwrap();
        let crates = workspace.closure("a", &read).unwrap();
        let manifest = workspace.manifest(&crates);
        assert_eq!(
            manifest,
            format!(
                "{HEADER}[workspace]\nresolver = \"3\"\nmembers = [\"x/a\", \"x/b\"]\n\n[workspace.package]\nversion = \"0.1.0\"\n\n\
                 [workspace.dependencies]\nb = {{ path = \"x/b\" }}\nserde = {{ version = \"1\", features = [\"derive\"] }} # why\n\n{LINTS}"
            )
        );
        let torn = MANIFEST.replace("[\"derive\"] } # why", "[");
        assert!(Workspace::parse(&torn).err().unwrap().to_string().contains("`serde`"));
    }

    #[test]
    fn a_lock_file_is_cut() {
        let block = |name: &str, version: &str, rest: &str| format!("\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n{rest}");
        let lock = [
            "# Made.\nversion = 4\n".to_owned(),
            block("a", "1.0.0", "dependencies = [\n \"b 2.0.0\",\n \"c\",\n]\n"),
            block("b", "1.0.0", ""),
            block("b", "2.0.0", "source = \"registry\"\nchecksum = \"00\"\n"),
            block("c", "1.0.0", "dependencies = [\n \"a\",\n]\n"),
            block("d", "1.0.0", "dependencies = [\n \"a\",\n]\n"),
        ];
        let cut = cut_lock(&lock.concat(), [&"a".to_owned()].into_iter()).unwrap();
        assert_eq!(cut, [&lock[0][..], &lock[1], &lock[3], &lock[4]].concat());
        let error = cut_lock(&lock.concat(), [&"e".to_owned()].into_iter()).unwrap_err();
        assert!(error.to_string().contains("`e`"));
    }

    /// All that a stage's author gets is what it is meant to be, and a folder of theirs is not taken for it.
    #[test]
    fn the_sdk_is_written_and_stays_as_it_is() {
        let machine = Machine::new().unwrap();
        let folder = std::env::temp_dir().join(format!("xtask-sdk-{}", std::process::id()));
        write(&machine, &folder).unwrap();
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("members = [\"runtime/core\", \"runtime/sdk\"]"), "{manifest}");
        let lock = fs::read_to_string(folder.join("Cargo.lock")).unwrap();
        let ours = lock.lines().filter(|line| line.starts_with("name = \"tidemill-")).count();
        assert!(
            ours == 2 && lock.contains("name = \"wit-bindgen\"") && !lock.contains("name = \"duckdb\""),
            "{lock}"
        );
        assert!(folder.join("runtime/wit/stage/stage.wit").is_file());
        let time = |path: &str| fs::metadata(folder.join(path)).unwrap().modified().unwrap();
        let before = time("runtime/sdk/src/lib.rs");
        fs::write(folder.join("runtime/sdk/src/stray.rs"), "").unwrap();
        fs::write(folder.join("LICENSE"), "none").unwrap();
        write(&machine, &folder).unwrap();
        assert!(!folder.join("runtime/sdk/src/stray.rs").exists() && before == time("runtime/sdk/src/lib.rs"));
        assert_eq!(
            fs::read(folder.join("LICENSE")).unwrap(),
            fs::read(machine.root.join("LICENSE")).unwrap()
        );
        fs::remove_file(folder.join("Cargo.toml")).unwrap();
        assert!(write(&machine, &folder).unwrap_err().to_string().contains("something else"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
