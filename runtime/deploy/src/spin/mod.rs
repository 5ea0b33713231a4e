//! Spin: a manifest that names the components, and the composition of each of them.
//!
//! `predict` and the stages' components are unchanged; their imports are provided by Tidemill's own components ([`compose`]), so that only
//! imports that Spin offers remain.

mod build;
mod chain;
mod check;
pub mod compose;
pub mod manifest;
mod rules;
mod variables;
mod words;

pub use build::{CHAINED, COMPONENTS, Composed, Options, Part, Recipe, Spin, render};
pub use chain::{Parts, chain};
pub use check::check;

/// The environment variable that holds a component's part of the project's configuration.
pub(crate) const CONFIG: &str = "TIDEMILL_CONFIG";
