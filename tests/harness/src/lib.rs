//! What the demo, the measurements and the tests drive Tidemill with: a running `tidemill up`, its store as a stage would read it, a real
//! S3 server, and a proxy that injects faults.
//!
//! Nothing here is linked into a product: programs are started, and asked over HTTP.

pub mod http;
pub mod outages;
pub mod proxy;
pub mod seaweedfs;
pub mod snapshot;

pub use tidemill_demo::{flights, process, reader, server};
