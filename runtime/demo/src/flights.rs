//! The year of flights: its files, and its rows as requests of the Open Inference Protocol, with each column of the model's signature
//! as a named tensor and the key beside it.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidemill_core::{
    ColumnValues, Error, Format, Sql, Table,
    text::{plural, quoted_list},
    time::{key_time, parse_time},
};
use tidemill_ml::{Columns, Transform};

use crate::{
    reader::open_reader,
    server::{Server, new_agent},
};

/// Rows in one request.
const BATCH: usize = 256;
/// Concurrent clients.
const CLIENTS: usize = 4;

/// The months of the data.
pub const MONTHS: usize = 12;

/// The paths of the first months' files in order, `2013-01.parquet` first.
///
/// # Errors
/// `NotFound` if the folder or one of these files is not there, `Input` if the path is not UTF-8.
pub fn files(folder: &Path, months: usize) -> tidemill_core::Result<Vec<String>> {
    let missing: Vec<String> = names(months).filter(|name| !folder.join(name).is_file()).collect();
    if !missing.is_empty() {
        return Err(missing_error(folder, &missing));
    }
    names(months).map(|name| absolute(&folder.join(name))).collect()
}

/// The number of months that can be played: those that are in the folder, from January to the first that is missing.
pub fn count_months(folder: &Path) -> usize {
    names(MONTHS).take_while(|name| folder.join(name).is_file()).count()
}

/// The file of a month, 1 for January, if it is in the folder.
pub fn data_file(folder: &Path, month: usize) -> Option<PathBuf> {
    let path = folder.join(names(month).nth(month.checked_sub(1)?)?);
    path.is_file().then_some(path)
}

/// `2013-01.parquet` and so on.
fn names(months: usize) -> impl Iterator<Item = String> {
    (1..=months.min(MONTHS)).map(|month| format!("2013-{month:02}.parquet"))
}

fn missing_error(folder: &Path, missing: &[String]) -> Error {
    let shown = folder.display();
    let advice = "name the folder that holds them with `--data`";
    match std::fs::read_dir(folder) {
        Ok(entries) => {
            let found = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            let mut found: Vec<String> = found.filter(|name| name.ends_with(".parquet")).collect();
            found.sort();
            Error::not_found(format!(
                "{} of flights not found in `{shown}`: {}; its Parquet files are {}; {advice}",
                plural(missing.len(), "month"),
                quoted_list(missing),
                quoted_list(found)
            ))
        }
        Err(error) => Error::not_found(format!(
            "the folder `{shown}` with the flights ({}) cannot be opened: {error}; {advice}",
            quoted_list(missing)
        )),
    }
}

/// The path, links resolved: commands run in other folders.
fn absolute(path: &Path) -> tidemill_core::Result<String> {
    let shown = path.display();
    let path = path
        .canonicalize()
        .map_err(|error| Error::input(format!("`{shown}` cannot be opened: {error}")))?;
    let text = path.into_os_string().into_string();
    text.map_err(|path| Error::input(format!("{path:?} is not UTF-8: name a copy of the folder with `--data`")))
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
    let metadata = server.get_json("/v2/models/late")?;
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
                let agent = new_agent();
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

#[cfg(test)]
mod tests {
    use tidemill_core::ErrorKind;

    use super::*;

    fn folder(months: impl IntoIterator<Item = usize>) -> Result<tempfile::TempDir> {
        let folder = tempfile::Builder::new().prefix("the year's data ").tempdir()?;
        for month in months {
            std::fs::write(folder.path().join(format!("2013-{month:02}.parquet")), "")?;
        }
        std::fs::write(folder.path().join("README.md"), "")?;
        Ok(folder)
    }

    #[test]
    fn files_are_in_order() -> Result<()> {
        let whole = folder((1..=12).rev())?;
        let months = |found: &[String]| found.iter().map(|file| month_of(file).to_owned()).collect::<Vec<_>>();
        let found = files(whole.path(), 12)?;
        assert_eq!((found.len(), month_of(&found[0]), month_of(&found[11])), (12, "2013-01", "2013-12"));
        assert!(found.iter().all(|file| Path::new(file).is_absolute()), "{found:?}");
        // Only what is played must be there.
        let quarter = folder([1, 2, 3, 12])?;
        assert_eq!(months(&files(quarter.path(), 3)?), ["2013-01", "2013-02", "2013-03"]);
        assert_eq!((count_months(whole.path()), count_months(quarter.path())), (12, 3));
        assert_eq!(data_file(quarter.path(), 3), Some(quarter.path().join("2013-03.parquet")));
        assert_eq!((data_file(quarter.path(), 4), data_file(quarter.path(), 13)), (None, None));
        Ok(())
    }

    #[test]
    fn missing_months_are_named() -> Result<()> {
        let partial = folder([1, 4])?;
        let error = files(partial.path(), 4).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
        let expected = format!(
            "2 months of flights not found in `{}`: `2013-02.parquet`, `2013-03.parquet`; its Parquet files are `2013-01.parquet`, \
             `2013-04.parquet`; name the folder that holds them with `--data`",
            partial.path().display()
        );
        assert_eq!(error.message, expected);
        assert_eq!(count_months(partial.path()), 1);
        let error = files(folder([])?.path(), 1).unwrap_err();
        assert!(error.message.contains("its Parquet files are none"), "{error}");
        Ok(())
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() -> Result<()> {
        let scratch = folder([])?;
        for name in ["elsewhere", "README.md"] {
            let path = scratch.path().join(name);
            let error = files(&path, 2).unwrap_err();
            assert_eq!(error.kind, ErrorKind::NotFound);
            for part in [&path.display().to_string(), "`2013-02.parquet`", "cannot be opened", "--data"] {
                assert!(error.message.contains(part), "{part}: {error}");
            }
            assert_eq!(count_months(&path), 0);
        }
        Ok(())
    }
}
