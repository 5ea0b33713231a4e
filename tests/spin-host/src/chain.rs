//! Components that ask each other, at `http://<component>.spin.internal`: the request does not leave the process.

use std::sync::{Arc, OnceLock, Weak};

use wasmtime_wasi_http::{Error, WasiBody};

use crate::{
    front::Front,
    outbound::{Processed, Sent},
};

const DOMAIN: &str = ".spin.internal";

/// The way from a component to the others, which are there once all are compiled.
#[derive(Clone, Default)]
pub(crate) struct Chain(Arc<OnceLock<Weak<Front>>>);

impl Chain {
    /// Says who answers.
    pub(crate) fn close(&self, front: &Arc<Front>) {
        let _closed = self.0.set(Arc::downgrade(front));
    }

    /// The component that an address means, if it means one.
    pub(crate) fn component(uri: &http::Uri) -> Option<&str> {
        uri.host()?.strip_suffix(DOMAIN)
    }

    pub(crate) async fn call(self, component: String, request: http::Request<WasiBody>) -> Result<Sent, Error> {
        let front = self.0.get().and_then(Weak::upgrade).ok_or(Error::DestinationUnavailable)?;
        // On a task of its own: the asking instance must not have to turn for the asked one to answer.
        let answer = tokio::spawn(async move { front.component(&component, request).await });
        let answer = answer.await.map_err(|_| Error::ConnectionTerminated)?;
        let processed: Processed = Box::new(std::future::ready(Ok(())));
        Ok((answer, processed))
    }
}
