//! The projects of these tests, and what their components import. What the built ones import, `tests/tests/spin` asks them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tidemill_core::{Digest, Error, Result};
use tidemill_deploy::spin::{Options, Part, Spin, render};

/// A project, and where its manifest is committed.
pub(crate) struct Project {
    folder: &'static str,
    written: &'static str,
    store: Option<&'static str>,
}

/// The demo's; its manifest is the example.
pub(crate) const FLIGHTS: Project = Project {
    folder: "templates/flights/content",
    written: "infra/spin",
    store: None,
};

/// All of them.
pub(crate) const PROJECTS: [Project; 3] = [
    FLIGHTS,
    Project {
        folder: "runtime/deploy/tests/projects/readings",
        written: "runtime/deploy/tests/projects/readings",
        store: Some("s3://tide/mill"),
    },
    Project {
        folder: "runtime/deploy/tests/projects/prices",
        written: "runtime/deploy/tests/projects/prices",
        store: Some("s3://prices.example.org"),
    },
];

/// Components that ask no SQL.
const WITHOUT_SQL: [&str; 5] = [
    "tidemill:collect",
    "tidemill:register",
    "tidemill:retrain",
    "stages/geocode.wasm",
    "stages/weather.wasm",
];

fn part(component: &str) -> Result<Part> {
    let mut imports = vec!["tidemill:stage/objects@0.1.0".to_owned(), "wasi:cli/stderr@0.2.6".to_owned()];
    if !WITHOUT_SQL.contains(&component) {
        imports.push("tidemill:stage/sql@0.1.0".to_owned());
    }
    if component == "stages/launch.wasm" {
        imports = vec!["acme:rockets/launch@1.0.0".to_owned()];
    }
    Ok(Part {
        digest: Digest::sha256(component.as_bytes()),
        imports,
    })
}

impl Project {
    pub(crate) fn written(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(self.written)
            .join("spin.toml")
    }

    pub(crate) fn spin(&self) -> Spin {
        self.try_with("").unwrap()
    }

    /// With more in its `tidemill.toml`.
    pub(crate) fn try_with(&self, more: &str) -> Result<Spin> {
        self.try_at(self.store, more)
    }

    pub(crate) fn try_at(&self, store: Option<&str>, more: &str) -> Result<Spin> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(self.folder);
        let read = |path: &str| fs::read_to_string(folder.join(path)).map_err(|e| Error::not_found(format!("`{path}`: {e}")));
        let pipeline = tidemill_core::project::Project::parse(&format!("{}{more}", read("tidemill.toml")?), &read)?.pipeline;
        let options = Options {
            store: store.map(str::to_owned),
            version: "0.1.0".to_owned(),
            project: Some("..".to_owned()),
        };
        render(&pipeline, &options, &part)
    }
}
