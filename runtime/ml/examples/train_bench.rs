//! Trains on a prepared matrix and prints one JSON object, so that `cargo xtask bench train` can compare with scikit-learn.
//!
//! `train_bench <train> <stop> <test> [<trainer JSON> [<model.onnx>]]`: each file little-endian `f32`, a row = its features (NaN = missing), then
//! the label 0 or 1; the row's length stands first as a `u32`. AUC is over the third file.

use std::{env, fs, process::ExitCode, time::Instant};

use tidemill_core::spec::{Task, Trainer};
use tidemill_ml::{Matrix, onnx, train};

fn main() -> ExitCode {
    match run() {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String, String> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [train_path, stop_path, test_path, rest @ ..] = arguments.as_slice() else {
        return Err("usage: train_bench <train> <stop> <test> [<trainer JSON> [<model.onnx>]]".into());
    };
    let trainer: Trainer = match rest.first() {
        Some(json) => serde_json::from_str(json).map_err(|e| format!("`{json}` is not a trainer: {e}"))?,
        None => Trainer::default(),
    };
    let ((rows, label), (stop, stop_label), (test, test_label)) = (read(train_path)?, read(stop_path)?, read(test_path)?);
    let classes = ["0".to_owned(), "1".to_owned()];
    let started = Instant::now();
    let model = train(&trainer, Task::Binary, &classes, (&rows, &label), (&stop, &stop_label), &|_| ())
        .map_err(|e| e.message)?
        .model;
    let seconds = started.elapsed().as_secs_f64();
    let scores = model.scores(&test);
    let positive: Vec<f64> = scores.chunks_exact(2).map(|pair| f64::from(pair[1])).collect();
    let names: Vec<String> = (0..rows.width).map(|index| format!("f{index}")).collect();
    let file = onnx::export(&model, &names, &classes);
    if let Some(path) = rest.get(1) {
        fs::write(path, &file).map_err(|e| format!("`{path}` cannot be written: {e}"))?;
    }
    Ok(serde_json::json!({
        "auc": auc(&positive, &test_label), "rounds": model.rounds(), "seconds": seconds,
        "rows": rows.rows(), "columns": rows.width, "onnx": tidemill_core::Digest::sha256(&file),
    })
    .to_string())
}

fn read(path: &str) -> Result<(Matrix, Vec<f64>), String> {
    let bytes = fs::read(path).map_err(|e| format!("`{path}` cannot be read: {e}"))?;
    let (head, body) = bytes.split_at_checked(4).ok_or(format!("`{path}` is empty"))?;
    let width = head.iter().rev().fold(0usize, |n, byte| n << 8 | usize::from(*byte));
    let cells: Vec<f32> = body.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    if width < 2 || !cells.len().is_multiple_of(width) {
        return Err(format!("`{path}` does not hold rows of {width} numbers"));
    }
    let label = cells.chunks_exact(width).map(|row| f64::from(row[width - 1])).collect();
    let values = cells.chunks_exact(width).flat_map(|row| &row[..width - 1]).copied().collect();
    Ok((Matrix { values, width: width - 1 }, label))
}

/// By mid-ranks.
fn auc(scores: &[f64], label: &[f64]) -> f64 {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let (mut ranks, mut start) = (0.0, 0);
    while start < order.len() {
        let end = (start..order.len())
            .find(|i| scores[order[*i]] != scores[order[start]])
            .unwrap_or(order.len());
        let middle = (start + end + 1) as f64 / 2.0;
        ranks += middle * order[start..end].iter().filter(|row| label[**row] > 0.5).count() as f64;
        start = end;
    }
    let positives = label.iter().filter(|l| **l > 0.5).count() as f64;
    (ranks - positives * (positives + 1.0) / 2.0) / (positives * (label.len() as f64 - positives))
}
