//! `tidemill models import`: a model that was trained elsewhere into the store, under its own digest. It is judged, registered and served
//! once `tidemill.toml` names that digest; what the file must look like is checked here, where a person can still mend it.

use std::path::Path;

use serde::Serialize;
use tidemill_core::{Digest, Error, Put, Result, spec::Trainer};
use tidemill_host::{
    Store,
    nn::{Nn as _, Tract},
};

use crate::project::{Project, unreadable};

/// What a model must take and give, and what people call it elsewhere.
const INPUT: &str = "features";
const OUTPUT: &str = "scores";

/// A model in the store.
#[derive(Serialize)]
pub(crate) struct Imported {
    key: String,
    digest: Digest,
    new: bool,
    /// Whether `tidemill.toml` names it already.
    named: bool,
}

impl Imported {
    pub(crate) fn for_people(&self, model: &str) -> String {
        let there = if self.new {
            "is in the store now"
        } else {
            "was in the store already"
        };
        let next = match self.named {
            true => "`tidemill.toml` names it: the next training takes it".to_owned(),
            false => format!(
                "write into `tidemill.toml`:\n\n[model.{model}.trainer]\nkind = \"onnx\"\nonnx = \"{}\"",
                self.digest
            ),
        };
        format!("`{}` {there}; {next}", self.key)
    }
}

pub(crate) async fn import(project: &Project, model: &str, file: &Path) -> Result<Imported> {
    let Some(of) = project.pipeline.models.get(model) else {
        let names: Vec<String> = project.pipeline.models.keys().map(|name| format!("`{name}`")).collect();
        let names = if names.is_empty() { "none".into() } else { names.join(", ") };
        return Err(Error::not_found(format!("there is no model `{model}`; there is {names}")));
    };
    let bytes = std::fs::read(file).map_err(|e| unreadable(file, &e))?;
    check(&file.display().to_string(), &bytes)?;
    let digest = Digest::of(&bytes);
    let key = Trainer::import_key(model, &digest);
    let store: Store = project.store()?;
    let put = store.create(&key, bytes.into()).await?;
    if put == Put::Conflict {
        return Err(Error::input(format!(
            "`{key}` holds other bytes than its name says; delete it and import the model again"
        )));
    }
    Ok(Imported {
        key,
        named: of.trainer.onnx.as_ref() == Some(&digest),
        digest,
        new: put == Put::Written,
    })
}

/// By the engine that judges it later: what that cannot run is not taken in.
fn check(name: &str, bytes: &[u8]) -> Result<()> {
    let graph = Tract.load(name, bytes)?;
    let listed = |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if graph.inputs() != [INPUT] || graph.outputs().first().map(String::as_str) != Some(OUTPUT) {
        return Err(Error::input(format!(
            "`{name}` takes {} and gives {}; it must take `{INPUT}` alone (f32, rows × columns, in the order of the signature) and give \
             `{OUTPUT}` first (f32, rows × classes, or rows × 1 for regression): rename them as `export.py` of the template `onnx` does",
            listed(graph.inputs()),
            listed(graph.outputs())
        )));
    }
    Ok(())
}
