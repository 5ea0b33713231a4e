//! A connection that ends when its client takes too long: for its first byte, for the head of a request, between two requests, or to take an
//! answer. A body's time is the handler's matter, which reads it.
//!
//! The HTTP library has one timer, for a head, and none before it knows the version; here each phase has its own, for all versions.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::StatusCode;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep},
};

use super::{HttpLimits, activity::Activity, answers};

/// How a connection of HTTP/2 begins.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// After the last answer to a client that may still be sending: closed with unread bytes, a connection is reset, and the answer lost.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes that are read and dropped meanwhile.
const MAX_LINGER_BYTES: usize = 4 << 20;

/// What a connection that runs no request waits for, and since when.
#[derive(Debug, Clone, Copy)]
enum Phase {
    FirstByte(Instant),
    Head(Instant),
    Idle(Instant),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// So many bytes of the preface of HTTP/2 have come.
    Unknown(usize),
    Http1,
    Http2,
}

/// A TCP connection with [`HttpLimits`].
pub(super) struct LimitedStream {
    stream: TcpStream,
    limits: HttpLimits,
    activity: Arc<Activity>,
    /// Requests that ended, as far as it is known here.
    ended: u64,
    phase: Phase,
    version: Version,
    timer: Pin<Box<Sleep>>,
    /// Until the client takes the next bytes.
    write_timer: Option<Pin<Box<Sleep>>>,
    /// An answer in place of one that was given, as far as it is not sent.
    explanation: Vec<u8>,
    /// Set once the last answer is sent.
    linger: Option<(Pin<Box<Sleep>>, usize)>,
}

impl LimitedStream {
    pub(super) fn new(stream: TcpStream, limits: HttpLimits, activity: Arc<Activity>) -> Self {
        let now = Instant::now();
        Self {
            stream,
            limits,
            activity,
            ended: 0,
            phase: Phase::FirstByte(now),
            version: Version::Unknown(0),
            timer: Box::pin(tokio::time::sleep_until(now + limits.first_byte)),
            write_timer: None,
            explanation: Vec::new(),
            linger: None,
        }
    }

    /// When the client has taken too long; `None` while a request runs.
    fn deadline(&mut self) -> Option<Instant> {
        self.record_end();
        if self.activity.is_running() {
            self.phase = Phase::Idle(Instant::now());
            return None;
        }
        Some(match self.phase {
            Phase::FirstByte(since) => since + self.limits.first_byte,
            Phase::Head(since) => since + self.limits.head,
            Phase::Idle(since) => since + self.limits.idle,
        })
    }

    /// Notes that a request has ended: the connection is idle since.
    fn record_end(&mut self) {
        let ended = self.activity.ended();
        if ended != self.ended {
            self.ended = ended;
            self.phase = Phase::Idle(Instant::now());
        }
    }

    /// Ready when the client has taken too long.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // A request that runs is looked at again: it may end without a byte that is read or written here.
            let deadline = self.deadline().unwrap_or_else(|| Instant::now() + self.limits.idle);
            let armed = self.timer.deadline();
            if armed > deadline {
                self.timer.as_mut().reset(deadline);
            }
            ready!(self.timer.as_mut().poll(cx));
            match self.deadline() {
                Some(deadline) if deadline <= Instant::now() => return Poll::Ready(()),
                Some(deadline) => self.timer.as_mut().reset(deadline),
                None => self.timer.as_mut().reset(Instant::now() + self.limits.idle),
            }
        }
    }

    /// Notes what has come.
    fn record_read(&mut self, bytes: &[u8]) {
        self.record_end();
        if let Version::Unknown(seen) = self.version {
            let rest = &HTTP2_PREFACE[seen..];
            let common = bytes.len().min(rest.len());
            self.version = match bytes[..common] == rest[..common] {
                true if common == rest.len() => Version::Http2,
                true => Version::Unknown(seen + common),
                false => Version::Http1,
            };
        }
        let is_blank = bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        let now = Instant::now();
        self.phase = match (self.phase, self.version) {
            // Frames come without a request too: only requests, and not they, keep a connection of HTTP/2 open.
            (Phase::FirstByte(_) | Phase::Head(_), Version::Http2) => Phase::Idle(now),
            (phase, Version::Http2) => phase,
            // Empty lines between requests are allowed, and no request.
            (phase, _) if is_blank => phase,
            (Phase::FirstByte(_) | Phase::Idle(_), _) => Phase::Head(now),
            (phase @ Phase::Head(_), _) => phase,
        };
    }

    /// Notes that the client has taken something.
    fn record_write(&mut self) {
        self.write_timer = None;
        if let (Phase::Idle(_), Version::Http1) = (self.phase, self.version) {
            self.phase = Phase::Idle(Instant::now());
        }
    }

    /// `Pending` until the client takes something, and an error once it has taken too long for that.
    fn poll_write_timeout<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let limit = self.limits.write;
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not take the answer")))
    }

    fn poll_explanation(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.explanation.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.explanation) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(sent)) => {
                    self.explanation.drain(..sent);
                    self.record_write();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return self.poll_write_timeout(cx),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads and drops what still comes, until the client has closed or a second is over.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (timer, left) = self
            .linger
            .get_or_insert_with(|| (Box::pin(tokio::time::sleep(LINGER_TIMEOUT)), MAX_LINGER_BYTES));
        let mut space = [0; 16 << 10];
        loop {
            if timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut buffer = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => match left.checked_sub(buffer.filled().len()) {
                    Some(less) => *left = less,
                    None => return Poll::Ready(()),
                },
                _ => return Poll::Ready(()),
            }
        }
    }
}

impl AsyncRead for LimitedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(cx, buffer) {
            if let Some(bytes) = buffer.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
                this.record_read(bytes);
            }
            return Poll::Ready(read);
        }
        ready!(this.poll_deadline(cx));
        if let (Phase::Head(_), Version::Http1) = (this.phase, this.version) {
            let message = format!(
                "the head of the request did not arrive within {:?}; send it again on a new connection",
                this.limits.head
            );
            // Nothing else is being sent, so there is room for it.
            let _sent = this
                .stream
                .try_write(&answers::last_answer(StatusCode::REQUEST_TIMEOUT, "", &message));
        }
        // As if the client had closed.
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LimitedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let Some(explanation) = answers::explain(bytes) {
            this.explanation = explanation;
            this.activity.end_connection();
            return Poll::Ready(Ok(bytes.len()));
        }
        match Pin::new(&mut this.stream).poll_write(cx, bytes) {
            Poll::Ready(written) => {
                this.record_write();
                Poll::Ready(written)
            }
            Poll::Pending => this.poll_write_timeout(cx),
        }
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if let [only] = parts {
            return self.poll_write(cx, only);
        }
        let this = &mut *self;
        match Pin::new(&mut this.stream).poll_write_vectored(cx, parts) {
            Poll::Ready(written) => {
                this.record_write();
                Poll::Ready(written)
            }
            Poll::Pending => this.poll_write_timeout(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_explanation(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_explanation(cx))?;
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        if self.activity.is_ending() {
            ready!(self.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}
