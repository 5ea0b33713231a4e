//! `tidemill put`: stores files under `raw/<dataset>/` under their own names. A running flow validates them; so does the next one.

use std::path::PathBuf;

use clap::Args;
use tidemill_control::{Principal, PutData, StoredFile, data_file_name};
use tidemill_core::ingest::check_dataset;

use super::control;
use crate::{
    output::{Column, Output, table},
    project::{Project, read_error},
};

/// Stores data files of a dataset.
#[derive(Args)]
pub(crate) struct Put {
    /// The dataset.
    dataset: String,
    /// CSV, JSON lines or Parquet.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

impl Put {
    pub(crate) async fn run(&self, project: &Project, output: Output) -> anyhow::Result<()> {
        check_dataset(&self.dataset, project.pipeline.datasets.keys().map(String::as_str))?;
        let names = self.check_files()?;
        let control = control(project)?;
        let mut stored = Vec::new();
        for (path, name) in self.files.iter().zip(names) {
            let request = PutData {
                dataset: self.dataset.clone(),
                name,
                bytes: std::fs::read(path).map_err(|e| read_error(path, &e))?.into(),
            };
            stored.push(control.put_data(&Principal::local(), request).await?);
        }
        output.print(&stored, |stored| {
            let row = |file: &StoredFile| {
                let state = if file.new { "new" } else { "was there" };
                vec![file.key.clone(), file.size.to_string(), state.into()]
            };
            table(
                &[Column::key("object"), Column::number("bytes"), Column::word("")],
                stored.iter().map(row).collect(),
                "nothing to put",
            )
        })
    }

    /// The names of all files in the store. A mistake in the last file is reported before the first is stored.
    fn check_files(&self) -> tidemill_core::Result<Vec<String>> {
        let names = self.files.iter().map(|path| data_file_name(path)).collect::<Result<Vec<_>, _>>()?;
        for path in &self.files {
            std::fs::File::open(path)
                .and_then(|file| file.metadata())
                .map_err(|e| read_error(path, &e))?;
        }
        Ok(names)
    }
}
