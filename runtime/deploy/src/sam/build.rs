//! A template in the making with the package beside it, and what CloudFormation does not take of it, said before it is asked.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value as Json;
use tidemill_core::{
    Error, Result,
    pipeline::{Pipeline, StagePolicy},
};

use crate::yaml;

use super::{
    architecture::Architecture,
    function::{ENGINES_LAYER, PROJECT_LAYER},
    names::{Names, logical},
    resources::{Layer, Tag},
    template::{Output, Parameter, Resource, Scalar, Section, Template, Value},
};

/// Where the package has what.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of the programs, one folder each with `bootstrap` in it, from the template's folder.
    pub programs: String,
    /// The processor that the programs are built for: the default of the template's parameter.
    pub architecture: Architecture,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            programs: "programs".to_owned(),
            architecture: Architecture::default(),
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
/// ONNX Runtime's library, from the template's folder. Without it models run on tract.
pub const ONNX_RUNTIME: &str = "engines/lib/libonnxruntime.so";

/// The folder of the project's layer, from the template's.
const PROJECT_FOLDER: &str = "project";
/// The folder of the libraries' layer, from the template's.
pub const ENGINES_FOLDER: &str = "engines";
/// Where Lambda unpacks layers.
const UNPACKED: &str = "/opt";
/// The program that runs a component.
const COMPONENT_PROGRAM: &str = "tidemill-component";
/// The program that runs a native stage, or the coordinator.
const NATIVE_PROGRAM: &str = "tidemill-lambda";
/// The program that serves predictions.
pub(crate) const PREDICT_PROGRAM: &str = "tidemill-predict";

/// CloudFormation's limits of one template.
const RESOURCES: usize = 500;
const PARAMETERS: usize = 200;
/// Characters of the policies in one role.
const POLICY: usize = 10_240;

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
    pub(super) fn new(pipeline: &'a Pipeline, options: &'a Options) -> Self {
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

    pub(super) fn layers(&mut self) {
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

    pub(super) fn outputs(&mut self) {
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
            let memory = Parameter {
                r#type: "Number",
                description: format!("Memory of `{stage}` in megabytes; CPU comes with it"),
                default: Scalar::Number(megabytes),
                min_value: Some(128),
                max_value: Some(10_240),
                ..Parameter::default()
            };
            self.template.parameters.add(&name, memory);
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
    pub(super) fn program(&mut self, stage: &str, component: &str) -> &'static str {
        let is_own = component == format!("tidemill:{stage}");
        let is_native = is_own && !StagePolicy::for_stage(stage).requires_component;
        self.add_program(if is_native { NATIVE_PROGRAM } else { COMPONENT_PROGRAM })
    }

    /// Puts a program into the package.
    pub(super) fn add_program(&mut self, program: &'static str) -> &'static str {
        self.programs.push(program.to_owned());
        program
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

    /// The project on AWS. Errors are what CloudFormation does not take.
    pub(super) fn finish(mut self) -> Result<Sam> {
        check(&self.template)?;
        self.programs.sort();
        self.programs.dedup();
        self.components.sort();
        self.components.dedup();
        Ok(Sam {
            template: self.template,
            files: self.files,
            components: self.components,
            programs: self.programs,
            notes: self.notes,
            looks: self.looks,
        })
    }
}

fn check(template: &Template) -> Result<()> {
    check_names("parameters", &template.parameters)?;
    check_names("resources", &template.resources)?;
    let split = "split the project: two projects may share a bucket's data by `collect`";
    // Each queue that calls a function is a resource too.
    let sources = template.resources.iter().filter(|(name, _)| name.ends_with("Queue")).count();
    for (what, count, most) in [
        ("resources", template.resources.len() + sources, RESOURCES),
        ("parameters", template.parameters.len(), PARAMETERS),
    ] {
        if count > most {
            return Err(Error::config(format!(
                "the template has {count} {what}, and CloudFormation takes {most} in one stack: {split}"
            )));
        }
    }
    for (name, resource) in template.resources.iter().filter(|(name, _)| name.ends_with("Role")) {
        let length = serde_json::to_string(resource).map_or(0, |text| text.len());
        if length > POLICY {
            return Err(Error::config(format!(
                "the policy of `{name}` has {length} characters, and IAM takes {POLICY}: give the stage fewer and wider `reads` and `writes`"
            )));
        }
    }
    Ok(())
}

/// Names in a template are letters and digits, so two names of a project may become one.
fn check_names<T>(what: &str, section: &Section<T>) -> Result<()> {
    let mut seen = BTreeSet::new();
    match section.iter().find(|(name, _)| !seen.insert(*name)) {
        Some((name, _)) => Err(Error::config(format!(
            "two of the template's {what} would be called `{name}`: names there are letters and digits alone, so `a-b`, `a_b` and `aB` \
             are one; rename a dataset, model or stage"
        ))),
        None => Ok(()),
    }
}
