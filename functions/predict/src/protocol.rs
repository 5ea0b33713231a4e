//! The protocol's JSON: what is asked and what is answered.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize, de::IgnoredAny};
use tidemill_core::{Digest, Error, Result};

use crate::tensor_data::TensorData;

/// `POST …/infer`.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `inputs`")]
pub struct InferRequest<'a> {
    /// Echoed; names the predictions in the log.
    #[serde(default)]
    pub id: Option<String>,
    /// Ignored, but an object. Outputs that are asked for as binary (`binary_data_output`, an output's `binary_data`) are sent as JSON:
    /// an answer says by its headers which it is, and clients ask for binary unless told otherwise.
    #[serde(default)]
    pub parameters: BTreeMap<String, IgnoredAny>,
    /// One a column.
    #[serde(borrow)]
    pub inputs: Vec<InputTensor<'a>>,
    /// Which outputs to send; all if left out.
    #[serde(default)]
    pub outputs: Option<Vec<RequestedOutput>>,
}

/// A tensor that was sent.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `name`, `shape`, `datatype` and `data`")]
pub struct InputTensor<'a> {
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
    pub data: TensorData<'a>,
}

/// An output that was asked for.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `name`")]
pub struct RequestedOutput {
    /// One of the outputs that the model's metadata names.
    pub name: String,
}

impl<'a> InferRequest<'a> {
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
}

/// What a client of the protocol's binary extension is told.
pub(crate) fn binary_tensor_error() -> Error {
    Error::input(
        "the body holds binary tensor data (`binary_data_size`), which is not taken here: send the values of each input as JSON, in `data` \
         (in tritonclient: `set_data_from_numpy(values, binary_data=False)`)",
    )
}

/// Whether an input announces binary data. Asked of a body that was not understood; looked for as text, since behind its JSON may stand
/// bytes that are none.
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

/// What answers a [`Request`].
#[derive(Debug, Serialize)]
pub struct InferResponse<'a> {
    /// The model that predicted.
    pub model_name: &'a str,
    /// Its version's number.
    pub model_version: String,
    /// The request's, or one that was made.
    pub id: &'a str,
    /// Where the prediction comes from.
    pub parameters: Provenance<'a>,
    /// In the metadata's order.
    pub outputs: Vec<OutputTensor<'a>>,
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

/// The values of an [`Output`].
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum OutputData<'a> {
    /// `FP64`; JSON has no NaN, so that is `null`.
    Numbers(&'a [f64]),
    /// `BYTES`.
    Texts(&'a [&'a str]),
}
