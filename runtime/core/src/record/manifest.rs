//! The manifest of a dataset: what `validate` decided of its uploads, in the order in which that became known.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{DataFile, OutcomeRecord};
use crate::{Decision, Digest};

/// `manifests/<dataset>/entries/<sequence>.json`, create-only: one step of a dataset's history.
///
/// The order differs between stores of the same data, so nothing that is hashed names an entry: a window names its data files by content
/// ([`DataFiles`](super::DataFiles)). All of it follows from outcomes: without its objects, a manifest is made again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ManifestEntry {
    /// The dataset's name in `tidemill.toml`.
    pub dataset: String,
    /// 1, 2, …, without gaps.
    pub sequence: u64,
    /// SHA-256 of the entry before; `None` for the first.
    pub previous: Option<Digest>,
    /// The validations that became known, each once in all entries.
    pub arrivals: Vec<Arrival>,
    /// The sums over this entry and all before it.
    pub totals: ManifestTotals,
}

/// One validation of an upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Arrival {
    /// The id of the outcome.
    pub outcome: String,
    /// Key of the upload. If it was overwritten and validated again, the later arrival is about the later content.
    pub upload: String,
    /// The data file; `None` if the upload was not accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<DataFile>,
}

impl Arrival {
    /// The arrival that the outcome of a validation, with this id, stands for.
    pub fn from_outcome(id: &str, outcome: OutcomeRecord) -> Self {
        let is_accepted = outcome.decision == Decision::Done;
        Self {
            outcome: id.to_owned(),
            upload: outcome.trigger.key,
            file: is_accepted.then(|| serde_json::from_value(outcome.result).ok()).flatten(),
        }
    }
}

/// Sums over a dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ManifestTotals {
    /// Number of validations.
    pub arrivals: u64,
    /// Number of distinct data files.
    pub files: u64,
    /// Number of rows of these files; a key that two of them hold counts twice.
    pub rows: u64,
    /// Earliest event time; `None` without files.
    pub from: Option<Timestamp>,
    /// Latest event time: the watermark.
    pub until: Option<Timestamp>,
}

impl ManifestTotals {
    /// Counts a data file that was not there before.
    pub fn add(&mut self, file: &DataFile) {
        self.files += 1;
        self.rows += file.rows;
        self.from = Some(self.from.map_or(file.from, |from| from.min(file.from)));
        self.until = self.until.max(Some(file.until));
    }
}
