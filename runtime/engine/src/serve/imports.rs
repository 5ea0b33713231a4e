//! `tidemill:serve` for a component: granted objects, read-only, and the prediction log.

use tidemill_core::ErrorKind;
use tidemill_host::log::{Batch, Values};
use wasmtime::component::{Accessor, HasData, Linker};

use super::{
    bindings::tidemill::serve::{objects, predictions},
    state::State,
};

/// Keys in one answer to `list`.
const PAGE: usize = 1000;

/// Links both interfaces.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    objects::add_to_linker::<_, Serve>(linker, |state| state)?;
    predictions::add_to_linker::<_, Serve>(linker, |state| state)
}

struct Serve;

impl HasData for Serve {
    type Data<'a> = &'a mut State;
}

impl objects::Host for &mut State {}
impl predictions::Host for &mut State {}

impl<U> objects::HostWithStore<U> for Serve {
    async fn get(accessor: &Accessor<U, Self>, key: String) -> Result<Vec<u8>, objects::GetError> {
        if !granted(&key) {
            return Err(objects::GetError::Denied);
        }
        let shared = accessor.with(|mut access| access.get().shared.clone());
        // An alias is read at each request; all else is read once in an instance's life.
        let read = if key.contains("/aliases/") {
            shared.aliases.get(&shared.store, &key).await
        } else {
            shared.store.get(&key).await
        };
        read.map(|bytes| bytes.to_vec()).map_err(|e| refused(&e))
    }

    async fn list(accessor: &Accessor<U, Self>, prefix: String, after: Option<String>) -> Result<Vec<String>, objects::GetError> {
        if !prefix.starts_with("models/") {
            return Err(objects::GetError::Denied);
        }
        let store = accessor.with(|mut access| access.get().shared.store.clone());
        let page = store.list(&prefix, after.as_deref(), PAGE).await.map_err(|e| refused(&e))?;
        Ok(page.into_iter().map(|meta| meta.key).collect())
    }
}

/// What serving needs and nothing else: versions and aliases, models, fitted transforms.
fn granted(key: &str) -> bool {
    key.starts_with("models/") || key.starts_with("candidates/") || (key.starts_with("features/") && key.ends_with("/transform.json"))
}

fn refused(error: &tidemill_core::Error) -> objects::GetError {
    match error.kind {
        ErrorKind::NotFound => objects::GetError::NotFound,
        ErrorKind::Limit => objects::GetError::Denied,
        _ => {
            tracing::warn!("a served component could not read: {error}");
            objects::GetError::Unavailable
        }
    }
}

impl<U> predictions::HostWithStore<U> for Serve {
    async fn append(accessor: &Accessor<U, Self>, batch: predictions::Batch) -> Result<(), String> {
        // The request's answer waits for the receipt, the instance does not: it is free for the next request meanwhile.
        accessor.with(|mut access| {
            let state = access.get();
            let receipt = state.shared.log.queue(logged(batch)).map_err(|e| e.to_string())?;
            state.receipts.add(receipt);
            Ok(())
        })
    }
}

fn logged(batch: predictions::Batch) -> Batch {
    let values = |values| match values {
        predictions::Values::Truth(v) => Values::Boolean(v),
        predictions::Values::Integer(v) => Values::Integer(v),
        predictions::Values::Number(v) => Values::Number(v),
        predictions::Values::Text(v) => Values::Text(v),
        predictions::Values::Timestamp(v) => Values::Timestamp(v),
    };
    Batch {
        model: batch.model,
        version: batch.version,
        transform: batch.transform,
        ids: batch.ids,
        times: batch.times,
        columns: batch
            .columns
            .into_iter()
            .map(|column| (column.name, values(column.values)))
            .collect(),
        latency_us: batch.latency_us,
    }
}
