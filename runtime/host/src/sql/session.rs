//! A connection for one query, and the handle that interrupts it while it is open.
//!
//! The driver's own handle points at a connection until just after it is closed: an interrupt in between reads freed memory. Here the
//! handle is taken away first, under a lock, and the connection is closed afterwards.

use std::{ops::Deref, sync::Arc};

use duckdb::{Connection, InterruptHandle};
use parking_lot::Mutex;
use tidemill_core::{Error, Result};

use super::{
    cache::{Cache, CacheEntry},
    cache_dir::CacheDir,
};

/// A connection of its own: no other connection sees its tables.
pub(super) struct Session {
    connection: Connection,
    interrupt: Interrupt,
    /// The files that its tables are read from, besides the cached objects; held until the connection is closed.
    pub(super) files: Vec<Arc<CacheEntry>>,
    // The folder of the files and of spilled data: a query may outlive the engine.
    _folder: Arc<CacheDir>,
}

/// Interrupts the session's query; does nothing once the session is gone.
#[derive(Clone)]
pub(super) struct Interrupt(Arc<Mutex<Option<Arc<InterruptHandle>>>>);

impl Session {
    /// Opens another connection to the instance.
    pub(super) fn open(instance: &Mutex<Connection>, cache: &Cache) -> Result<Self> {
        let connection = instance
            .lock()
            .try_clone()
            .map_err(|e| Error::transient(format!("DuckDB gave no connection: {e}")))?;
        let interrupt = Interrupt(Arc::new(Mutex::new(Some(connection.interrupt_handle()))));
        Ok(Self {
            connection,
            interrupt,
            files: Vec::new(),
            _folder: cache.hold_dir(),
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
