//! Spin: a manifest that names the components, and what each of them is composed of. `predict` and the stages' components stay as they
//! are; what they import is given by components of ours ([`compose`]), so that nothing is left but what Spin offers.

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

/// The variable of the environment that tells a component which part of the project it is.
pub(crate) const CONFIG: &str = "TIDEMILL_CONFIG";
