//! `predict` over a store, a model and a log in memory.

use std::{borrow::Cow, cell::RefCell, collections::BTreeMap, sync::Arc};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tidemill_core::{Digest, Error, Result};
use tidemill_nn::{Graph, Tensor};
use tidemill_predictions::Record;

use crate::{
    PredictHost, Server,
    protocol::{InferRequest, Scalar, TensorData},
};

#[derive(Default)]
struct Memory {
    objects: BTreeMap<String, Vec<u8>>,
    appended: RefCell<Vec<Record>>,
}

impl PredictHost for Memory {
    async fn get_object(&self, key: &str) -> Result<Vec<u8>> {
        self.objects.get(key).cloned().ok_or_else(|| Error::not_found(key))
    }
    async fn list_keys(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>> {
        let keys = self
            .objects
            .keys()
            .filter(|k| k.starts_with(prefix) && after.is_none_or(|a| k.as_str() > a));
        Ok(keys.take(1000).cloned().collect())
    }
    async fn load_graph(&self, _onnx: &str, _digest: &Digest) -> Result<Arc<dyn Graph>> {
        Ok(Arc::new(Constant))
    }
    async fn append(&self, record: Record) -> Result<()> {
        self.appended.borrow_mut().push(record);
        Ok(())
    }
    fn now_us(&self) -> u64 {
        0
    }
    fn unique_id(&self) -> String {
        "made".into()
    }
}

/// The same two scores for each row.
struct Constant;

impl Graph for Constant {
    fn compute(&self, inputs: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>> {
        let rows = inputs[0].1.shape[0];
        let scores = Tensor::from_f32(vec![rows, 2], &[0.25, 0.75].repeat(rows))?;
        Ok(vec![("scores".to_owned(), scores)])
    }
}

fn ask(memory: &Server<Memory>, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (status, json) = runtime.block_on(crate::router::handle(
        memory,
        &method,
        path,
        &http::HeaderMap::new(),
        body.to_string().as_bytes(),
    ));
    (status, serde_json::from_str(&json).unwrap())
}

fn signature() -> tidemill_core::record::Signature {
    serde_json::from_value(json!({
        "inputs": [
            { "name": "distance", "type": "number", "nullable": true },
            { "name": "carrier", "type": "text", "nullable": false },
        ],
        "context": [{ "name": "at", "type": "timestamp", "nullable": false }],
    }))
    .unwrap()
}

fn rows(inputs: Value) -> Result<crate::columns::Rows> {
    InferRequest::parse(json!({ "inputs": inputs }).to_string().as_bytes())?.rows(&signature())
}

#[test]
fn missing_values_and_shapes() {
    let rows = rows(json!([
        { "name": "carrier", "shape": [3, 1], "datatype": "BYTES", "data": [["UA"], ["AA"], ["never seen"]] },
        { "name": "distance", "shape": [3], "datatype": "FP64", "data": [1.5, null, "NaN"] },
        { "name": "at", "shape": [3], "datatype": "BYTES", "data": ["2013-05-01T00:00:00Z", "2013-05-01", null] },
    ]))
    .unwrap();
    assert_eq!(rows.count, 3);
    assert_eq!(
        *rows.features.require("distance").unwrap(),
        tidemill_core::ColumnValues::Number(vec![Some(1.5), None, None])
    );
    assert_eq!(rows.context[0].0, "at");
}

#[test]
fn bad_requests_say_what_is_wrong() {
    let carrier = json!({ "name": "carrier", "shape": [1], "datatype": "BYTES", "data": ["UA"] });
    let distance = |shape: Value, kind: &str, data: Value| json!({ "name": "distance", "shape": shape, "datatype": kind, "data": data });
    let cases = [
        (json!([]), "`inputs` is empty"),
        (json!([carrier]), "`distance` is missing"),
        (
            json!([{ "name": "dist", "shape": [1], "datatype": "FP64", "data": [1] }]),
            "the model takes `distance` FP64?, `carrier` BYTES, and may be given `at` BYTES",
        ),
        (
            json!([{ "name": "input", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4] }]),
            "there is no input `input`; the model takes",
        ),
        (
            json!([carrier, distance(json!([1]), "FP64", json!(["x"])), { "name": "dist", "shape": [1], "datatype": "FP64", "data": [1] }]),
            "there is no input `dist`",
        ),
        (
            json!([carrier, distance(json!([1]), "BYTES", json!(["x"]))]),
            "of type `BYTES`; it takes `FP64`",
        ),
        (
            json!([carrier, distance(json!([1]), "FP64", json!(["x"]))]),
            "holds `\"x\"` in row 0",
        ),
        (
            json!([carrier, distance(json!([1]), "FP64", json!([1, 2]))]),
            "2 values in `data` where its shape says 1",
        ),
        (json!([carrier, distance(json!([1, 2]), "FP64", json!([1, 2]))]), "the shape [1, 2]"),
        (
            json!([carrier, distance(json!([2]), "FP64", json!([1, 2]))]),
            "all inputs of a request have the same",
        ),
        (json!([carrier, carrier, distance(json!([1]), "FP64", json!([1]))]), "comes twice"),
        (
            json!([{ "name": "carrier", "shape": [1], "datatype": "BYTES", "data": [null] }, distance(json!([1]), "FP64", json!([1]))]),
            "may not be missing",
        ),
    ];
    for (inputs, expected) in cases {
        let error = rows(inputs).unwrap_err();
        assert!(error.message.contains(expected), "{error} should say {expected}");
    }
    assert!(
        InferRequest::parse(b"{\"inputs\": [")
            .unwrap_err()
            .message
            .contains("the body is not JSON")
    );
}

#[test]
fn numbers_outside_their_datatype_are_refused() {
    let signature: tidemill_core::record::Signature = serde_json::from_value(json!({
        "inputs": [{ "name": "x", "type": "number", "nullable": true }],
        "context": [{ "name": "n", "type": "integer", "nullable": false }],
    }))
    .unwrap();
    let read = |name: &str, kind: &str, value: Value| {
        let mut inputs = vec![json!({ "name": name, "shape": [2], "datatype": kind, "data": [null, value] })];
        if name != "x" {
            inputs.push(json!({ "name": "x", "shape": [2], "datatype": "FP64", "data": [1, 2] }));
        }
        let body = json!({ "inputs": inputs }).to_string();
        InferRequest::parse(body.as_bytes())
            .unwrap()
            .rows(&signature)
            .map_err(|error| error.message)
    };
    for (name, kind, value) in [
        ("x", "UINT8", json!(255)),
        ("x", "UINT8", json!(1.5)),
        ("x", "UINT8", json!("NaN")),
        ("x", "INT8", json!(-128)),
        ("x", "INT64", json!(i64::MIN)),
        ("x", "FP32", json!(1e300)),
        ("n", "UINT64", json!(i64::MAX)),
        ("n", "UINT32", json!(u32::MAX)),
    ] {
        read(name, kind, value.clone()).unwrap_or_else(|error| panic!("{kind} {value}: {error}"));
    }
    for (name, kind, value, takes) in [
        (
            "x",
            "UINT8",
            json!(300),
            "`300` in row 1, which no `UINT8` can be: it takes 0 to 255",
        ),
        ("x", "UINT8", json!(255.5), "`255.5` in row 1"),
        ("x", "INT8", json!(-129), "it takes -128 to 127"),
        ("x", "INT16", json!(1e6), "it takes -32768 to 32767"),
        ("x", "UINT16", json!(u64::MAX), "it takes 0 to 65535"),
        ("n", "INT32", json!(2_147_483_648_u32), "it takes -2147483648 to 2147483647"),
        ("n", "UINT32", json!(-1), "it takes 0 to 4294967295"),
        ("n", "UINT64", json!(-1), "it takes 0 to 18446744073709551615"),
        ("n", "UINT64", json!(u64::MAX), "2^63 - 1"),
    ] {
        let error = read(name, kind, value.clone()).unwrap_err();
        assert!(
            error.contains(&format!("`{name}`")) && error.contains(takes),
            "{kind} {value}: {error}"
        );
    }
}

#[test]
fn binary_tensors_are_refused_and_binary_answers_are_json() {
    let input = json!({ "name": "carrier", "shape": [1], "datatype": "BYTES", "parameters": { "binary_data_size": 6 } });
    let json = json!({ "inputs": [input] }).to_string();
    let body = [json.as_bytes(), b"\x02\x00\x00\x00\xff\xfe"].concat();
    assert!(InferRequest::parse(&body).unwrap_err().message.contains("binary_data=False"));
    // The header decides, before the body is parsed or a model is loaded.
    let mut headers = http::HeaderMap::new();
    headers.insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert("inference-header-content-length", json.len().into());
    let answer = |headers: &http::HeaderMap, body: &[u8]| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(crate::router::handle(
            &Server::new(Memory::default()),
            &Method::POST,
            "/v2/models/late/infer",
            headers,
            body,
        ))
    };
    let (status, said) = answer(&headers, &body);
    assert!(
        status == StatusCode::BAD_REQUEST && said.contains("send the values of each input as JSON"),
        "{said}"
    );
    // A header that says "all of it is JSON": no values are there.
    let (status, said) = answer(&headers, json.as_bytes());
    assert!(status == StatusCode::BAD_REQUEST && said.contains("binary_data=False"), "{said}");
    headers.insert(http::header::CONTENT_ENCODING, http::HeaderValue::from_static("gzip"));
    assert_eq!(answer(&headers, &body).0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let (name, value) = crate::explaining_header(StatusCode::UNSUPPORTED_MEDIA_TYPE, "/v2/models/late/infer", &headers).unwrap();
    assert_eq!(
        (name, value),
        (http::header::ACCEPT_ENCODING, http::HeaderValue::from_static("identity"))
    );
    let asked = json!({ "inputs": [], "parameters": { "binary_data_output": true },
                        "outputs": [{ "name": "score", "parameters": { "binary_data": true } }] });
    assert!(InferRequest::parse(asked.to_string().as_bytes()).is_ok());
}

#[test]
fn what_a_page_can_send_unasked_is_not_read() {
    let status = |headers: &[(&'static str, &'static str)]| {
        let headers = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value)))
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let server = Server::new(Memory::default());
        let answer = crate::handle(&server, &Method::POST, "/v2/models/late/infer", &headers, b"{\"inputs\": []}");
        runtime.block_on(answer).0.as_u16()
    };
    for read in [
        &[][..],
        &[("content-type", "application/json; charset=utf-8"), ("origin", "http://localhost")],
        &[("content-type", "application/octet-stream")],
    ] {
        assert_eq!(status(read), 404, "{read:?}: there is no model");
    }
    for refused in [
        &[("content-type", "application/x-www-form-urlencoded")][..],
        &[("content-type", "text/plain")],
        &[("origin", "https://evil.example")],
        &[("sec-fetch-site", "cross-site")],
    ] {
        assert_eq!(status(refused), 415, "{refused:?}");
    }
    let head = explain_allow("/v2/health/ready");
    assert_eq!(
        (head.as_str(), explain_allow("/v2/models/late/infer").as_str()),
        ("GET, HEAD", "POST")
    );
}

fn explain_allow(path: &str) -> String {
    let (_, value) = crate::explaining_header(StatusCode::METHOD_NOT_ALLOWED, path, &http::HeaderMap::new()).unwrap();
    value.to_str().unwrap().to_owned()
}

#[test]
fn unknown_models_and_paths() {
    let mut memory = Server::new(Memory::default());
    assert_eq!(ask(&memory, Method::GET, "/v2/health/live", &Value::Null).0, StatusCode::OK);
    let (status, body) = ask(&memory, Method::POST, "/v2/models/late/infer", &json!({ "inputs": [] }));
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body["error"].as_str().unwrap().contains("there is none yet"), "{body}");
    memory.host.objects.insert("models/late/versions/2.json".into(), b"{}".to_vec());
    let (status, body) = ask(&memory, Method::GET, "/v2/models/late/versions/7", &Value::Null);
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body["error"].as_str().unwrap().contains("`7`; its versions are `2`"), "{body}");
    assert_eq!(
        ask(&memory, Method::GET, "/v2/models/..%2Fx", &Value::Null).0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(ask(&memory, Method::GET, "/", &Value::Null).0, StatusCode::NOT_FOUND);
}

#[test]
fn every_value_is_read_as_it_is_and_shown_as_json() {
    let body = r#"[[1, [-2, 18446744073709551615]], 1.0, 1e3, "a", "\u00e9\n", true, null, {"a": [1, {}]}, []]"#;
    let TensorData(values) = serde_json::from_str(body).unwrap();
    let shown: Vec<String> = values.iter().map(Scalar::to_string).collect();
    assert_eq!(
        shown,
        [
            "1",
            "-2",
            "18446744073709551615",
            "1.0",
            "1000.0",
            "\"a\"",
            "\"é\\n\"",
            "true",
            "null",
            r#"{"a":[1,{}]}"#
        ]
    );
    assert!(matches!(&values[5], Scalar::Text(Cow::Borrowed("a"))));
    let numbers: Vec<_> = values.iter().filter_map(Scalar::number).collect();
    assert_eq!(numbers, [1.0, -2.0, 18_446_744_073_709_551_615.0, 1.0, 1000.0]);
    assert_eq!(values.iter().filter_map(Scalar::integer).collect::<Vec<_>>(), [1, -2]);
}

#[test]
fn only_an_array_is_data() {
    for body in ["{}", "1", "\"a\"", "null"] {
        let error = serde_json::from_str::<TensorData>(body).unwrap_err().to_string();
        assert!(error.contains("expected a sequence"), "{error}");
    }
    let deep = "[".repeat(1000) + &"]".repeat(1000);
    assert!(
        serde_json::from_str::<TensorData>(&deep)
            .unwrap_err()
            .to_string()
            .contains("recursion")
    );
}
