//! What is rendered for Spin: the manifests as they are committed, what changes when a project changes, and Spin's own rules.
#![allow(
    clippy::unwrap_used,
    reason = "a test: its helpers are not inside `#[test]` functions, which is all that clippy leaves out"
)]

mod golden;
mod projects;
mod rules;
