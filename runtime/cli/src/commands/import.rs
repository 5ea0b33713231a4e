//! `tidemill models import`: a model that was trained elsewhere into the store, under its own digest. It is judged, registered and served
//! once `tidemill.toml` names that digest; what the file must look like is checked here, where a person can still mend it.

use std::path::Path;

use serde::Serialize;
use tidemill_core::{
    Digest, Error, PutResult, Result,
    spec::{Task, Trainer},
};
use tidemill_host::{
    Store,
    nn::{Backend as _, ElementType, ModelMetadata, Tensor, TensorInfo, Tract},
};

use crate::{
    commands::suggest,
    project::{Project, read_error},
};

/// What a model must take and give, and what people call it elsewhere.
const INPUT: &str = "features";
const OUTPUT: &str = "scores";

/// Rows that it is tried with: more than one, for that is what a model exported for one row cannot take.
const TRIAL_ROWS: usize = 2;

/// A model in the store.
#[derive(Serialize)]
pub(crate) struct Imported {
    key: String,
    digest: Digest,
    new: bool,
    /// Whether `tidemill.toml` names it already.
    named: bool,
}

impl Imported {
    pub(crate) fn render_text(&self, model: &str) -> String {
        let there = if self.new {
            "is in the store now"
        } else {
            "was in the store already"
        };
        let next = match self.named {
            true => "`tidemill.toml` names it: the next training takes it".to_owned(),
            false => format!(
                "write into `tidemill.toml`:\n\n[model.{model}.trainer]\nkind = \"onnx\"\nonnx = \"{}\"",
                self.digest
            ),
        };
        format!("`{}` {there}; {next}", self.key)
    }
}

pub(crate) async fn import(project: &Project, model: &str, file: &Path) -> Result<Imported> {
    let of = suggest::require_model(&project.pipeline, model)?;
    let bytes = std::fs::read(file).map_err(|e| read_error(file, &e))?;
    check_model(&file.display().to_string(), &bytes, of.task)?;
    let digest = Digest::sha256(&bytes);
    let key = Trainer::import_key(model, &digest);
    let store: Store = project.open_store()?;
    let put = store.create(&key, bytes.into()).await?;
    if put == PutResult::Conflict {
        return Err(Error::input(format!(
            "`{key}` holds other bytes than its name says; delete it and import the model again"
        )));
    }
    Ok(Imported {
        key,
        named: of.trainer.onnx.as_ref() == Some(&digest),
        digest,
        new: put == PutResult::Written,
    })
}

/// By the engine that judges it later: what that cannot run, or what serving could not take, is not taken in.
fn check_model(name: &str, bytes: &[u8], task: Task) -> Result<()> {
    let declared = ModelMetadata::read(name, bytes)?;
    declared.check_operators(name)?;
    let (input, scores) = require_ports(name, &declared)?;
    let columns = check_input(name, input)?;
    if let Some(kind) = scores.kind.filter(|kind| *kind != "float32") {
        return Err(wrong_scores_type(name, kind));
    }
    check_scores(name, task, &run_on_zeros(name, bytes, columns)?)
}

/// Its input and its scores.
fn require_ports<'a>(name: &str, declared: &'a ModelMetadata) -> Result<(&'a TensorInfo, &'a TensorInfo)> {
    if let ([input], [scores, ..]) = (&declared.inputs[..], &declared.outputs[..])
        && (input.name.as_str(), scores.name.as_str()) == (INPUT, OUTPUT)
    {
        return Ok((input, scores));
    }
    let one = |port: &TensorInfo| format!("`{}` ({})", port.name, port.kind.unwrap_or("of no type that is said"));
    let listed = |ports: &[TensorInfo]| match ports {
        [] => "nothing".to_owned(),
        _ => ports.iter().map(one).collect::<Vec<_>>().join(", "),
    };
    Err(Error::input(format!(
        "`{name}` takes {} and gives {}; it must take `{INPUT}` alone (float32, rows × columns, in the order of the signature) and give \
         `{OUTPUT}` first (float32, rows × classes, or rows × 1 for regression): rename them as `export.py` of the template `onnx` does",
        listed(&declared.inputs),
        listed(&declared.outputs)
    )))
}

/// How many columns it takes.
fn check_input(name: &str, input: &TensorInfo) -> Result<usize> {
    let columns = input.shape.get(1).copied().flatten().filter(|columns| *columns > 0);
    if let Some(kind) = input.kind.filter(|kind| *kind != "float32") {
        let columns = columns.map_or_else(|| "n".to_owned(), |columns| columns.to_string());
        return Err(Error::input(format!(
            "`{name}` takes `{INPUT}` as {kind}, and features come as float32: export it with \
             `initial_types=[(\"{INPUT}\", FloatTensorType([None, {columns}]))]` (skl2onnx), or cast inside the model"
        )));
    }
    if let Some(Some(rows)) = input.shape.first() {
        return Err(Error::input(format!(
            "`{name}` takes exactly {rows} rows at once, and must take any number: export it with a first dimension that is free, \
             `FloatTensorType([None, n])` (skl2onnx) or `dynamic_axes={{\"{INPUT}\": {{0: \"rows\"}}, \"{OUTPUT}\": {{0: \"rows\"}}}}` (PyTorch)"
        )));
    }
    match columns {
        Some(columns) if input.shape.len() == 2 => Ok(columns),
        _ => Err(Error::input(format!(
            "`{name}` does not say how many columns `{INPUT}` has (its shape is {}): export it with the shape rows × columns, the first \
             free, the second a number, `FloatTensorType([None, n])` (skl2onnx)",
            render_shape(&input.shape)
        ))),
    }
}

fn render_shape(lengths: &[Option<usize>]) -> String {
    if lengths.is_empty() {
        return "not given".to_owned();
    }
    let lengths: Vec<String> = lengths
        .iter()
        .map(|length| length.map_or_else(|| "any".to_owned(), |length| length.to_string()))
        .collect();
    format!("[{}]", lengths.join(", "))
}

/// What it says of rows of zeros: a file may promise another shape than it gives.
fn run_on_zeros(name: &str, bytes: &[u8], columns: usize) -> Result<Tensor> {
    let graph = Tract.load(name, bytes)?;
    let zeros = Tensor::from_f32(vec![TRIAL_ROWS, columns], &vec![0.0; TRIAL_ROWS * columns])?;
    let outputs = graph.compute(vec![(INPUT.to_owned(), zeros)]).map_err(|error| {
        Error::input(format!(
            "{}; it was tried with {TRIAL_ROWS} rows of {columns} zeros: if it was exported for one row at a time, export it with a first \
             dimension that is free",
            error.message
        ))
    })?;
    let scores = outputs.into_iter().next().map(|(_, scores)| scores);
    scores.ok_or_else(|| Error::bug(format!("`{name}` has the output `{OUTPUT}` and answered nothing")))
}

/// What serving demands of every answer.
fn check_scores(name: &str, task: Task, scores: &Tensor) -> Result<()> {
    if scores.kind != ElementType::F32 {
        return Err(wrong_scores_type(name, &format!("{:?}", scores.kind).to_lowercase()));
    }
    let Some((&TRIAL_ROWS, each)) = scores.shape.split_first() else {
        return Err(Error::input(format!(
            "`{name}` answers {TRIAL_ROWS} rows with scores of shape {:?}, which must be rows × classes (rows × 1 for regression): export it \
             with a first dimension that is free",
            scores.shape
        )));
    };
    let width: usize = each.iter().product();
    let (task, fits, due) = match task {
        Task::Regression => ("regression", width == 1, "1"),
        Task::Binary => (
            "binary",
            width == 2,
            "2, the probabilities of both classes, the positive one's last",
        ),
        // How many classes there are is in the data; the holdout will tell.
        Task::Multiclass => ("multiclass", width >= 2, "the probabilities of all classes"),
    };
    if fits {
        return Ok(());
    }
    Err(Error::input(format!(
        "`{name}` gives {width} numbers a row, and the task `{task}` needs {due}: export the model so that `{OUTPUT}` has them, or correct \
         `task` in `tidemill.toml`"
    )))
}

fn wrong_scores_type(name: &str, kind: &str) -> Error {
    Error::input(format!(
        "`{name}` gives `{OUTPUT}` as {kind}, which must be float32: give this name to the output of the probabilities, not to the labels \
         (`adapt(model, \"probabilities\")` in `export.py`; of a regression \"variable\"), and cast doubles to float32 inside the model"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scores_must_fit_the_task() {
        let said = |task: Task, shape: &[usize]| {
            let scores = Tensor::from_f32(shape.to_vec(), &vec![0.5; shape.iter().product()]).unwrap();
            check_scores("m.onnx", task, &scores).err().map(|error| error.message)
        };
        assert_eq!(said(Task::Regression, &[2, 1]), None);
        assert_eq!(said(Task::Regression, &[2]), None);
        assert_eq!(said(Task::Binary, &[2, 2]), None);
        assert_eq!(said(Task::Multiclass, &[2, 3]), None);
        let cases: [(Task, &[usize], &str); 5] = [
            (
                Task::Regression,
                &[2, 2][..],
                "gives 2 numbers a row, and the task `regression` needs 1",
            ),
            (Task::Binary, &[2, 1], "gives 1 numbers a row, and the task `binary` needs 2"),
            (Task::Binary, &[2, 3], "gives 3 numbers a row"),
            (Task::Multiclass, &[2, 1], "all classes"),
            (Task::Binary, &[1, 2], "first dimension that is free"),
        ];
        for (task, shape, part) in cases {
            let said = said(task, shape).unwrap_or_default();
            assert!(said.contains("`m.onnx`") && said.contains(part), "{task:?} {shape:?}: {said}");
        }
    }
}
