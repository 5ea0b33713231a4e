//! What Evidently, NannyML and SciPy gave for the same samples. `null` of theirs means "not defined" or a slip of their arithmetic
//! (NannyML's distance of a sample from itself is the root of −1e-17): there ours may be 0 or `None`.
#![allow(
    clippy::unwrap_used,
    reason = "the whole file is a test; clippy takes only the `#[test]` functions for one"
)]

use std::collections::BTreeMap;

use serde_json::Value;
use tidemill_stats::statistic::*;

struct Sample {
    values: Vec<f64>,
    names: Vec<String>,
}

fn sample(file: &Value, name: &Value) -> Sample {
    let sample = &file["samples"][name.as_str().unwrap()];
    let all = |key: &str| sample[key].as_array().cloned().unwrap_or_default();
    let levels = all("levels");
    Sample {
        values: all("values").iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect(),
        names: all("codes")
            .iter()
            .filter_map(|code| Some(levels[code.as_u64()? as usize].as_str()?.to_owned()))
            .collect(),
    }
}

/// Counts of each value of either sample, in the order of the values.
fn counts<T: Ord>(reference: impl IntoIterator<Item = T>, current: impl IntoIterator<Item = T>) -> (Vec<u64>, Vec<u64>) {
    let mut counts: BTreeMap<T, (u64, u64)> = BTreeMap::new();
    for value in reference {
        counts.entry(value).or_default().0 += 1;
    }
    for value in current {
        counts.entry(value).or_default().1 += 1;
    }
    counts.into_values().unzip()
}

/// A statistic of two lists of counts; `None` where a side has no rows.
fn of(statistic: fn(&[f64], &[f64]) -> f64, (reference, current): &(Vec<u64>, Vec<u64>)) -> Option<f64> {
    Some(statistic(&shares(reference)?, &shares(current)?))
}

fn check(case: &str, name: &str, ours: Option<f64>, theirs: &Value) {
    let theirs = match theirs {
        Value::Number(number) => number.as_f64().unwrap(),
        Value::Null | Value::Object(_) => {
            assert!(ours.is_none_or(|v| v == 0.0), "{case} {name}: {ours:?}, theirs is not defined");
            return;
        }
        other => panic!("{case} {name}: {other}"),
    };
    let ours = ours.unwrap_or_else(|| panic!("{case} {name}: none, theirs {theirs}"));
    let close = ours == theirs || (ours - theirs).abs() <= 2e-8 || (ours / theirs - 1.0).abs() < 1e-9;
    assert!(close, "{case} {name}: {ours}, theirs {theirs}");
}

fn numeric(case: &Value, reference: &[f64], current: &[f64]) {
    let id = case["id"].as_str().unwrap();
    // With a bin for each value, the greatest difference of the distribution functions is D.
    let place = |values: &[f64]| -> Vec<i64> {
        let ascending = |v: f64| v.to_bits() as i64 ^ (((v.to_bits() as i64 >> 63) as u64) >> 1) as i64;
        values.iter().filter(|v| v.is_finite()).map(|v| ascending(v + 0.0)).collect()
    };
    let by_value = counts(place(reference), place(current));
    check(id, "D", of(l_infinity_ordered, &by_value), &case["nannyml"]["kolmogorov_smirnov"]);
    if let Some(edges) = case["scipy"]["psi_deciles"]["edges"].as_array() {
        let edges: Vec<f64> = edges.iter().filter_map(Value::as_f64).collect();
        let by_edge = |values: &[f64]| {
            let mut counts = vec![0; edges.len() + 1];
            for value in values.iter().filter(|v| v.is_finite()) {
                counts[edges.partition_point(|edge| edge <= value)] += 1;
            }
            counts
        };
        let deciles = (by_edge(reference), by_edge(current));
        check(id, "psi", of(psi, &deciles), &case["scipy"]["psi_deciles"]["value"]);
    }
}

fn categorical(case: &Value, reference: &[String], current: &[String]) {
    let id = case["id"].as_str().unwrap();
    let (evidently, nannyml) = (&case["evidently"], &case["nannyml"]);
    let counts = counts(reference, current);
    check(id, "jensen-shannon", of(jensen_shannon, &counts), &nannyml["jensen_shannon"]);
    check(id, "hellinger", of(hellinger, &counts), &evidently["hellinger"]["score"]);
    check(id, "l-infinity", of(l_infinity, &counts), &nannyml["l_infinity"]);
    check(id, "kullback-leibler", of(kullback_leibler, &counts), &evidently["kl_div"]["score"]);
    let (n, m) = (counts.0.iter().sum::<u64>(), counts.1.iter().sum::<u64>());
    // At one degree of freedom theirs has Yates's correction.
    if let Some(chi2) = nannyml["chi2"].as_f64().filter(|_| n == m && counts.0.len() > 2) {
        check(id, "chi-square", of(chi_square, &counts), &(chi2 / (n + m) as f64).sqrt().into());
    }
}

#[test]
fn the_tools_agree() {
    for text in [include_str!("oracles/oracle_edge.json"), include_str!("oracles/oracle_n500.json")] {
        let file: Value = serde_json::from_str(text).unwrap();
        for case in file["cases"].as_array().unwrap() {
            let (reference, current) = (sample(&file, &case["reference"]), sample(&file, &case["current"]));
            match case["kind"].as_str() {
                Some("numeric") => numeric(case, &reference.values, &current.values),
                _ => categorical(case, &reference.names, &current.names),
            }
        }
    }
}
