//! `predict` as a Lambda function. Lambda gives an execution environment one request at a time, and its disk ends with it: so one thread
//! answers, as in a component, and a prediction is acknowledged when its rows are an object in the store.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    time::Duration,
};

use lambda_http::http::{HeaderMap, Method, StatusCode};
use tidemill_core::{Error, Result};
use tidemill_nn::{BackendChoice, open_backend};
use tidemill_predict::{Server, error_response, handle, models};
use tidemill_predictions::DirectLog;
use tidemill_store::Store;
use tokio::{runtime::Runtime, sync::oneshot};

use crate::{Serve, ServingEnvironment};

mod host;

pub use host::NativeHost;

/// The longest wait of a start for the champions. Lambda ends a start that takes ten seconds.
const LOADING_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends requests to the thread that answers them.
pub struct Predict {
    requests: mpsc::Sender<PendingRequest>,
}

struct PendingRequest {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
    reply: oneshot::Sender<(StatusCode, String)>,
}

impl Predict {
    /// Opens the store, starts the thread, and waits until it has loaded the champions: a provisioned environment is ready to answer.
    pub fn open(settings: ServingEnvironment) -> Result<Self> {
        let store = Store::open(&settings.store)?;
        let models: Vec<String> = settings.serving.models.keys().cloned().collect();
        let log = DirectLog::new(store.clone(), settings.serving.models);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::transient(format!("the runtime cannot start: {e}")))?;
        let (requests, pending) = mpsc::channel();
        let (ready, loaded) = mpsc::channel();
        std::thread::Builder::new()
            .name("predict".to_owned())
            .spawn(move || {
                let server = Server::new(NativeHost::new(store, log, open_backend(BackendChoice::OnnxRuntime)));
                load_champions(&runtime, &server, &models);
                let _waiting = ready.send(());
                serve_requests(&runtime, &server, &pending);
            })
            .map_err(|e| Error::transient(format!("the thread that answers cannot start: {e}")))?;
        // A store that does not answer yet is the first request's to wait for.
        let _late = loaded.recv_timeout(LOADING_TIMEOUT);
        Ok(Self { requests })
    }
}

impl Serve for Predict {
    async fn answer(&self, method: Method, path: String, headers: HeaderMap, body: Vec<u8>) -> (StatusCode, String) {
        let (reply, answer) = oneshot::channel();
        let request = PendingRequest {
            method,
            path,
            headers,
            body,
            reply,
        };
        let ended = || error_response(&Error::bug("the thread that answers has ended"));
        if self.requests.send(request).is_err() {
            return ended();
        }
        answer.await.unwrap_or_else(|_| ended())
    }
}

/// A model without a champion is not an error here: a request for it is answered with one.
fn load_champions(runtime: &Runtime, server: &Server<NativeHost>, models: &[String]) {
    for model in models {
        let loading = catch_unwind(AssertUnwindSafe(|| runtime.block_on(models::load(server, model, None))));
        match loading {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::info!("`{model}` is not loaded yet: {error}"),
            Err(_) => tracing::error!("`{model}` cannot be loaded"),
        }
    }
}

/// A panic fails its request alone, as a trap does in a component.
fn serve_requests(runtime: &Runtime, server: &Server<NativeHost>, pending: &mpsc::Receiver<PendingRequest>) {
    for request in pending {
        let PendingRequest {
            method,
            path,
            headers,
            body,
            reply,
        } = request;
        let answered = catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(handle(server, &method, &path, &headers, &body))
        }));
        let answered = answered.unwrap_or_else(|_| error_response(&Error::bug(format!("`{method} {path}` failed inside"))));
        let _gone = reply.send(answered);
    }
}
