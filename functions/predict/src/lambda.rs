//! `predict` as a Lambda function. Lambda gives an execution environment one request at a time, and disks end with it: so one thread
//! answers, as in a component, and a prediction is acknowledged when its rows are an object in the store.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    time::Duration,
};

use http::{HeaderMap, Method, StatusCode};
use tidemill_core::{Error, Result};
use tidemill_host::{
    Store,
    log::DirectLog,
    nn::{self, BackendChoice},
};
use tidemill_lambda::{Serve, ServingEnvironment};
use tokio::{runtime::Runtime, sync::oneshot};

use crate::native::NativeHost;

/// How long a start waits for the champions. Lambda ends a start that takes ten seconds.
const LOADING: Duration = Duration::from_secs(5);

/// Hands requests to the thread that answers them.
pub struct Predict {
    requests: mpsc::Sender<Asked>,
}

struct Asked {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
    reply: oneshot::Sender<(StatusCode, String)>,
}

impl Predict {
    /// Opens the store, starts the thread, and waits until it has the champions: an environment that is kept ready is ready.
    pub fn open(settings: ServingEnvironment) -> Result<Self> {
        let store = Store::open(&settings.store)?;
        let models: Vec<String> = settings.serving.models.keys().cloned().collect();
        let log = DirectLog::new(store.clone(), settings.serving.models);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::transient(format!("the runtime cannot start: {e}")))?;
        let (requests, asked) = mpsc::channel();
        let (ready, loaded) = mpsc::channel();
        std::thread::Builder::new()
            .name("predict".to_owned())
            .spawn(move || {
                let environment = NativeHost::new(store, log, nn::open_backend(BackendChoice::OnnxRuntime));
                load(&runtime, &environment, &models);
                let _waiting = ready.send(());
                serve(&runtime, &environment, &asked);
            })
            .map_err(|e| Error::transient(format!("the thread that answers cannot start: {e}")))?;
        // A store that does not answer yet is the first request's to wait for.
        let _late = loaded.recv_timeout(LOADING);
        Ok(Self { requests })
    }
}

impl Serve for Predict {
    async fn answer(&self, method: Method, path: String, headers: HeaderMap, body: Vec<u8>) -> (StatusCode, String) {
        let (reply, answer) = oneshot::channel();
        let asked = Asked {
            method,
            path,
            headers,
            body,
            reply,
        };
        let ended = || crate::error_response(&Error::bug("the thread that answers has ended"));
        if self.requests.send(asked).is_err() {
            return ended();
        }
        answer.await.unwrap_or_else(|_| ended())
    }
}

/// A model without a champion is no fault here: who asks for it is told.
fn load(runtime: &Runtime, environment: &NativeHost, models: &[String]) {
    for model in models {
        let loading = catch_unwind(AssertUnwindSafe(|| runtime.block_on(crate::models::load(environment, model, None))));
        match loading {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::info!("`{model}` is not loaded yet: {error}"),
            Err(_) => tracing::error!("`{model}` cannot be loaded"),
        }
    }
}

/// A panic costs its request, as a trap does in a component: what is loaded is only ever added to.
fn serve(runtime: &Runtime, environment: &NativeHost, asked: &mpsc::Receiver<Asked>) {
    for asked in asked {
        let Asked {
            method,
            path,
            headers,
            body,
            reply,
        } = asked;
        let answered = catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(crate::router::handle(environment, &method, &path, &headers, &body))
        }));
        let answered = answered.unwrap_or_else(|_| crate::error_response(&Error::bug(format!("`{method} {path}` failed inside"))));
        let _gone = reply.send(answered);
    }
}
