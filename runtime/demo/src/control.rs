//! The control experiment: the first quarter is real, and each later month consists of days drawn from it. Nothing drifts, so nothing may
//! be retrained.

use std::path::Path;

use anyhow::{Context as _, Result};
use jiff::{ToSpan as _, civil::Date};
use tidemill_core::{Digest, Host as _, Table, text::quoted_list};

use crate::{
    flights::{self, month_of},
    months::{self, Year},
    reader::open_reader,
    server::Server,
    summary::FIRST_QUARTER,
};

/// The result of the control. Any number but 0 is a false alarm.
pub struct Control {
    /// Months with at least one drifted column.
    pub drifted: usize,
    /// Decisions to train after the first.
    pub retrainings: usize,
}

/// Plays all months into a new project at `project`. `files` are the months in order: the first three are played unchanged, the others are
/// replaced. `step` prints a line of progress for each month.
///
/// # Errors
/// If the project or `tidemill up` fails, which is then killed.
pub fn run(tidemill: &Path, project: &Path, files: &[String], step: &dyn Fn(&str)) -> Result<Control> {
    let server = Server::start(tidemill, project, &[])?;
    let mut year = Year::default();
    let mut drifted = 0;
    for (index, file) in files.iter().enumerate() {
        let path = if index < FIRST_QUARTER {
            file.clone()
        } else {
            resample(&server, files, month_of(file))?
        };
        let month = year.play(&server, &path)?;
        drifted += usize::from(month.drifted > 0);
        step(&format!(
            "control {}: {} flights, drifted columns: {}",
            month.month,
            month.rows,
            quoted_list(&month.drifted_columns)
        ));
    }
    let retrainings = months::retrainings(&server)?.len();
    server.stop()?;
    Ok(Control { drifted, retrainings })
}

/// Writes the month: each of its days is a day of the first quarter, chosen by a hash of the date.
fn resample(server: &Server, files: &[String], month: &str) -> Result<String> {
    let first: Date = format!("{month}-01").parse()?;
    let quarter: Date = "2013-01-01".parse()?;
    let mut moves = Vec::new();
    let mut day = first;
    while day.month() == first.month() {
        let hash = Digest::sha256(format!("control {day}").as_bytes());
        let from = quarter + (u64::from_str_radix(&hash.as_str()[..8], 16)? as i64 % 90).days();
        moves.push(format!("(DATE '{from}', {})", from.until(day)?.get_days()));
        day += 1.day();
    }
    // A day that is drawn twice appears under two dates, and the hour in its key moves with it.
    let sql = format!(
        "SELECT f.* REPLACE (f.time_hour + to_days(CAST(m.shift AS INTEGER)) AS time_hour, \
         f.scheduled_departure + to_days(CAST(m.shift AS INTEGER)) AS scheduled_departure) \
         FROM flights f JOIN (VALUES {}) AS m(day, shift) ON CAST(f.scheduled_departure AS DATE) = m.day \
         ORDER BY scheduled_departure, time_hour, carrier, flight",
        moves.join(", ")
    );
    let host = open_reader(server, "control")?;
    let keys: Vec<String> = files[..FIRST_QUARTER].iter().map(|f| flights::raw_key(f)).collect();
    let key = format!("demo/control/{month}.parquet");
    host.sql().export(&sql, &[Table::parquet("flights", keys)], &key)?;
    let path = server.store.local_root().context("the demo's store is a folder")?.join(&key);
    Ok(path.to_string_lossy().into_owned())
}
