//! What Evidently, NannyML and SciPy gave for the same samples. `null` of theirs means "not defined" or a slip of their arithmetic
//! (NannyML's distance of a sample from itself is the root of −1e-17): there ours may be 0 or `None`.
#![allow(
    clippy::unwrap_used,
    reason = "the whole file is a test; clippy takes only the `#[test]` functions for one"
)]

use serde_json::Value;
use tidemill_stats::*;

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

/// Codes in the order of the names of both samples' levels, as the tools see them: a level's own number means another in the other sample.
fn codes(reference: &Sample, current: &Sample) -> (Vec<i64>, Vec<i64>) {
    let names: std::collections::BTreeSet<&String> = reference.names.iter().chain(&current.names).collect();
    let code = |name: &String| names.iter().position(|n| *n == name).unwrap() as i64;
    (reference.names.iter().map(code).collect(), current.names.iter().map(code).collect())
}

fn check(case: &str, name: &str, ours: Option<f64>, theirs: &Value) {
    let theirs = match theirs {
        Value::Number(number) => number.as_f64().unwrap(),
        Value::String(text) if text == "inf" => f64::INFINITY,
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
    let (e, n, s) = (&case["evidently"], &case["nannyml"], &case["scipy"]);
    let test = kolmogorov_smirnov(reference, current);
    check(id, "ks", test.map(|t| t.p_value), &e["ks"]["score"]);
    check(id, "D", test.map(|t| t.statistic), &n["kolmogorov_smirnov"]);
    check(id, "psi", psi_pooled(reference, current), &e["psi"]["score"]);
    if s.get("psi_deciles").is_some() {
        check(id, "deciles", psi_deciles(reference, current), &s["psi_deciles"]["value"]);
    }
    check(id, "wasserstein", wasserstein(reference, current), &n["wasserstein"]);
    check(id, "normed", wasserstein_normed(reference, current), &e["wasserstein"]["score"]);
    check(id, "js", jensen_shannon_pooled(reference, current), &e["jensenshannon"]["score"]);
    check(id, "js2", jensen_shannon_doane(reference, current), &n["jensen_shannon"]);
    check(id, "hellinger", hellinger_sturges(reference, current), &e["hellinger"]["score"]);
    check(id, "hellinger2", hellinger_doane(reference, current), &n["hellinger"]);
    check(id, "kl", kullback_leibler_pooled(reference, current), &e["kl_div"]["score"]);
    if let Some(bins) = n["doane_bins"]["n_bins"].as_u64() {
        assert_eq!(Bins::doane(reference).unwrap().count() as u64, bins, "{id}");
    }
    let (a, b) = value_counts(reference, current);
    let rows = a.iter().sum::<u64>() as usize;
    assert_eq!(evidently_default(true, rows, a.len()), e["default_method"], "{id}");
    if a.len() <= 5 && e["report_default"]["value"].is_number() {
        let (n, m) = (a.iter().sum(), b.iter().sum());
        let by_default = match evidently_default(true, rows, a.len()) {
            "z" => two_proportion_z_test(n - a[0], n, m - b[0], m),
            _ => chi_square_fit(&a, &b).map(|t| t.p_value),
        };
        check(id, "default", by_default, &e["report_default"]["value"]);
    }
}

fn categorical(case: &Value, reference: &[i64], current: &[i64]) {
    let id = case["id"].as_str().unwrap();
    let (e, n) = (&case["evidently"], &case["nannyml"]);
    let (a, b) = category_counts(reference, current);
    check(id, "fit", chi_square_fit(&a, &b).map(|t| t.p_value), &e["chisquare"]["score"]);
    let table = chi_square_contingency(&a, &b);
    check(id, "table", table.map(|t| t.statistic), &n["chi2"]);
    check(id, "table p", table.map(|t| t.p_value), &n["chi2_p"]);
    let (rows, now) = (a.iter().sum(), b.iter().sum());
    check(id, "z", two_proportion_z_test(rows - a[0], rows, now - b[0], now), &e["z"]["score"]);
    check(id, "psi", psi(&a, &b), &e["psi"]["score"]);
    check(id, "js", jensen_shannon_natural(&a, &b), &e["jensenshannon"]["score"]);
    check(id, "js2", jensen_shannon_binary(&a, &b), &n["jensen_shannon"]);
    check(id, "hellinger", hellinger(&a, &b), &e["hellinger"]["score"]);
    check(id, "l-infinity", l_infinity(&a, &b), &n["l_infinity"]);
    check(id, "kl", kullback_leibler(&a, &b), &e["kl_div"]["score"]);
    assert_eq!(evidently_default(false, reference.len(), a.len()), e["default_method"], "{id}");
}

#[test]
fn the_tools_agree() {
    for text in [include_str!("oracles/oracle_edge.json"), include_str!("oracles/oracle_n500.json")] {
        let file: Value = serde_json::from_str(text).unwrap();
        for case in file["cases"].as_array().unwrap() {
            let (reference, current) = (sample(&file, &case["reference"]), sample(&file, &case["current"]));
            match case["kind"].as_str() {
                Some("numeric") => numeric(case, &reference.values, &current.values),
                _ => {
                    let (a, b) = codes(&reference, &current);
                    categorical(case, &a, &b);
                }
            }
        }
    }
}
