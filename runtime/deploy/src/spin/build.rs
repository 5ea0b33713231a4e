//! Generation of the manifest from the pipeline: predictions, incoming events and rows, and each stage that Spin can run.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use tidemill_core::{
    Digest, Error, Result, layout,
    pipeline::{Node, NodeSettings, Pipeline, deployment::ServingConfig},
};

use super::{
    CONFIG,
    manifest::{Application, Build, Component, HttpTrigger, Manifest, Tool, Triggers},
    variables,
};

/// The options that do not follow from the pipeline.
#[derive(Debug, Clone)]
pub struct Options {
    /// The location of the store, if it is known: `s3://bucket/prefix`. Otherwise it is given when the application is started.
    pub store: Option<String>,
    /// The application's version.
    pub version: String,
    /// The project's folder relative to the manifest's, if `spin build` is to generate all of this again.
    pub project: Option<String>,
}

/// A built component of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// SHA-256 of its bytes: part of the key of each of its runs.
    pub digest: Digest,
    /// The names of its imports.
    pub imports: Vec<String>,
}

/// A file of the package, and what it is composed of. Components are named as in the pipeline (`tidemill:predict`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// Path from the manifest's folder.
    pub place: String,
    /// How the file is composed.
    pub recipe: Recipe,
}

/// How a file is composed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipe {
    /// `plugs` provide the imports of `socket`.
    Plugged {
        /// The component that answers HTTP.
        socket: String,
        /// The components that provide its imports.
        plugs: Vec<String>,
    },
    /// The component that receives events and rows, with these stages behind it.
    Chain(Vec<String>),
}

/// A project on Spin.
#[derive(Debug, Clone)]
pub struct Spin {
    /// `spin.toml`.
    pub manifest: Manifest,
    /// The files of the components.
    pub files: Vec<Composed>,
    /// Notes for the user.
    pub notes: Vec<String>,
}

/// The folder of the components, relative to the manifest's.
pub const COMPONENTS: &str = "components";
/// The component that answers prediction requests.
const PREDICT: &str = "predict";
/// The component that receives events and rows.
const EVENTS: &str = "events";
/// The components that provide a serving component with ONNX and with its store.
const SERVING: [&str; 2] = ["tidemill:onnx", "tidemill:spin-store"];
/// The component that receives events and rows, the one that each stage is plugged into, and the one that holds the store for both.
pub const CHAINED: [&str; 3] = ["tidemill:spin-events", "tidemill:spin-link", "tidemill:spin-run"];
/// Interfaces of a stage's imports that Tidemill's own components provide.
const HOSTED: [&str; 5] = ["types", "run-context", "objects", "progress", "fetch"];

/// Generates the manifest. `part` returns a component of the project by its name in the pipeline.
///
/// # Errors
/// `Config`, with the part of the project that Spin does not accept and the change that it needs.
pub fn render(pipeline: &Pipeline, options: &Options, part: &dyn Fn(&str) -> Result<Part>) -> Result<Spin> {
    crate::secrets::refuse_secrets(pipeline, "a component on Spin")?;
    let mut spin = Spin {
        manifest: Manifest {
            spin_manifest_version: 2,
            application: Application {
                name: pipeline.project.clone(),
                version: options.version.clone(),
                description: format!(
                    "The Tidemill project {}: its predictions, what comes in, its small stages",
                    pipeline.project
                ),
                tool: BTreeMap::new(),
            },
            variables: variables::of(options.store.as_deref())?,
            trigger: Triggers { http: Vec::new() },
            component: BTreeMap::new(),
        },
        files: Vec::new(),
        notes: Vec::new(),
    };
    predict(&mut spin, pipeline, options)?;
    let split = split(pipeline, part)?;
    events(&mut spin, pipeline, options, &split)?;
    notes(&mut spin, pipeline, &split);
    let tool = Tool {
        stages: split.here.keys().cloned().collect(),
        elsewhere: split.elsewhere,
    };
    spin.manifest.application.tool.insert("tidemill".to_owned(), tool);
    super::check("spin.toml", &spin.manifest.toml()?).map_err(|e| Error::bug(e.message))?;
    Ok(spin)
}

/// The division of stages by the place where they run.
struct Split<'a> {
    /// On Spin: the nodes of each stage, and the components that they run.
    here: BTreeMap<String, Vec<(&'a Node, Part)>>,
    /// Not on Spin: each stage with the reason.
    elsewhere: BTreeMap<String, String>,
}

fn split<'a>(pipeline: &'a Pipeline, part: &dyn Fn(&str) -> Result<Part>) -> Result<Split<'a>> {
    let mut split = Split {
        here: BTreeMap::new(),
        elsewhere: BTreeMap::new(),
    };
    for node in &pipeline.nodes {
        let part = part(&node.component)?;
        match part.imports.iter().find_map(|import| lacking(import)) {
            Some(why) => drop(split.elsewhere.insert(node.stage.clone(), why)),
            None => split.here.entry(node.stage.clone()).or_default().push((node, part)),
        }
    }
    Ok(split)
}

/// The reason why a stage with this import cannot run on Spin.
fn lacking(import: &str) -> Option<String> {
    let own = import.strip_prefix("tidemill:stage/");
    let name = own.map(|rest| rest.split('@').next().unwrap_or(rest));
    match name {
        Some("sql") => Some("needs SQL: DuckDB is not on Spin".to_owned()),
        Some(name) if HOSTED.contains(&name) => None,
        _ if super::compose::is_offered(import) => None,
        _ => Some(format!("imports `{import}`, which Spin does not offer")),
    }
}

fn predict(spin: &mut Spin, pipeline: &Pipeline, options: &Options) -> Result<()> {
    let build = options.project.as_ref().map(|folder| Build {
        command: "tidemill deploy spin".to_owned(),
        workdir: folder.clone(),
        watch: vec!["tidemill.toml".to_owned()],
    });
    let component = Component {
        description: "Serves predictions: Open Inference Protocol V2".to_owned(),
        source: format!("{COMPONENTS}/{PREDICT}.wasm"),
        allowed_outbound_hosts: variables::hosts(options.store.as_deref())?,
        variables: variables::passed(),
        environment: told(&ServingConfig::from_pipeline(pipeline))?,
        build,
    };
    spin.add(PREDICT, &["/v2/..."], component);
    spin.files.push(Composed {
        place: format!("{COMPONENTS}/{PREDICT}.wasm"),
        recipe: Recipe::Plugged {
            socket: pipeline.predict_component.clone(),
            plugs: SERVING.map(str::to_owned).to_vec(),
        },
    });
    Ok(())
}

/// Adds the component that receives object events and rows, with the stages that run for them.
fn events(spin: &mut Spin, pipeline: &Pipeline, options: &Options, split: &Split) -> Result<()> {
    let mut hosts = variables::hosts(options.store.as_deref())?;
    let mut told = Vec::new();
    for nodes in split.here.values() {
        hosts.extend(
            nodes
                .iter()
                .flat_map(|(node, _)| node.fetch.iter().flat_map(|host| fetched(node, host))),
        );
        told.extend(nodes.iter().map(|(node, part)| NodeSettings {
            component: Some(layout::component(&part.digest)),
            ..NodeSettings::new(pipeline, node)
        }));
    }
    let datasets: Vec<&String> = pipeline.datasets.keys().collect();
    let component = Component {
        description: "Takes notices of the bucket's objects, and rows".to_owned(),
        source: format!("{COMPONENTS}/{EVENTS}.wasm"),
        allowed_outbound_hosts: hosts,
        variables: variables::passed(),
        environment: self::told(&json!({ "datasets": datasets, "nodes": told }))?,
        build: None,
    };
    spin.add(EVENTS, &["/events", "/data/..."], component);
    spin.files.push(Composed {
        place: format!("{COMPONENTS}/{EVENTS}.wasm"),
        recipe: Recipe::Chain(
            split
                .here
                .values()
                .filter_map(|nodes| Some(nodes.first()?.0.component.clone()))
                .collect(),
        ),
    });
    Ok(())
}

/// The URLs of one granted host. A stage of the project does not declare the scheme that it uses.
fn fetched(node: &Node, host: &str) -> Vec<String> {
    let url = node.config.pointer("/source/url").and_then(Json::as_str);
    match url.and_then(|url| url.split_once("://")) {
        Some((scheme, _)) => vec![format!("{scheme}://{host}")],
        None => vec![format!("http://{host}"), format!("https://{host}")],
    }
}

/// The environment of a component, with its part of the configuration.
fn told(config: &impl serde::Serialize) -> Result<BTreeMap<String, String>> {
    let text = serde_json::to_string(config).map_err(|e| Error::bug(format!("the configuration of a component cannot be written: {e}")))?;
    Ok(BTreeMap::from([(CONFIG.to_owned(), text)]))
}

fn notes(spin: &mut Spin, pipeline: &Pipeline, split: &Split) {
    if !split.elsewhere.is_empty() {
        let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (stage, why) in &split.elsewhere {
            by_reason.entry(why).or_default().push(stage);
        }
        let stays: Vec<String> = by_reason
            .iter()
            .map(|(why, stages)| format!("{} ({why})", stages.join(", ")))
            .collect();
        spin.notes.push(format!(
            "not on Spin: {}; run them over the same bucket by Lambda (`tidemill deploy sam`) or `tidemill up`",
            stays.join("; ")
        ));
    }
    let scheduled: Vec<String> = pipeline.nodes.iter().filter(|node| node.every.is_some()).map(Node::id).collect();
    if !scheduled.is_empty() {
        spin.notes.push(format!(
            "Spin has no schedule of its own: {} run by scheduled events that Lambda's coordinator or `tidemill up` writes",
            scheduled.join(", ")
        ));
    }
}

impl Spin {
    fn add(&mut self, id: &str, routes: &[&str], component: Component) {
        self.manifest.trigger.http.extend(routes.iter().map(|route| HttpTrigger {
            route: (*route).to_owned(),
            component: id.to_owned(),
        }));
        self.manifest.component.insert(id.to_owned(), component);
    }
}
