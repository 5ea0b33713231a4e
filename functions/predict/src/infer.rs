//! One inference: from request to rows, features and scores, all of which are logged before the response is sent.

use tidemill_core::{ColumnValues, Error, Result, spec::Task, text::quoted_list};
use tidemill_predictions::PredictionBatch;
use tidemill_scoring::Predictions;

use crate::{
    PredictHost, Server,
    models::{self, LoadedModel},
    protocol::{InferRequest, InferResponse, OutputData, OutputTensor, Provenance},
};

/// `POST /v2/models/<model>[/versions/<version>]/infer`.
pub async fn infer(server: &Server<impl PredictHost>, model: &str, version: Option<&str>, body: &[u8]) -> Result<String> {
    let arrived = server.host.now_us();
    let mut request = InferRequest::parse(body)?;
    let model = models::load(server, model, version).await?;
    let rows = request.rows(&model.version.signature)?;
    let features = model.scorer.transform().apply(&rows.features)?;
    let predictions = model
        .scorer
        .score_features(&features, rows.count)
        .map_err(|e| models::unavailable_version(&model.version.model, model.version.version, &e))?;
    let outputs = Outputs::new(&predictions);
    let id = request.id.take().unwrap_or_else(|| server.host.unique_id());
    let response = outputs.to_response(&model, &id, &request)?;
    let mut columns = rows.context;
    columns.extend(rows.features.into_columns());
    columns.extend(outputs.into_log_columns(&model));
    let batch = PredictionBatch {
        model: &model.version.model,
        version: model.version.version,
        transform: model.version.transform_digest.as_str(),
        request_id: &id,
        rows: rows.count,
        columns: &columns,
        latency_us: server.host.now_us().saturating_sub(arrived),
    };
    server.host.append(batch.to_record()?).await?;
    Ok(response)
}

/// The outputs of a request.
struct Outputs<'a> {
    score: Vec<f64>,
    /// Empty for regression.
    label: Vec<&'a str>,
    /// Row by row; empty for regression.
    probabilities: &'a [f64],
}

impl<'a> Outputs<'a> {
    fn new(predictions: &'a Predictions<'_>) -> Self {
        Self {
            score: predictions.scores().collect(),
            label: predictions.labels().collect(),
            probabilities: predictions.probabilities(),
        }
    }

    /// Converts the outputs to a JSON response.
    fn to_response(&self, model: &LoadedModel, id: &str, request: &InferRequest) -> Result<String> {
        let version = &model.version;
        let mut outputs = self.tensors(version.classes.len());
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
        let response = InferResponse {
            model_name: &version.model,
            model_version: version.version.to_string(),
            id,
            parameters: Provenance {
                version: version.version,
                transform: &version.transform_digest,
            },
            outputs,
        };
        serde_json::to_string(&response).map_err(|e| Error::bug(format!("the response cannot be written: {e}")))
    }

    fn tensors(&self, classes: usize) -> Vec<OutputTensor<'_>> {
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
                OutputData::Numbers(self.probabilities),
            ));
        }
        outputs
    }

    /// `_score`, `_label` and, with several classes, `_score_<class>`.
    fn into_log_columns(self, model: &LoadedModel) -> Vec<(String, ColumnValues)> {
        let mut columns = vec![(
            "_score".to_owned(),
            ColumnValues::Number(self.score.into_iter().map(Some).collect()),
        )];
        if !self.label.is_empty() {
            let labels = self.label.into_iter().map(|label| Some(label.to_owned())).collect();
            columns.push(("_label".to_owned(), ColumnValues::Text(labels)));
        }
        if model.version.task == Task::Multiclass {
            let classes = &model.version.classes;
            for (index, class) in classes.iter().enumerate() {
                let of_class = self.probabilities.iter().skip(index).step_by(classes.len());
                columns.push((
                    format!("_score_{class}"),
                    ColumnValues::Number(of_class.map(|v| Some(*v)).collect()),
                ));
            }
        }
        columns
    }
}
