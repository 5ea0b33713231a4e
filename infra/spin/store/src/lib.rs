//! The imports of a serving component, over S3: granted objects, and predictions that are stored before a request is answered.
#![cfg(target_family = "wasm")]
#![allow(unsafe_code, reason = "what is exported is raw pointers underneath, in generated code alone")]

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        inline: "
            package tidemill:store;
            world store {
                import fermyon:spin/variables@2.0.0;
                export tidemill:serve/objects@0.1.0;
                export tidemill:serve/predictions@0.1.0;
            }
        ",
        path: ["../../../runtime/wit/spin", "../../../runtime/wit/serve"],
        world: "tidemill:store/store",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
}
mod settings;

use std::cell::OnceCell;

use bindings::exports::tidemill::serve::{objects, predictions};
use tidemill_core::{ErrorKind, Result};
use tidemill_predictions::{DirectLog, Record};
use tidemill_store::{ReadError, ServingView, Store};

/// The component, which exports both interfaces.
#[derive(Debug)]
pub struct Component;

bindings::export!(Component with_types_in bindings);

/// The store of this instance, and the prediction log in it.
struct Opened {
    objects: ServingView,
    log: DirectLog,
}

thread_local! {
    /// One thread, which lives as long as the instance: a reference to the value may cross an await.
    static OPENED: &'static OnceCell<Opened> = Box::leak(Box::new(OnceCell::new()));
}

fn opened() -> Result<&'static Opened> {
    let cell = OPENED.with(|cell| *cell);
    if let Some(opened) = cell.get() {
        return Ok(opened);
    }
    let store = Store::open_variables(settings::variable)?;
    let log = DirectLog::new(store.clone(), settings::serving()?.models);
    let objects = ServingView::new(store);
    Ok(cell.get_or_init(|| Opened { objects, log }))
}

impl objects::Guest for Component {
    async fn get(key: String) -> Result<Vec<u8>, objects::GetError> {
        let opened = opened().map_err(|error| refused(&ReadError::Unavailable(error)))?;
        let read = opened.objects.get(&key).await;
        read.map(Vec::from).map_err(|refusal| refused(&refusal))
    }

    async fn list(prefix: String, after: Option<String>) -> Result<Vec<String>, objects::GetError> {
        let opened = opened().map_err(|error| refused(&ReadError::Unavailable(error)))?;
        let listed = opened.objects.list(&prefix, after.as_deref()).await;
        listed.map_err(|refusal| refused(&refusal))
    }
}

/// Logs the reason for the component; the error for the caller holds only what its client may know.
fn refused(refusal: &ReadError) -> objects::GetError {
    match refusal {
        ReadError::NotFound => objects::GetError::NotFound,
        ReadError::Denied => objects::GetError::Denied,
        ReadError::Unavailable(error) => {
            eprintln!("the store could not be read: {error}");
            objects::GetError::Unavailable
        }
    }
}

impl predictions::Guest for Component {
    async fn append(record: Vec<u8>) -> Result<(), predictions::AppendError> {
        let record = Record::parse(record).map_err(|error| predictions::AppendError::Invalid(error.message))?;
        let append = async { opened()?.log.append(record).await };
        append.await.map_err(|error| {
            eprintln!("{error}");
            match error.kind {
                ErrorKind::Limit => predictions::AppendError::TooLarge(error.message),
                ErrorKind::Input => predictions::AppendError::Rejected(error.message),
                // Clients must not learn the bucket, nor what is wrong with it.
                _ => predictions::AppendError::Unavailable(
                    "the prediction log cannot be written, and predictions are refused until it can; the server's own log says why"
                        .to_owned(),
                ),
            }
        })
    }
}
