//! The templates of `tidemill new`: the checkout's `templates/`, built into the program.
//!
//! Format and rendering are Spin's: the same Liquid library with the same filters, so that `spin templates install --dir` and
//! `tidemill new` create the same files. There is one difference: Spin copies a file that is not valid Liquid unchanged; here it is an
//! error.

mod manifest;
mod next;
mod render;

pub use manifest::{Parameter, Template, all, find};
pub use next::next_commands;
pub use render::RenderedFile;
