//! The exported ONNX file scores as the trained model: the trainer's own scores against tract's, for all tasks and trainers, with missing
//! values.
#![cfg(feature = "tract")]
#![allow(
    clippy::unwrap_used,
    reason = "the whole file is a test; clippy takes only the `#[test]` functions for one"
)]

use std::sync::Arc;

use tidemill_core::{
    Result,
    spec::{Task, Trainer, TrainerKind},
};
use tidemill_ml::{Matrix, onnx, train};
use tidemill_nn::{Backend, NativeFirst, Tensor, Tract};

fn scores(backend: &dyn Backend, file: &[u8], values: &[f32], rows: usize) -> Result<Vec<f32>> {
    let features = Tensor::from_f32(vec![rows, values.len() / rows], values)?;
    let outputs = backend.load("m", file)?.compute(vec![("features".into(), features)])?;
    Ok(outputs[0].1.map_elements(f32::from_le_bytes))
}

fn native() -> NativeFirst {
    NativeFirst::new(Arc::new(Tract))
}

/// Deterministic noise in [0, 1).
fn noise(seed: u64) -> f64 {
    let mut x = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) as f64 / 2f64.powi(64)
}

/// Four columns; the second is missing at times, and says more when it is. Labels for each task follow from them.
fn data(rows: usize, seed: u64, missing: bool, task: Task) -> (Matrix, Vec<f64>) {
    let (mut values, mut label) = (Vec::new(), Vec::new());
    for row in 0..rows as u64 {
        let x: Vec<f64> = (0..4).map(|c| noise(seed * 1_000_003 + row * 4 + c) * 2.0 - 1.0).collect();
        let hidden = missing && noise(seed + row * 7) < 0.3;
        let sum = 2.0 * x[0] - x[2] * x[3] + if hidden { 1.5 } else { x[1] } + 0.3 * (noise(row * 13 + seed) - 0.5);
        values.extend([x[0], if hidden { f64::NAN } else { x[1] }, x[2], x[3]].map(|v| v as f32));
        label.push(match task {
            Task::Binary => f64::from(u8::from(sum > 0.2)),
            Task::Multiclass => f64::from(u8::from(sum > -0.5) + u8::from(sum > 0.8)),
            Task::Regression => 1000.0 + 50.0 * sum,
        });
    }
    (Matrix { values, width: 4 }, label)
}

fn names() -> Vec<String> {
    ["a", "b", "c", "d"].map(str::to_owned).to_vec()
}

fn classes(task: Task) -> Vec<String> {
    let count = match task {
        Task::Binary => 2,
        Task::Multiclass => 3,
        Task::Regression => 0,
    };
    (0..count).map(|c| format!("c{c}")).collect()
}

#[test]
fn tract_answers_as_the_trainer() {
    for kind in [TrainerKind::Trees, TrainerKind::Linear] {
        for task in [Task::Binary, Task::Multiclass, Task::Regression] {
            let missing = kind == TrainerKind::Trees;
            let (rows, label) = data(3000, 1, missing, task);
            let (stop, stop_label) = data(500, 2, missing, task);
            let trainer = Trainer {
                kind,
                rounds: 60,
                ..Trainer::default()
            };
            let fit = || {
                train(&trainer, task, &classes(task), (&rows, &label), (&stop, &stop_label), &|_| ())
                    .unwrap()
                    .model
            };
            let model = fit();
            let file = onnx::export(&model, &names(), &classes(task));
            assert_eq!(
                file,
                onnx::export(&fit(), &names(), &classes(task)),
                "the same rows give the same file"
            );
            let (test, test_label) = data(5000, 3, missing, task);
            let own = model.scores(&test);
            let tract = scores(&Tract, &file, &test.values, test.rows()).unwrap();
            assert_eq!(own.len(), tract.len());
            // Read back, it is the model that was written: the same bits.
            assert_eq!(scores(&native(), &file, &test.values, test.rows()).unwrap(), own);
            assert!(onnx::read(&file).is_some(), "{kind:?} {task:?}");
            let mut foreign = file.clone();
            *foreign.last_mut().unwrap() ^= 1;
            assert!(onnx::read(&foreign).is_none(), "{kind:?} {task:?}");
            for (own, tract) in own.iter().zip(&tract) {
                assert!(
                    (own - tract).abs() <= 1e-5 * own.abs().max(1.0),
                    "{kind:?} {task:?}: {own} and {tract}"
                );
            }
            let share = good(task, &own, &test_label);
            assert!(share > if missing { 0.9 } else { 0.75 }, "{kind:?} {task:?}: only {share}");
            if let Ok(folder) = std::env::var("TIDEMILL_PARITY_FILES") {
                let name = format!("{folder}/{kind:?}-{task:?}");
                let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
                std::fs::write(format!("{name}.onnx"), &file).unwrap();
                std::fs::write(format!("{name}.rows"), bytes(&test.values)).unwrap();
                std::fs::write(format!("{name}.scores"), bytes(&own)).unwrap();
            }
        }
    }
}

/// The share of rows that are answered rightly, or R².
fn good(task: Task, scores: &[f32], label: &[f64]) -> f64 {
    if task == Task::Regression {
        let mean = label.iter().sum::<f64>() / label.len() as f64;
        let error: f64 = scores.iter().zip(label).map(|(s, l)| (f64::from(*s) - l).powi(2)).sum();
        return 1.0 - error / label.iter().map(|l| (l - mean).powi(2)).sum::<f64>();
    }
    let count = scores.len() / label.len();
    let greatest = |row: &[f32]| (0..count).max_by(|a, b| row[*a].total_cmp(&row[*b])).expect("a row has scores") as f64;
    let right = scores
        .chunks_exact(count)
        .zip(label)
        .filter(|(row, label)| greatest(row) == **label);
    right.count() as f64 / label.len() as f64
}

#[test]
fn early_stopping_keeps_fewer_rounds_and_class_weights_raise_a_class() {
    let (rows, label) = data(400, 1, true, Task::Binary);
    let (stop, stop_label) = data(300, 2, true, Task::Binary);
    let fit = |trainer: &Trainer| {
        train(
            trainer,
            Task::Binary,
            &classes(Task::Binary),
            (&rows, &label),
            (&stop, &stop_label),
            &|_| (),
        )
        .unwrap()
        .model
    };
    let stopping = Trainer {
        early_stopping: 5,
        ..Trainer::default()
    };
    assert!(fit(&stopping).rounds() < 300);
    let all = Trainer {
        early_stopping: 0,
        rounds: 40,
        ..Trainer::default()
    };
    assert_eq!(fit(&all).rounds(), 40);
    let heavy = Trainer {
        class_weights: [("c1".to_owned(), 10.0)].into(),
        ..all.clone()
    };
    let mean = |trainer: &Trainer| fit(trainer).scores(&stop).chunks_exact(2).map(|s| s[1]).sum::<f32>();
    assert!(mean(&heavy) > mean(&all));
    let wrong = Trainer {
        class_weights: [("late".to_owned(), 10.0)].into(),
        ..all
    };
    let error = train(
        &wrong,
        Task::Binary,
        &classes(Task::Binary),
        (&rows, &label),
        (&stop, &stop_label),
        &|_| (),
    )
    .unwrap_err();
    assert!(error.message.contains("`late`") && error.message.contains("`c1`"), "{error}");
}

#[test]
fn the_stop_slice_is_learned_from_once_it_has_stopped() {
    let fit = |trainer: &Trainer, train_rows: (&Matrix, &[f64]), stop_rows: (&Matrix, &[f64])| {
        train(trainer, Task::Binary, &classes(Task::Binary), train_rows, stop_rows, &|_| ()).unwrap()
    };
    for kind in [TrainerKind::Trees, TrainerKind::Linear] {
        let missing = kind == TrainerKind::Trees;
        let (rows, label) = data(400, 1, missing, Task::Binary);
        let (stop, stop_label) = data(300, 2, missing, Task::Binary);
        let both = Matrix {
            values: [rows.values.clone(), stop.values.clone()].concat(),
            width: 4,
        };
        let both_label = [label.clone(), stop_label.clone()].concat();
        let trainer = Trainer {
            kind,
            early_stopping: 5,
            ..Trainer::default()
        };
        let trained = fit(&trainer, (&rows, &label), (&stop, &stop_label));
        let rounds = Trainer {
            rounds: if kind == TrainerKind::Trees {
                trained.model.rounds()
            } else {
                trainer.rounds
            },
            ..trainer
        };
        let none = Matrix { values: vec![], width: 4 };
        let whole = fit(&rounds, (&both, &both_label), (&none, &[]));
        assert_eq!(trained.model, whole.model);
        let seen = trained.model.mean_loss(&tidemill_ml::Rows::new(&stop, &stop_label, &[]));
        assert!(
            trained.validation_loss > seen && whole.validation_loss.is_nan(),
            "{kind:?}: {} {seen}",
            trained.validation_loss
        );
    }
}

#[test]
fn inputs_of_another_width_are_rejected() {
    let (rows, label) = data(100, 1, false, Task::Binary);
    let constant = Matrix {
        values: vec![1.0; rows.values.len()],
        width: 4,
    };
    let trainer = Trainer {
        rounds: 3,
        ..Trainer::default()
    };
    let model = train(
        &trainer,
        Task::Binary,
        &classes(Task::Binary),
        (&constant, &label),
        (&Matrix::default(), &[]),
        &|_| (),
    )
    .unwrap()
    .model;
    let file = onnx::export(&model, &names(), &classes(Task::Binary));
    let found = scores(&native(), &file, &constant.values, 100).unwrap();
    let share = label.iter().sum::<f64>() / 100.0;
    assert!(
        (f64::from(found[1]) - share).abs() < 1e-4,
        "a constant column teaches the base rate alone"
    );
    let error = scores(&native(), &file, &[1.0, 2.0], 1).unwrap_err();
    assert!(error.message.contains("[rows, 4]"), "{error}");
}
