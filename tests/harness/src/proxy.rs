//! A TCP proxy that injects the faults of a network: refused connections, stalled ones, and answers that are lost after the server did
//! the work.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;

/// The fault that is injected into connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// No fault: all bytes are forwarded.
    None,
    /// Each connection is closed as soon as it is accepted, and open ones are cut.
    Refuse,
    /// Connections are accepted, and nothing is forwarded.
    Stall,
    /// Requests are forwarded; the answer to every third write is lost with its connection.
    LoseAnswers,
}

impl Fault {
    const ALL: [Self; 4] = [Self::None, Self::Refuse, Self::Stall, Self::LoseAnswers];
}

#[derive(Default)]
struct Shared {
    fault: AtomicU8,
    writes: AtomicU64,
    lost: AtomicU64,
    ended: AtomicBool,
}

/// A running proxy. It stops when it is dropped.
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl Proxy {
    /// Listens on a free local port and forwards connections to `port`.
    pub fn start(port: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let serving = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if serving.ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = serving.clone();
                std::thread::spawn(move || drop(shared.connect(client, port)));
            }
        });
        Ok(Self { shared, address })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the fault, for open connections too.
    pub fn set(&self, fault: Fault) {
        self.shared.fault.store(fault as u8, Ordering::SeqCst);
    }

    /// The number of answers that were lost so far.
    pub fn lost_answers(&self) -> u64 {
        self.shared.lost.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn fault(&self) -> Fault {
        Fault::ALL[usize::from(self.fault.load(Ordering::SeqCst)) % Fault::ALL.len()]
    }

    fn connect(self: Arc<Self>, client: TcpStream, port: u16) -> std::io::Result<()> {
        if self.fault() == Fault::Refuse {
            return Ok(());
        }
        let server = TcpStream::connect(("127.0.0.1", port))?;
        // Whether the next answer is to be lost.
        let losing = Arc::new(AtomicBool::new(false));
        let (requests, answers) = (client.try_clone()?, server.try_clone()?);
        let (shared, flag) = (self.clone(), losing.clone());
        std::thread::spawn(move || drop(shared.forward(requests, server, &flag, true)));
        self.forward(answers, client, &losing, false)
    }

    /// Waits while connections are stalled. Returns whether this one is still open.
    fn is_open(&self) -> bool {
        while self.fault() == Fault::Stall && !self.ended.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.fault() != Fault::Refuse && !self.ended.load(Ordering::SeqCst)
    }

    /// Copies bytes until an end or a fault; then closes both directions.
    fn forward(&self, mut from: TcpStream, mut to: TcpStream, losing: &AtomicBool, is_request: bool) -> std::io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        from.set_read_timeout(Some(Duration::from_millis(50)))?;
        let copied = loop {
            if !self.is_open() {
                break Ok(());
            }
            let length = match from.read(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(length) => length,
                Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => continue,
                Err(e) => break Err(e),
            };
            // The fault may have been set while this was read.
            if !self.is_open() {
                break Ok(());
            }
            if is_request && self.fault() == Fault::LoseAnswers && is_write(&buffer[..length]) {
                losing.store(self.writes.fetch_add(1, Ordering::SeqCst) % 3 == 2, Ordering::SeqCst);
            }
            if !is_request && losing.load(Ordering::SeqCst) {
                self.lost.fetch_add(1, Ordering::SeqCst);
                break Ok(());
            }
            if let Err(e) = to.write_all(&buffer[..length]) {
                break Err(e);
            }
        };
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
        copied
    }
}

/// Whether these bytes begin a write.
fn is_write(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PUT ") || bytes.starts_with(b"POST ")
}
