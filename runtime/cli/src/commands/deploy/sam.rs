//! `tidemill deploy sam`: writes a SAM template and the package beside it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use serde_json::Value as Json;
use tidemill_core::{Error, text::quoted_list};
use tidemill_deploy::{
    cost::{self, Assumptions, Cost},
    difference::{self, Difference},
    sam::{self, Options},
};

use super::{exit_code, read_if_exists, render_notes, write_file};
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
    /// The folder of the functions' programs, relative to the template: one folder for each, with `bootstrap` in it.
    #[arg(long, value_name = "FOLDER", default_value = "programs")]
    programs: String,
    /// Show what would change, and change nothing.
    #[arg(long)]
    plan: bool,
    /// With `--plan`: exit with 10 if anything would change.
    #[arg(long, requires = "plan")]
    exit_code: bool,
    /// Prices and load for the cost estimate (TOML); missing values keep their defaults. `--json` prints the names.
    #[arg(long, value_name = "FILE")]
    assume: Option<PathBuf>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Written {
    template: String,
    resources: usize,
    files: Vec<String>,
    /// Files that the package still needs.
    missing: Vec<String>,
    notes: Vec<String>,
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
        let options = Options {
            programs: self.programs.clone(),
        };
        let sam = sam::render(&project.pipeline, &options)?;
        let cost = cost::of(&sam, &assumptions);
        let template = self.out.clone().unwrap_or_else(|| project.root.join("sam/template.yaml"));
        let package = Package::next_to(&template)?;
        if self.plan {
            let planned = Plan {
                difference: package.diff(&sam)?,
                template: template.display().to_string(),
                notes: sam.notes,
                cost,
            };
            output.print(&planned, Plan::render_text)?;
            return Ok(exit_code(self.exit_code, &planned.difference));
        }
        let files = package.write(&sam, project)?;
        let written = Written {
            template: template.display().to_string(),
            resources: sam.template.resources.len(),
            files,
            missing: package.missing_files(&sam, &self.programs),
            notes: sam.notes,
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

/// The folder that `sam deploy` uploads.
struct Package {
    template: PathBuf,
    folder: PathBuf,
}

impl Package {
    fn next_to(template: &Path) -> Result<Self> {
        if template.is_dir() {
            return Err(Error::input(format!("`{}` is a folder; name the template's file in it", template.display())).into());
        }
        Ok(Self {
            template: template.to_owned(),
            folder: template.parent().unwrap_or(Path::new("")).to_owned(),
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
            let old = read_if_exists(&self.folder.join(path))?;
            let old = old.map(|text| difference::read(path, &text)).transpose()?;
            difference.add_file(path, old.as_ref(), Some(new));
        }
        for path in self.stale_files(sam) {
            difference.add_file(&path, Some(&Json::Null), None);
        }
        Ok(difference)
    }

    /// Writes all files. Components are located before the first file is written.
    fn write(&self, sam: &sam::Sam, project: &Project) -> Result<Vec<String>> {
        let mut written = Vec::new();
        let found = sam
            .components
            .iter()
            .map(|(component, place)| Ok((project.component_path(component)?, place)));
        let found: Vec<(PathBuf, &String)> = found.collect::<tidemill_core::Result<_>>()?;
        for (component, place) in found {
            let bytes = std::fs::read(&component).map_err(|e| read_error(&component, &e))?;
            written.push(self.write_file(place, &bytes)?);
        }
        for (path, value) in &sam.files {
            written.push(self.write_file(path, to_pretty_json(value)?.as_bytes())?);
        }
        for path in self.stale_files(sam) {
            std::fs::remove_file(self.folder.join(&path)).with_context(|| format!("cannot remove `{path}`"))?;
        }
        write_file(&self.template, sam.yaml()?.as_bytes())?;
        written.push(self.template.display().to_string());
        Ok(written)
    }

    fn write_file(&self, path: &str, bytes: &[u8]) -> Result<String> {
        let path = self.folder.join(path);
        write_file(&path, bytes)?;
        Ok(path.display().to_string())
    }

    /// Settings of functions that the project no longer has.
    fn stale_files(&self, sam: &sam::Sam) -> Vec<String> {
        let told: BTreeSet<&str> = sam.files.iter().map(|(path, _)| path.as_str()).collect();
        let entries = std::fs::read_dir(self.folder.join(sam::FUNCTIONS)).into_iter().flatten().flatten();
        let paths = entries.map(|entry| format!("{}/{}", sam::FUNCTIONS, entry.file_name().to_string_lossy()));
        let mut stale: Vec<String> = paths
            .filter(|path| path.ends_with(".json") && !told.contains(path.as_str()))
            .collect();
        stale.sort();
        stale
    }

    /// Files that `sam deploy` needs and that do not exist.
    fn missing_files(&self, sam: &sam::Sam, programs: &str) -> Vec<String> {
        let programs = sam.programs.iter().map(|program| format!("{programs}/{program}/bootstrap"));
        let needed = programs.chain([sam::DUCKDB.to_owned()]);
        needed.filter(|path| !self.folder.join(path).is_file()).collect()
    }
}

fn to_pretty_json(value: &Json) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

impl Plan {
    fn render_text(&self) -> String {
        format!("{}{}", self.difference.render_text(), render_notes(&self.notes))
    }
}

impl Written {
    fn render_text(&self) -> String {
        let mut text = format!(
            "wrote `{}` ({} resources) and {} files beside it\n{}{}",
            self.template,
            self.resources,
            self.files.len() - 1,
            self.cost.render_text(),
            render_notes(&self.notes)
        );
        if !self.missing.is_empty() {
            let missing = quoted_list(&self.missing);
            text.push_str(&format!("\nthe package still lacks {missing}: docs/aws.md says how to get them"));
        }
        text
    }
}
