//! A connection for one query, and who may interrupt it while it stands.
//!
//! The driver's own handle keeps pointing at a connection until just after it was closed: an interrupt in between reads freed
//! memory. Here the handle is taken away first, under a lock, and the connection closed after.

use std::{ops::Deref, sync::Arc};

use duckdb::{Connection, InterruptHandle};
use parking_lot::Mutex;
use tidemill_core::{Error, Result};

use super::{
    cache::{Cache, CacheEntry},
    cache_dir::CacheDir,
};

/// A connection of its own: its tables are seen by no other.
pub(super) struct Session {
    connection: Connection,
    interrupt: Interrupt,
    /// What its tables are read from beside the placed objects: held until the connection goes.
    pub(super) files: Vec<Arc<CacheEntry>>,
    // The files' and what spills there: a query may outlive the engine.
    _folder: Arc<CacheDir>,
}

/// Stops the session's query; does nothing once the session is gone.
#[derive(Clone)]
pub(super) struct Interrupt(Arc<Mutex<Option<Arc<InterruptHandle>>>>);

impl Session {
    /// One more connection to the instance.
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
        // Waits for an interrupt under way; the connection itself is dropped after this.
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
