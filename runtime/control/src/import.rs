//! Imports a model that was trained elsewhere: checks it, and stores it under its own digest. `tidemill.toml` then names that digest.

use bytes::Bytes;
use serde::Serialize;
use tidemill_core::{Digest, Error, PutResult, Result, layout, record::AuditAction};

use crate::{Change, Control, Entry, Principal, onnx};

/// A request to store a model.
#[derive(Debug, Clone)]
pub struct ImportModel {
    /// The model of `tidemill.toml` that it is for.
    pub model: String,
    /// What messages call the file.
    pub name: String,
    /// An ONNX file.
    pub bytes: Bytes,
}

/// A model in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportedModel {
    /// Its key.
    pub key: String,
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// Whether it was written now; `false` if the same bytes were there.
    pub new: bool,
    /// Whether `tidemill.toml` names it already.
    pub named: bool,
}

impl Control {
    /// Stores a model. `Input` if training and serving could not use it: the message says how to export it again.
    pub async fn import_model(&self, principal: &Principal, request: ImportModel) -> Result<ImportedModel> {
        let entry = Entry {
            principal,
            action: AuditAction::ImportModel,
            resource: format!("models/{}", request.model),
            reason: None,
        };
        self.perform(entry, self.store_model(request.clone())).await
    }

    async fn store_model(&self, request: ImportModel) -> Result<Change<ImportedModel>> {
        let ImportModel { model, name, bytes } = request;
        let spec = self.pipeline.require_model(&model)?;
        let (task, checked) = (spec.task, bytes.clone());
        let check = tokio::task::spawn_blocking(move || onnx::check_model(&name, &checked, task));
        check
            .await
            .unwrap_or_else(|error| Err(Error::bug(format!("the check of a model panicked: {error}"))))?;
        let digest = Digest::sha256(&bytes);
        let key = layout::import(&model, &digest);
        let put = self.store.create(&key, bytes).await?;
        let imported = ImportedModel {
            named: spec.trainer.onnx.as_ref() == Some(&digest),
            new: put == PutResult::Written,
            key,
            digest,
        };
        match put {
            PutResult::Written => Ok(Change::new(imported.clone(), &None::<()>, &imported)),
            PutResult::Unchanged => Ok(Change::none(imported)),
            PutResult::Conflict => Err(Error::input(format!(
                "`{}` holds other bytes than its name says; delete it and import the model again",
                imported.key
            ))),
        }
    }
}
