//! From raw columns to predictions: the fitted transform, the model's graph, and the classes of its scores.
//!
//! `predict` and `evaluate` score through the same [`Scorer`], so a model that passes a gate is one that can be served. Nothing in
//! here reads or writes: the caller loads the transform and the graph.
//!
//! ```
//! use std::sync::Arc;
//!
//! use tidemill_core::{ColumnValues, Result, spec::Task};
//! use tidemill_ml::{Columns, TrainedModel, Transform, linear::Linear, loss::Loss, onnx};
//! use tidemill_nn::{Backend, Graph, NativeFirst};
//! use tidemill_scoring::Scorer;
//!
//! # struct NoOther;
//! # impl Backend for NoOther {
//! #     fn load(&self, _: &str, _: &[u8]) -> Result<Arc<dyn Graph>> { unreachable!() }
//! # }
//! # fn main() -> Result<()> {
//! // A transform that hands `speed` on, and a model with the log-odds 2 · speed − 1.
//! let transform = Transform::from_json(br#"{
//!     "format": 1,
//!     "signature": { "inputs": [{ "name": "speed", "type": "number", "nullable": true }], "context": [] },
//!     "steps": [{ "inputs": ["speed"], "encoder": { "kind": "number" }, "outputs": [{ "name": "speed" }] }]
//! }"#)?;
//! let linear = Linear { loss: Loss::Logistic, weights: vec![2.0], intercept: vec![-1.0], iterations: 0 };
//! let classes = ["ok", "alarm"].map(String::from).to_vec();
//! let file = onnx::export(&TrainedModel::Linear(linear), &transform.names(), &classes);
//!
//! let graph = NativeFirst::new(Arc::new(NoOther)).load("model.onnx", &file)?;
//! let scorer = Scorer::new("model.onnx", transform, graph, Task::Binary, classes);
//! let mut rows = Columns::new();
//! rows.push("speed", ColumnValues::Number(vec![Some(3.0), Some(0.0)]))?;
//! let predictions = scorer.score(&rows)?;
//! assert_eq!(predictions.rows(), 2);
//! assert_eq!(predictions.labels().collect::<Vec<_>>(), ["alarm", "ok"]);
//! assert!(predictions.score(0) > 0.99);
//! # Ok(())
//! # }
//! ```

mod scorer;

pub use scorer::{INPUT, OUTPUT, Predictions, Scorer};
