//! The project that a command works on: `tidemill.toml` here or in a folder above, its store, its components.
//!
//! Everything that a process keeps beside the store (queue, caches, the prediction log) is in one folder, `.tidemill/` unless another one is
//! named; of these only the log holds anything that is not in the store yet.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tidemill_core::{
    Error, Result,
    pipeline::{Pipeline, deployment::SQL_MEMORY_BYTES},
    project,
};
use tidemill_host::{SqlChildren, SqlEngine, SqlOptions};
use tidemill_store::Store;

use crate::Installation;

/// A project on disk.
#[derive(Debug, Clone)]
pub struct Project {
    /// The folder with `tidemill.toml`.
    pub root: PathBuf,
    /// The folder of what a process keeps beside the store.
    pub state: PathBuf,
    /// The checked project file.
    pub pipeline: Arc<Pipeline>,
    /// A folder, or `s3://bucket/prefix`.
    pub location: String,
    /// How foreign objects are noticed.
    pub settings: StoreSettings,
    /// Where metrics are pushed.
    pub observe: ObserveSettings,
    /// How it is served over HTTP.
    pub serve: ServerSettings,
    /// The files that `tidemill.toml` names.
    pub sources: SourceFiles,
    /// The processes that run its SQL; `None`: this one.
    pub sql: Option<SqlChildren>,
}

pub use tidemill_core::project::{ObserveSettings, PROJECT_FILE, ServerSettings, SourceFiles, StoreSettings};

impl Project {
    /// The project of `dir` (default: here), looking upwards; its store is at `store`, or else where `tidemill.toml` says.
    pub fn find(dir: Option<&Path>, store: Option<&str>) -> Result<Self> {
        let start = match dir {
            Some(dir) => dir.to_owned(),
            None => std::env::current_dir().map_err(|e| Error::config(format!("there is no current folder: {e}")))?,
        };
        let start = start
            .canonicalize()
            .map_err(|e| Error::not_found(format!("`{}` cannot be opened: {e}", start.display())))?;
        let root = start
            .ancestors()
            .find(|folder| folder.join(PROJECT_FILE).is_file())
            .ok_or_else(|| {
                Error::not_found(format!(
                    "there is no {PROJECT_FILE} in `{}` or above; go to a project, or make one with `tidemill new <dir>`",
                    start.display()
                ))
            })?;
        Self::open(root, store)
    }

    fn open(root: &Path, store: Option<&str>) -> Result<Self> {
        Self::open_with(root, store, &|path| read(root, path))
    }

    /// Reads the project in `root`. `read` returns the text of a file, by its path from there.
    pub(crate) fn open_with(root: &Path, store: Option<&str>, read: &dyn Fn(&str) -> Result<String>) -> Result<Self> {
        let text = read(PROJECT_FILE)?;
        let project::Project {
            pipeline,
            store: settings,
            observe,
            serve,
            sources,
        } = project::Project::parse(&text, read)?;
        Ok(Self {
            root: root.to_owned(),
            state: root.join(".tidemill"),
            pipeline: Arc::new(pipeline),
            location: match store {
                // As typed, from where it was typed.
                Some(store) => store.to_owned(),
                None => own_location(root, &settings),
            },
            settings,
            observe,
            serve,
            sources,
            sql: None,
        })
    }

    /// Where compiled components are kept: they follow from the component alone, so all projects of a user share them. Users of services
    /// often have a home that does not exist; there each project has its own.
    pub fn compile_cache_dir(&self) -> PathBuf {
        let home = || std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_dir());
        let cache = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(home()?.join(".cache")));
        cache
            .filter(|folder| folder.is_absolute())
            .map_or_else(|| self.state_path("cache/components"), |folder| folder.join("tidemill/components"))
    }

    /// The same project with its files beside the store in this folder, if one is named. Processes of one project that run together need
    /// one each.
    #[must_use]
    pub fn with_state(mut self, folder: Option<&Path>) -> Self {
        if let Some(folder) = folder {
            self.state = folder.to_owned();
        }
        self
    }

    /// A file or folder that a process keeps beside the store.
    pub fn state_path(&self, name: &str) -> PathBuf {
        self.state.join(name)
    }

    /// The store.
    pub fn open_store(&self) -> Result<Store> {
        Store::open(&self.location)
    }

    /// Whether the store is the one that the project file names, not one that was chosen for a command.
    pub(crate) fn is_own_store(&self) -> bool {
        self.location == own_location(&self.root, &self.settings)
    }

    /// The same project with its SQL in children of this process. For a program that calls
    /// [`run_sql_worker`](tidemill_host::run_sql_worker) when it is started as one.
    pub fn with_sql_in_children(self) -> Result<Self> {
        let children = SqlChildren::of_this_program().map_err(|e| Error::config(format!("this program's file is not known: {e}")))?;
        Ok(Self {
            sql: Some(children),
            ..self
        })
    }

    /// SQL for stages.
    pub fn sql_engine(&self, threads: Option<usize>) -> Result<SqlEngine> {
        let options = SqlOptions {
            cache_dir: self.state_path("cache/sql"),
            memory_bytes: SQL_MEMORY_BYTES,
            threads: threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from)),
            timeout: Duration::from_secs(600),
        };
        match &self.sql {
            Some(children) => SqlEngine::in_children(options, children.clone()),
            None => SqlEngine::new(options),
        }
    }

    /// The file of a component: `tidemill:<stage>`, or a path from the project's folder.
    pub fn component_path(&self, name: &str) -> Result<PathBuf> {
        let Some(stage) = name.strip_prefix("tidemill:") else {
            let path = self.root.join(name);
            return path.is_file().then_some(path).ok_or_else(|| {
                Error::config(format!(
                    "the component `{name}` is not in the project; build it, or correct `component` in {PROJECT_FILE}"
                ))
            });
        };
        let file = format!("tidemill_{}.wasm", stage.replace('-', "_"));
        let folders = self.component_dirs();
        folders
            .iter()
            .map(|folder| folder.join(&file))
            .find(|path| path.is_file())
            .ok_or_else(|| {
                let places: Vec<String> = folders.iter().map(|f| format!("`{}`", f.display())).collect();
                Error::config(format!(
                    "the component of `{stage}` ({file}) is in none of {}; {}",
                    places.join(", "),
                    Installation::of_this_program().advice()
                ))
            })
    }

    /// The bytes of a component.
    pub(crate) fn read_component(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.component_path(name)?;
        std::fs::read(&path).map_err(|e| Error::config(format!("`{}` cannot be read: {e}", path.display())))
    }

    /// Where Tidemill's own components may be: those of the installation, then `components` in the project.
    pub fn component_dirs(&self) -> Vec<PathBuf> {
        let mut folders = Installation::of_this_program().component_dirs();
        folders.push(self.root.join("components"));
        folders
    }

    /// The address of the `tidemill up` that runs on this project, if one said so; it may be gone.
    pub fn running_address(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.state_path("address")).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }
}

/// Why a file that the user named cannot be read.
pub fn read_error(path: &Path, error: &std::io::Error) -> Error {
    let path = path.display();
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::not_found(format!("there is no file `{path}`")),
        std::io::ErrorKind::IsADirectory => Error::input(format!("`{path}` is a folder; name the files in it")),
        _ => Error::input(format!("`{path}` cannot be read: {error}")),
    }
}

/// Goes into run records, for people.
pub fn run_environment() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("tidemill".into(), env!("CARGO_PKG_VERSION").into()),
        ("machine".into(), format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)),
    ])
}

pub(crate) fn read(root: &Path, path: &str) -> Result<String> {
    let whole = root.join(path);
    std::fs::read_to_string(&whole).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::not_found(format!("`{path}` is not in `{}`", root.display())),
        _ => Error::config(format!("`{}` cannot be read: {e}", whole.display())),
    })
}

fn own_location(root: &Path, settings: &StoreSettings) -> String {
    resolve_location(root, settings.path.as_deref().unwrap_or(".tidemill/store"))
}

/// A location of `tidemill.toml`: folders are named from the project's.
fn resolve_location(root: &Path, path: &str) -> String {
    match path.contains("://") {
        true => path.to_owned(),
        false => root.join(path).display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_may_be_elsewhere() {
        assert_eq!(resolve_location(Path::new("/project"), "data"), "/project/data");
        assert_eq!(resolve_location(Path::new("/project"), "/data"), "/data");
        assert_eq!(resolve_location(Path::new("/project"), "s3://tide/mill"), "s3://tide/mill");
    }

    #[test]
    fn a_project_is_found_from_below() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        assert!(
            Project::find(Some(&folder.path().join("a")), None)
                .unwrap_err()
                .message
                .contains("tidemill new")
        );
        std::fs::write(folder.path().join(PROJECT_FILE), "[project]\nname = \"x\"\n").unwrap();
        let project = Project::find(Some(&folder.path().join("a/b")), None).unwrap();
        assert_eq!(project.pipeline.project, "x");
        // A name that no folder of components has, wherever the environment points.
        assert!(
            project
                .component_path("tidemill:tide")
                .unwrap_err()
                .message
                .contains("tidemill_tide.wasm")
        );
    }
}
