//! Conditions on metrics, such as `auc >= champion.auc - 0.002`: the gates of a candidate and the causes of a retraining.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Metrics by name: `auc`, `log-loss`, `accuracy`, `rmse`, ….
pub type Metrics = BTreeMap<String, f64>;

/// A condition: `<metric> <operator> <number | scope.metric> [+|- <number>]`, with the operators `<`, `<=`, `>`, `>=` and the scopes
/// `champion`, `training`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Gate {
    metric: String,
    operator: String,
    base: Base,
    offset: f64,
    text: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Base {
    Number(f64),
    ScopedMetric { scope: String, metric: String },
}

const OPERATORS: [&str; 4] = ["<", "<=", ">", ">="];
const SCOPES: [&str; 2] = ["champion", "training"];

impl Gate {
    /// Parses a condition.
    pub fn parse(text: &str) -> Result<Self> {
        let error = |what: String| {
            Error::config(format!(
                "`{text}` is not a condition: {what}; write `<metric> <operator> <number>` or `<metric> <operator> champion.<metric> - <number>`, operators {}",
                OPERATORS.join(" ")
            ))
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let (metric, operator, base, rest) = match words.as_slice() {
            [metric, operator, base, rest @ ..] => (*metric, *operator, *base, rest),
            _ => return Err(error("it has too few words".into())),
        };
        if !OPERATORS.contains(&operator) {
            return Err(error(format!("`{operator}` is no operator")));
        }
        let number = |word: &str| word.parse::<f64>().ok().filter(|n| n.is_finite());
        let base = match (number(base), base.split_once('.')) {
            (Some(number), _) => Base::Number(number),
            (None, Some((scope, metric))) if SCOPES.contains(&scope) => Base::ScopedMetric {
                scope: scope.into(),
                metric: metric.into(),
            },
            _ => {
                return Err(error(format!(
                    "`{base}` is neither a number nor one of {}.<metric>",
                    SCOPES.join(".<metric>, ")
                )));
            }
        };
        let offset = match rest {
            [] => 0.0,
            ["+", by] => number(by).ok_or_else(|| error(format!("`{by}` is not a number")))?,
            ["-", by] => -number(by).ok_or_else(|| error(format!("`{by}` is not a number")))?,
            _ => return Err(error(format!("`{}` follows", rest.join(" ")))),
        };
        Ok(Self {
            metric: metric.into(),
            operator: operator.into(),
            base,
            offset,
            text: text.into(),
        })
    }

    /// The metric that the condition tests.
    pub fn metric(&self) -> &str {
        &self.metric
    }

    /// Whether the condition refers to a metric of the champion.
    pub fn needs_champion(&self) -> bool {
        matches!(&self.base, Base::ScopedMetric { scope, .. } if scope == "champion")
    }

    /// `Some((holds, value, threshold))`, or `None` if a metric is missing or is not a number.
    pub fn evaluate(&self, metrics: &Metrics, scopes: &BTreeMap<String, Metrics>) -> Option<(bool, f64, f64)> {
        let value = *metrics.get(&self.metric)?;
        let base = match &self.base {
            Base::Number(number) => *number,
            Base::ScopedMetric { scope, metric } => *scopes.get(scope)?.get(metric)?,
        };
        let threshold = base + self.offset;
        if value.is_nan() || threshold.is_nan() {
            return None;
        }
        let holds = match self.operator.as_str() {
            "<" => value < threshold,
            "<=" => value <= threshold,
            ">" => value > threshold,
            _ => value >= threshold,
        };
        Some((holds, value, threshold))
    }
}

impl TryFrom<String> for Gate {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<Gate> for String {
    fn from(gate: Gate) -> String {
        gate.text
    }
}

impl std::fmt::Display for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(auc: f64) -> Metrics {
        BTreeMap::from([("auc".into(), auc)])
    }

    #[test]
    fn compares_with_the_champion() {
        let gate = Gate::parse("auc >= champion.auc - 0.002").unwrap();
        let scopes = BTreeMap::from([("champion".to_owned(), metrics(0.75))]);
        assert_eq!(gate.evaluate(&metrics(0.749), &scopes).map(|g| g.0), Some(true));
        assert_eq!(gate.evaluate(&metrics(0.747), &scopes).map(|g| g.0), Some(false));
        assert_eq!(gate.evaluate(&metrics(0.747), &BTreeMap::new()), None);
        assert_eq!(gate.evaluate(&metrics(f64::NAN), &scopes), None);
    }

    #[test]
    fn wrong_conditions_teach() {
        for (text, part) in [
            ("auc", "too few"),
            ("auc = 1", "`=`"),
            ("auc > best.auc", "`best.auc`"),
            ("auc > 1 * 2", "`* 2`"),
            ("auc > nan", "`nan`"),
        ] {
            let error = Gate::parse(text).unwrap_err();
            assert!(error.message.contains(part), "{error}");
        }
    }
}
