//! The transform: known numbers, what is missing or unseen, and error texts.

use std::collections::BTreeMap;

use tidemill_core::{
    ColumnValues,
    record::{Signature, SignatureColumn},
    spec::{Encoding, Impute, TrainerKind, TransformRule},
};
use tidemill_ml::{Columns, Transform};

fn text(values: &[&str]) -> ColumnValues {
    ColumnValues::Text(values.iter().map(|v| (!v.is_empty()).then(|| (*v).to_owned())).collect())
}

fn columns(named: Vec<(&str, ColumnValues)>) -> Columns {
    let mut columns = Columns::new();
    for (name, values) in named {
        columns.push(name, values).expect(name);
    }
    columns
}

fn signature(of: &Columns) -> Signature {
    let input = |(name, values): (&str, &ColumnValues)| SignatureColumn {
        name: name.into(),
        kind: values.column_type(),
        nullable: true,
    };
    Signature {
        inputs: of.iter().map(input).collect(),
        context: vec![],
    }
}

fn fit(of: &Columns, rules: &[(&str, TransformRule)], trainer: TrainerKind, label: &[f64]) -> tidemill_core::Result<Transform> {
    let rules: BTreeMap<String, TransformRule> = rules.iter().map(|(name, rule)| ((*name).to_owned(), rule.clone())).collect();
    Transform::fit(signature(of), &rules, trainer, of, label)
}

fn encoded(encoding: Encoding) -> TransformRule {
    TransformRule {
        encoding: Some(encoding),
        ..TransformRule::default()
    }
}

/// Like `assert_eq`, with NaN equal to itself.
fn same(found: &[f32], wanted: &[f32]) {
    let equal = found.len() == wanted.len()
        && found
            .iter()
            .zip(wanted)
            .all(|(a, b)| (a - b).abs() < 1e-6 || a.is_nan() && b.is_nan());
    assert!(equal, "{found:?} is not {wanted:?}");
}

#[test]
fn categories_that_the_fit_did_not_see() {
    let seen = columns(vec![("c", text(&["b", "a", "b", "b"]))]);
    let label = [1.0, 0.0, 1.0, 0.0];
    let asked = columns(vec![("c", text(&["a", "b", "z", ""]))]);
    let of = |encoding| {
        fit(&seen, &[("c", encoded(encoding))], TrainerKind::Trees, &label)
            .unwrap()
            .apply(&asked)
            .unwrap()
    };
    let nan = f32::NAN;
    same(&of(Encoding::OneHot), &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    same(&of(Encoding::Ordinal), &[1.0, 0.0, nan, nan]);
    // (sum + 20 · 0.5) / (rows + 20)
    same(&of(Encoding::Target), &[10.0 / 21.0, 12.0 / 23.0, 0.5, 0.5]);
    let hashed = of(Encoding::Hash);
    let ones = |row: &[f32]| row.iter().filter(|x| **x == 1.0).count();
    assert_eq!(hashed.chunks(32).map(ones).collect::<Vec<_>>(), [1, 1, 1, 0]);
}

#[test]
fn times_become_parts() {
    // 2013-05-01T12:34:56Z, a Wednesday; and one second before 1970, a Wednesday.
    let times = columns(vec![(
        "t",
        ColumnValues::Timestamp(vec![Some(1_367_411_696_000_000), Some(-1_000_000), None]),
    )]);
    let transform = fit(&times, &[], TrainerKind::Trees, &[0.0, 1.0, 1.0]).unwrap();
    assert_eq!(transform.names(), ["t:hour", "t:minute", "t:weekday"]);
    let nan = f32::NAN;
    same(
        &transform.apply(&times).unwrap(),
        &[12.0, 34.0, 2.0, 23.0, 59.0, 2.0, nan, nan, nan],
    );
}

#[test]
fn numbers_are_imputed_logged_and_standardised_in_this_order() {
    let numbers = columns(vec![(
        "x",
        ColumnValues::Number(vec![Some(0.0), Some(3.0), None, Some(f64::NAN), Some(-1.0)]),
    )]);
    let label = [0.0; 5];
    let of = |rule: TransformRule, trainer| fit(&numbers, &[("x", rule)], trainer, &label).unwrap().apply(&numbers).unwrap();
    let rule = TransformRule::default();
    same(&of(rule.clone(), TrainerKind::Trees), &[0.0, 3.0, f32::NAN, f32::NAN, -1.0]);
    let constant = TransformRule {
        impute: Some(Impute::Constant(1.0)),
        log: true,
        ..rule.clone()
    };
    same(
        &of(constant, TrainerKind::Trees),
        &[0.0, 4f32.ln(), 2f32.ln(), 2f32.ln(), 2f32.ln()],
    );
    let linear = of(rule, TrainerKind::Linear);
    let (mean, square) = (linear.iter().sum::<f32>(), linear.iter().map(|x| x * x).sum::<f32>());
    assert!(mean.abs() < 1e-5 && (square / 5.0 - 1.0).abs() < 1e-5, "{linear:?}");
}

#[test]
fn a_constant_and_an_empty_column_stay_finite_for_a_linear_trainer() {
    let odd = columns(vec![
        ("same", ColumnValues::Integer(vec![Some(7); 3])),
        ("none", ColumnValues::Number(vec![None; 3])),
        ("void", text(&["", "", ""])),
    ]);
    let matrix = fit(&odd, &[], TrainerKind::Linear, &[0.0, 1.0, 1.0]).unwrap().apply(&odd).unwrap();
    assert!(matrix.len() == 9 && matrix.iter().all(|x| *x == 0.0), "{matrix:?}");
}

#[test]
fn a_cross_joins_its_columns_and_json_keeps_every_bit() {
    let two = columns(vec![
        ("a", text(&["x", "y", "x", ""])),
        ("b", ColumnValues::Integer(vec![Some(1), Some(1), Some(2), Some(2)])),
    ]);
    let rule = TransformRule {
        cross: vec!["a".into(), "b".into()],
        ..encoded(Encoding::OneHot)
    };
    let transform = fit(&two, &[("ab", rule)], TrainerKind::Trees, &[0.1, 0.2, 0.3, 1.0 / 3.0]).unwrap();
    assert_eq!(transform.names(), ["a=x", "a=y", "b", "ab=x × 1", "ab=x × 2", "ab=y × 1"]);
    same(&transform.apply(&two).unwrap()[18..], &[0.0, 0.0, 2.0, 0.0, 0.0, 0.0]);
    let json = transform.to_json().unwrap();
    let again = Transform::from_json(&json).unwrap();
    assert_eq!((again.to_json().unwrap(), again.width()), (json, 6));
}

#[test]
fn wrong_rules_and_wrong_columns_teach() {
    let data = columns(vec![("c", text(&["a", "b"])), ("x", ColumnValues::Number(vec![Some(1.0), None]))]);
    let label = [0.0, 1.0];
    let message = |rules: &[(&str, TransformRule)]| fit(&data, rules, TrainerKind::Trees, &label).unwrap_err().message;
    assert!(message(&[("c", encoded(Encoding::Number))]).contains("`c`"));
    assert!(message(&[("x", encoded(Encoding::TimeParts))]).contains("timestamps"));
    assert!(message(&[("carrier", TransformRule::default())]).contains("`carrier` names no feature"));
    let zero = TransformRule {
        buckets: Some(0),
        ..encoded(Encoding::Hash)
    };
    assert!(message(&[("c", zero)]).contains("`0` buckets"));
    let foreign = |rules: &[(&str, TransformRule)]| fit(&data, rules, TrainerKind::Onnx, &label).map_err(|e| e.message);
    let measured = TransformRule {
        standardise: true,
        ..TransformRule::default()
    };
    for (rules, name) in [(vec![], "`c`"), (vec![("c", encoded(Encoding::Hash)), ("x", measured)], "`x`")] {
        let said = foreign(&rules).unwrap_err();
        assert!(said.contains(name) && said.contains("a model of kind `onnx` cannot know"), "{said}");
    }
    assert_eq!(foreign(&[("c", encoded(Encoding::Hash))]).unwrap().width(), 33);
    let transform = fit(&data, &[], TrainerKind::Trees, &label).unwrap();
    let missing = transform.apply(&columns(vec![("c", text(&["a"]))])).unwrap_err().message;
    assert!(missing.contains("`x` is missing"), "{missing}");
    let wrong = transform
        .apply(&columns(vec![
            ("c", ColumnValues::Boolean(vec![None])),
            ("x", ColumnValues::Number(vec![None])),
        ]))
        .unwrap_err()
        .message;
    assert!(wrong.contains("`BOOLEAN`") && wrong.contains("`VARCHAR`"), "{wrong}");
    assert!(
        transform
            .apply(&columns(vec![("c", text(&[])), ("x", ColumnValues::Integer(vec![]))]))
            .unwrap()
            .is_empty()
    );
    assert!(
        Transform::from_json(br#"{"format":2,"signature":{"inputs":[],"context":[]},"steps":[]}"#)
            .unwrap_err()
            .message
            .contains("`2`")
    );
}
