//! The stage's own work: text in, numbers out.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

/// The object that the stage writes.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Lines that hold an object.
    pub rows: usize,
    /// By name.
    pub fields: BTreeMap<String, Field>,
}

/// One field over all rows.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Field {
    /// Rows in which it has a value.
    pub there: usize,
    /// `None` where a value is not a number.
    #[serde(flatten)]
    pub numbers: Option<Numbers>,
}

/// Numbers of a field whose values are all numbers.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Numbers {
    /// The least.
    pub least: f64,
    /// The greatest.
    pub greatest: f64,
    /// Their sum over their count.
    pub mean: f64,
}

/// The summary, and a message for each line that is no JSON object.
pub fn summarise(text: &str, ignore: &[String]) -> (Summary, Vec<String>) {
    let (mut rows, mut wrong) = (0, Vec::new());
    let mut values = BTreeMap::<String, Vec<Value>>::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let Ok(row) = serde_json::from_str::<Map<String, Value>>(line) else {
            let shown: String = line.chars().take(40).collect();
            wrong.push(format!("line {} is no JSON object: `{shown}`", index + 1));
            continue;
        };
        rows += 1;
        for (name, value) in row.into_iter().filter(|(name, value)| !value.is_null() && !ignore.contains(name)) {
            values.entry(name).or_default().push(value);
        }
    }
    let field = |values: Vec<Value>| Field {
        there: values.len(),
        numbers: numbers(&values),
    };
    let fields = values.into_iter().map(|(name, values)| (name, field(values))).collect();
    (Summary { rows, fields }, wrong)
}

fn numbers(values: &[Value]) -> Option<Numbers> {
    let values = values.iter().map(Value::as_f64).collect::<Option<Vec<_>>>()?;
    Some(Numbers {
        least: values.iter().copied().fold(f64::INFINITY, f64::min),
        greatest: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        mean: values.iter().sum::<f64>() / values.len() as f64,
    })
}
