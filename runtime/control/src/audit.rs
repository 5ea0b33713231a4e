//! Audit records. Nothing else in Tidemill writes them.

use jiff::Timestamp;
use serde_json::Value;
use tidemill_core::{
    Digest, Error, ErrorKind, PutResult, Result, layout,
    record::{self, AuditRecord, AuditResult},
    time::key_time,
};

use crate::{Control, Entry};

impl Control {
    /// Records a change that was made.
    pub(crate) async fn audit_change(&self, entry: &Entry<'_>, before: Value, after: Value) -> Result<()> {
        let record = AuditRecord {
            before,
            after,
            ..entry.record(AuditResult::Succeeded)
        };
        let done = self.write_audit(&record).await;
        done.map_err(|error| error.context(format!("`{}` was changed, but its audit record cannot be written", entry.resource)))
    }

    /// Records a request that was denied, or allowed and not made. A mistake in the request itself is not recorded: it asks for nothing.
    pub(crate) async fn audit_failure(&self, entry: &Entry<'_>, error: &Error) {
        let result = match error.kind {
            ErrorKind::Denied => AuditResult::Denied,
            ErrorKind::Input | ErrorKind::NotFound | ErrorKind::Config => return,
            // A store that does not take the change does not take its record.
            kind if kind.is_retryable() => return,
            _ => AuditResult::Failed,
        };
        let record = AuditRecord {
            message: Some(error.message.clone()),
            ..entry.record(result)
        };
        if let Err(unwritten) = self.write_audit(&record).await {
            tracing::error!("the audit record of a request that failed ({error}) cannot be written: {unwritten}");
        }
    }

    async fn write_audit(&self, record: &AuditRecord) -> Result<()> {
        let bytes = record::to_bytes(record)?;
        let name = format!("{}-{}", key_time(record.at), Digest::sha256(&bytes).short());
        let key = layout::audit(&name);
        match self.store.create(&key, bytes.into()).await? {
            PutResult::Written | PutResult::Unchanged => Ok(()),
            PutResult::Conflict => Err(Error::conflict(format!("`{key}` exists with other content"))),
        }
    }
}

impl Entry<'_> {
    fn record(&self, result: AuditResult) -> AuditRecord {
        AuditRecord {
            at: Timestamp::now(),
            principal: self.principal.to_string(),
            action: self.action,
            resource: self.resource.clone(),
            reason: self.reason.map(str::to_owned),
            result,
            message: None,
            before: Value::Null,
            after: Value::Null,
        }
    }
}
