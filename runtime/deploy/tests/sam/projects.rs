//! The projects of these tests.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tidemill_core::{Error, Result};
use tidemill_deploy::sam::{Options, Sam, render};

/// A project, and where its template is committed.
pub(crate) struct Project {
    folder: &'static str,
    written: &'static str,
}

/// The demo's; its template is the example.
pub(crate) const FLIGHTS: Project = Project {
    folder: "templates/flights/content",
    written: "infra/sam",
};

/// All of them.
pub(crate) const PROJECTS: [Project; 3] = [
    FLIGHTS,
    Project {
        folder: "runtime/deploy/tests/projects/readings",
        written: "runtime/deploy/tests/projects/readings",
    },
    Project {
        folder: "runtime/deploy/tests/projects/prices",
        written: "runtime/deploy/tests/projects/prices",
    },
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl Project {
    pub(crate) fn written(&self) -> PathBuf {
        root().join(self.written)
    }

    pub(crate) fn sam(&self) -> Sam {
        self.sam_with("")
    }

    /// With more in its `tidemill.toml`.
    pub(crate) fn sam_with(&self, more: &str) -> Sam {
        self.try_with(more).unwrap()
    }

    pub(crate) fn try_with(&self, more: &str) -> Result<Sam> {
        let folder = root().join(self.folder);
        let read = |path: &str| fs::read_to_string(folder.join(path)).map_err(|e| Error::not_found(format!("`{path}`: {e}")));
        let pipeline = tidemill_core::project::Project::parse(&format!("{}{more}", read("tidemill.toml")?), &read)?.pipeline;
        render(&pipeline, &Options::default())
    }
}
