//! A running server: connections of HTTP/1 and 2, accepted until told to stop, and the engine's epoch, which moves as long.

use std::{
    convert::Infallible,
    error::Error as StdError,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

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

use crate::engine::EPOCH_INTERVAL;

/// How long accepted requests may take once the server stops.
const DRAIN: Duration = Duration::from_secs(10);

/// A time in ticks of the epoch, at least one.
pub(crate) fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_millis() / EPOCH_INTERVAL.as_millis())
        .unwrap_or(u64::MAX / 2)
        .max(1)
}

/// A server that is answering. [`stop`](Self::stop) it: dropping it leaves its task running until the runtime ends.
pub struct ServerHandle {
    addr: SocketAddr,
    stopping: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    ticking: Arc<AtomicBool>,
}

impl ServerHandle {
    /// Begins to answer, with instances of this engine.
    pub(crate) fn start<F, B>(
        listener: TcpListener,
        engine: wasmtime::Engine,
        answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    ) -> Result<Self>
    where
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + 'static,
    {
        let addr = listener
            .local_addr()
            .map_err(|e| Error::bug(format!("a listener does not know its address: {e}")))?;
        let ticking = Arc::new(AtomicBool::new(true));
        tick(engine, ticking.clone());
        let (stopping, stopped) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, stopped, answer));
        Ok(Self {
            addr,
            stopping,
            accepting,
            ticking,
        })
    }

    /// Where it answers.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Takes no more requests, waits for those that it took (ten seconds at most), and ends.
    pub async fn stop(self) {
        let _gone = self.stopping.send(true);
        let _ended = self.accepting.await;
        self.ticking.store(false, Ordering::Relaxed);
    }
}

/// A thread and not a task: a guest that loops must not be able to starve it.
fn tick(engine: wasmtime::Engine, ticking: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        while ticking.load(Ordering::Relaxed) {
            std::thread::sleep(EPOCH_INTERVAL);
            engine.increment_epoch();
        }
    });
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
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still running {} seconds after the stop", DRAIN.as_secs());
    }
}
