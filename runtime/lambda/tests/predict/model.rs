//! A small model as the chain leaves one: trained, exported, registered as version 1 and champion.

use serde_json::json;
use tidemill_core::{
    ColumnValues, Digest,
    record::{ModelVersion, Signature},
    spec::{Task, Trainer},
};
use tidemill_host::Store;
use tidemill_ml::{Columns, Matrix, Transform, onnx, train};
use tidemill_nn::{Backend as _, Tract};
use tidemill_scoring::Scorer;

struct Made {
    transform: Transform,
    onnx: Vec<u8>,
}

fn classes() -> Vec<String> {
    ["ok", "late"].map(str::to_owned).to_vec()
}

fn signature() -> Signature {
    serde_json::from_value(json!({
        "inputs": [{ "name": "distance", "type": "number", "nullable": true }, { "name": "carrier", "type": "text", "nullable": false }],
        "context": [{ "name": "at", "type": "timestamp", "nullable": false }],
    }))
    .unwrap()
}

fn columns(distance: Vec<Option<f64>>, carrier: &[&str]) -> Columns {
    let mut columns = Columns::new();
    columns.push("distance", ColumnValues::Number(distance)).unwrap();
    let carrier = carrier.iter().map(|c| Some((*c).to_owned())).collect();
    columns.push("carrier", ColumnValues::Text(carrier)).unwrap();
    columns
}

/// Far flights are late, those of `UA` the more so.
fn make() -> Made {
    let rows = 400;
    let carrier: Vec<&str> = (0..rows).map(|n| if n % 3 == 0 { "UA" } else { "AA" }).collect();
    let distance: Vec<Option<f64>> = (0..rows)
        .map(|n| (n % 11 != 0).then(|| f64::from(n * 37 % rows) / f64::from(rows)))
        .collect();
    let late = |n: usize| distance[n].unwrap_or(0.4) + if carrier[n] == "UA" { 0.2 } else { 0.0 } > 0.6;
    let label: Vec<f64> = (0..rows as usize).map(|n| f64::from(u8::from(late(n)))).collect();
    let data = columns(distance.clone(), &carrier);
    let trainer = Trainer {
        rounds: 20,
        ..Trainer::default()
    };
    let transform = Transform::fit(signature(), &Default::default(), trainer.kind, &data, &label).unwrap();
    let matrix = Matrix {
        values: transform.apply(&data).unwrap(),
        width: transform.width(),
    };
    let trained = train(
        &trainer,
        Task::Binary,
        &classes(),
        (&matrix, &label),
        (&Matrix::default(), &[]),
        &|_| (),
    )
    .unwrap();
    Made {
        onnx: onnx::export(&trained.model, &transform.names(), &classes()),
        transform,
    }
}

/// Probabilities of `late` by the reference.
pub(crate) fn scores(distance: &[Option<f64>], carrier: &[&str]) -> Vec<f32> {
    let made = make();
    let graph = Tract.load("model.onnx", &made.onnx).unwrap();
    let scorer = Scorer::new("model.onnx", made.transform, graph, Task::Binary, classes());
    let predictions = scorer.score(&columns(distance.to_vec(), carrier)).unwrap();
    predictions.scores().map(|score| score as f32).collect()
}

/// Puts the model and its records where `register` and the stages before it would.
pub(crate) async fn register(store: &Store) {
    let made = make();
    let transform = made.transform.to_json().unwrap();
    let version = ModelVersion {
        model: "late".into(),
        version: 1,
        as_of: tidemill_core::time::parse_time("2013-04-01").unwrap(),
        task: Task::Binary,
        onnx: "candidates/late/run/model.onnx".into(),
        onnx_digest: Digest::sha256(&made.onnx),
        transform: "features/late/run/transform.json".into(),
        transform_digest: Digest::sha256(&transform),
        profile: "features/late/run/profile.json".into(),
        signature: signature(),
        classes: classes(),
        metrics: Default::default(),
        evaluation: "evaluations/late/run/evaluation.json".into(),
        request: "requests/late/2013-03-01T00-00-00Z.json".into(),
    };
    let alias = json!({ "model": "late", "alias": "champion", "version": 1, "onnx-digest": version.onnx_digest, "moves": 0, "as-of": version.as_of });
    for (key, bytes) in [
        (version.onnx.clone(), made.onnx),
        (version.transform.clone(), transform),
        ("models/late/versions/1.json".to_owned(), serde_json::to_vec(&version).unwrap()),
        ("models/late/aliases/champion.json".to_owned(), alias.to_string().into_bytes()),
    ] {
        store.create(&key, bytes.into()).await.unwrap();
    }
}
