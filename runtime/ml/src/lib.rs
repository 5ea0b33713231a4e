//! Feature transforms, trainers, ONNX export and scoring: pure functions over columns and matrices, without I/O.
//!
//! Matrices are `f32`, row-major. Everything that is hashed is computed with [`libm`] and in one fixed order, so that a native
//! build and a component give the same bytes: never call `f64::ln`, `f64::exp` and the like in here.

mod columns;
pub mod linear;
pub mod loss;
pub mod model;
pub mod onnx;
#[cfg(feature = "score")]
pub mod score;
pub mod transform;
pub mod trees;

pub use columns::Columns;
#[cfg(feature = "arrow")]
pub use columns::column_type;
pub use model::{Matrix, TrainedModel, TrainingOutput, train};
#[cfg(feature = "score")]
pub use score::Scorer;
pub use transform::Transform;
