//! Spin: a manifest that names the components, and what each of them is composed of. `predict` and the stages' components stay as they
//! are; what they import is given by components of ours ([`compose`]), so that nothing is left but what Spin offers.

mod build;
mod check;
pub mod compose;
pub mod manifest;
mod rules;
mod variables;
mod words;

pub use build::{COMPONENTS, Composed, Options, Part, Recipe, Spin, render};
pub use check::check;

/// The variable that tells a component which part of the project it is.
pub(crate) const TOLD: &str = "tidemill_config";
