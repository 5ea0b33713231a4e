//! The projects of these tests, and what is committed of them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tidemill_core::{Error, Result, pipeline::Pipeline, project::PROJECT_FILE};

/// A project, and the folders where its template and its manifest are committed.
pub(crate) struct Project {
    folder: &'static str,
    pub(crate) template: &'static str,
    pub(crate) manifest: &'static str,
    /// Where its state is on Spin.
    pub(crate) store: Option<&'static str>,
}

/// The demo's; its template and its manifest are the examples.
pub(crate) const FLIGHTS: Project = Project {
    folder: "templates/flights/content",
    template: "infra/sam",
    manifest: "infra/spin",
    store: None,
};

/// All of them.
pub(crate) const PROJECTS: [Project; 3] = [
    FLIGHTS,
    own("runtime/deploy/tests/projects/readings", "s3://tide/mill"),
    own("runtime/deploy/tests/projects/prices", "s3://prices.example.org"),
];

/// One more stage of the demo's project.
pub(crate) const GEOCODE: &str = r#"
[[stage]]
name = "geocode"
component = "stages/geocode.wasm"
on = "outcomes/validate/flights/*"
reads = ["datasets/flights/**"]
writes = ["geocoded/flights/**"]
"#;

const fn own(folder: &'static str, store: &'static str) -> Project {
    Project {
        folder,
        template: folder,
        manifest: folder,
        store: Some(store),
    }
}

/// The checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl Project {
    /// The pipeline, with more in `tidemill.toml`.
    pub(crate) fn pipeline(&self, more: &str) -> Result<Pipeline> {
        Ok(self.parse(more)?.pipeline)
    }

    /// The project, with more in `tidemill.toml`.
    pub(crate) fn parse(&self, more: &str) -> Result<tidemill_core::project::Project> {
        let text = format!("{}{more}", self.read(PROJECT_FILE)?);
        tidemill_core::project::Project::parse(&text, &|path| self.read(path))
    }

    /// A file of its folder.
    pub(crate) fn read(&self, path: &str) -> Result<String> {
        fs::read_to_string(root().join(self.folder).join(path)).map_err(|e| Error::not_found(format!("`{path}`: {e}")))
    }
}

/// Compares a committed file with what is rendered now. With `TIDEMILL_UPDATE` it is written anew; `changes` describes what that changes.
pub(crate) fn compare(path: &str, text: &str, changes: impl FnOnce(&str) -> String) {
    let file = root().join(path);
    if std::env::var_os("TIDEMILL_UPDATE").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == text,
        "{} is not what is rendered; if the change is meant, run the test with TIDEMILL_UPDATE=1. It would change:\n{}",
        file.display(),
        changes(&committed)
    );
}
