//! What is rendered for AWS and for Spin: the files as they are committed, what changes when a project changes, AWS's own checks, and
//! Spin's own rules.
#![allow(
    clippy::unwrap_used,
    reason = "a test: its helpers are not inside `#[test]` functions, which is all that clippy leaves out"
)]

mod projects;
mod sam;
mod spin;
