//! `tidemill new`: creates a project from a template. The program contains the templates, so nothing is downloaded. The project is rendered
//! in memory and checked before the first file is written; no existing file is overwritten, and a failed write is rolled back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use tidemill_core::{Error, Result, project::Project};
use tidemill_templates::{RenderedFile, Template, all, find};

use super::sdk;
use crate::output::{Output, table};

/// Creates a project in a new or empty folder.
#[derive(Args)]
pub(crate) struct New {
    /// The template; `--list` lists them.
    #[arg(long, default_value = "tabular")]
    template: String,
    /// A parameter of the template, as `name=value`; repeatable.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    set: Vec<(String, String)>,
    /// List the templates and their parameters.
    #[arg(long)]
    list: bool,
    /// The folder; its name becomes the project's.
    #[arg(required_unless_present = "list")]
    dir: Option<PathBuf>,
}

#[derive(Serialize)]
struct Created {
    dir: String,
    template: String,
    files: Vec<String>,
}

impl New {
    pub(crate) fn run(&self, output: Output) -> anyhow::Result<()> {
        let Some(dir) = self.dir.as_deref().filter(|_| !self.list) else {
            return output.print(&all()?, |templates| render_templates(templates));
        };
        let template = find(&self.template)?;
        let values = template.resolve_values(&self.set)?;
        let is_taken = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
        if is_taken || dir.is_file() {
            return Err(Error::input(format!("`{}` is not empty; name a new folder", dir.display())).into());
        }
        let mut files = template.render(&project_name(dir)?, &values)?;
        check_pipeline(&files)?;
        if values.get("tidemill-path").is_some_and(|path| path == sdk::VENDORED) {
            files.extend(sdk::files()?);
        }
        write_all(dir, &files)?;
        let made = Created {
            dir: dir.display().to_string(),
            template: template.id,
            files: files.into_iter().map(|file| file.path).collect(),
        };
        output.print(&made, |made| {
            format!(
                "created `{0}` from the template `{1}`; next: `cd {0}`, and read README.md",
                made.dir, made.template
            )
        })
    }
}

fn parse_pair(text: &str) -> std::result::Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is not `name=value`"))?;
    Ok((name.to_owned(), value.to_owned()))
}

fn render_templates(templates: &[Template]) -> String {
    let parameters = |template: &Template| {
        let shown = template.parameters.iter().map(|(name, parameter)| match &parameter.default {
            Some(default) => format!("{name}={default}"),
            None => format!("{name}=…"),
        });
        shown.collect::<Vec<_>>().join("\n")
    };
    let row = |template: &Template| vec![template.id.clone(), template.description.clone(), parameters(template)];
    table(
        &["template", "what it is", "parameters (--set)"],
        templates.iter().map(row).collect(),
        "there is no template",
    )
}

/// The name of the folder, also of `.`.
fn project_name(dir: &Path) -> Result<String> {
    let whole = std::path::absolute(dir).map_err(|e| Error::input(format!("`{}` cannot be a folder: {e}", dir.display())))?;
    let name = whole.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // The name becomes part of keys and of program names.
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_. ".contains(c)) {
        return Ok(name.to_owned());
    }
    Err(Error::input(format!(
        "the folder's name `{name}` becomes the project's: it begins with a letter and has letters, digits, `-`, `_`, `.` and spaces alone"
    )))
}

/// Checks the rendered project as `tidemill check` does.
fn check_pipeline(files: &[RenderedFile]) -> Result<()> {
    let read = |path: &str| {
        let file = files.iter().find(|file| file.path == path);
        let text = file.and_then(|file| String::from_utf8(file.bytes.clone()).ok());
        text.ok_or_else(|| Error::not_found(format!("`{path}` is not in the template")))
    };
    Project::parse(&read("tidemill.toml")?, &read).map(drop)
}

/// Writes all files, or none.
fn write_all(dir: &Path, files: &[RenderedFile]) -> anyhow::Result<()> {
    let is_new = !dir.exists();
    let written = files.iter().try_for_each(|file| write_file(&dir.join(&file.path), &file.bytes));
    if written.is_err() {
        for file in files {
            let _ = fs::remove_file(dir.join(&file.path));
            // Folders that are empty now; the first that is not, and the project's own, end it.
            let above = Path::new(&file.path).ancestors().skip(1).filter(|folder| *folder != Path::new(""));
            let _ = above
                .map(|folder| fs::remove_dir(dir.join(folder)))
                .take_while(std::io::Result::is_ok)
                .count();
        }
        if is_new {
            let _ = fs::remove_dir(dir);
        }
    }
    written
}

fn write_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("cannot write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> RenderedFile {
        RenderedFile {
            path: path.into(),
            bytes: b"x".to_vec(),
        }
    }

    #[test]
    fn a_failed_write_is_rolled_back() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("mine");
        // The third cannot be written: a file stands where its folder should.
        let files = [file("a/b/one"), file("two"), file("two/three")];
        let error = write_all(&dir, &files).unwrap_err();
        assert!(format!("{error:#}").contains("two"), "{error:#}");
        assert!(!dir.exists());
        fs::create_dir(&dir).unwrap();
        write_all(&dir, &files).unwrap_err();
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "a folder that was there stays, empty");
        write_all(&dir, &files[..2]).unwrap();
        assert_eq!(fs::read(dir.join("a/b/one")).unwrap(), b"x");
    }

    #[test]
    fn the_folder_names_the_project() {
        assert_eq!(project_name(Path::new("some/My stage")).unwrap(), "My stage");
        for wrong in ["1st", "größe", "-x", "a\"b"] {
            let error = project_name(Path::new(wrong)).unwrap_err();
            assert!(error.message.contains(wrong), "{error}");
        }
        assert!(project_name(Path::new("/")).is_err());
    }
}
