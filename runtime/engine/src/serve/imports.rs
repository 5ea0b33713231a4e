//! `tidemill:serve` for a component: granted objects, read-only, and the prediction log.

use tidemill_core::{Error, ErrorKind};
use tidemill_host::ReadError;
use tidemill_predictions::Record;
use wasmtime::component::{Accessor, HasData, Linker};

use super::state::{Append, InstanceState};
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

impl<U> predictions::HostWithStore<U> for Serve {
    async fn append(accessor: &Accessor<U, Self>, record: Vec<u8>) -> Result<(), predictions::AppendError> {
        // The request's answer waits for the receipt, the instance does not: it is free for the next request meanwhile.
        accessor.with(|mut access| {
            let state = access.get();
            let record = Record::parse(record).map_err(append_error)?;
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
        ErrorKind::Transient => predictions::AppendError::Unavailable(error.message),
        _ => predictions::AppendError::Invalid(error.message),
    }
}
