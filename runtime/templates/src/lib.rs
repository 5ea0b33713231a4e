//! The templates that `tidemill new` starts from: `templates/` of the checkout, built into the program.
//!
//! Their format is Spin's, and so is what renders them: the Liquid library and the filters that Spin has, so that
//! `spin templates install --dir` and `tidemill new` make the same files. The one difference: Spin copies a file that is not Liquid as
//! it stands; here it is an error, because all of these are ours.

mod manifest;
mod render;

pub use manifest::{Parameter, Template, all, find};
pub use render::RenderedFile;
