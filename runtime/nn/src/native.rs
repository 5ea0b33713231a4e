//! Models of our own trainer, evaluated directly: the same numbers natively and in a component, without an engine's cost for each operator.

use std::sync::Arc;

use tidemill_core::{Error, Result};
use tidemill_ml::{Matrix, TrainedModel, onnx};

use crate::{Backend, ElementType, Graph, Tensor, arrange};

/// A backend that evaluates files of our own trainer itself and hands all others to another backend.
pub struct NativeFirst {
    fallback: Arc<dyn Backend>,
}

impl NativeFirst {
    /// Files of other tools go to `fallback`.
    pub fn new(fallback: Arc<dyn Backend>) -> Self {
        Self { fallback }
    }
}

impl Backend for NativeFirst {
    fn load(&self, model: &str, bytes: &[u8]) -> Result<Arc<dyn Graph>> {
        let Some((trained, width)) = onnx::read(bytes) else {
            return self.fallback.load(model, bytes);
        };
        Ok(Arc::new(NativeGraph {
            model: model.to_owned(),
            inputs: ["features".to_owned()],
            trained,
            width,
        }))
    }
}

struct NativeGraph {
    model: String,
    inputs: [String; 1],
    trained: TrainedModel,
    width: usize,
}

impl Graph for NativeGraph {
    fn compute(&self, inputs: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>> {
        let features = arrange(&self.model, &self.inputs, inputs)?.swap_remove(0);
        if features.kind != ElementType::F32 || features.shape.len() != 2 || features.shape[1] != self.width {
            return Err(Error::input(format!(
                "the input `features` of `{}` is {:?} of shape {:?}; it takes F32 [rows, {}]",
                self.model, features.kind, features.shape, self.width
            )));
        }
        let rows = features.shape[0];
        let matrix = Matrix {
            values: features
                .data
                .as_chunks::<4>()
                .0
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect(),
            width: self.width,
        };
        let scores = self.trained.scores(&matrix);
        let scores = Tensor::from_f32(vec![rows, scores.len().checked_div(rows).unwrap_or(0)], &scores)?;
        Ok(vec![("scores".to_owned(), scores)])
    }
}

#[cfg(all(test, feature = "tract"))]
mod tests {
    use tidemill_ml::{linear::Linear, loss::Loss};

    use super::*;
    use crate::Tract;

    #[test]
    fn our_models_answer_as_tract_and_others_pass_through() {
        let model = TrainedModel::Linear(Linear {
            loss: Loss::Logistic,
            weights: vec![0.5, -2.0],
            intercept: vec![0.25],
            iterations: 0,
        });
        let names = ["a".to_owned(), "b".to_owned()];
        let file = onnx::export(&model, &names, &["no".to_owned(), "yes".to_owned()]);
        let trained = NativeFirst::new(Arc::new(Tract));
        let scores = |nn: &dyn Backend, width: usize| {
            let features = Tensor::from_f32(vec![2, width], &[1.0, 0.5, -3.0, 4.0][..2 * width]).unwrap();
            nn.load("m", &file).unwrap().compute(vec![("features".into(), features)])
        };
        let (own, tract) = (scores(&trained, 2).unwrap(), scores(&Tract, 2).unwrap());
        assert_eq!((&own[0].0, &own[0].1.shape), (&tract[0].0, &tract[0].1.shape));
        for (own, tract) in own[0].1.to_f64().unwrap().iter().zip(tract[0].1.to_f64().unwrap()) {
            assert!((own - tract).abs() < 1e-6, "{own} {tract}");
        }
        let error = scores(&trained, 1).unwrap_err();
        assert!(
            error.message.contains("`features`") && error.message.contains("[rows, 2]"),
            "{error}"
        );
        assert!(trained.load("m", b"not a model").is_err());
        assert!(trained.load("m", &crate::tract::tests::doubling()).is_ok());
    }
}
