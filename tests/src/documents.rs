//! The Rust examples of the documents, compiled as examples of this crate by `cargo test --doc`.

/// What a contributor reads.
#[doc = include_str!("../../CONTRIBUTING.md")]
pub mod contributing {}
