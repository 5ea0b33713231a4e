//! The JSON of the protocol: requests and their tensors, and responses.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use tidemill_core::{Digest, Error, Result};

/// Longest id of a request.
pub const MAX_ID_BYTES: usize = 200;

/// `POST …/infer`.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `inputs`")]
pub struct InferRequest<'a> {
    /// Returned in the response; names the predictions in the log.
    #[serde(default)]
    pub id: Option<String>,
    /// Ignored, but must be an object. Outputs that are requested as binary (`binary_data_output`, or `binary_data` of an output) are sent
    /// as JSON: a response declares its form in its headers, and clients request binary by default.
    #[serde(default)]
    pub parameters: BTreeMap<String, IgnoredAny>,
    /// One tensor per column.
    #[serde(borrow)]
    pub inputs: Vec<InputTensor<'a>>,
    /// The outputs to send; all if omitted.
    #[serde(default)]
    pub outputs: Option<Vec<RequestedOutput>>,
}

/// A tensor in a request.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `name`, `shape`, `datatype` and `data`")]
pub struct InputTensor<'a> {
    /// A column of the signature: a feature or context.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// `[rows]` or `[rows, 1]`.
    pub shape: Vec<i64>,
    /// `FP64`, `INT64`, `BOOL`, `BYTES` or another type that the column accepts.
    #[serde(borrow)]
    pub datatype: Cow<'a, str>,
    /// The values.
    #[serde(borrow)]
    pub data: TensorData<'a>,
}

/// A requested output.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `name`")]
pub struct RequestedOutput {
    /// One of the outputs that the model's metadata names.
    pub name: String,
}

impl<'a> InferRequest<'a> {
    /// Parses the body; the `Input` error describes what is wrong with the JSON.
    pub fn parse(body: &'a [u8]) -> Result<Self> {
        let request: Self = serde_json::from_slice(body).map_err(|e| unreadable(body, &e))?;
        match &request.id {
            Some(id) if id.is_empty() || id.len() > MAX_ID_BYTES || id.chars().any(char::is_control) => Err(Error::input(format!(
                "`id` must be 1 to {MAX_ID_BYTES} bytes of printable text, or be left out"
            ))),
            _ => Ok(request),
        }
    }
}

/// The error for clients of the protocol's binary extension.
pub(crate) fn binary_tensor_error() -> Error {
    Error::input(
        "the body holds binary tensor data (`binary_data_size`), which is not taken here: send the values of each input as JSON, in `data` \
         (in tritonclient: `set_data_from_numpy(values, binary_data=False)`)",
    )
}

/// Whether an input announces binary data, in a body that could not be parsed. The body is searched as text, because bytes that are not
/// JSON may follow the JSON.
fn announces_binary(body: &[u8]) -> bool {
    let name = b"\"binary_data_size\"";
    body.windows(name.len()).any(|window| window == name)
}

fn unreadable(body: &[u8], error: &serde_json::Error) -> Error {
    let shape = "send `{\"inputs\": [{\"name\", \"shape\", \"datatype\", \"data\"}]}`";
    if body.iter().all(u8::is_ascii_whitespace) {
        return Error::input(format!("the body is empty; {shape}"));
    }
    if error.is_data() && announces_binary(body) {
        return binary_tensor_error();
    }
    let what = if error.is_data() { "no inference request" } else { "not JSON" };
    let advice = match next_word(body, error) {
        // Written by Python's `json`.
        Some(word @ ("NaN" | "Infinity" | "-Infinity")) => format!("JSON has no `{word}`: send `null` for a missing value"),
        _ => shape.to_owned(),
    };
    Error::input(format!("the body is {what}: {error}; {advice}"))
}

/// The word at which parsing stopped.
fn next_word<'a>(body: &'a [u8], error: &serde_json::Error) -> Option<&'a str> {
    let line = body.split(|b| *b == b'\n').nth(error.line().checked_sub(1)?)?;
    let at = error.column().checked_sub(1)?.min(line.len());
    let word = |b: &u8| b.is_ascii_alphabetic() || *b == b'-';
    let from = line[..at].iter().rposition(|b| !word(b)).map_or(0, |before| before + 1);
    let until = line[at..].iter().position(|b| !word(b)).map_or(line.len(), |after| at + after);
    std::str::from_utf8(&line[from..until]).ok()
}

/// The values of one tensor, row by row: flat or nested in JSON, parsed once, with texts borrowed from the body where possible.
#[derive(Debug, Default, PartialEq)]
pub struct TensorData<'a>(pub Vec<Scalar<'a>>);

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar<'a> {
    /// `null`.
    Missing,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A whole number beyond 2^63 - 1.
    Large(u64),
    /// A number with a fraction or an exponent.
    Number(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// An object, which is never valid in a tensor; kept for error messages.
    Object(Box<serde_json::Value>),
}

impl Scalar<'_> {
    /// The value as a float, also for whole numbers.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(v) => Some(*v as f64),
            Self::Large(v) => Some(*v as f64),
            Self::Number(v) => Some(*v).filter(|v| v.is_finite()),
            _ => None,
        }
    }

    /// The value as a 64-bit integer; `None` for a number with a fraction.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(v) => Some(*v),
            _ => None,
        }
    }

    /// The value as a boolean.
    pub fn boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(v) => Some(*v),
            _ => None,
        }
    }

    /// The value as text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(v) => Some(v),
            _ => None,
        }
    }
}

/// Formats the value as JSON.
impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = match self {
            Self::Missing => serde_json::Value::Null,
            Self::Boolean(v) => (*v).into(),
            Self::Integer(v) => (*v).into(),
            Self::Large(v) => (*v).into(),
            Self::Number(v) => (*v).into(),
            Self::Text(v) => v.as_ref().into(),
            Self::Object(v) => return v.fmt(f),
        };
        json.fmt(f)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for TensorData<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut values = Vec::new();
        deserializer.deserialize_seq(Values(&mut values))?;
        Ok(Self(values))
    }
}

/// Appends an array's values.
struct Values<'a, 'de>(&'a mut Vec<Scalar<'de>>);

impl<'de> Visitor<'de> for Values<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        while sequence.next_element_seed(Element(self.0))?.is_some() {}
        Ok(())
    }
}

/// Appends the values of one element of an array.
struct Element<'a, 'de>(&'a mut Vec<Scalar<'de>>);

impl<'de> DeserializeSeed<'de> for Element<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.0.push(Scalar::Missing);
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.0.push(Scalar::Boolean(value));
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.0.push(Scalar::Integer(value));
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.0.push(i64::try_from(value).map_or(Scalar::Large(value), Scalar::Integer));
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.0.push(Scalar::Number(value));
        Ok(())
    }

    fn visit_borrowed_str<E: de::Error>(self, value: &'de str) -> Result<(), E> {
        self.0.push(Scalar::Text(Cow::Borrowed(value)));
        Ok(())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        self.0.push(Scalar::Text(Cow::Owned(value.to_owned())));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<(), A::Error> {
        Values(self.0).visit_seq(sequence)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let object = serde_json::Value::deserialize(MapAccessDeserializer::new(map))?;
        self.0.push(Scalar::Object(Box::new(object)));
        Ok(())
    }
}

/// The response to an [`InferRequest`].
#[derive(Debug, Serialize)]
pub struct InferResponse<'a> {
    /// The model that predicted.
    pub model_name: &'a str,
    /// The number of its version.
    pub model_version: String,
    /// The request's id, or a generated one.
    pub id: &'a str,
    /// The origin of the prediction.
    pub parameters: Provenance<'a>,
    /// The outputs, in the metadata's order.
    pub outputs: Vec<OutputTensor<'a>>,
}

/// Everything needed to reproduce the prediction.
#[derive(Debug, Serialize)]
pub struct Provenance<'a> {
    /// The version's number.
    pub version: u32,
    /// SHA-256 of the fitted transform.
    pub transform: &'a Digest,
}

/// A tensor in a response.
#[derive(Debug, Serialize)]
pub struct OutputTensor<'a> {
    /// `score`, `label` or `probabilities`.
    pub name: &'static str,
    /// `FP64` or `BYTES`.
    pub datatype: &'static str,
    /// `[rows]` or `[rows, classes]`.
    pub shape: Vec<usize>,
    /// Row by row.
    pub data: OutputData<'a>,
}

/// The values of an [`OutputTensor`].
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum OutputData<'a> {
    /// `FP64`; NaN becomes `null`, because JSON has no NaN.
    Numbers(&'a [f64]),
    /// `BYTES`.
    Texts(&'a [&'a str]),
}
