//! The protocol's JSON: named tensors to columns and back. Values may be nested or flat; a missing value is `null`
//! (or NaN, as text, since JSON has none).

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize, de::IgnoredAny};
use tidemill_core::{
    Digest, Error, Result,
    record::{Signature, SignatureColumn},
    spec::ColumnType,
    time::parse_time,
};
use tidemill_ml::{Columns, Values};

use crate::{
    data::{Data, Scalar},
    models::{datatype, ticked},
};

/// Rows in one request at most.
const MOST_ROWS: usize = 100_000;

/// `POST …/infer`.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `inputs`")]
pub struct Request<'a> {
    /// Echoed; names the predictions in the log.
    #[serde(default)]
    pub id: Option<String>,
    /// Ignored, but an object.
    #[serde(default)]
    pub parameters: BTreeMap<String, IgnoredAny>,
    /// One a column.
    #[serde(borrow)]
    pub inputs: Vec<Input<'a>>,
    /// Which outputs to send; all if left out.
    #[serde(default)]
    pub outputs: Option<Vec<Requested>>,
}

/// A tensor that was sent.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `name`, `shape`, `datatype` and `data`")]
pub struct Input<'a> {
    /// A column of the signature: a feature or context.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// `[rows]` or `[rows, 1]`.
    pub shape: Vec<i64>,
    /// `FP64`, `INT64`, `BOOL`, `BYTES` and the like, as far as the column takes it.
    #[serde(borrow)]
    pub datatype: Cow<'a, str>,
    /// The values.
    #[serde(borrow)]
    pub data: Data<'a>,
}

/// An output that was asked for.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `name`")]
pub struct Requested {
    /// One of the outputs that the model's metadata names.
    pub name: String,
}

/// The rows of a request, in the signature's order.
#[derive(Debug, PartialEq)]
pub struct Rows {
    /// Rows; every column has as many values.
    pub count: usize,
    /// What is logged beside the predictions.
    pub context: Vec<(String, Values)>,
    /// What the transform takes.
    pub features: Columns,
}

impl<'a> Request<'a> {
    /// Reads the body; `Input` says what is wrong with the JSON.
    pub fn parse(body: &'a [u8]) -> Result<Self> {
        let request: Self = serde_json::from_slice(body).map_err(|e| unreadable(body, &e))?;
        match &request.id {
            Some(id) if id.is_empty() || id.len() > 200 || id.chars().any(char::is_control) => {
                Err(Error::input("`id` must be 1 to 200 printable characters, or be left out"))
            }
            _ => Ok(request),
        }
    }

    /// The rows, checked against the signature.
    pub fn rows(&mut self, signature: &Signature) -> Result<Rows> {
        let known = |name: &str| signature.inputs.iter().chain(&signature.context).any(|c| c.name == name);
        if let Some(unknown) = self.inputs.iter().find(|input| !known(&input.name)) {
            return Err(Error::input(format!("there is no input `{}`; {}", unknown.name, list(signature))));
        }
        let count = self.count()?;
        let mut features = Columns::new();
        for column in &signature.inputs {
            let values = self.take(column, count)?;
            let values = values.ok_or_else(|| Error::input(format!("the input `{}` is missing; {}", column.name, list(signature))))?;
            features.push(column.name.clone(), values)?;
        }
        let mut context = Vec::new();
        for column in &signature.context {
            // The truth is joined by it, and it may be unknown.
            let column = SignatureColumn {
                nullable: true,
                ..column.clone()
            };
            if let Some(values) = self.take(&column, count)? {
                context.push((column.name.clone(), values));
            }
        }
        if let Some(twice) = self.inputs.first() {
            return Err(Error::input(format!("the input `{}` comes twice", twice.name)));
        }
        Ok(Rows { count, context, features })
    }

    fn count(&self) -> Result<usize> {
        let mut count = None;
        for input in &self.inputs {
            let rows = input.rows()?;
            if *count.get_or_insert(rows) != rows {
                return Err(Error::input(format!(
                    "the input `{}` has {rows} rows where `{}` has {}: all inputs of a request have the same",
                    input.name,
                    self.inputs[0].name,
                    count.unwrap_or_default()
                )));
            }
        }
        match count {
            Some(rows) if (1..=MOST_ROWS as i64).contains(&rows) => Ok(rows as usize),
            Some(rows) => Err(Error::input(format!("a request has 1 to {MOST_ROWS} rows, not {rows}"))),
            None => Err(Error::input("`inputs` is empty: send one named tensor a column")),
        }
    }

    fn take(&mut self, column: &SignatureColumn, count: usize) -> Result<Option<Values>> {
        let Some(at) = self.inputs.iter().position(|input| input.name == column.name) else {
            return Ok(None);
        };
        self.inputs.remove(at).into_values(column, count).map(Some)
    }
}

impl Input<'_> {
    fn rows(&self) -> Result<i64> {
        match self.shape.as_slice() {
            [n] | [n, 1] if *n >= 0 => Ok(*n),
            other => Err(Error::input(format!(
                "the input `{}` has the shape {other:?}; a column is `[n]` or `[n, 1]`",
                self.name
            ))),
        }
    }

    fn into_values(self, column: &SignatureColumn, count: usize) -> Result<Values> {
        let allowed = allowed(column.kind);
        if !allowed.contains(&self.datatype.as_ref()) {
            return Err(Error::input(format!(
                "the input `{}` is of type `{}`; it takes {}",
                self.name,
                self.datatype,
                ticked(allowed.iter())
            )));
        }
        let Data(flat) = self.data;
        if flat.len() != count {
            return Err(Error::input(format!(
                "the input `{}` has {} values in `data` where its shape says {count}",
                self.name,
                flat.len()
            )));
        }
        match column.kind {
            ColumnType::Number => each(flat, column, |v| v.number()).map(Values::Number),
            ColumnType::Integer => each(flat, column, |v| v.integer()).map(Values::Integer),
            ColumnType::Boolean => each(flat, column, |v| v.boolean()).map(Values::Boolean),
            ColumnType::Text => each(flat, column, |v| v.text().map(str::to_owned)).map(Values::Text),
            ColumnType::Timestamp => each(flat, column, |v| parse_time(v.text()?).ok().map(|t| t.as_microsecond())).map(Values::Timestamp),
        }
    }
}

fn unreadable(body: &[u8], error: &serde_json::Error) -> Error {
    let shape = "send `{\"inputs\": [{\"name\", \"shape\", \"datatype\", \"data\"}]}`";
    if body.iter().all(u8::is_ascii_whitespace) {
        return Error::input(format!("the body is empty; {shape}"));
    }
    let what = if error.is_data() { "no inference request" } else { "not JSON" };
    let advice = match next_word(body, error) {
        // What Python's `json` writes.
        Some(word @ ("NaN" | "Infinity" | "-Infinity")) => format!("JSON has no `{word}`: send `null` for a missing value"),
        _ => shape.to_owned(),
    };
    Error::input(format!("the body is {what}: {error}; {advice}"))
}

/// The word at which reading stopped.
fn next_word<'a>(body: &'a [u8], error: &serde_json::Error) -> Option<&'a str> {
    let line = body.split(|b| *b == b'\n').nth(error.line().checked_sub(1)?)?;
    let at = error.column().checked_sub(1)?.min(line.len());
    let word = |b: &u8| b.is_ascii_alphabetic() || *b == b'-';
    let from = line[..at].iter().rposition(|b| !word(b)).map_or(0, |before| before + 1);
    let until = line[at..].iter().position(|b| !word(b)).map_or(line.len(), |after| at + after);
    std::str::from_utf8(&line[from..until]).ok()
}

fn allowed(kind: ColumnType) -> &'static [&'static str] {
    match kind {
        ColumnType::Number => &[
            "FP64", "FP32", "FP16", "INT64", "INT32", "INT16", "INT8", "UINT32", "UINT16", "UINT8",
        ],
        ColumnType::Integer => &["INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8"],
        ColumnType::Boolean => &["BOOL"],
        ColumnType::Text | ColumnType::Timestamp => &["BYTES"],
    }
}

fn each<T>(flat: Vec<Scalar>, column: &SignatureColumn, read: impl Fn(&Scalar) -> Option<T>) -> Result<Vec<Option<T>>> {
    let one = |(row, value): (usize, Scalar)| {
        let nan = |text: &str| column.kind == ColumnType::Number && text.eq_ignore_ascii_case("nan");
        if value == Scalar::Missing || value.text().is_some_and(nan) {
            return match column.nullable {
                true => Ok(None),
                false => Err(Error::input(format!(
                    "the input `{}` is `{value}` in row {row}, and it may not be missing: send {}",
                    column.name,
                    wanted(column.kind)
                ))),
            };
        }
        let wrong = || {
            Error::input(format!(
                "the input `{}` holds `{}` in row {row}, which is not {}",
                column.name,
                shown(&value),
                wanted(column.kind)
            ))
        };
        read(&value).map(Some).ok_or_else(wrong)
    };
    flat.into_iter().enumerate().map(one).collect()
}

/// What a value must be, for a message.
fn wanted(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Number => "a finite number (FP64)",
        ColumnType::Integer => "a whole number from -2^63 to 2^63 - 1 (INT64)",
        ColumnType::Boolean => "`true` or `false` (BOOL)",
        ColumnType::Text => "a text (BYTES)",
        ColumnType::Timestamp => "a time as RFC 3339, such as `2013-05-01T12:00:00Z` (BYTES)",
    }
}

/// A value in a message, cut if it is long.
fn shown(value: &Scalar) -> String {
    let text = value.to_string();
    match text.char_indices().nth(100) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

fn list(signature: &Signature) -> String {
    let describe = |c: &SignatureColumn| format!("`{}` {}{}", c.name, datatype(c.kind), if c.nullable { "?" } else { "" });
    let inputs: Vec<String> = signature.inputs.iter().map(describe).collect();
    let context: Vec<String> = signature.context.iter().map(describe).collect();
    format!("the model takes {}, and may be given {}", inputs.join(", "), context.join(", "))
}

/// What answers a [`Request`].
#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    /// The model that predicted.
    pub model_name: &'a str,
    /// Its version's number.
    pub model_version: String,
    /// The request's, or one that was made.
    pub id: &'a str,
    /// Where the prediction comes from.
    pub parameters: Provenance<'a>,
    /// In the metadata's order.
    pub outputs: Vec<Output<'a>>,
}

/// What it takes to make the prediction again.
#[derive(Debug, Serialize)]
pub struct Provenance<'a> {
    /// The version's number.
    pub version: u32,
    /// SHA-256 of the fitted transform.
    pub transform: &'a Digest,
}

/// A tensor that is sent.
#[derive(Debug, Serialize)]
pub struct Output<'a> {
    /// `score`, `label` or `probabilities`.
    pub name: &'static str,
    /// `FP64` or `BYTES`.
    pub datatype: &'static str,
    /// `[rows]` or `[rows, classes]`.
    pub shape: Vec<usize>,
    /// Row by row.
    pub data: Sent<'a>,
}

/// The values of an [`Output`].
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Sent<'a> {
    /// `FP64`; JSON has no NaN, so that is `null`.
    Numbers(&'a [f64]),
    /// `BYTES`.
    Texts(&'a [&'a str]),
}
