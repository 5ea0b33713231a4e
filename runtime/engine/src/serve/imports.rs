//! `tidemill:serve` for a component: granted objects, read-only, and the prediction log.

use std::sync::{Arc, Mutex, PoisonError};

use tidemill_core::{Error, ErrorKind};
use tidemill_predictions::{Receipt, Record};
use tidemill_store::ReadError;
use wasmtime::component::{Accessor, HasData, Linker};

use super::state::InstanceState;
use crate::bindings::serve::tidemill::serve::{objects, predictions};

/// Links both interfaces.
pub(super) fn add_to_linker(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    objects::add_to_linker::<_, Serve>(linker, |state| state)?;
    predictions::add_to_linker::<_, Serve>(linker, |state| state)
}

struct Serve;

impl HasData for Serve {
    type Data<'a> = &'a mut InstanceState;
}

impl objects::Host for &mut InstanceState {}
impl predictions::Host for &mut InstanceState {}

impl<U> objects::HostWithStore<U> for Serve {
    async fn get(accessor: &Accessor<U, Self>, key: String) -> Result<Vec<u8>, objects::GetError> {
        let shared = accessor.with(|mut access| access.get().shared.clone());
        let read = shared.objects.get(&key).await;
        read.map(Vec::from).map_err(get_error)
    }

    async fn list(accessor: &Accessor<U, Self>, prefix: String, after: Option<String>) -> Result<Vec<String>, objects::GetError> {
        let shared = accessor.with(|mut access| access.get().shared.clone());
        shared.objects.list(&prefix, after.as_deref()).await.map_err(get_error)
    }
}

fn get_error(refusal: ReadError) -> objects::GetError {
    match refusal {
        ReadError::NotFound => objects::GetError::NotFound,
        ReadError::Denied => objects::GetError::Denied,
        ReadError::Unavailable(error) => {
            tracing::warn!("a served component could not read: {error}");
            objects::GetError::Unavailable
        }
    }
}

/// Receipts of the rows that a request has handed to the prediction log: its response waits for them.
#[derive(Clone, Default)]
pub(super) struct Receipts {
    appends: Arc<Mutex<Vec<Append>>>,
    /// The request warms an instance up: its rows are dropped.
    is_discarding: bool,
}

/// Rows of one version, and their receipt.
pub(super) struct Append {
    pub(super) model: String,
    pub(super) version: u64,
    pub(super) rows: usize,
    pub(super) receipt: Receipt,
}

impl Receipts {
    /// For a request whose rows are dropped.
    pub(super) fn discard() -> Self {
        Self {
            is_discarding: true,
            ..Self::default()
        }
    }

    fn add(&self, append: Append) {
        self.appends.lock().unwrap_or_else(PoisonError::into_inner).push(append);
    }

    /// Takes the receipts so far.
    pub(super) fn take(&self) -> Vec<Append> {
        std::mem::take(&mut self.appends.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<U> predictions::HostWithStore<U> for Serve {
    async fn append(accessor: &Accessor<U, Self>, record: Vec<u8>) -> Result<(), predictions::AppendError> {
        // The request's answer waits for the receipt, the instance does not: it is free for the next request meanwhile.
        accessor.with(|mut access| {
            let state = access.get();
            let record = Record::parse(record).map_err(|error| predictions::AppendError::Invalid(error.message))?;
            if state.receipts.is_discarding {
                return Ok(());
            }
            let (model, version, rows) = (record.model().to_owned(), record.version(), record.rows());
            let receipt = state.shared.log.enqueue(record).map_err(append_error)?;
            state.receipts.add(Append {
                model,
                version,
                rows,
                receipt,
            });
            Ok(())
        })
    }
}

fn append_error(error: Error) -> predictions::AppendError {
    match error.kind {
        ErrorKind::Limit => predictions::AppendError::TooLarge(error.message),
        ErrorKind::Input => predictions::AppendError::Rejected(error.message),
        ErrorKind::Transient => predictions::AppendError::Unavailable(error.message),
        _ => predictions::AppendError::Invalid(error.message),
    }
}
