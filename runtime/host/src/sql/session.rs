//! A connection for one query, and the handle that interrupts it while it is open.
//!
//! The driver's own handle points at a connection until just after it is closed: an interrupt in between reads freed memory. Here the
//! handle is taken away first, under a lock, and the connection is closed afterwards.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    time::Duration,
};

use duckdb::{Connection, InterruptHandle};
use parking_lot::Mutex;
use tidemill_core::{Error, Result};

use super::{cache_dir::CacheDir, error::timeout_error};

/// A connection of its own: no other connection sees its tables.
pub(super) struct Session {
    connection: Connection,
    interrupt: Interrupt,
    // The folder of the files and of spilled data: a query may outlive the engine.
    _dir: Option<Arc<CacheDir>>,
}

/// Interrupts the session's query; does nothing once the session is gone.
#[derive(Clone)]
pub(super) struct Interrupt(Arc<Mutex<Option<Arc<InterruptHandle>>>>);

impl Session {
    /// Opens another connection to the instance.
    pub(super) fn open(instance: &Mutex<Connection>, dir: Option<Arc<CacheDir>>) -> Result<Self> {
        let connection = instance
            .lock()
            .try_clone()
            .map_err(|e| Error::transient(format!("DuckDB gave no connection: {e}")))?;
        let interrupt = Interrupt(Arc::new(Mutex::new(Some(connection.interrupt_handle()))));
        Ok(Self {
            connection,
            interrupt,
            _dir: dir,
        })
    }

    pub(super) fn interrupt(&self) -> Interrupt {
        self.interrupt.clone()
    }
}

impl Deref for Session {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Waits for an interrupt in progress; the connection itself is dropped afterwards.
        self.interrupt.0.lock().take();
    }
}

impl Interrupt {
    pub(super) fn fire(&self) {
        if let Some(handle) = &*self.0.lock() {
            handle.interrupt();
        }
    }
}

/// Interrupts a connection after a timeout, unless it is dropped before.
pub(super) struct Watchdog {
    fired: Arc<AtomicBool>,
    timeout: Duration,
    _stop: Sender<()>,
}

impl Watchdog {
    pub(super) fn start(session: &Session, timeout: Duration) -> Result<Self> {
        let (stop, stopped) = channel();
        let fired = Arc::new(AtomicBool::new(false));
        let (interrupt, flag) = (session.interrupt(), Arc::clone(&fired));
        std::thread::Builder::new()
            .name("sql-watch".into())
            .spawn(move || {
                if stopped.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout) {
                    flag.store(true, Ordering::SeqCst);
                    interrupt.fire();
                }
            })
            .map_err(|e| Error::transient(format!("no thread could be started for a query: {e}")))?;
        Ok(Self {
            fired,
            timeout,
            _stop: stop,
        })
    }

    /// The result, or the timeout if that is why there is none.
    pub(super) fn explain<T>(&self, result: Result<T>) -> Result<T> {
        match result {
            Err(_) if self.fired.load(Ordering::SeqCst) => Err(timeout_error(self.timeout)),
            other => other,
        }
    }
}
