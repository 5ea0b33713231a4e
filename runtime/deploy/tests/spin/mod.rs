//! What is rendered for Spin. What the built components import, `tests/tests/spin` asks them.

mod golden;
mod rules;

use tidemill_core::{Digest, Result};
use tidemill_deploy::spin::{Options, Part, Spin, render};

use crate::projects::Project;

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
    fn spin(&self) -> Spin {
        self.try_spin("").unwrap()
    }

    /// With more in its `tidemill.toml`.
    fn try_spin(&self, more: &str) -> Result<Spin> {
        self.try_spin_at(self.store, more)
    }

    fn try_spin_at(&self, store: Option<&str>, more: &str) -> Result<Spin> {
        let options = Options {
            store: store.map(str::to_owned),
            version: "0.1.0".to_owned(),
            project: Some("..".to_owned()),
        };
        render(&self.pipeline(more)?, &options, &part)
    }
}
