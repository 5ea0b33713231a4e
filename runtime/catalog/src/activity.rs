//! What needs attention and what people did: dead letters and audit records.

use tidemill_core::{
    Result,
    layout::Prefix,
    record::{AuditAction, AuditRecord},
};
use tidemill_run::{DeadLetter, list_dead_letters};

use crate::Catalog;

/// Which audit records to list. The default lists all.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Changes of this kind only.
    pub action: Option<AuditAction>,
    /// Changes of this resource, and of what is under it, only: `models/late`.
    pub resource: Option<String>,
    /// The latest records, at most so many.
    pub limit: Option<usize>,
}

impl Catalog {
    /// All dead letters, by key, also those that were dropped.
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>> {
        list_dead_letters(&self.store).await
    }

    /// Audit records, the latest last.
    pub async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRecord>> {
        let keys = self.keys(&Prefix::Audit.root()).await?;
        let mut records: Vec<AuditRecord> = self.read_all(keys).await?;
        records.retain(|record| query.selects(record));
        records.sort_by_key(|record| record.at);
        if let Some(limit) = query.limit {
            records.drain(..records.len().saturating_sub(limit));
        }
        Ok(records)
    }
}

impl AuditQuery {
    fn selects(&self, record: &AuditRecord) -> bool {
        let is_under = |resource: &String| {
            let rest = record.resource.strip_prefix(resource.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.action.is_none_or(|action| record.action == action) && self.resource.as_ref().is_none_or(is_under)
    }
}
