//! From the pipeline to the template: the store, then each stage in the pipeline's order, then what answers and what tells the time.

use serde::Serialize;
use serde_json::Value as Json;
use tidemill_core::{Error, Result, pipeline::Pipeline};

use crate::yaml;

use super::{
    coordinator,
    function::{ENGINES_LAYER, PROJECT_LAYER},
    limits,
    names::{Names, logical},
    node, parameters, predict,
    resources::{Layer, Tag},
    store,
    template::{Output, Resource, Section, Template, Value},
};

/// Where the package has what.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of the programs, one folder each with `bootstrap` in it, from the template's folder.
    pub programs: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            programs: "programs".to_owned(),
        }
    }
}

/// A project on AWS.
#[derive(Debug, Clone)]
pub struct Sam {
    /// The template.
    pub template: Template,
    /// What each function is told: paths from the template's folder, and JSON.
    pub files: Vec<(String, Json)>,
    /// Components that the package needs, as the pipeline names them, and where they go.
    pub components: Vec<(String, String)>,
    /// Programs that the package needs: those of Tidemill's package `tidemill-lambda`.
    pub programs: Vec<String>,
    /// What is not as `tidemill.toml` asks, and why.
    pub notes: Vec<String>,
    /// How often schedules call the coordinator in a month.
    pub looks: f64,
}

/// The folder of what functions are told, from the template's.
pub const FUNCTIONS: &str = "project/tidemill/functions";
/// DuckDB's library, from the template's folder.
pub const DUCKDB: &str = "engines/lib/libduckdb.so";

/// The folder of the project's layer, from the template's.
const PROJECT_FOLDER: &str = "project";
/// The folder of the libraries' layer.
const ENGINES_FOLDER: &str = "engines";
/// Where Lambda unpacks layers.
const UNPACKED: &str = "/opt";
/// Stages whose arithmetic may depend on the processor (another libm, an ONNX model from elsewhere): a model and its gates are the same
/// wherever they were made.
const AS_COMPONENTS: [&str; 2] = ["train", "evaluate"];
/// The program that runs a component.
const COMPONENT_PROGRAM: &str = "tidemill-component";
/// The program that runs a native stage, or the coordinator.
const NATIVE_PROGRAM: &str = "tidemill-lambda";
/// The program that serves predictions.
pub(crate) const PREDICT_PROGRAM: &str = "tidemill-predict";

/// Writes the template. Errors are `Config`: what AWS does not take of this project, and what to change.
pub fn render(pipeline: &Pipeline, options: &Options) -> Result<Sam> {
    let mut build = Build::new(pipeline, options);
    parameters::add(&mut build.template.parameters, &mut build.template.conditions);
    let tags = build.tags("store");
    store::add(&mut build.template.resources, tags);
    build.layers();
    for one in &pipeline.nodes {
        node::add(&mut build, one)?;
    }
    coordinator::add(&mut build)?;
    predict::add(&mut build)?;
    build.outputs();
    limits::check(&build.template)?;
    build.programs.sort();
    build.programs.dedup();
    build.components.sort();
    build.components.dedup();
    Ok(Sam {
        template: build.template,
        files: build.files,
        components: build.components,
        programs: build.programs,
        notes: build.notes,
        looks: build.looks,
    })
}

impl Sam {
    /// The template as YAML, with what a reader should know first.
    pub fn yaml(&self) -> Result<String> {
        let body = yaml::document(&self.json()?);
        Ok(format!(
            "# Written by `tidemill deploy sam` from tidemill.toml: change that, and write this again.\n{body}"
        ))
    }

    /// The template as the values that it has.
    pub fn json(&self) -> Result<Json> {
        serde_json::to_value(&self.template).map_err(|e| Error::bug(format!("the template cannot be written: {e}")))
    }
}

/// A template in the making.
pub(super) struct Build<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) options: &'a Options,
    pub(super) template: Template,
    files: Vec<(String, Json)>,
    components: Vec<(String, String)>,
    programs: Vec<String>,
    pub(super) notes: Vec<String>,
    /// How often schedules call the coordinator in a month.
    pub(super) looks: f64,
}

impl<'a> Build<'a> {
    fn new(pipeline: &'a Pipeline, options: &'a Options) -> Self {
        Self {
            pipeline,
            options,
            template: Template {
                format_version: "2010-09-09",
                transform: "AWS::Serverless-2016-10-31",
                description: format!(
                    "The Tidemill project {}: its store, its stages and its predictions",
                    pipeline.project
                ),
                parameters: Section::default(),
                conditions: Section::default(),
                resources: Section::default(),
                outputs: Section::default(),
            },
            files: Vec::new(),
            components: Vec::new(),
            programs: Vec::new(),
            notes: Vec::new(),
            looks: 0.0,
        }
    }

    fn layers(&mut self) {
        let project = &self.pipeline.project;
        let libraries = ("engines", ENGINES_FOLDER, "The libraries of DuckDB and ONNX Runtime");
        let own = ("project", PROJECT_FOLDER, "The configuration of each function, and the components");
        for (id, (name, folder, description)) in [(ENGINES_LAYER, libraries), (PROJECT_LAYER, own)] {
            let layer = Layer {
                layer_name: Value::substitute(format!("{project}-${{Environment}}-{name}")),
                description: description.to_owned(),
                content_uri: format!("{folder}/"),
                compatible_runtimes: vec!["provided.al2023"],
                retention_policy: "Delete",
            };
            self.template.resources.add(id, Resource::of(layer));
        }
    }

    fn outputs(&mut self) {
        self.template.outputs.add(
            "Store",
            Output {
                description: "The bucket: put data under raw/<dataset>/".to_owned(),
                value: Value::reference("Store"),
            },
        );
    }

    /// The parameter with the memory of a stage's functions. Those of one stage share it.
    pub(super) fn memory(&mut self, stage: &str, megabytes: u64) -> String {
        let name = format!("{}Memory", logical(stage));
        if self.template.parameters.iter().all(|(known, _)| known != name) {
            let description = format!("Memory of `{stage}` in megabytes; CPU comes with it");
            self.template.parameters.add(&name, parameters::memory(description, megabytes));
        }
        name
    }

    /// Files what a function is told; returns where it finds it.
    pub(super) fn config_file(&mut self, names: &Names, config: &impl Serialize) -> Result<String> {
        let place = format!("tidemill/functions/{}.json", names.short);
        let config = serde_json::to_value(config).map_err(|e| Error::bug(format!("`{place}` cannot be written: {e}")))?;
        self.files.push((format!("{PROJECT_FOLDER}/{place}"), config));
        Ok(format!("{UNPACKED}/{place}"))
    }

    /// The variables of every function: where the store is, and what it is told.
    pub(super) fn variables(&self, config: String) -> Section<Value> {
        let mut variables = Section::default();
        variables.add("TIDEMILL_STORE", Value::substitute("s3://${Store}"));
        variables.add("TIDEMILL_CONFIG", config.as_str().into());
        variables
    }

    /// The program of a stage: the native one where native arithmetic gives the component's bytes, else the one that runs components.
    pub(super) fn program(&mut self, stage: &str, component: &str) -> String {
        let is_own = component == format!("tidemill:{stage}");
        let program = if stage == "predict" {
            PREDICT_PROGRAM
        } else if is_own && !AS_COMPONENTS.contains(&stage) {
            NATIVE_PROGRAM
        } else {
            COMPONENT_PROGRAM
        };
        self.programs.push(program.to_owned());
        program.to_owned()
    }

    /// Files a component; returns where its function finds it.
    pub(super) fn component(&mut self, component: &str) -> String {
        let file = match component.strip_prefix("tidemill:") {
            Some(stage) => format!("tidemill_{}.wasm", stage.replace('-', "_")),
            None => component.trim_start_matches("./").replace('/', "-"),
        };
        let place = format!("tidemill/components/{file}");
        self.components.push((component.to_owned(), format!("{PROJECT_FOLDER}/{place}")));
        format!("{UNPACKED}/{place}")
    }

    /// On everything that takes tags, to find it and to see what it costs.
    pub(super) fn tags(&self, stage: &str) -> Vec<Tag> {
        [
            ("tidemill:project", self.pipeline.project.as_str().into()),
            ("tidemill:environment", Value::reference("Environment")),
            ("tidemill:stage", stage.into()),
        ]
        .map(|(key, value)| Tag { key, value })
        .to_vec()
    }
}
