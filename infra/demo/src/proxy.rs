//! A wire between a client and a server that can be cut in the ways that networks are: refused, stalled, or cut before the answer comes.

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

/// What happens to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// All goes through.
    None,
    /// Nobody is there: each connection is closed as soon as it is made, and those that are open are cut.
    Refuse,
    /// Everything is taken, and nothing passed on or answered.
    Stall,
    /// What is asked goes through, and is done; the answer to every third request that asks for a write is lost with its connection.
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

/// A running wire; it ends with its owner.
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl Proxy {
    /// Listens on a free port of this machine; connections go on to `port`.
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

    /// From now on.
    pub fn set(&self, wire: Fault) {
        self.shared.fault.store(wire as u8, Ordering::SeqCst);
    }

    /// Answers that were lost so far.
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
        // Whether the answer that comes next is to be lost.
        let losing = Arc::new(AtomicBool::new(false));
        let (asked, answered) = (client.try_clone()?, server.try_clone()?);
        let (shared, flag) = (self.clone(), losing.clone());
        std::thread::spawn(move || drop(shared.forward(asked, server, &flag, true)));
        self.forward(answered, client, &losing, false)
    }

    /// Waits while nothing is passed on; whether the connection then lives on.
    fn is_open(&self) -> bool {
        while self.fault() == Fault::Stall && !self.ended.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.fault() != Fault::Refuse && !self.ended.load(Ordering::SeqCst)
    }

    /// Copies until an end, a cut or a loss; then both directions are closed.
    fn forward(&self, mut from: TcpStream, mut to: TcpStream, losing: &AtomicBool, asking: bool) -> std::io::Result<()> {
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
            // What was read while the wire changed.
            if !self.is_open() {
                break Ok(());
            }
            if asking && self.fault() == Fault::LoseAnswers && is_write(&buffer[..length]) {
                losing.store(self.writes.fetch_add(1, Ordering::SeqCst) % 3 == 2, Ordering::SeqCst);
            }
            if !asking && losing.load(Ordering::SeqCst) {
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

/// Whether these bytes begin a request that writes.
fn is_write(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PUT ") || bytes.starts_with(b"POST ")
}
