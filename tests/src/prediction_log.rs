//! What stands in the prediction log, and what in any other Parquet of a running project's store.

use anyhow::Result;
use tidemill_core::{Host as _, ObjectsExt as _, Table};
use tidemill_harness::reader::open_reader;
use tidemill_harness::server::Server;

/// The ids of all predictions of `model` in Parquet, sorted. What is not Parquet yet becomes it as the server stops.
pub fn ids(server: &Server, model: &str) -> Result<Vec<String>> {
    let mut ids = texts(server, &format!("predictions/{model}/"), "_id")?;
    ids.sort();
    Ok(ids)
}

/// A text column of all Parquet objects under a prefix, nulls left out.
pub fn texts(server: &Server, prefix: &str, column: &str) -> Result<Vec<String>> {
    let host = open_reader(server, "log")?;
    let keys: Vec<String> = host.objects().list_all(prefix)?.into_iter().map(|m| m.key).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let select = format!("SELECT {column} AS found FROM log");
    let mut found = Vec::new();
    for batch in tidemill_sdk::query_batches(host.sql(), &select, &[Table::parquet("log", keys)])? {
        found.extend(tidemill_sdk::column_text(&batch, "found")?.into_iter().flatten());
    }
    Ok(found)
}
