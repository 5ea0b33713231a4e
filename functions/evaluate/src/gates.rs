//! Gates: one finding per failed gate. A gate on the champion passes while there is no champion; a gate on an unknown metric fails.

use std::collections::BTreeMap;

use tidemill_core::{
    Finding, Severity,
    gate::{Gate, Metrics},
};

pub(crate) fn check_gates(gates: &[Gate], metrics: &Metrics, champion: Option<&Metrics>, training: &Metrics) -> Vec<Finding> {
    let mut scopes = BTreeMap::from([("training".to_owned(), training.clone())]);
    if let Some(champion) = champion {
        scopes.insert("champion".into(), champion.clone());
    }
    let gates = gates.iter().filter(|gate| champion.is_some() || !gate.needs_champion());
    gates.filter_map(|gate| gate_failure(gate, metrics, &scopes)).collect()
}

fn gate_failure(gate: &Gate, metrics: &Metrics, scopes: &BTreeMap<String, Metrics>) -> Option<Finding> {
    let message = match gate.evaluate(metrics, scopes) {
        Some((true, ..)) => return None,
        Some((false, value, threshold)) => format!("`{}` is {value:.4}, and the gate `{gate}` asks for {threshold:.4}", gate.metric()),
        None => {
            let known: Vec<&str> = metrics.keys().map(String::as_str).collect();
            let known = known.join("`, `");
            format!("the gate `{gate}` names a metric that the evaluation does not have; the holdout has `{known}`")
        }
    };
    Some(Finding {
        check: gate.to_string(),
        target: gate.metric().into(),
        severity: Severity::Error,
        message,
        count: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(auc: f64) -> Metrics {
        BTreeMap::from([("auc".into(), auc)])
    }

    #[test]
    fn only_a_champion_can_fail_a_champion_gate() {
        let gates = [
            Gate::parse("auc >= champion.auc - 0.002").unwrap(),
            Gate::parse("auc >= 0.6").unwrap(),
        ];
        let failed = |auc, champion: Option<f64>| check_gates(&gates, &metrics(auc), champion.map(metrics).as_ref(), &Metrics::new()).len();
        assert_eq!(
            (
                failed(0.7, None),
                failed(0.7, Some(0.701)),
                failed(0.7, Some(0.71)),
                failed(0.5, Some(0.71))
            ),
            (0, 0, 1, 2)
        );
    }

    #[test]
    fn an_unknown_metric_fails_and_is_named() {
        let failed = check_gates(&[Gate::parse("rmse < 3").unwrap()], &metrics(0.7), None, &Metrics::new());
        assert!(
            failed[0].message.contains("`rmse < 3`") && failed[0].message.contains("`auc`"),
            "{}",
            failed[0].message
        );
        assert_eq!(
            check_gates(&[Gate::parse("auc > 0.5").unwrap()], &metrics(f64::NAN), None, &Metrics::new()).len(),
            1
        );
    }
}
