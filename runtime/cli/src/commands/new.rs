//! `tidemill new`: creates a project from a template. The program contains the templates, so nothing is downloaded. The project is rendered
//! in memory and checked before the first file is written; no existing file is overwritten, and a failed write is rolled back.
//!
//! In a terminal, what the arguments leave open is asked for.

mod ask;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, error::ErrorKind};
use serde::Serialize;
use tidemill_app::Installation;
use tidemill_core::{Error, Result, project::Project};
use tidemill_templates::{RenderedFile, Template, all, find, next_commands};

use super::sdk;
use crate::output::{Output, table};

/// The template where none is named and none can be asked for.
const DEFAULT_TEMPLATE: &str = "tabular";
/// In a README, the folder of the demo's data.
const DATA_FOLDER: &str = "<data>";

/// Creates a project in a new or empty folder.
#[derive(Args)]
pub(crate) struct New {
    /// The template; `--list` lists them. Default: `tabular`; in a terminal it is asked for.
    #[arg(long)]
    template: Option<String>,
    /// A parameter of the template, as `name=value`; repeatable.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    set: Vec<(String, String)>,
    /// List the templates and their parameters.
    #[arg(long)]
    list: bool,
    /// The folder; its name becomes the project's. In a terminal it is asked for.
    dir: Option<PathBuf>,
}

#[derive(Serialize)]
struct Created {
    dir: String,
    template: String,
    files: Vec<String>,
    /// What to type next.
    next: Vec<String>,
}

impl New {
    pub(crate) fn run(&self, output: Output) -> anyhow::Result<()> {
        if self.list {
            return output.print(&all()?, |templates| render_templates(templates));
        }
        let Choice { template, dir, set } = self.choose(output)?;
        let values = template.resolve_values(&set)?;
        check_empty(&dir)?;
        let mut files = template.render(&project_name(&dir)?, &values)?;
        check_pipeline(&files)?;
        if values.get("tidemill-path").is_some_and(|path| path == sdk::VENDORED) {
            files.extend(sdk::files()?);
        }
        write_all(&dir, &files)?;
        let made = Created {
            dir: dir.display().to_string(),
            template: template.id,
            next: next_lines(&dir, &files),
            files: files.into_iter().map(|file| file.path).collect(),
        };
        output.print(&made, |made| {
            let next = made.next.iter().map(|line| format!("  {line}\n"));
            format!(
                "created `{}` from the template `{}`; its README.md says more. Type next (`tidemill up` runs on: what follows it goes into another \
                 shell, in the same folder):\n\n{}",
                made.dir,
                made.template,
                next.collect::<String>()
            )
        })
    }

    fn choose(&self, output: Output) -> anyhow::Result<Choice> {
        let named = |name: &Option<String>| find(name.as_deref().unwrap_or(DEFAULT_TEMPLATE));
        let given = |dir: &PathBuf| {
            let (template, dir, set) = (named(&self.template)?, dir.clone(), self.set.clone());
            anyhow::Ok(Choice { template, dir, set })
        };
        if let (Some(dir), Some(_)) = (&self.dir, &self.template) {
            return given(dir);
        }
        if ask::is_terminal() && !output.json {
            let template = match &self.template {
                Some(_) => named(&self.template)?,
                None => ask::template(all()?, DEFAULT_TEMPLATE)?,
            };
            let dir = self.dir.clone().map_or_else(|| ask::folder(&template.id), Ok)?;
            let set = ask::parameters(&template, &self.set)?;
            return Ok(Choice { template, dir, set });
        }
        match &self.dir {
            Some(dir) => given(dir),
            None => missing_folder(),
        }
    }
}

/// What is made: from the arguments, and the answers to what they leave open.
struct Choice {
    template: Template,
    dir: PathBuf,
    /// Values of the template's parameters, by name.
    set: Vec<(String, String)>,
}

/// Says that the folder is not named as clap would.
fn missing_folder() -> ! {
    let message = "name the project's folder: `tidemill new [--template <TEMPLATE>] <DIR>`; in a terminal, `tidemill new` asks for it\n";
    super::Arguments::command()
        .error(ErrorKind::MissingRequiredArgument, message)
        .exit()
}

fn check_empty(dir: &Path) -> Result<()> {
    let problem = match fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
        Ok(true) => "is not empty",
        Err(_) if dir.is_file() => "is a file",
        _ => return Ok(()),
    };
    Err(Error::input(format!("`{}` {problem}; name a new folder", dir.display())))
}

/// The lines to type, each as it is.
fn next_lines(dir: &Path, files: &[RenderedFile]) -> Vec<String> {
    let data = Installation::of_this_program().demo_data();
    let commands = next_commands(files).map(|command| match (command.contains(DATA_FOLDER), &data) {
        (false, _) => command,
        (true, Some(folder)) => command.replace(DATA_FOLDER, &shell_word(folder)),
        // The data is not here: what can be seen without it.
        (true, None) => "tidemill check --graph".to_owned(),
    });
    let mut lines = vec![format!("cd {}", shell_word(dir))];
    lines.extend(commands);
    lines
}

/// A path as a shell reads it.
pub(super) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=@%,:".contains(c);
    match text.chars().all(is_plain) && !text.starts_with('-') {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
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
        "the folder's name becomes the project's, and `{name}` cannot be one: a name begins with a letter and has only letters, digits, \
         `-`, `_`, `.` and spaces"
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
        fs::create_dir_all(folder).with_context(|| format!("the folder `{}` cannot be created", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("`{}` cannot be written", path.display()))
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
    fn lines_can_be_typed_as_they_are() {
        let readme = b"```sh next\ntidemill put flights <data>/2013-01.parquet\n```\n".to_vec();
        let files = [RenderedFile {
            path: "README.md".into(),
            bytes: readme,
        }];
        let lines = next_lines(Path::new("My stage"), &files);
        assert_eq!(lines[..2], ["cd 'My stage'", "tidemill up"]);
        assert!(!lines[2].contains('<'), "{lines:?}");
        assert_eq!(shell_word(Path::new("it's")), r"'it'\''s'");
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
