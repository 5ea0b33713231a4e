//! AWS by SAM: S3 tells EventBridge of each object, a rule per trigger puts the event into the stage's queue, the queue calls the
//! stage's function. Every name, right and limit follows from the pipeline.

mod architecture;
mod build;
mod coordinator;
mod function;
mod names;
mod node;
mod parameters;
pub mod policy;
mod predict;
pub mod resources;
mod store;
pub mod template;
mod trigger;

use tidemill_core::{Result, pipeline::Pipeline};

use crate::secrets::refuse_secrets;

pub use architecture::Architecture;
use build::Build;
pub(crate) use build::PREDICT_PROGRAM;
pub use build::{DUCKDB, ENGINES_FOLDER, FUNCTIONS, ONNX_RUNTIME, Options, Sam};

/// Writes the template: the store, then each stage in the pipeline's order, then what tells the time and what answers. Errors are
/// `Config`: what AWS does not take of this project, and what to change.
pub fn render(pipeline: &Pipeline, options: &Options) -> Result<Sam> {
    refuse_secrets(pipeline, "a function on Lambda")?;
    let mut build = Build::new(pipeline, options);
    parameters::add(&mut build.template, options.architecture);
    let tags = build.tags("store");
    store::add(&mut build.template.resources, tags);
    build.layers();
    for one in &pipeline.nodes {
        node::add(&mut build, one)?;
    }
    coordinator::add(&mut build)?;
    predict::add(&mut build)?;
    build.outputs();
    build.finish()
}
