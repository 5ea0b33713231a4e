//! Addresses: the one to listen on, and the one that a running project wrote down.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    time::Duration,
};

use tidemill_core::Error;
use tokio::net::TcpListener;

use crate::Project;

/// The address to listen on by default.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:8080";
/// How long a process that may be gone has to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Why an address cannot be listened on.
#[derive(Debug)]
pub enum ListenError {
    /// Another process listens on it.
    InUse(Error),
    /// It is not an address, or not one of this machine.
    Invalid(Error),
}

impl From<ListenError> for Error {
    fn from(error: ListenError) -> Self {
        match error {
            ListenError::InUse(error) | ListenError::Invalid(error) => error,
        }
    }
}

/// Binds an address such as `127.0.0.1:8080`; port 0 takes a free port.
///
/// Bind before opening anything else: a start that fails then leaves nothing behind.
///
/// # Errors
/// [`ListenError`], both variants with a `Config` error.
pub async fn listen(address: &str) -> Result<TcpListener, ListenError> {
    let address = resolve(address).map_err(ListenError::Invalid)?;
    TcpListener::bind(address).await.map_err(|error| listen_error(address, &error))
}

fn resolve(address: &str) -> Result<SocketAddr, Error> {
    let found = address.to_socket_addrs().ok().and_then(|mut all| all.next());
    found.ok_or_else(|| Error::config(format!("`{address}` is not an address with a port, such as `{DEFAULT_ADDRESS}`")))
}

fn listen_error(address: SocketAddr, error: &io::Error) -> ListenError {
    match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse(Error::config(format!(
            "port {} of `{}` is in use by another process: stop it, or choose another port",
            address.port(),
            address.ip()
        ))),
        _ => ListenError::Invalid(Error::config(format!("`{address}` cannot be listened on: {error}"))),
    }
}

/// The address at which another process serves the project now.
///
/// Blocks for up to two seconds if the address file names a process that is gone.
pub fn serving_address(project: &Project) -> Option<String> {
    let address = project.running_address()?;
    // It is on this machine, whatever proxy the environment names.
    let config = ureq::Agent::config_builder().proxy(None);
    let agent: ureq::Agent = config.timeout_global(Some(PROBE_TIMEOUT)).build().into();
    agent.get(format!("{address}/healthz")).call().ok()?;
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_told_from_a_bad_address() {
        let first = listen("127.0.0.1:0").await.unwrap();
        let taken = first.local_addr().unwrap().to_string();
        assert!(matches!(listen(&taken).await, Err(ListenError::InUse(_))));
        match listen("8080").await {
            Err(ListenError::Invalid(error)) => assert!(error.message.contains("`8080`"), "{error}"),
            other => panic!("{other:?}"),
        }
    }
}
