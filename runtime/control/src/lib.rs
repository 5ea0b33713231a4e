//! Changes of state, for the command line and for servers alike. Each is a method of [`Control`] that takes a [`Principal`] and a
//! request: it authorises the principal, makes the change, and writes an audit record with the state before and after.
//!
//! Everything that a person or another program may change goes through here. Stages do not: their rights are the grants of
//! `tidemill.toml`, and their outcomes are the record of what they did.
//!
//! ```
//! # use std::sync::Arc;
//! use tidemill_control::{Control, MoveAlias, Principal};
//! use tidemill_core::{ErrorKind, project::Project};
//! use tidemill_store::Store;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> tidemill_core::Result<()> {
//! # let pipeline = Arc::new(Project::parse("[project]\nname = \"flights\"\n", &|_| unreachable!())?.pipeline);
//! let control = Control::new(Store::memory(), pipeline);
//! let request = MoveAlias {
//!     model: "late".into(),
//!     alias: "champion".into(),
//!     version: 3,
//!     reason: Some("version 4 answers too slowly".into()),
//! };
//! let error = control.move_alias(&Principal::local(), request).await.unwrap_err();
//! assert_eq!(error.kind, ErrorKind::NotFound); // this project has no model `late`
//! # Ok(())
//! # }
//! ```

mod alias;
mod audit;
mod authorize;
mod data;
mod dead_letters;
mod import;
mod onnx;
mod principal;
mod run;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use serde::Serialize;
use tidemill_core::{Error, Result, pipeline::Pipeline, record::AuditAction};
use tidemill_registry::Registry;
use tidemill_store::Store;

pub use alias::MoveAlias;
pub use authorize::{Authorizer, LocalOnly};
pub use data::{PutData, StoredFile, data_file_name};
pub use dead_letters::{DropDeadLetters, RetryDeadLetters};
pub use import::{ImportModel, ImportedModel};
pub use principal::{Principal, PrincipalKind};
pub use run::{RequestRun, RequestedRun};

/// Makes changes to the state of one project. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    store: Store,
    pipeline: Arc<Pipeline>,
    authorizer: Arc<dyn Authorizer>,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("store", &self.store).finish_non_exhaustive()
    }
}

/// A request once it is authorised: what the audit record says about it.
struct Entry<'a> {
    principal: &'a Principal,
    action: AuditAction,
    /// What it is about, as a path: `models/late/aliases/champion`.
    resource: String,
    reason: Option<&'a str>,
}

/// What a request did.
struct Change<T> {
    value: T,
    /// The states before and after; `None` if nothing was changed, which is not audited.
    states: Option<(serde_json::Value, serde_json::Value)>,
}

impl<T> Change<T> {
    fn none(value: T) -> Self {
        Self { value, states: None }
    }

    fn new(value: T, before: &impl Serialize, after: &impl Serialize) -> Self {
        Self {
            value,
            states: Some((to_state(before), to_state(after))),
        }
    }
}

fn to_state(value: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or_default()
}

impl Control {
    /// Changes in `store`, for the project of `pipeline`, under the policy [`LocalOnly`].
    pub fn new(store: Store, pipeline: Arc<Pipeline>) -> Self {
        Self {
            store,
            pipeline,
            authorizer: Arc::new(LocalOnly),
        }
    }

    /// The same with another policy.
    #[must_use]
    pub fn with_authorizer(mut self, authorizer: Arc<dyn Authorizer>) -> Self {
        self.authorizer = authorizer;
        self
    }

    /// Authorises, makes the change, audits. `change` is polled only if the principal may make it.
    async fn perform<T>(&self, entry: Entry<'_>, change: impl Future<Output = Result<Change<T>>>) -> Result<T> {
        if let Err(error) = self.authorizer.authorize(entry.principal, entry.action, &entry.resource) {
            self.audit_failure(&entry, &error).await;
            return Err(error);
        }
        match change.await {
            Ok(Change { value, states: None }) => Ok(value),
            Ok(Change {
                value,
                states: Some((before, after)),
            }) => {
                self.audit_change(&entry, before, after).await?;
                Ok(value)
            }
            Err(error) => {
                self.audit_failure(&entry, &error).await;
                Err(error)
            }
        }
    }

    /// Runs registry operations on a thread that may block.
    async fn with_registry<T: Send + 'static>(
        &self,
        model: &str,
        operation: impl FnOnce(Registry<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (objects, model) = (self.store.blocking(), model.to_owned());
        let task = tokio::task::spawn_blocking(move || operation(Registry::new(&objects, &model)));
        task.await
            .unwrap_or_else(|error| Err(Error::bug(format!("a registry operation panicked: {error}"))))
    }
}
