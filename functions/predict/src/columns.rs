//! Conversion of named tensors to columns, checked against the signature. Values may be nested or flat; a missing value is `null` (or NaN
//! as text, because JSON has no NaN).

use tidemill_core::{
    ColumnValues, Error, Result,
    record::{Signature, SignatureColumn},
    spec::ColumnType,
    text::quoted_list,
    time::parse_time,
};
use tidemill_ml::Columns;

use crate::{
    models::datatype,
    protocol::{InferRequest, InputTensor, Scalar, TensorData},
};

/// Maximum number of rows in a request.
pub const MAX_ROWS: usize = 100_000;

/// The rows of a request, in the signature's order.
#[derive(Debug, PartialEq)]
pub struct Rows {
    /// Number of rows; every column has as many values.
    pub count: usize,
    /// The columns that are logged with the predictions.
    pub context: Vec<(String, ColumnValues)>,
    /// The inputs of the transform.
    pub features: Columns,
}

impl InferRequest<'_> {
    /// Returns the rows, checked against the signature. Takes the tensors out of the request.
    pub fn rows(&mut self, signature: &Signature) -> Result<Rows> {
        let mut inputs = Inputs::new(std::mem::take(&mut self.inputs));
        // An input that the model does not know is reported before any other problem.
        inputs.rows(signature).map_err(|error| inputs.unknown(signature).unwrap_or(error))
    }
}

/// The tensors of a request, each taken once.
struct Inputs<'a> {
    inputs: Vec<Option<InputTensor<'a>>>,
    /// The position after the last tensor taken: most requests come in the signature's order.
    next: usize,
}

impl<'a> Inputs<'a> {
    fn new(inputs: Vec<InputTensor<'a>>) -> Self {
        let inputs = inputs.into_iter().map(Some).collect();
        Self { inputs, next: 0 }
    }

    fn rows(&mut self, signature: &Signature) -> Result<Rows> {
        let count = self.count()?;
        let mut features = Columns::new();
        for column in &signature.inputs {
            let missing = || Error::input(format!("the input `{}` is missing; {}", column.name, list(signature)));
            let input = self.take(&column.name).ok_or_else(missing)?;
            features.push(column.name.clone(), input.into_values(column, column.nullable, count)?)?;
        }
        let mut context = Vec::new();
        for column in &signature.context {
            if let Some(input) = self.take(&column.name) {
                // The labels are joined by this column, and its value may be unknown.
                context.push((column.name.clone(), input.into_values(column, true, count)?));
            }
        }
        match self.left().next() {
            Some(twice) => Err(Error::input(format!("the input `{}` comes twice", twice.name))),
            None => Ok(Rows { count, context, features }),
        }
    }

    fn count(&self) -> Result<usize> {
        let mut first: Option<(&str, i64)> = None;
        for input in self.left() {
            let rows = input.rows()?;
            let (name, count) = *first.get_or_insert((&input.name, rows));
            if rows != count {
                return Err(Error::input(format!(
                    "the input `{}` has {rows} rows where `{name}` has {count}: all inputs of a request have the same",
                    input.name
                )));
            }
        }
        match first {
            Some((_, rows)) if (1..=MAX_ROWS as i64).contains(&rows) => Ok(rows as usize),
            Some((_, rows)) => Err(Error::input(format!("a request has 1 to {MAX_ROWS} rows, not {rows}"))),
            None => Err(Error::input("`inputs` is empty: send one named tensor a column")),
        }
    }

    fn take(&mut self, name: &str) -> Option<InputTensor<'a>> {
        let named = |input: &Option<InputTensor<'_>>| input.as_ref().is_some_and(|input| input.name == name);
        let at = match self.inputs.get(self.next).is_some_and(named) {
            true => self.next,
            false => self.inputs.iter().position(named)?,
        };
        self.next = at + 1;
        self.inputs[at].take()
    }

    /// The tensors that were not taken.
    fn left(&self) -> impl Iterator<Item = &InputTensor<'a>> {
        self.inputs.iter().flatten()
    }

    /// The error for a tensor that was not taken because the signature has no such name.
    fn unknown(&self, signature: &Signature) -> Option<Error> {
        let known = |name: &str| signature.inputs.iter().chain(&signature.context).any(|c| c.name == name);
        let unknown = self.left().find(|input| !known(&input.name))?;
        Some(Error::input(format!("there is no input `{}`; {}", unknown.name, list(signature))))
    }
}

impl InputTensor<'_> {
    fn rows(&self) -> Result<i64> {
        match self.shape.as_slice() {
            [n] | [n, 1] if *n >= 0 => Ok(*n),
            other => Err(Error::input(format!(
                "the input `{}` has the shape {other:?}; a column is `[n]` or `[n, 1]`",
                self.name
            ))),
        }
    }

    fn into_values(self, column: &SignatureColumn, nullable: bool, count: usize) -> Result<ColumnValues> {
        let allowed = allowed(column.kind);
        if !allowed.contains(&self.datatype.as_ref()) {
            return Err(Error::input(format!(
                "the input `{}` is of type `{}`; it takes {}",
                self.name,
                self.datatype,
                quoted_list(allowed)
            )));
        }
        let TensorData(flat) = self.data;
        if flat.len() != count {
            return Err(Error::input(format!(
                "the input `{}` has {} values in `data` where its shape says {count}",
                self.name,
                flat.len()
            )));
        }
        if let Some(range) = range(&self.datatype) {
            within(&self.name, &self.datatype, &flat, range)?;
        }
        match column.kind {
            ColumnType::Number => each(flat, column, nullable, |v| v.number()).map(ColumnValues::Number),
            ColumnType::Integer => each(flat, column, nullable, |v| v.integer()).map(ColumnValues::Integer),
            ColumnType::Boolean => each(flat, column, nullable, |v| v.boolean()).map(ColumnValues::Boolean),
            ColumnType::Text => each(flat, column, nullable, |v| v.text().map(str::to_owned)).map(ColumnValues::Text),
            ColumnType::Timestamp => {
                each(flat, column, nullable, |v| parse_time(v.text()?).ok().map(|t| t.as_microsecond())).map(ColumnValues::Timestamp)
            }
        }
    }
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

/// The least and greatest value of a datatype that is narrower than its column; `None` for all others, which are checked as the column.
fn range(datatype: &str) -> Option<(i64, u64)> {
    Some(match datatype {
        "INT8" => (i8::MIN.into(), i8::MAX as u64),
        "INT16" => (i16::MIN.into(), i16::MAX as u64),
        "INT32" => (i32::MIN.into(), i32::MAX as u64),
        "UINT8" => (0, u8::MAX.into()),
        "UINT16" => (0, u16::MAX.into()),
        "UINT32" => (0, u32::MAX.into()),
        "UINT64" => (0, u64::MAX),
        _ => return None,
    })
}

/// Refuses numbers outside their datatype; [`each`] refuses values that are not numbers.
fn within(name: &str, datatype: &str, flat: &[Scalar], (least, greatest): (i64, u64)) -> Result<()> {
    let fits = |value: &Scalar| match value {
        Scalar::Integer(v) => *v >= least && u64::try_from(*v).map_or(true, |v| v <= greatest),
        Scalar::Large(v) => *v <= greatest,
        Scalar::Number(v) => (least as f64..=greatest as f64).contains(v),
        _ => true,
    };
    match flat.iter().position(|value| !fits(value)) {
        Some(row) => Err(Error::input(format!(
            "the input `{name}` holds `{}` in row {row}, which no `{datatype}` can be: it takes {least} to {greatest}",
            shown(&flat[row])
        ))),
        None => Ok(()),
    }
}

fn each<T>(flat: Vec<Scalar>, column: &SignatureColumn, nullable: bool, read: impl Fn(&Scalar) -> Option<T>) -> Result<Vec<Option<T>>> {
    let one = |(row, value): (usize, Scalar)| {
        let nan = |text: &str| column.kind == ColumnType::Number && text.eq_ignore_ascii_case("nan");
        if value == Scalar::Missing || value.text().is_some_and(nan) {
            return match nullable {
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

/// The expected value, for a message.
fn wanted(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Number => "a finite number (FP64)",
        ColumnType::Integer => "a whole number from -2^63 to 2^63 - 1 (INT64)",
        ColumnType::Boolean => "`true` or `false` (BOOL)",
        ColumnType::Text => "a text (BYTES)",
        ColumnType::Timestamp => "a time as RFC 3339, such as `2013-05-01T12:00:00Z` (BYTES)",
    }
}

/// A value for a message, truncated if it is long.
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
