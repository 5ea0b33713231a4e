//! `tidemill deploy sam`: writes the folder that `sam deploy` takes: a SAM template, and the functions' settings, components and programs.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use serde_json::Value as Json;
use tidemill_core::{Error, text::quoted_list};
use tidemill_deploy::{
    cost::{self, Assumptions, Cost},
    difference::{self, Difference},
    sam::{self, Architecture, Options},
};

use super::{
    PlanArguments,
    folder::NewFiles,
    lambda_package::{LambdaPackage, PROGRAMS},
    read_if_exists, render_notes, render_plan,
};
use crate::{
    output::Output,
    project::{Project, read_error},
};

/// Arguments of `deploy sam`.
#[derive(Args)]
pub(super) struct Sam {
    /// The template; the package's folders are beside it. Default: `sam/template.yaml` in the project.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The processor of the functions, `arm64` or `x86_64`; default: that of the installed package for Lambda, or else `arm64`.
    #[arg(long, value_name = "ARCH")]
    arch: Option<Architecture>,
    /// A folder of programs that you built, relative to the template: one folder for each, with `bootstrap` in it. Default: `programs`, with
    /// those of the installed package for Lambda.
    #[arg(long, value_name = "FOLDER")]
    programs: Option<String>,
    #[command(flatten)]
    plan: PlanArguments,
    /// Prices and load for the cost estimate (TOML); missing values keep their defaults. `--json` prints the names.
    #[arg(long, value_name = "FILE")]
    assume: Option<PathBuf>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Written {
    template: String,
    resources: usize,
    architecture: Architecture,
    files: Vec<String>,
    /// Files that `sam deploy` still needs.
    missing: Vec<String>,
    /// How to get them.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
    /// Programs and libraries that were built for the other processor.
    built_for_another: Vec<String>,
    notes: Vec<String>,
    /// What deploys the folder, once it is complete.
    command: String,
    cost: Cost,
}

#[derive(Serialize)]
struct Plan {
    template: String,
    #[serde(flatten)]
    difference: Difference,
    notes: Vec<String>,
    cost: Cost,
}

impl Sam {
    pub(super) fn run(&self, project: &Project, output: Output) -> Result<ExitCode> {
        let assumptions = self.read_assumptions()?;
        let package = LambdaPackage::find(self.arch);
        let options = Options {
            programs: self.programs.clone().unwrap_or_else(|| PROGRAMS.to_owned()),
            architecture: package.architecture,
        };
        let mut sam = sam::render(&project.pipeline, &options)?;
        sam.notes.extend(own_handler(project, package.architecture));
        let cost = cost::of(&sam, &assumptions);
        let template = self.out.clone().unwrap_or_else(|| project.root.join("sam/template.yaml"));
        let folder = Folder::next_to(&template)?;
        if self.plan.plan {
            let planned = Plan {
                difference: folder.diff(&sam)?,
                template: template.display().to_string(),
                notes: sam.notes,
                cost,
            };
            output.print(&planned, |planned| render_plan(&planned.difference, &planned.notes))?;
            return Ok(self.plan.exit_code(&planned.difference));
        }
        let from_package = package.files(&sam, self.programs.is_none())?;
        let files = folder.write(&sam, project, &from_package)?;
        let needed = needed_files(&sam, &options.programs);
        let missing: Vec<String> = needed.iter().filter(|path| !folder.has(path)).cloned().collect();
        let libraries = [sam::ONNX_RUNTIME.to_owned()];
        let written = Written {
            template: template.display().to_string(),
            resources: sam.template.resources.len(),
            architecture: package.architecture,
            files,
            advice: (!missing.is_empty()).then(|| package.advice()),
            missing,
            built_for_another: package.built_for_another(&folder.path, needed.iter().chain(&libraries)),
            notes: sam.notes,
            command: folder.command(&project.pipeline.project),
            cost,
        };
        output.print(&written, Written::render_text)?;
        Ok(ExitCode::SUCCESS)
    }

    fn read_assumptions(&self) -> Result<Assumptions> {
        let Some(path) = &self.assume else {
            return Ok(Assumptions::default());
        };
        let text = std::fs::read_to_string(path).map_err(|e| read_error(path, &e))?;
        let assumptions: Assumptions =
            toml::from_str(&text).map_err(|e| Error::config(format!("`{}`: {}", path.display(), e.to_string().trim_end())))?;
        assumptions.check()?;
        Ok(assumptions)
    }
}

/// A project that is compiled to a Lambda program of its own, as the template `lambda-stage` makes it: no package has that program.
fn own_handler(project: &Project, architecture: Architecture) -> Option<String> {
    let manifest = std::fs::read_to_string(project.root.join("Cargo.toml")).ok()?;
    manifest.contains("tidemill-lambda").then(|| {
        let flag = if architecture == Architecture::Arm64 {
            "--arm64"
        } else {
            "--x86-64"
        };
        format!(
            "Cargo.toml depends on `tidemill-lambda`, so this project can be a Lambda program of its own. The stack runs its stage as a \
             component; to run that program instead, build it (`cargo lambda build --release {flag} --bin bootstrap`) and let the \
             function's `CodeUri` name its folder"
        )
    })
}

/// Files from the template's folder without which `sam deploy` fails, or its functions.
fn needed_files(sam: &sam::Sam, programs: &str) -> Vec<String> {
    let programs = programs.trim_end_matches('/');
    let programs = sam.programs.iter().map(|program| format!("{programs}/{program}/bootstrap"));
    programs.chain([sam::DUCKDB.to_owned()]).collect()
}

/// The folder that `sam deploy` uploads.
struct Folder {
    template: PathBuf,
    path: PathBuf,
}

impl Folder {
    fn next_to(template: &Path) -> Result<Self> {
        if template.is_dir() {
            return Err(Error::input(format!("`{}` is a folder; name the template's file in it", template.display())).into());
        }
        Ok(Self {
            template: template.to_owned(),
            path: template.parent().unwrap_or(Path::new("")).to_owned(),
        })
    }

    fn diff(&self, sam: &sam::Sam) -> Result<Difference> {
        let name = self.template.display().to_string();
        let old = match read_if_exists(&self.template)? {
            Some(text) => difference::read(&name, &text)?,
            None => Json::Object(serde_json::Map::new()),
        };
        let mut difference = Difference::of_templates(&old, &sam.json()?);
        for (path, new) in &sam.files {
            let old = read_if_exists(&self.path.join(path))?;
            let old = old.map(|text| difference::read(path, &text)).transpose()?;
            difference.add_file(path, old.as_ref(), Some(new));
        }
        for path in self.stale_files(sam) {
            difference.add_file(&path, Some(&Json::Null), None);
        }
        Ok(difference)
    }

    /// Writes all files or none: the package's, the components, the settings, and last the template.
    fn write(&self, sam: &sam::Sam, project: &Project, from_package: &[(String, PathBuf)]) -> Result<Vec<String>> {
        let found = sam.components.iter();
        let found = found.map(|(component, place)| Ok((project.component_path(component)?, place)));
        let components: Vec<(PathBuf, &String)> = found.collect::<tidemill_core::Result<_>>()?;
        let mut files = NewFiles::begin(&self.path)?;
        for (place, path) in from_package {
            match place.ends_with("/bootstrap") {
                true => files.copy_program(place, path)?,
                false => files.copy(place, path)?,
            }
        }
        for (path, place) in components {
            files.copy(place, &path)?;
        }
        for (place, value) in &sam.files {
            files.write(place, to_pretty_json(value)?.as_bytes())?;
        }
        files.write(&self.template_name(), sam.yaml()?.as_bytes())?;
        files.commit(&self.stale_files(sam))
    }

    fn template_name(&self) -> String {
        self.template.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn has(&self, place: &str) -> bool {
        self.path.join(place).is_file()
    }

    fn command(&self, project: &str) -> String {
        let folder = match self.path.as_os_str().is_empty() {
            true => String::new(),
            false => format!("cd {} && ", self.path.display()),
        };
        let template = match self.template_name().as_str() {
            // What SAM looks for.
            "template.yaml" | "template.yml" => String::new(),
            other => format!(" --template-file {other}"),
        };
        format!("{folder}sam deploy{template} --stack-name {project}-dev --resolve-s3 --capabilities CAPABILITY_IAM")
    }

    /// Settings of functions that the project no longer has.
    fn stale_files(&self, sam: &sam::Sam) -> Vec<String> {
        let told: BTreeSet<&str> = sam.files.iter().map(|(path, _)| path.as_str()).collect();
        let entries = std::fs::read_dir(self.path.join(sam::FUNCTIONS)).into_iter().flatten().flatten();
        let paths = entries.map(|entry| format!("{}/{}", sam::FUNCTIONS, entry.file_name().to_string_lossy()));
        let mut stale: Vec<String> = paths
            .filter(|path| path.ends_with(".json") && !told.contains(path.as_str()))
            .collect();
        stale.sort();
        stale
    }
}

fn to_pretty_json(value: &Json) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

impl Written {
    fn render_text(&self) -> String {
        let architecture = self.architecture.name();
        let mut text = format!(
            "wrote `{}` ({} resources, {architecture}) and {} files beside it\n{}{}",
            self.template,
            self.resources,
            self.files.len() - 1,
            self.cost.render_text(),
            render_notes(&self.notes)
        );
        if !self.built_for_another.is_empty() {
            let files = quoted_list(&self.built_for_another);
            text.push_str(&format!(
                "\nnot built for {architecture}, and cannot run there: {files}; choose with `--arch`, or replace them"
            ));
        }
        match &self.advice {
            Some(advice) => text.push_str(&format!("\nthe folder lacks {}: {advice}", quoted_list(&self.missing))),
            None => text.push_str(&format!("\nnext: `{}`", self.command)),
        }
        text
    }
}
