//! One inference: request to rows, rows to features, features to scores, all of it to the log, and only then the answer.

use tidemill_core::{ColumnValues, Error, Result, spec::Task};
use tidemill_predictions::PredictionBatch;

use crate::{
    host::PredictHost,
    models::{self, LoadedModel, quoted_list},
    protocol::{InferRequest, InferResponse, OutputData, OutputTensor, Provenance},
};

/// `POST /v2/models/<model>[/versions/<version>]/infer`.
pub async fn infer(environment: &impl PredictHost, model: &str, version: Option<&str>, body: &[u8]) -> Result<String> {
    let arrived = environment.now_us();
    let mut request = InferRequest::parse(body)?;
    let served = models::load(environment, model, version).await?;
    let rows = request.rows(&served.version.signature)?;
    let matrix = served.transform.apply(&rows.features)?;
    let predictions = environment
        .score(served.version.onnx_digest.as_str(), rows.count, matrix)
        .and_then(|scores| Predictions::new(&served, rows.count, &scores))
        .map_err(|e| models::unavailable_version(model, served.version.version, &e))?;
    let id = request.id.take().unwrap_or_else(|| environment.unique_id());
    let answer = predictions.answer(&served, &id, &request)?;
    let mut columns = rows.context;
    columns.extend(rows.features.into_columns());
    columns.extend(predictions.logged(&served));
    let batch = PredictionBatch {
        model: &served.version.model,
        version: served.version.version,
        transform: served.version.transform_digest.as_str(),
        request_id: &id,
        rows: rows.count,
        columns: &columns,
        latency_us: environment.now_us().saturating_sub(arrived),
    };
    environment.append(batch.to_record()?).await?;
    Ok(answer)
}

/// What a model said of each row.
struct Predictions<'a> {
    score: Vec<f64>,
    label: Vec<&'a str>,
    /// Row-major; empty for regression.
    probabilities: Vec<f64>,
}

impl<'a> Predictions<'a> {
    fn new(served: &'a LoadedModel, rows: usize, scores: &[f32]) -> Result<Self> {
        let classes = &served.version.classes;
        let width = if served.version.task == Task::Regression {
            1
        } else {
            classes.len()
        };
        if width == 0 || scores.len() != rows * width {
            return Err(Error::bug(format!(
                "`{}` answered {} numbers for {rows} rows where {width} a row were due",
                served.version.onnx,
                scores.len()
            )));
        }
        let wide: Vec<f64> = scores.iter().map(|v| f64::from(*v)).collect();
        let score = wide.chunks_exact(width).map(|row| row[width - 1]).collect();
        if served.version.task == Task::Regression {
            return Ok(Self {
                score,
                label: Vec::new(),
                probabilities: Vec::new(),
            });
        }
        let label = wide.chunks_exact(width).map(|row| classes[greatest(row)].as_str()).collect();
        Ok(Self {
            score,
            label,
            probabilities: wide,
        })
    }

    /// As JSON.
    fn answer(&self, served: &LoadedModel, id: &str, request: &InferRequest) -> Result<String> {
        let version = &served.version;
        let mut outputs = self.outputs(version.classes.len());
        if let Some(wanted) = &request.outputs {
            if let Some(unknown) = wanted.iter().find(|w| !outputs.iter().any(|o| o.name == w.name)) {
                return Err(Error::input(format!(
                    "there is no output `{}`; there are {}",
                    unknown.name,
                    quoted_list(outputs.iter().map(|o| o.name))
                )));
            }
            outputs.retain(|o| wanted.iter().any(|w| o.name == w.name));
        }
        let answer = InferResponse {
            model_name: &version.model,
            model_version: version.version.to_string(),
            id,
            parameters: Provenance {
                version: version.version,
                transform: &version.transform_digest,
            },
            outputs,
        };
        serde_json::to_string(&answer).map_err(|e| Error::bug(format!("the answer cannot be written: {e}")))
    }

    fn outputs(&self, classes: usize) -> Vec<OutputTensor<'_>> {
        let rows = self.score.len();
        let output = |name, datatype, shape, data| OutputTensor {
            name,
            datatype,
            shape,
            data,
        };
        let mut outputs = vec![output("score", "FP64", vec![rows], OutputData::Numbers(&self.score))];
        if !self.label.is_empty() {
            outputs.push(output("label", "BYTES", vec![rows], OutputData::Texts(&self.label)));
            outputs.push(output(
                "probabilities",
                "FP64",
                vec![rows, classes],
                OutputData::Numbers(&self.probabilities),
            ));
        }
        outputs
    }

    /// `_score`, `_label`, and of several classes `_score_<class>`.
    fn logged(self, served: &LoadedModel) -> Vec<(String, ColumnValues)> {
        let mut columns = vec![(
            "_score".to_owned(),
            ColumnValues::Number(self.score.into_iter().map(Some).collect()),
        )];
        if !self.label.is_empty() {
            let labels = self.label.into_iter().map(|label| Some(label.to_owned())).collect();
            columns.push(("_label".to_owned(), ColumnValues::Text(labels)));
        }
        if served.version.task == Task::Multiclass {
            let classes = &served.version.classes;
            for (index, class) in classes.iter().enumerate() {
                let of_class = self
                    .probabilities
                    .iter()
                    .skip(index)
                    .step_by(classes.len())
                    .map(|v| Some(*v))
                    .collect();
                columns.push((format!("_score_{class}"), ColumnValues::Number(of_class)));
            }
        }
        columns
    }
}

/// The first index of the greatest value; of two classes the positive one wins at exactly one half.
fn greatest(row: &[f64]) -> usize {
    if let [_, positive] = row {
        return usize::from(*positive >= 0.5);
    }
    (0..row.len()).fold(0, |best, index| if row[index] > row[best] { index } else { best })
}
