//! End-to-end tests, in one program: each program of tests would be linked with DuckDB and wasmtime once more.
//!
//! The tests call the real `tidemill` and the real components, which `cargo xtask test` builds. A test whose program or server is missing
//! is skipped with a message; with `CI` set it fails.

/// An acknowledged prediction survives SIGKILL.
mod acknowledged;
/// Wrong files, requests, models and starts: a clear answer, and nothing half-written.
mod bad_input;
/// What the compiler doesn't check: directions between crates, words, examples in documents.
mod conventions;
/// The process is killed at each step of a chain.
mod crash;
/// `tidemill demo`: a month, and interrupted.
mod demo;
/// `tidemill deploy sam` and `tidemill deploy spin`.
mod deploy;
/// `tidemill dev`: edits take effect or are refused with their place, and nothing is lost.
mod dev;
/// Objects that do not belong where they are.
mod faults;
/// Who may ask `tidemill up`, how slowly and how much; and that every answer arrives.
mod front_door;
/// What `cargo xtask image` makes.
mod image;
/// A chain through Lambda's handlers, to the bytes of `tidemill up`.
mod lambda_chain;
/// `/metrics`, read by a Prometheus parser.
mod metrics;
/// What `cargo xtask package` makes.
mod package;
/// Each case under `cases/` on each target, to the byte.
mod parity;
/// Each stage of a whole chain natively and as a component, to the byte.
mod parity_chain;
/// Column profiles against the values themselves.
mod profile;
/// The commands in documents run.
mod readme;
/// A store in a real S3 server, disturbed.
mod s3;
/// The components composed for Spin, on hosts of others.
mod spin;
/// What SQL takes of the machine, and what it sees of it.
mod sql;
/// What `tidemill new` generates: projects that build, pass their tests and run.
mod templates;
/// What the commands print, at two widths of the terminal.
mod terminal;
