//! An HTTP server: accepts connections of HTTP/1 and 2 until it is stopped, then answers the requests that it has accepted.

use std::{convert::Infallible, error::Error as StdError, net::SocketAddr, time::Duration};

use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tidemill_core::{Error, Result};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// Time for accepted requests once the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A running server. [`stop`](Self::stop) it: a handle that is dropped leaves the server running until the runtime ends.
pub struct ServerHandle {
    addr: SocketAddr,
    stopping: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl ServerHandle {
    /// Starts to answer requests.
    ///
    /// # Errors
    /// `Bug` if the listener has no address.
    pub fn start<F, B>(listener: TcpListener, answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static) -> Result<Self>
    where
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + 'static,
    {
        let addr = listener
            .local_addr()
            .map_err(|e| Error::bug(format!("a listener does not know its address: {e}")))?;
        let (stopping, stopped) = watch::channel(false);
        Ok(Self {
            addr,
            stopping,
            accepting: tokio::spawn(accept(listener, stopped, answer)),
        })
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Accepts no more requests, waits at most ten seconds for those that it has accepted, and ends.
    pub async fn stop(self) {
        let _gone = self.stopping.send(true);
        let _ended = self.accepting.await;
    }
}

async fn accept<F, B>(
    listener: TcpListener,
    mut stopped: watch::Receiver<bool>,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
) where
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + 'static,
{
    let graceful = GracefulShutdown::new();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).pipeline_flush(true);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!("a connection was not accepted: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            _ = stopped.changed() => break,
        };
        let _slower = stream.set_nodelay(true);
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let answered = answer(request);
            async move { Ok::<_, Infallible>(answered.await) }
        });
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("a connection ended: {error}");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still running {} seconds after the stop", DRAIN_TIMEOUT.as_secs());
    }
}
