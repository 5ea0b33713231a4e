//! `tidemill new`: templates are in the program, so that it needs no download. Nothing that exists is overwritten.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use tidemill_core::Error;

use crate::output::Output;

/// Makes a project in a new or empty folder.
#[derive(Args)]
pub(crate) struct New {
    /// What to start from.
    #[arg(long, default_value = "flights")]
    template: String,
    /// The folder; its name becomes the project's.
    dir: PathBuf,
}

type File = (&'static str, &'static str);

const TEMPLATES: [(&str, &[File]); 1] = [(
    "flights",
    &[
        ("tidemill.toml", include_str!("../../../../templates/flights/tidemill.toml")),
        (
            "contracts/flights.toml",
            include_str!("../../../../templates/flights/contracts/flights.toml"),
        ),
        ("features/late.sql", include_str!("../../../../templates/flights/features/late.sql")),
        (".gitignore", "/.tidemill/\n"),
    ],
)];

#[derive(Serialize)]
struct Made {
    dir: String,
    files: Vec<String>,
}

impl New {
    pub(crate) fn run(&self, output: Output) -> anyhow::Result<()> {
        let (_, files) = TEMPLATES.iter().find(|(name, _)| *name == self.template).ok_or_else(|| {
            let names: Vec<String> = TEMPLATES.iter().map(|(name, _)| format!("`{name}`")).collect();
            Error::not_found(format!("there is no template `{}`; there is {}", self.template, names.join(", ")))
        })?;
        let taken = std::fs::read_dir(&self.dir).is_ok_and(|mut entries| entries.next().is_some());
        if taken || self.dir.is_file() {
            return Err(Error::input(format!("`{}` is not empty; name a new folder", self.dir.display())).into());
        }
        for (path, text) in *files {
            write(&self.dir.join(path), text)?;
        }
        let made = Made {
            dir: self.dir.display().to_string(),
            files: files.iter().map(|(path, _)| (*path).to_owned()).collect(),
        };
        output.show(&made, |made| {
            format!("made `{0}`; next: `cd {0}`, `tidemill check --graph`, `tidemill up`", made.dir)
        })
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display()))
}
