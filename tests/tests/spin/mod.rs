//! The composed `predict` and the stages behind `/events`, on hosts that know nothing of Tidemill's stages: wasmtime's command, which is
//! not ours, and the Spin-compatible host in `tests/spin-host`. The store is a bucket of a real S3 server.
//!
//! - `imports`: nothing is imported but what Spin offers
//! - `flights`: the flights' answers are those of `tidemill up` to the bit, and what was acknowledged is in the bucket
//! - `events`: what a bucket's server says makes the stages run that ask no SQL, to the bytes that Lambda leaves, once
//! - `refusals`: what is wrong is refused as there, and with the store away nothing is acknowledged
//!
//! Without the programs the tests say so and pass, except where `CI` is set.

mod events;
mod flights;
mod foreign;
mod imports;
mod refusals;
