//! `tidemill deploy spin`: writes a manifest and composes its components.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use serde_json::{Value as Json, json};
use tidemill_core::{Digest, Error};
use tidemill_deploy::{
    cost::Assumptions,
    difference::Difference,
    spin::{self, COMPONENTS, Composed, Options, Part, Recipe, compose, manifest},
};

use super::{PlanArguments, folder::NewFiles, read_if_exists, render_notes, render_plan};
use crate::{
    output::Output,
    project::{Project, read_error},
};

/// The file name of the manifest.
const MANIFEST: &str = "spin.toml";

/// Arguments of `deploy spin`.
#[derive(Args)]
pub(super) struct Spin {
    /// The folder of `spin.toml` and its components. Default: `spin` in the project.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    #[command(flatten)]
    plan: PlanArguments,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Written {
    manifest: String,
    files: Vec<String>,
    /// Size of all components in bytes.
    bytes: usize,
    /// Variables that `spin up` requires.
    required: Vec<String>,
    notes: Vec<String>,
    /// Cost of the AWS bucket for a million predictions, one a request, in US dollars.
    million_predictions: f64,
}

#[derive(Serialize)]
struct Plan {
    manifest: String,
    #[serde(flatten)]
    difference: Difference,
    notes: Vec<String>,
}

impl Spin {
    pub(super) fn run(&self, project: &Project, output: Output) -> Result<ExitCode> {
        let folder = self.out.clone().unwrap_or_else(|| project.root.join("spin"));
        if folder.is_file() {
            return Err(Error::input(format!("`{}` is a file; name the folder that spin.toml goes to", folder.display())).into());
        }
        let store = Some(project.location.clone()).filter(|location| location.starts_with("s3://"));
        let options = Options {
            store,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            // Only from the usual folder is it known how the project is reached.
            project: self.out.is_none().then(|| "..".to_owned()),
        };
        let spin = spin::render(&project.pipeline, &options, &|name| describe_component(project, name))?;
        let package = Package {
            text: spin.manifest.toml()?,
            files: spin.files.iter().map(|file| compose_file(project, file)).collect::<Result<_>>()?,
            folder,
        };
        let manifest = package.folder.join(MANIFEST).display().to_string();
        if self.plan.plan {
            let planned = Plan {
                manifest,
                difference: package.diff()?,
                notes: spin.notes,
            };
            output.print(&planned, |planned| render_plan(&planned.difference, &planned.notes))?;
            return Ok(self.plan.exit_code(&planned.difference));
        }
        let written = Written {
            files: package.write()?,
            manifest,
            bytes: package.files.values().map(Vec::len).sum(),
            required: required_variables(&spin),
            notes: spin.notes,
            million_predictions: cost_of_million_predictions(),
        };
        output.print(&written, Written::render_text)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn required_variables(spin: &spin::Spin) -> Vec<String> {
    let variables = spin.manifest.variables.iter();
    variables
        .filter(|(_, variable)| variable.required)
        .map(|(name, _)| name.clone())
        .collect()
}

/// Each request puts one object and reads the alias twice.
fn cost_of_million_predictions() -> f64 {
    let prices = Assumptions::default();
    (prices.s3_million_puts + 2.0 * prices.s3_million_gets) / prices.request_rows
}

fn describe_component(project: &Project, name: &str) -> tidemill_core::Result<Part> {
    let bytes = read_component(project, name)?;
    Ok(Part {
        digest: Digest::sha256(&bytes),
        imports: compose::imports(&bytes).map_err(|e| e.context(format!("component `{name}`")))?,
    })
}

fn read_component(project: &Project, name: &str) -> tidemill_core::Result<Vec<u8>> {
    let path = project.component_path(name)?;
    std::fs::read(&path).map_err(|e| read_error(&path, &e))
}

/// Composes a file of the package and checks that Spin offers all its imports.
fn compose_file(project: &Project, file: &Composed) -> Result<(String, Vec<u8>)> {
    let read = |name: &str| read_component(project, name);
    let composed = match &file.recipe {
        Recipe::Plugged { socket, plugs } => {
            let plugs = plugs.iter().map(|plug| read(plug)).collect::<tidemill_core::Result<Vec<_>>>()?;
            let plugs: Vec<&[u8]> = plugs.iter().map(Vec::as_slice).collect();
            compose::compose(&read(socket)?, &plugs)
        }
        Recipe::Chain(stages) => {
            let [front, link, end] = spin::CHAINED;
            let stages = stages.iter().map(|stage| read(stage)).collect::<tidemill_core::Result<Vec<_>>>()?;
            let stages: Vec<&[u8]> = stages.iter().map(Vec::as_slice).collect();
            spin::chain(spin::Parts {
                front: &read(front)?,
                link: &read(link)?,
                end: &read(end)?,
                stages: &stages,
            })
        }
    };
    let composed = composed.map_err(|e| e.context(format!("`{}`", file.place)))?;
    let imports = compose::imports(&composed)?;
    match imports.iter().find(|import| !compose::is_offered(import)) {
        None => Ok((file.place.clone(), composed)),
        Some(import) => Err(Error::config(format!(
            "`{}` would import `{import}`, which neither Spin nor a component of Tidemill provides: its components are of \
             another version of Tidemill than this program",
            file.place
        ))
        .into()),
    }
}

/// The folder that `spin up` reads.
struct Package {
    folder: PathBuf,
    text: String,
    files: BTreeMap<String, Vec<u8>>,
}

impl Package {
    fn diff(&self) -> Result<Difference> {
        let path = self.folder.join(MANIFEST);
        let old = match read_if_exists(&path)? {
            Some(text) => manifest::sections(&path.display().to_string(), &text)?,
            None => json!({}),
        };
        let mut difference = Difference::of_templates(&old, &manifest::sections(MANIFEST, &self.text)?);
        for (place, bytes) in &self.files {
            let old = std::fs::read(self.folder.join(place)).ok();
            difference.add_file(place, old.as_deref().map(describe_bytes).as_ref(), Some(&describe_bytes(bytes)));
        }
        for place in self.stale_files() {
            difference.add_file(&place, Some(&Json::Null), None);
        }
        Ok(difference)
    }

    fn write(&self) -> Result<Vec<String>> {
        let mut files = NewFiles::begin(&self.folder)?;
        for (place, bytes) in &self.files {
            files.write(place, bytes)?;
        }
        files.write(MANIFEST, self.text.as_bytes())?;
        files.commit(&self.stale_files())
    }

    /// Components that the manifest no longer names.
    fn stale_files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.join(COMPONENTS)).into_iter().flatten().flatten();
        let places = entries.map(|entry| format!("{COMPONENTS}/{}", entry.file_name().to_string_lossy()));
        let is_wasm = |place: &String| Path::new(place).extension().is_some_and(|ending| ending == "wasm");
        let mut stale: Vec<String> = places.filter(|place| is_wasm(place) && !self.files.contains_key(place)).collect();
        stale.sort();
        stale
    }
}

fn describe_bytes(bytes: &[u8]) -> Json {
    json!({ "sha256": Digest::sha256(bytes), "bytes": bytes.len() })
}

impl Written {
    fn render_text(&self) -> String {
        let folder = Path::new(&self.manifest).parent().unwrap_or(Path::new("")).display().to_string();
        let values: Vec<String> = self
            .required
            .iter()
            .map(|name| format!("SPIN_VARIABLE_{}", name.to_ascii_uppercase()))
            .collect();
        format!(
            "wrote `{}` and {} components beside it ({:.1} MB)\n\
             a million predictions, one to a request, cost ${:.2} at AWS's bucket (a put before each answer); requests of many rows share it{}\n\
             next: set {}, then `spin up --from {folder}`\n\
             then: `spin deploy --from {folder}` with the same as variables; docs/spin.md says what the bucket must be told",
            self.manifest,
            self.files.len() - 1,
            self.bytes as f64 / 1e6,
            self.million_predictions,
            render_notes(&self.notes),
            values.join(", "),
        )
    }
}
