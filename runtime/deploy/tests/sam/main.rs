//! What is rendered for AWS: the templates as they are committed, what changes when a project changes, and AWS's own checks.
#![allow(
    clippy::unwrap_used,
    reason = "a test: its helpers are not inside `#[test]` functions, which is all that clippy leaves out"
)]

mod golden;
mod projects;
mod rights;
mod validators;
