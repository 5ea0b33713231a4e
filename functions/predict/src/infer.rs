//! One inference: request to rows, rows to features, features to scores, all of it to the log, and only then the answer.

use serde_json::{Value, json};
use tidemill_core::{Error, Result, spec::Task};
use tidemill_ml::{Columns, Values};

use crate::{
    environment::{Batch, Environment},
    models::{self, Served, ticked},
    protocol::{Request, output},
};

/// `POST /v2/models/<model>[/versions/<version>]/infer`.
pub async fn infer(environment: &impl Environment, model: &str, version: Option<&str>, body: &[u8]) -> Result<Value> {
    let arrived = environment.clock();
    let mut request = Request::parse(body)?;
    let served = models::load(environment, model, version).await?;
    let rows = request.rows(&served.version.signature)?;
    let mut features = Columns::new();
    for (name, values) in &rows.features {
        features.push(name.clone(), values.clone())?;
    }
    let matrix = served.transform.apply(&features)?;
    let predictions = environment
        .score(served.version.onnx_digest.as_str(), rows.count, matrix)
        .and_then(|scores| Predictions::new(&served, rows.count, &scores))
        .map_err(|e| models::unservable(model, served.version.version, &e))?;
    let id = request.id.take().unwrap_or_else(|| environment.unique());
    let answer = predictions.answer(&served, &id, &request)?;
    let mut columns = rows.context;
    columns.extend(rows.features);
    columns.extend(predictions.logged(&served));
    let batch = Batch {
        ids: (0..rows.count).map(|row| format!("{id}/{row}")).collect(),
        columns,
        latency_us: environment.clock().saturating_sub(arrived),
        served,
    };
    environment.append(batch).await?;
    Ok(answer)
}

/// What a model said of each row.
struct Predictions {
    score: Vec<f64>,
    label: Vec<String>,
    /// Row-major; empty for regression.
    probabilities: Vec<f64>,
}

impl Predictions {
    fn new(served: &Served, rows: usize, scores: &[f32]) -> Result<Self> {
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
        let label = wide.chunks_exact(width).map(|row| classes[greatest(row)].clone()).collect();
        Ok(Self {
            score,
            label,
            probabilities: wide,
        })
    }

    fn answer(&self, served: &Served, id: &str, request: &Request) -> Result<Value> {
        let rows = self.score.len();
        let numbers = |values: &[f64]| values.iter().map(|v| json!(v)).collect::<Vec<_>>();
        let mut outputs = vec![output("score", "FP64", &[rows], numbers(&self.score))];
        if !self.label.is_empty() {
            outputs.push(output("label", "BYTES", &[rows], self.label.iter().map(|v| json!(v)).collect()));
            outputs.push(output(
                "probabilities",
                "FP64",
                &[rows, served.version.classes.len()],
                numbers(&self.probabilities),
            ));
        }
        if let Some(wanted) = &request.outputs {
            let names: Vec<String> = outputs.iter().filter_map(|o| o["name"].as_str().map(str::to_owned)).collect();
            if let Some(unknown) = wanted.iter().find(|w| !names.contains(&w.name)) {
                return Err(Error::input(format!(
                    "there is no output `{}`; there are {}",
                    unknown.name,
                    ticked(names.iter())
                )));
            }
            outputs.retain(|o| wanted.iter().any(|w| o["name"] == w.name.as_str()));
        }
        let version = &served.version;
        Ok(json!({
            "model_name": version.model,
            "model_version": version.version.to_string(),
            "id": id,
            "parameters": { "version": version.version, "transform": version.transform_digest },
            "outputs": outputs,
        }))
    }

    /// `_score`, `_label`, and of several classes `_score_<class>`.
    fn logged(self, served: &Served) -> Vec<(String, Values)> {
        let mut columns = vec![("_score".to_owned(), Values::Number(self.score.into_iter().map(Some).collect()))];
        if !self.label.is_empty() {
            columns.push(("_label".to_owned(), Values::Text(self.label.into_iter().map(Some).collect())));
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
                columns.push((format!("_score_{class}"), Values::Number(of_class)));
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
