//! An HTTP server: accepts connections of HTTP/1 and 2 until it is stopped, then answers the requests that it has accepted. Each
//! connection, and their number, is limited.

mod activity;
mod answers;
mod connection;
mod limits;

use std::{
    convert::Infallible,
    error::Error as StdError,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use http::{Request, Response, StatusCode, header};
use hyper::{
    body::{Body, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tidemill_core::{Error, Result};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinHandle,
};

use self::{activity::Activity, connection::LimitedStream};

pub use limits::{HttpLimits, MAX_HEAD_BYTES, MAX_HEADERS, MAX_STREAMS};

/// Connections beyond the limit that are being answered; more are closed without an answer.
const MAX_TURNED_AWAY: usize = 64;
/// For a client that is turned away to take its answer.
const TURN_AWAY_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two lines of the log about connections that are turned away.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);
/// Between two looks at whether the other side of a silent connection of HTTP/2 is still there, and for its answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);

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
    pub fn start<F, B>(
        listener: TcpListener,
        limits: HttpLimits,
        answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    ) -> Result<Self>
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
            accepting: tokio::spawn(accept(listener, stopped, limits, answer)),
        })
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Accepts no more connections, waits for the requests that it has accepted as long as [`HttpLimits::drain`] says, and ends.
    pub async fn stop(self) {
        let _gone = self.stopping.send(true);
        let _ended = self.accepting.await;
    }
}

async fn accept<F, B>(
    listener: TcpListener,
    mut stopped: watch::Receiver<bool>,
    limits: HttpLimits,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
) where
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + 'static,
{
    let graceful = GracefulShutdown::new();
    let builder = protocol();
    let mut places = Places::new(&limits);
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
        if let Some((stream, place)) = places.take(stream) {
            tokio::spawn(serve(&builder, &graceful, limits, stream, place, answer.clone()));
        }
    }
    // Connections that the system has made already are answered too.
    while let Some(Ok((stream, _))) = listener.accept().now_or_never() {
        places.turn_away(stream, "the server is stopping".to_owned());
    }
    drop(listener);
    if tokio::time::timeout(limits.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still running {} seconds after the stop", limits.drain.as_secs());
    }
}

/// The options of both protocols. The timers of HTTP/1 are those of [`LimitedStream`].
fn protocol() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None::<Duration>)
        .max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL);
    builder
}

/// Serves one connection. Nothing is borrowed, so that it runs beside the others.
fn serve<A, F, B>(
    builder: &auto::Builder<TokioExecutor>,
    graceful: &GracefulShutdown,
    limits: HttpLimits,
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    answer: A,
) -> impl Future<Output = ()> + Send + use<A, F, B>
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + 'static,
{
    let _slower = stream.set_nodelay(true);
    let activity = Arc::<Activity>::default();
    let stream = LimitedStream::new(stream, limits, activity.clone());
    let service = service_fn(move |request| {
        let running = activity.start();
        let answered = answer(request);
        async move {
            let answer = answered.await;
            if answer.headers().get(header::CONNECTION).is_some_and(|value| value == "close") {
                running.end_connection();
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    async move {
        if let Err(error) = connection.await {
            tracing::debug!("a connection ended: {error}");
        }
        drop(place);
    }
}

/// Places for connections.
struct Places {
    most: usize,
    free: Arc<Semaphore>,
    turned_away: Arc<Semaphore>,
    warned: Option<Instant>,
}

impl Places {
    fn new(limits: &HttpLimits) -> Self {
        let most = limits.max_connections();
        Self {
            most,
            free: Arc::new(Semaphore::new(most)),
            turned_away: Arc::new(Semaphore::new(MAX_TURNED_AWAY.min(most))),
            warned: None,
        }
    }

    /// A place for a connection. Where there is none, the client is told so beside.
    fn take(&mut self, stream: TcpStream) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        if let Ok(place) = self.free.clone().try_acquire_owned() {
            return Some((stream, place));
        }
        if self.warned.is_none_or(|warned| warned.elapsed() > WARNING_INTERVAL) {
            self.warned = Some(Instant::now());
            tracing::warn!("{} connections are open, which is the most: further clients get 503", self.most);
        }
        let message = format!(
            "{} connections are open, which is the most that this server holds: try again, or reuse a connection",
            self.most
        );
        self.turn_away(stream, message);
        None
    }

    /// Answers 503 whatever the request is, and reads what comes of it so that the answer arrives.
    fn turn_away(&self, mut stream: TcpStream, message: String) {
        let Ok(place) = self.turned_away.clone().try_acquire_owned() else {
            return;
        };
        tokio::spawn(async move {
            let answer = answers::last_answer(StatusCode::SERVICE_UNAVAILABLE, "retry-after: 1\r\n", &message);
            let answered = async {
                stream.write_all(&answer).await?;
                stream.shutdown().await?;
                tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
            };
            let _gone = tokio::time::timeout(TURN_AWAY_TIMEOUT, answered).await;
            drop(place);
        });
    }
}
