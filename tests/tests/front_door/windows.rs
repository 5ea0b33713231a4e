//! One request is not thousands of objects, and not of the future.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::Value;
use tidemill_harness::{
    http::{Connection, Response},
    server::Server,
};
use tidemill_tests::{prediction_log, small, trained};

use super::{INFER, up};

#[test]
fn times_of_rows_are_limited() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(server) = up(folder.path(), &[])? else { return Ok(()) };
    let mut connection = Connection::open(&server.address)?;
    let mut ask = |id: &str, times: Vec<String>| -> Result<Response> {
        let mut request = small::request(id, &small::day(3)[..times.len()]);
        let inputs = request["inputs"].as_array_mut().map(Vec::as_mut_slice).unwrap_or_default();
        for input in inputs.iter_mut().filter(|input| input["name"] == "at") {
            input["data"] = times.iter().cloned().map(Value::from).collect();
        }
        connection.request("POST", INFER, &["content-type: application/json"], request.to_string().as_bytes())
    };
    // 28 days of each month, so that each row is on a day of its own.
    let day = |n: usize| format!("19{:02}-{:02}-{:02}T00:00:00Z", 90 + n / 336, n / 28 % 12 + 1, n % 28 + 1);
    let taken = ask("hundred", (0..100).map(day).collect())?;
    ensure!(taken.status == 200, "{taken:?}");
    let many = ask("many", (0..900).map(day).collect())?;
    ensure!(many.status == 400, "{many:?}");
    for part in ["row 100: `at` is 1990-04-17T00:00:00Z", "more than 100 windows"] {
        ensure!(many.error().contains(part), "{many:?}");
    }
    let late = ask("late", vec![day(0), "2999-01-01T00:00:00Z".into()])?;
    ensure!(
        late.status == 400 && late.error().contains("row 1: `at` is 2999-01-01T00:00:00Z, which is in the future"),
        "{late:?}"
    );
    server.stop()?;
    let Some(server) = up_again(folder.path())? else { return Ok(()) };
    let logged = prediction_log::ids(&server, "alarm")?;
    ensure!(
        logged.len() == 100 && logged.iter().all(|id| id.starts_with("hundred/")),
        "{logged:?}"
    );
    server.stop()
}

/// The project as it was left: a start seals its log.
fn up_again(folder: &Path) -> Result<Option<Server>> {
    let Some(tidemill) = trained::find_tidemill() else {
        return Ok(None);
    };
    Server::up(&tidemill, &folder.join("small"), &[]).map(Some)
}
