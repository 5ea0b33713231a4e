//! The check of an imported model: training, evaluation and serving run it by the pure Rust engine, so it is run here once. Each message
//! says how to export the model again, because this is where its author can still do so.

use tidemill_core::{Error, Result, spec::Task};
use tidemill_nn::{Backend as _, ElementType, ModelMetadata, Tensor, TensorInfo, Tract};

/// The input that a model must have.
const INPUT: &str = "features";
/// The output that a model must have.
const OUTPUT: &str = "scores";
/// Rows of the trial run: more than one, because that is what a model exported for one row cannot take.
const TRIAL_ROWS: usize = 2;

/// Checks that a file is a model that training, evaluation and serving can use for `task`. `name` is what messages call it.
pub(crate) fn check_model(name: &str, bytes: &[u8], task: Task) -> Result<()> {
    let declared = ModelMetadata::read(name, bytes)?;
    declared.check_operators(name)?;
    let (input, scores) = require_ports(name, &declared)?;
    let columns = check_input(name, input)?;
    if let Some(kind) = scores.kind.filter(|kind| *kind != "float32") {
        return Err(wrong_scores_type(name, kind));
    }
    check_scores(name, task, &run_on_zeros(name, bytes, columns)?)
}

/// The input and the scores; a model must have exactly these names.
fn require_ports<'a>(name: &str, declared: &'a ModelMetadata) -> Result<(&'a TensorInfo, &'a TensorInfo)> {
    if let ([input], [scores, ..]) = (&declared.inputs[..], &declared.outputs[..])
        && (input.name.as_str(), scores.name.as_str()) == (INPUT, OUTPUT)
    {
        return Ok((input, scores));
    }
    let describe = |port: &TensorInfo| format!("`{}` ({})", port.name, port.kind.unwrap_or("of no declared type"));
    let list = |ports: &[TensorInfo]| match ports {
        [] => "nothing".to_owned(),
        _ => ports.iter().map(describe).collect::<Vec<_>>().join(", "),
    };
    Err(Error::input(format!(
        "`{name}` takes {} and gives {}; it must take `{INPUT}` alone (float32, rows × columns, in the order of the signature) and give \
         `{OUTPUT}` first (float32, rows × classes, or rows × 1 for regression): rename them as `export.py` of the template `onnx` does",
        list(&declared.inputs),
        list(&declared.outputs)
    )))
}

/// Checks the input and returns its number of columns.
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
            "`{name}` takes exactly {rows} rows a request, and must take any number: export it with a first dimension that is free, \
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

/// Runs the model on rows of zeros, because its outputs may have another shape than the file declares.
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
    scores.ok_or_else(|| Error::bug(format!("`{name}` declares the output `{OUTPUT}` and returned none")))
}

/// Checks the scores as serving checks every prediction.
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
        // The data has the number of classes: `evaluate` compares it.
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
        let message = |task: Task, shape: &[usize]| {
            let scores = Tensor::from_f32(shape.to_vec(), &vec![0.5; shape.iter().product()]).unwrap();
            check_scores("m.onnx", task, &scores).err().map(|error| error.message)
        };
        assert_eq!(message(Task::Regression, &[2, 1]), None);
        assert_eq!(message(Task::Regression, &[2]), None);
        assert_eq!(message(Task::Binary, &[2, 2]), None);
        assert_eq!(message(Task::Multiclass, &[2, 3]), None);
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
            let message = message(task, shape).unwrap_or_default();
            assert!(
                message.contains("`m.onnx`") && message.contains(part),
                "{task:?} {shape:?}: {message}"
            );
        }
    }
}
