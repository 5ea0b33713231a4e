//! Feature transforms, trainers and ONNX export: pure functions over columns and matrices, without I/O.
//!
//! Everything that is hashed is computed with [`libm`] and in one fixed order, so that a native build and a component give the same bytes:
//! never call `f64::ln`, `f64::exp` or similar functions here.
//!
//! ```
//! use tidemill_core::spec::{Task, Trainer};
//! use tidemill_ml::{Matrix, onnx, train};
//!
//! # fn main() -> tidemill_core::Result<()> {
//! // One column: rows above 50 are alarms.
//! let matrix = Matrix { values: (0..100_u8).map(f32::from).collect(), width: 1 };
//! let label: Vec<f64> = matrix.values.iter().map(|x| f64::from(u8::from(*x > 50.0))).collect();
//! let classes = ["ok", "alarm"].map(String::from);
//! let trainer = Trainer { rounds: 20, ..Trainer::default() };
//! // No validation rows: all 20 rounds are kept.
//! let trained = train(&trainer, Task::Binary, &classes, (&matrix, &label), (&Matrix::default(), &[]), &|_| ())?;
//!
//! let scores = trained.model.scores(&Matrix { values: vec![10.0, 90.0], width: 1 });
//! assert!(scores[1] < 0.5 && scores[3] > 0.5);
//! // The same rows give the same file; a file that we wrote is read back to the same model.
//! let file = onnx::export(&trained.model, &["speed".into()], &classes);
//! let (model, width) = onnx::read(&file).expect("our own file");
//! assert_eq!((model.scores(&matrix), width), (trained.model.scores(&matrix), 1));
//! # Ok(())
//! # }
//! ```

mod columns;
pub mod linear;
pub mod loss;
mod matrix;
pub mod model;
pub mod onnx;
pub mod transform;
pub mod trees;

pub use columns::Columns;
#[cfg(feature = "arrow")]
pub use columns::column_type;
pub use matrix::{Matrix, Rows};
pub use model::{TrainedModel, TrainingOutput, train};
pub use transform::Transform;
