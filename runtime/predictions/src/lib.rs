//! The prediction log: from the rows of one answered request to Parquet in the object store.
//!
//! A request's rows become a [`Record`], which is what a serving component hands to its host and what a write-ahead file holds.
//! Records become [`Segment`]s, one for each model, window and version. `DirectLog` writes segments before the request is answered;
//! `DurableLog` writes records to a local file first, shares one fsync among concurrent requests, and seals files into segments later.
//!
//! An id may be in the log more than once, because a client may repeat a request. Readers count each id once, so that clients of one model
//! must not share ids.
//!
//! ```
//! use tidemill_core::ColumnValues;
//! use tidemill_predictions::PredictionBatch;
//!
//! let batch = PredictionBatch {
//!     model: "late",
//!     version: 3,
//!     transform: "9f86d081",
//!     request_id: "r1",
//!     rows: 2,
//!     columns: &[("_score".to_owned(), ColumnValues::Number(vec![Some(0.25), Some(0.75)]))],
//!     latency_us: 180,
//! };
//! let record = batch.to_record()?;
//! assert_eq!((record.model(), record.rows()), ("late", 2));
//! # Ok::<(), tidemill_core::Error>(())
//! ```

#[cfg(feature = "segments")]
mod direct;
#[cfg(feature = "durable")]
mod durable;
mod record;
#[cfg(feature = "segments")]
mod segment;
#[cfg(feature = "segments")]
mod summary;
#[cfg(all(test, feature = "segments"))]
mod tests;
#[cfg(feature = "segments")]
mod window_limits;

#[cfg(feature = "segments")]
pub use direct::DirectLog;
#[cfg(feature = "durable")]
pub use durable::{DurableLog, LogOptions, Receipt};
pub use record::{PredictionBatch, Record};
#[cfg(feature = "segments")]
pub use segment::{Segment, build_segments};
#[cfg(feature = "segments")]
pub use summary::summarize_window;
#[cfg(feature = "segments")]
pub use window_limits::MAX_WINDOWS;
