//! What is rendered for AWS, for Spin and for Kubernetes: the files as they are committed, what changes when a project changes, AWS's own
//! checks, Spin's own rules, and Kubernetes' schemas.
#![allow(
    clippy::unwrap_used,
    reason = "a test: its helpers are not inside `#[test]` functions, which is all that clippy leaves out"
)]

mod k8s;
mod projects;
mod sam;
mod spin;
