//! The year of flights: its files, and its rows as requests of the Open Inference Protocol, with each column of the model's signature
//! as a named tensor and the key beside it.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidemill_core::{
    ColumnValues, Format, Sql, Table,
    time::{key_time, parse_time},
};
use tidemill_ml::{Columns, Transform};

use crate::{reader::open_reader, server::Server};

/// Rows in one request.
const BATCH: usize = 256;
/// Concurrent clients.
const CLIENTS: usize = 4;

/// The twelve files in order, `2013-01.parquet` first.
pub fn files(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("the demo's data is not in {}", folder.display()))?;
    let mut files: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path().canonicalize().ok()?.to_string_lossy().into_owned()))
        .filter(|path| path.ends_with(".parquet"))
        .collect();
    files.sort();
    ensure!(files.len() == 12, "{} holds {} months instead of 12", folder.display(), files.len());
    Ok(files)
}

/// The month of a file: `2013-01`.
pub fn month_of(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file).trim_end_matches(".parquet")
}

/// The key under which `tidemill put` stores the file.
pub fn raw_key(file: &str) -> String {
    format!("raw/flights/{}.parquet", month_of(file))
}

/// The key of a month's window: `2013-01` becomes `2013-01-01T00-00-00Z`.
pub fn window(month: &str) -> Result<String> {
    Ok(key_time(parse_time(&format!("{month}-01"))?))
}

/// The number of features that a fitted transform outputs.
pub fn feature_count(transform: &[u8]) -> Result<usize> {
    Ok(Transform::from_json(transform)?.names().len())
}

/// The bodies of one month's requests, in order of departure, with `rows` flights each (256 if `None`). `inputs` are the columns to send,
/// `table` is the key of the month's Parquet object.
pub fn requests(server: &Server, inputs: &[String], table: &str, rows: Option<usize>) -> Result<Vec<String>> {
    let columns = read_flights(server, inputs, table)?;
    let total = columns.rows();
    let size = rows.unwrap_or(BATCH);
    Ok((0..total)
        .step_by(size)
        .map(|start| body(&columns, table, start, (start + size).min(total)).to_string())
        .collect())
}

/// The model's inputs, as its metadata names them: features and context.
pub fn inputs(server: &Server) -> Result<Vec<String>> {
    let url = format!("{}/v2/models/late", server.address);
    let metadata: Value = ureq::get(url).call()?.body_mut().read_json()?;
    let inputs = metadata["inputs"].as_array().context("the model's metadata has no inputs")?;
    let names: Vec<String> = inputs.iter().filter_map(|i| i["name"].as_str().map(str::to_owned)).collect();
    ensure!(!names.is_empty(), "the model's metadata names no inputs: {metadata}");
    Ok(names)
}

/// Sends requests by four concurrent clients. Returns how many were not answered with 200 and a score.
pub fn send(server: &Server, requests: &[String]) -> Result<u64> {
    let (next, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let url = format!("{}/v2/models/late/infer", server.address);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let agent = ureq::Agent::new_with_defaults();
                while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    if !send_one(&agent, &url, request) {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    Ok(failed.into_inner())
}

/// Sends a request. Returns whether it was answered with 200 and a score.
pub fn send_one(agent: &ureq::Agent, url: &str, request: &str) -> bool {
    let answer = agent.post(url).header("content-type", "application/json").send(request);
    let Ok(mut answer) = answer else { return false };
    answer.status() == 200 && answer.body_mut().read_json::<Value>().is_ok_and(|v| v["outputs"].is_array())
}

fn read_flights(server: &Server, inputs: &[String], key: &str) -> Result<Columns> {
    let names: Vec<String> = inputs.iter().map(|name| format!("\"{name}\"")).collect();
    let sql = format!(
        "SELECT {} FROM flights ORDER BY scheduled_departure, time_hour, carrier, flight",
        names.join(", ")
    );
    let table = Table {
        name: "flights".into(),
        keys: vec![key.into()],
        format: Format::Parquet,
    };
    let host = open_reader(server, "traffic")?;
    let batches = tidemill_sdk::query_batches(tidemill_core::Host::sql(&host) as &dyn Sql, &sql, &[table])?;
    Ok(Columns::from_batches(&batches)?)
}

fn body(columns: &Columns, table: &str, start: usize, end: usize) -> Value {
    let inputs: Vec<Value> = columns
        .iter()
        .map(|(name, values)| {
            let (datatype, data): (&str, Vec<Value>) = match values {
                ColumnValues::Number(v) => ("FP64", v[start..end].iter().map(|x| json!(x)).collect()),
                ColumnValues::Integer(v) => ("INT64", v[start..end].iter().map(|x| json!(x)).collect()),
                ColumnValues::Boolean(v) => ("BOOL", v[start..end].iter().map(|x| json!(x)).collect()),
                ColumnValues::Text(v) => ("BYTES", v[start..end].iter().map(|x| json!(x)).collect()),
                ColumnValues::Timestamp(v) => ("BYTES", v[start..end].iter().map(|x| json!(x.and_then(time))).collect()),
            };
            json!({ "name": name, "shape": [end - start], "datatype": datatype, "data": data })
        })
        .collect();
    json!({ "id": format!("{table}@{start}"), "inputs": inputs })
}

fn time(micros: i64) -> Option<String> {
    jiff::Timestamp::from_microsecond(micros).ok().map(|t| t.to_string())
}
