//! What the compiler doesn't hold the sources to: directions between crates, the words of names and messages, and examples in documents.

mod directions;
mod documents;
mod limits;
mod names;
pub(crate) mod sources;
