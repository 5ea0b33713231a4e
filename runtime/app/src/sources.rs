//! The files that a project is made of, and when they change: `tidemill.toml`, what it names, and the components of its stages.
//!
//! They are looked at a few times a second, which costs a few system calls. A watcher would have to follow folders that do not exist yet (a
//! component is built into one), editors that replace files by renaming, and file systems that send no events.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tidemill_core::Result;

use crate::{PROJECT_FILE, Project, project::read};

/// Between two looks. A change counts when two looks agree.
const INTERVAL: Duration = Duration::from_millis(150);

/// The files of a project, as they were last looked at.
pub struct SourceWatch {
    root: PathBuf,
    /// The location of the store that was named beside the project, if one was.
    store: Option<String>,
    state: PathBuf,
    files: BTreeMap<PathBuf, Option<FileState>>,
}

/// What changes when a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileState {
    length: u64,
    modified: Option<SystemTime>,
    file: u64,
}

impl SourceWatch {
    /// Watches the files of a project. `store` is as for [`Project::find`].
    pub fn new(project: &Project, store: Option<&str>) -> Self {
        let mut watch = Self {
            root: project.root.clone(),
            store: store.map(str::to_owned),
            state: project.state.clone(),
            files: BTreeMap::new(),
        };
        watch.watch_all(paths(project));
        watch
    }

    /// Returns when files were changed and are at rest, with their paths from the project's folder. It may be dropped while it waits.
    pub async fn wait_for_change(&mut self) -> Vec<String> {
        let mut pending = None;
        loop {
            tokio::time::sleep(INTERVAL).await;
            let now = self.look();
            if now == self.files {
                pending = None;
            } else if pending.as_ref() == Some(&now) {
                let changed = now.iter().filter(|(path, state)| self.files.get(*path) != Some(*state));
                let names = changed.map(|(path, _)| self.name(path)).collect();
                self.files = now;
                return names;
            } else {
                pending = Some(now);
            }
        }
    }

    /// Reads the project again. Files that it names now are watched from now on, also where it has a mistake.
    ///
    /// # Errors
    /// `Config`, with file, line and column.
    pub fn read_project(&mut self) -> Result<Project> {
        let named = RefCell::new(BTreeSet::new());
        let reader = |path: &str| {
            named.borrow_mut().insert(self.root.join(path));
            read(&self.root, path)
        };
        let project = Project::open_with(&self.root, self.store.as_deref(), &reader).map(|project| project.with_state(Some(&self.state)));
        self.watch_all(named.into_inner());
        if let Ok(project) = &project {
            self.watch_all(paths(project));
            let current = paths(project);
            self.files.retain(|path, _| current.contains(path));
        }
        project
    }

    /// Watches further files, from how they are now.
    fn watch_all(&mut self, paths: BTreeSet<PathBuf>) {
        for path in paths {
            self.files.entry(path).or_insert_with_key(|path| file_state(path));
        }
    }

    fn look(&self) -> BTreeMap<PathBuf, Option<FileState>> {
        self.files.keys().map(|path| (path.clone(), file_state(path))).collect()
    }

    fn name(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}

/// All files of a project. A component that is not there is watched where it would be.
fn paths(project: &Project) -> BTreeSet<PathBuf> {
    let sources = &project.sources;
    let texts = sources.contracts.values().chain(sources.queries.values()).map(String::as_str);
    let texts = texts.chain([PROJECT_FILE]).map(|path| project.root.join(path));
    let pipeline = &project.pipeline;
    let components = pipeline
        .nodes
        .iter()
        .map(|node| &node.component)
        .chain([&pipeline.predict_component]);
    let components = components.filter_map(|name| match name.starts_with("tidemill:") {
        true => project.component_path(name).ok(),
        false => Some(project.root.join(name)),
    });
    texts.chain(components).collect()
}

/// `None` if there is no such file.
fn file_state(path: &Path) -> Option<FileState> {
    let data = std::fs::metadata(path).ok()?;
    #[cfg(unix)]
    let file = std::os::unix::fs::MetadataExt::ino(&data);
    #[cfg(not(unix))]
    let file = 0;
    Some(FileState {
        length: data.len(),
        modified: data.modified().ok(),
        file,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn change(watch: &mut SourceWatch) -> Vec<String> {
        tokio::time::timeout(Duration::from_secs(10), watch.wait_for_change())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn files_are_followed_also_those_of_a_mistake() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let stage = "[[stage]]\nname = \"sum\"\ncomponent = \"out/sum.wasm\"\non = \"drop/**\"\n";
        write("tidemill.toml", &format!("[project]\nname = \"small\"\n{stage}"));
        let project = Project::find(Some(folder.path()), None).unwrap();
        let mut watch = SourceWatch::new(&project, None);
        // A component that is built into a folder that is not there.
        std::fs::create_dir(folder.path().join("out")).unwrap();
        write("out/sum.wasm", "x");
        assert_eq!(change(&mut watch).await, ["out/sum.wasm"]);
        // A file that does not exist is followed once it was named.
        let dataset = "[dataset.d]\ncontract = \"d.toml\"\ntime = \"at\"\nkey = [\"id\"]\n";
        write("tidemill.toml", &format!("[project]\nname = \"small\"\n{dataset}"));
        assert_eq!(change(&mut watch).await, ["tidemill.toml"]);
        assert!(watch.read_project().unwrap_err().message.contains("d.toml"));
        write("d.toml", "[columns]\nid = { type = \"integer\" }\nat = { type = \"timestamp\" }\n");
        assert_eq!(change(&mut watch).await, ["d.toml"]);
        assert_eq!(watch.read_project().unwrap().pipeline.datasets.len(), 1);
        // The component is not the project's any more.
        write("out/sum.wasm", "xy");
        write(
            "d.toml",
            "[columns]\nid = { type = \"integer\" }\nat = { type = \"timestamp\" }\n\n",
        );
        assert_eq!(change(&mut watch).await, ["d.toml"]);
    }
}
