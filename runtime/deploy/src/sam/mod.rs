//! AWS by SAM: S3 tells EventBridge of each object, a rule per trigger puts the event into the stage's queue, the queue calls the
//! stage's function. Every name, right and limit follows from the pipeline.

mod alarms;
mod build;
mod coordinator;
mod function;
mod grants;
mod limits;
mod names;
mod node;
mod parameters;
mod policy;
mod predict;
pub mod resources;
mod store;
pub mod template;
mod trigger;

pub use build::{DUCKDB, FUNCTIONS, Options, Sam, render};
