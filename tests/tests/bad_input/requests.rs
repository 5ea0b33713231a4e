//! What may be wrong with an inference request. One connection takes it all, one good request follows, and the log holds exactly
//! what was acknowledged.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidemill_harness::{http::Connection, server::Server};
use tidemill_tests::{prediction_log, small, trained};

use super::{fails, keep};

const INFER: &str = "/v2/models/alarm/infer";
const JSON: &str = "content-type: application/json";

/// A request that is refused, and what the answer must say.
struct Bad {
    what: &'static str,
    body: Vec<u8>,
    status: u16,
    says: &'static [&'static str],
}

fn bad(what: &'static str, body: impl Into<Vec<u8>>, says: &'static [&'static str]) -> Bad {
    Bad {
        what,
        body: body.into(),
        status: 400,
        says,
    }
}

/// A good request for two rows.
fn good(id: &str) -> Value {
    small::request(id, &small::day(3)[..2])
}

/// A good request but for one input.
fn with(name: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut request = good("bad");
    let inputs = request["inputs"].as_array_mut().map(Vec::as_mut_slice).unwrap_or_default();
    inputs.iter_mut().filter(|input| input["name"] == name).take(1).for_each({
        let mut change = Some(change);
        move |input| {
            if let Some(change) = change.take() {
                change(input);
            }
        }
    });
    request.to_string().into_bytes()
}

/// As the protocol's binary extension has it: the values follow the JSON.
fn binary() -> Vec<u8> {
    let json = with("speed", |input| {
        *input = json!({ "name": "speed", "shape": [2], "datatype": "FP64", "parameters": { "binary_data_size": 16 } });
    });
    [json, 1.5_f64.to_le_bytes().repeat(2)].concat()
}

fn without(name: &str) -> Vec<u8> {
    let mut request = good("bad");
    if let Some(inputs) = request["inputs"].as_array_mut() {
        inputs.retain(|input| input["name"] != name);
    }
    request.to_string().into_bytes()
}

/// A good request in which one piece of text stands for another: for what is not JSON.
fn spliced(name: &str, text: &str) -> Vec<u8> {
    let marked = with(name, |input| input["data"] = json!(["MARK", 1]));
    String::from_utf8_lossy(&marked).replace("\"MARK\"", text).into_bytes()
}

fn not_json() -> Vec<Bad> {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    vec![
        bad(
            "half of it",
            &b"{\"inputs\": ["[..],
            &["the body is not JSON", "line 1 column 12", "send `{\"inputs\""],
        ),
        bad("nothing", &b""[..], &["the body is empty", "send `{\"inputs\""]),
        bad("white space", &b" \n"[..], &["the body is empty"]),
        bad("bytes", &b"\xff\xfe\x00"[..], &["the body is not JSON"]),
        bad("a list", &b"[]"[..], &["no inference request", "an object with `inputs`"]),
        bad("a number", &b"7"[..], &["no inference request", "`7`", "an object with `inputs`"]),
        bad("another object", &b"{\"rows\": []}"[..], &["missing field `inputs`"]),
        bad(
            "inputs of another shape",
            &b"{\"inputs\": {\"level\": 1}}"[..],
            &["expected a sequence"],
        ),
        bad(
            "an input of another shape",
            &b"{\"inputs\": [1]}"[..],
            &["`1`", "`name`, `shape`, `datatype`"],
        ),
        bad("NaN", spliced("level", "NaN"), &["JSON has no `NaN`", "`null`"]),
        bad("-Infinity", spliced("speed", "-Infinity"), &["JSON has no `-Infinity`"]),
        bad(
            "beyond any float",
            spliced("speed", "1e400"),
            &["number out of range", "line 1 column"],
        ),
        bad("deep", spliced("speed", &deep), &["recursion limit"]),
        bad(
            "an id of a kilobyte",
            json!({ "id": "x".repeat(1000), "inputs": [] }).to_string(),
            &["`id` must be 1 to 200"],
        ),
    ]
}

fn not_the_models() -> Vec<Bad> {
    let mut twice = good("bad");
    let again = twice["inputs"][2].clone();
    if let Some(inputs) = twice["inputs"].as_array_mut() {
        inputs.push(again);
    }
    let mut more = good("bad");
    more["outputs"] = json!([{ "name": "sckore" }]);
    vec![
        bad("no inputs", &b"{\"inputs\": []}"[..], &["`inputs` is empty"]),
        bad(
            "a missing column",
            without("speed"),
            &["`speed` is missing", "the model takes", "`speed` FP64", "`level` FP64?"],
        ),
        bad(
            "an unknown column",
            with("speed", |i| i["name"] = json!("sped")),
            &["no input `sped`", "`speed` FP64"],
        ),
        bad("a column twice", twice.to_string(), &["`site` comes twice"]),
        bad("an unknown output", more.to_string(), &["no output `sckore`", "`score`"]),
        bad(
            "a wrong datatype",
            with("speed", |i| i["datatype"] = json!("BYTES")),
            &["`speed` is of type `BYTES`", "`FP64`"],
        ),
        bad(
            "an unknown datatype",
            with("site", |i| i["datatype"] = json!("TEXT")),
            &["`site` is of type `TEXT`", "`BYTES`"],
        ),
        bad(
            "a text for a number",
            with("speed", |i| i["data"] = json!([1, "fast"])),
            &["`speed`", "`\"fast\"` in row 1", "a finite number"],
        ),
        bad(
            "a number for a text",
            with("site", |i| i["data"] = json!(["west", 7])),
            &["`site`", "`7` in row 1", "a text"],
        ),
        bad(
            "an object for a number",
            with("speed", |i| i["data"] = json!([{"a": 1}, 2])),
            &["`speed`", "`{\"a\":1}` in row 0"],
        ),
        bad(
            "no time",
            with("at", |i| i["data"] = json!(["soon", null])),
            &["`at`", "`\"soon\"` in row 0", "RFC 3339"],
        ),
        bad(
            "a wrong shape",
            with("speed", |i| i["shape"] = json!([1, 2])),
            &["`speed` has the shape [1, 2]", "`[n]` or `[n, 1]`"],
        ),
        bad(
            "a negative shape",
            with("speed", |i| i["shape"] = json!([-2])),
            &["`speed` has the shape [-2]"],
        ),
        bad("no shape", with("speed", |i| i["shape"] = json!([])), &["`speed` has the shape []"]),
        bad(
            "fewer values",
            with("speed", |i| i["data"] = json!([1.5])),
            &["`speed` has 1 values", "its shape says 2"],
        ),
        bad(
            "more values",
            with("speed", |i| i["data"] = json!([1, 2, 3])),
            &["`speed` has 3 values", "its shape says 2"],
        ),
        bad(
            "another number of rows",
            with("speed", |i| i["shape"] = json!([3])),
            &["`speed` has 3 rows", "has 2"],
        ),
        bad(
            "null",
            with("speed", |i| i["data"] = json!([1, null])),
            &["`speed` is `null` in row 1", "may not be missing"],
        ),
        bad(
            "NaN as a text",
            with("speed", |i| i["data"] = json!(["NaN", 1])),
            &["`speed` is `\"NaN\"` in row 0", "may not be missing"],
        ),
        bad(
            "infinity as a text",
            with("level", |i| i["data"] = json!(["Infinity", 1])),
            &["`level`", "`\"Infinity\"` in row 0", "finite"],
        ),
        bad(
            "null for a text",
            with("site", |i| i["data"] = json!([null, "west"])),
            &["`site` is `null` in row 0"],
        ),
        bad(
            "beyond INT64",
            with("id", |i| i["data"] = json!([1, u64::MAX])),
            &["`id`", "`18446744073709551615` in row 1", "2^63 - 1"],
        ),
        bad(
            "a fraction",
            with("id", |i| i["data"] = json!([1.5, 2])),
            &["`id`", "`1.5` in row 0", "a whole number"],
        ),
        bad(
            "beyond UINT8",
            with("speed", |i| (i["datatype"], i["data"]) = (json!("UINT8"), json!([255, 300]))),
            &["`speed`", "`300` in row 1", "`UINT8`", "0 to 255"],
        ),
        bad(
            "binary tensors",
            binary(),
            &["binary tensor data", "`data`", "`set_data_from_numpy(values, binary_data=False)`"],
        ),
    ]
}

fn too_many() -> Vec<Bad> {
    let rows = |count: u64| {
        let mut request = good("bad");
        for input in request["inputs"].as_array_mut().into_iter().flatten() {
            input["shape"] = json!([count]);
        }
        request.to_string().into_bytes()
    };
    let mut huge = with("speed", |input| input["data"] = json!("MARK"));
    let numbers = vec![b'7'; 10 << 20];
    let at = huge.windows(6).position(|w| w == b"\"MARK\"").unwrap_or_default();
    huge.splice(at..at + 6, numbers);
    vec![
        bad(
            "more rows than it says",
            rows(100_000),
            &["2 values in `data` where its shape says 100000"],
        ),
        bad("a row too many", rows(100_001), &["1 to 100000 rows, not 100001"]),
        bad(
            "more rows than there are atoms",
            rows(i64::MAX as u64),
            &["1 to 100000 rows, not 9223372036854775807"],
        ),
        Bad {
            status: 413,
            ..bad("10 MB", huge, &["larger than 8 MiB", "send it in parts"])
        },
    ]
}

/// What tritonclient asks for unless told otherwise. It reads JSON too.
fn binary_wanted() -> Vec<u8> {
    let mut request = good("bad");
    request["parameters"] = json!({ "binary_data_output": true });
    request["outputs"] = json!([{ "name": "score", "parameters": { "binary_data": true } }]);
    request.to_string().into_bytes()
}

/// Good requests though they look odd.
fn odd() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("null", with("level", |i| i["data"] = json!([null, 1]))),
        ("nan", with("level", |i| i["data"] = json!(["NaN", 1]))),
        ("category", with("site", |i| i["data"] = json!(["never seen", "west"]))),
        (
            "column",
            with("speed", |i| (i["shape"], i["data"]) = (json!([2, 1]), json!([[1], [2]]))),
        ),
        (
            "integers",
            with("speed", |i| (i["datatype"], i["data"]) = (json!("INT64"), json!([1, 2]))),
        ),
        ("large", with("speed", |i| i["data"] = json!([1e300, -1e300]))),
        ("context", without("at")),
        ("binary", binary_wanted()),
    ]
}

fn refused(connection: &mut Connection, bad: &Bad) -> Result<()> {
    let answer = connection.request("POST", INFER, &[JSON], &bad.body)?;
    ensure!(answer.status == bad.status, "{} is answered {answer:?}", bad.what);
    ensure!(
        answer.headers.get("content-type").is_some_and(|kind| kind == "application/json"),
        "{}: {answer:?}",
        bad.what
    );
    for part in bad.says {
        ensure!(
            answer.error().contains(part),
            "{}: `{}` does not say `{part}`",
            bad.what,
            answer.error()
        );
    }
    ensure!(answer.error().len() < 600, "{}: {}", bad.what, answer.error());
    Ok(())
}

/// Method, path, headers; the status, and what the answer must say.
type Misdirected<'a> = (&'a str, &'a str, &'a [&'a str], u16, &'a [&'a str]);

/// Requests that are wrong before their body is looked at.
fn misdirected(connection: &mut Connection) -> Result<()> {
    let body = good("bad").to_string();
    let cases: [Misdirected<'_>; 13] = [
        ("POST", "/v2/models/alram/infer", &[JSON], 404, &["no model `alram`", "`alarm`"]),
        (
            "POST",
            "/v2/models/alarm/versions/7/infer",
            &[JSON],
            404,
            &["`7`", "its versions are `1`"],
        ),
        (
            "POST",
            "/v2/models/alarm/versions/best/infer",
            &[JSON],
            404,
            &["`best`", "its versions are `1`"],
        ),
        ("GET", "/v2/models/alarm/versions/0", &[], 404, &["`0`", "`1`"]),
        ("POST", "/v2/models/..%2f..%2fx/infer", &[JSON], 404, &["not the name of a model"]),
        (
            "POST",
            "/v2/model/alarm/infer",
            &[JSON],
            404,
            &["`POST /v2/model/alarm/infer`", "/v2/models/<model>"],
        ),
        ("GET", INFER, &[], 405, &["does not take `GET`", "it takes POST"]),
        ("PUT", INFER, &[JSON], 405, &["does not take `PUT`"]),
        ("DELETE", "/v2/models/alarm", &[], 405, &["does not take `DELETE`", "it takes GET"]),
        (
            "POST",
            INFER,
            &["content-type: text/plain"],
            415,
            &["`text/plain`", "`application/json`"],
        ),
        (
            "POST",
            INFER,
            &["content-type: application/x-www-form-urlencoded"],
            415,
            &["`application/x-www-form-urlencoded`", "`application/json`"],
        ),
        (
            "POST",
            INFER,
            &[JSON, "content-encoding: gzip"],
            415,
            &["`gzip`", "without a content encoding"],
        ),
        (
            "POST",
            INFER,
            &["content-type: application/octet-stream", "inference-header-content-length: 10"],
            400,
            &["binary tensor data", "send the values of each input as JSON"],
        ),
    ];
    for (method, path, headers, status, says) in cases {
        let answer = connection.request(method, path, headers, body.as_bytes())?;
        ensure!(answer.status == status, "{method} {path} {headers:?}: {answer:?}");
        ensure!(
            (status == 405) == answer.headers.contains_key("allow"),
            "{method} {path}: {answer:?}"
        );
        for part in says {
            ensure!(
                answer.error().contains(part),
                "{method} {path}: `{}` does not say `{part}`",
                answer.error()
            );
        }
    }
    Ok(())
}

/// Clients that go away, or speak something else.
fn broken_off(address: &str) -> Result<()> {
    let body = good("broken-off").to_string();
    let head = format!(
        "POST {INFER} HTTP/1.1\r\nhost: x\r\n{JSON}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    for part in [&head[..20], &head, &format!("{head}{}", &body[..body.len() / 2])] {
        Connection::open(address)?.send(part.as_bytes())?;
    }
    drop(Connection::open(address)?);
    Connection::open(address)?.send(b"\x16\x03\x01\x02\x00\x01\x00\x01")?;
    let mut chunked = Connection::open(address)?;
    chunked.send(format!("POST {INFER} HTTP/1.1\r\nhost: x\r\n{JSON}\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n").as_bytes())?;
    // What comes after it cannot be told from what belongs to it: an answer, if there is one, is the last on this connection.
    let refused = chunked.read_response().map_or(true, |answer| answer.status == 400) && chunked.read_response().is_err();
    ensure!(refused, "a chunk without a size is taken");
    Ok(())
}

/// Bodies that are too large though nothing announces it, or though nothing of it was sent.
fn too_large(address: &str) -> Result<()> {
    let mut connection = Connection::open(address)?;
    let head = format!("POST {INFER} HTTP/1.1\r\nhost: x\r\n{JSON}\r\n");
    connection.send(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes())?;
    let chunk = [&b"100000\r\n"[..], &vec![b'['; 1 << 20], b"\r\n"].concat();
    (0..10).try_for_each(|_| connection.send(&chunk))?;
    connection.send(b"0\r\n\r\n")?;
    let answer = connection.read_response()?;
    ensure!(answer.status == 413 && answer.error().contains("larger than 8 MiB"), "{answer:?}");
    ensure!(connection.request("GET", "/v2/health/live", &[], b"")?.status == 200);
    connection.send(format!("{head}content-length: 10000000\r\nexpect: 100-continue\r\n\r\n").as_bytes())?;
    let answer = connection.read_response()?;
    let closes = answer.headers.get("connection").is_some_and(|value| value == "close");
    ensure!(answer.status == 413 && closes, "{answer:?}");
    Ok(())
}

/// The same through `tidemill predict`: exit codes by kind.
fn asked_by_the_command_line(tidemill: &Path, server: &Server, folder: &Path) -> Result<()> {
    let written = |name: &str, body: &[u8]| -> Result<String> {
        let path = folder.join(name);
        std::fs::write(&path, body)?;
        Ok(path.to_string_lossy().into_owned())
    };
    let (good, short, cut) = (
        written("good.json", good("by-hand").to_string().as_bytes())?,
        written("short.json", &without("speed"))?,
        written("cut.json", b"{\"inputs\": [")?,
    );
    let predict =
        |arguments: &[&str], code, says: &[&str]| fails(tidemill, &server.project, &[&["predict"], arguments].concat(), code, says);
    predict(&["alarm", &short], 3, &["`speed` is missing", "the model takes"])?;
    predict(&["alarm", &cut, "--url", &server.address], 3, &["the body is not JSON"])?;
    predict(&["alarm", "none.json"], 4, &["no file `none.json`"])?;
    predict(&["alram", &good], 4, &["no model `alram`", "`alarm`"])?;
    for command in [&["replay", "alarm", "9"][..], &["models", "show", "alarm", "9"]] {
        fails(
            tidemill,
            &server.project,
            command,
            4,
            &["`alarm` has no version `9`; its versions are `1`"],
        )?;
    }
    predict(
        &["alarm", &good, "--version", "7", "--url", &server.address],
        4,
        &["`7`", "its versions are `1`"],
    )?;
    predict(
        &["alarm", &good, "--url", "http://127.0.0.1:1"],
        5,
        &["`http://127.0.0.1:1/v2/models/alarm/infer` does not answer"],
    )
}

#[test]
fn are_answered_one_by_one() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let project = trained::project(&tidemill, keep(), folder.path())?;
    let server = Server::up(&tidemill, &project, &[])?;
    let mut connection = Connection::open(&server.address)?;
    for bad in not_json().iter().chain(&not_the_models()).chain(&too_many()) {
        refused(&mut connection, bad).with_context(|| bad.what)?;
    }
    misdirected(&mut connection)?;
    broken_off(&server.address)?;
    too_large(&server.address)?;
    asked_by_the_command_line(&tidemill, &server, folder.path())?;
    let mut acknowledged = Vec::new();
    for (what, body) in odd() {
        let named = String::from_utf8(body)?.replace("\"id\":\"bad\"", &format!("\"id\":\"odd-{what}\""));
        let answer = connection.request("POST", INFER, &[JSON], named.as_bytes())?;
        ensure!(answer.status == 200, "{what}: {answer:?}");
        acknowledged.extend((0..2).map(|row| format!("odd-{what}/{row}")));
    }
    let answer = connection.request("POST", INFER, &[], good("good").to_string().as_bytes())?;
    ensure!(answer.status == 200 && answer.body["id"] == "good", "{answer:?}");
    acknowledged.extend((0..2).map(|row| format!("good/{row}")));
    server.stop()?;
    let server = Server::up(&tidemill, &project, &[])?;
    acknowledged.sort();
    let logged = prediction_log::ids(&server, "alarm")?;
    ensure!(logged == acknowledged, "acknowledged {acknowledged:#?}, logged {logged:#?}");
    server.stop()
}
