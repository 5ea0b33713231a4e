//! Fitting a transform, on the training rows alone: with validation or holdout rows, the evaluation would be too optimistic.

use std::collections::BTreeMap;

use tidemill_core::{
    ColumnValues, Error, Result,
    record::Signature,
    spec::{ColumnType, Encoding, Impute, TrainerKind, TransformRule},
};

use super::{Encoder, Output, Step, Transform, category};
use crate::Columns;

/// Maximum number of categories that are one-hot encoded without a rule.
const MAX_ONE_HOT_DEFAULT: usize = 8;
/// Maximum number of columns of a one-hot rule: one for each of the most frequent categories.
const MAX_ONE_HOT_CATEGORIES: usize = 200;
/// Weight of the prior, in rows, in the label's smoothed mean.
const SMOOTHING: f64 = 20.0;

impl Transform {
    /// Fits the steps. `rules` are by column (or by a new name, with `cross`); `label` holds one value per row: 0 or 1, the class's index,
    /// or the number to predict. With a linear trainer every output is imputed and standardised, so that none is NaN.
    pub fn fit(
        signature: Signature,
        rules: &BTreeMap<String, TransformRule>,
        trainer: TrainerKind,
        columns: &Columns,
        label: &[f64],
    ) -> Result<Self> {
        if columns.rows() == 0 || columns.rows() != label.len() {
            let (rows, labels) = (columns.rows(), label.len());
            return Err(Error::input(format!(
                "a transform is fitted on rows with labels, and there are {rows} rows and {labels} labels"
            )));
        }
        let linear = trainer == TrainerKind::Linear;
        let mut steps = Vec::new();
        for input in &signature.inputs {
            let rule = rules.get(&input.name).cloned().unwrap_or_default();
            if !rule.cross.is_empty() {
                return Err(Error::config(format!(
                    "transform `{0}` is a cross, but `{0}` is a column; give the cross a name of its own",
                    input.name
                )));
            }
            steps.push(fit_step(
                &input.name,
                vec![input.name.clone()],
                Some(input.kind),
                &rule,
                linear,
                columns,
                label,
            )?);
        }
        for (name, rule) in rules.iter().filter(|(name, _)| signature.inputs.iter().all(|i| i.name != **name)) {
            let known: Vec<&str> = signature.inputs.iter().map(|i| i.name.as_str()).collect();
            if rule.cross.len() < 2 || rule.cross.iter().any(|c| !known.contains(&c.as_str())) {
                return Err(Error::config(format!(
                    "transform `{name}` names no feature; it must be one of `{}`, or have a `cross` of at least two of them",
                    known.join("`, `")
                )));
            }
            steps.push(fit_step(name, rule.cross.clone(), None, rule, linear, columns, label)?);
        }
        if trainer == TrainerKind::Onnx {
            check_independent_of_rows(&steps, rules)?;
        }
        Ok(Self {
            format: 1,
            signature,
            steps,
        })
    }
}

fn fit_step(
    name: &str,
    inputs: Vec<String>,
    kind: Option<ColumnType>,
    rule: &TransformRule,
    linear: bool,
    columns: &Columns,
    label: &[f64],
) -> Result<Step> {
    let values = inputs.iter().map(|input| columns.require(input)).collect::<Result<Vec<_>>>()?;
    let encoder = fit_encoder(name, kind, rule, linear, &values, label)?;
    let names = output_names(name, &encoder);
    let mut encoded = vec![vec![f64::NAN; label.len()]; names.len()];
    let mut row_values = vec![0.0; names.len()];
    for row in 0..label.len() {
        encoder.encode(&values, row, &mut row_values);
        for (column, value) in encoded.iter_mut().zip(&row_values) {
            column[row] = *value;
        }
    }
    let outputs = names
        .into_iter()
        .zip(encoded)
        .map(|(name, values)| fit_output(name, rule, linear, values))
        .collect();
    Ok(Step { inputs, encoder, outputs })
}

/// Checks that the columns do not depend on the rows of the fit, which a model from elsewhere cannot know.
fn check_independent_of_rows(steps: &[Step], rules: &BTreeMap<String, TransformRule>) -> Result<()> {
    let looks = |step: &&Step| matches!(step.encoder, Encoder::OneHot { .. } | Encoder::Lookup { .. });
    let encoded = steps.iter().filter(looks).flat_map(|step| &step.inputs);
    let measures = |rule: &TransformRule| rule.standardise || matches!(rule.impute, Some(Impute::Mean | Impute::Median));
    let measured = rules.iter().filter(|(_, rule)| measures(rule)).map(|(name, _)| name);
    match encoded.chain(measured).next() {
        None => Ok(()),
        Some(name) => Err(Error::config(format!(
            "the transform of `{name}` would follow from the rows at hand, which a model of kind `onnx` cannot know: let it be a number as \
             it is, take `encoding = \"hash\"`, or leave it out of the features' SQL"
        ))),
    }
}

fn fit_encoder(
    name: &str,
    kind: Option<ColumnType>,
    rule: &TransformRule,
    linear: bool,
    values: &[&ColumnValues],
    label: &[f64],
) -> Result<Encoder> {
    let wrong = |encoding: &str, allowed: &str| {
        let found = kind.map_or("a cross", ColumnType::sql_type);
        Err(Error::config(format!(
            "transform `{name}` has the encoding `{encoding}`, which is for {allowed}, and the column is {found}"
        )))
    };
    let is_text = matches!(kind, None | Some(ColumnType::Text));
    match rule.encoding {
        Some(Encoding::Number) if is_text => wrong("number", "numbers, integers, booleans and timestamps"),
        Some(Encoding::TimeParts) if kind != Some(ColumnType::Timestamp) => wrong("time-parts", "timestamps"),
        Some(Encoding::Number) => Ok(Encoder::Number),
        Some(Encoding::TimeParts) => Ok(Encoder::TimeParts),
        Some(Encoding::OneHot) => Ok(one_hot(&Categories::count(values, label), MAX_ONE_HOT_CATEGORIES)),
        Some(Encoding::Ordinal) => Ok(Categories::count(values, label).ordinal(linear)),
        Some(Encoding::Target) => Ok(Categories::count(values, label).target()),
        Some(Encoding::Hash) => match rule.buckets.unwrap_or(32) {
            buckets @ 1..=4096 => Ok(Encoder::Hash { buckets }),
            other => Err(Error::config(format!(
                "transform `{name}` has `{other}` buckets; it must be 1 to 4096"
            ))),
        },
        None if kind == Some(ColumnType::Timestamp) => Ok(Encoder::TimeParts),
        None if is_text => {
            let categories = Categories::count(values, label);
            match categories.by_name.len() <= MAX_ONE_HOT_DEFAULT {
                true => Ok(one_hot(&categories, MAX_ONE_HOT_DEFAULT)),
                false => Ok(categories.target()),
            }
        }
        None => Ok(Encoder::Number),
    }
}

/// Number of rows and sum of labels, by category.
struct Categories {
    by_name: BTreeMap<String, (u64, f64)>,
    missing: (u64, f64),
    prior: f64,
}

impl Categories {
    fn count(values: &[&ColumnValues], label: &[f64]) -> Self {
        let mut by_name: BTreeMap<String, (u64, f64)> = BTreeMap::new();
        let mut missing = (0, 0.0);
        for (row, label) in label.iter().enumerate() {
            let entry = match category(values, row) {
                Some(category) => match by_name.get_mut(category.as_ref()) {
                    Some(entry) => entry,
                    None => by_name.entry(category.into_owned()).or_default(),
                },
                None => &mut missing,
            };
            entry.0 += 1;
            entry.1 += label;
        }
        let prior = label.iter().sum::<f64>() / label.len().max(1) as f64;
        Self { by_name, missing, prior }
    }

    /// Category names by descending frequency, then by name.
    fn by_frequency(&self) -> Vec<&str> {
        let mut names: Vec<(&String, u64)> = self.by_name.iter().map(|(name, (rows, _))| (name, *rows)).collect();
        names.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        names.into_iter().map(|(name, _)| name.as_str()).collect()
    }

    fn ordinal(&self, linear: bool) -> Encoder {
        let values = self
            .by_frequency()
            .into_iter()
            .enumerate()
            .map(|(rank, name)| (name.to_owned(), rank as f64))
            .collect();
        let other = linear.then_some(-1.0);
        Encoder::Lookup {
            values,
            missing: other,
            unseen: other,
        }
    }

    fn target(&self) -> Encoder {
        let smoothed = |(rows, sum): (u64, f64)| (sum + SMOOTHING * self.prior) / (rows as f64 + SMOOTHING);
        Encoder::Lookup {
            values: self
                .by_name
                .iter()
                .map(|(name, counted)| (name.clone(), smoothed(*counted)))
                .collect(),
            missing: Some(smoothed(self.missing)),
            unseen: Some(self.prior),
        }
    }
}

fn one_hot(categories: &Categories, most: usize) -> Encoder {
    let mut names: Vec<String> = categories.by_frequency().into_iter().take(most).map(str::to_owned).collect();
    names.sort_unstable();
    // A column without any value still gives one output, so that the width is never 0.
    if names.is_empty() {
        names.push(String::new());
    }
    Encoder::OneHot { categories: names }
}

fn output_names(name: &str, encoder: &Encoder) -> Vec<String> {
    match encoder {
        Encoder::Number | Encoder::Lookup { .. } => vec![name.to_owned()],
        Encoder::OneHot { categories } => categories.iter().map(|category| format!("{name}={category}")).collect(),
        Encoder::Hash { buckets } => (0..*buckets).map(|bucket| format!("{name}#{bucket}")).collect(),
        Encoder::TimeParts => ["hour", "minute", "weekday"].map(|part| format!("{name}:{part}")).to_vec(),
    }
}

fn fit_output(name: String, rule: &TransformRule, linear: bool, values: Vec<f64>) -> Output {
    let mut output = Output {
        name,
        log: rule.log,
        impute: None,
        standardise: None,
    };
    let mut known: Vec<f64> = values.iter().map(|v| output.apply_log(*v)).filter(|v| !v.is_nan()).collect();
    let missing = values.len() - known.len();
    output.impute = match rule.impute.or(linear.then_some(Impute::Median)) {
        Some(Impute::Mean) => Some(mean(&known)),
        Some(Impute::Median) => Some(median(&mut known)),
        Some(Impute::Constant(value)) => Some(output.apply_log(value)),
        None => None,
    };
    if rule.standardise || linear {
        known.extend(output.impute.into_iter().flat_map(|value| std::iter::repeat_n(value, missing)));
        let mean = mean(&known);
        let variance = known.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / known.len().max(1) as f64;
        let deviation = if variance > 0.0 { libm::sqrt(variance) } else { 1.0 };
        output.standardise = Some((mean, deviation));
    }
    output
}

fn mean(values: &[f64]) -> f64 {
    match values.len() {
        0 => 0.0,
        n => values.iter().sum::<f64>() / n as f64,
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}
