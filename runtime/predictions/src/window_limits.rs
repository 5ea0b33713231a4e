//! Which windows the rows of one request may be in. A segment is an object of one window: without a limit, one request of a client that
//! chooses its times would be a hundred thousand objects.
//!
//! Rows of windows that are closed are logged like others: a request for a row of last year is a trial, or comes late. No report counts them,
//! so they are counted here.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tidemill_core::{Error, Result, pipeline::deployment::LoggedModel};

use crate::{
    Record,
    record::RecordReader,
    segment::{event_times, invalid_record},
};

/// Windows that the rows of one request may be in.
pub const MAX_WINDOWS: usize = 100;

/// Checks the times of a request's rows; returns how many are before `open_from`, when the model's first open window begins.
///
/// # Errors
/// `Input` if they lie in more than [`MAX_WINDOWS`] windows, or later than the window after this one.
pub(crate) fn check_windows(
    record: &Record,
    models: &BTreeMap<String, LoggedModel>,
    now: Timestamp,
    open_from: Option<Timestamp>,
) -> Result<usize> {
    let Some(model) = models.get(record.model()) else {
        // Filed by the time of serving.
        return Ok(0);
    };
    let mut reader = RecordReader::new(record.as_bytes());
    let header = reader.read_header().ok_or_else(invalid_record)?;
    let times = event_times(&header, Some(model), reader).ok_or_else(invalid_record)?;
    let end = model.window.next_window(model.window.next_window(model.window.window_start(now)));
    let mut windows = BTreeSet::new();
    let mut closed = 0;
    // The window of the row before: mostly the next row is in it too.
    let mut last: Option<(Timestamp, Timestamp)> = None;
    for (row, micros) in times.into_iter().enumerate() {
        let time = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX);
        let names = || format!("row {row}: `{}` is {time}", model.time);
        if time >= end {
            return Err(Error::input(format!(
                "{}, which is in the future: the times of a request are before {end}, the end of the window after this one; look at its year \
                 and its unit",
                names()
            )));
        }
        closed += usize::from(open_from.is_some_and(|from| time < from));
        if last.is_some_and(|(start, end)| (start..end).contains(&time)) {
            continue;
        }
        let start = model.window.window_start(time);
        last = Some((start, model.window.next_window(start)));
        if windows.insert(start) && windows.len() > MAX_WINDOWS {
            return Err(Error::input(format!(
                "{}, and with it the rows of the request are in more than {MAX_WINDOWS} windows of {}: send rows of at most {MAX_WINDOWS} \
                 windows in a request",
                names(),
                model.window
            )));
        }
    }
    Ok(closed)
}

#[cfg(test)]
mod tests {
    use tidemill_core::{ColumnValues, time::Span};

    use super::*;
    use crate::PredictionBatch;

    fn check(days: impl Iterator<Item = i64>) -> Result<usize> {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        let micros: Vec<Option<i64>> = days.map(|day| Some(now.as_microsecond() + day * 86_400_000_000)).collect();
        let rows = micros.len();
        let columns = [("at".to_owned(), ColumnValues::Timestamp(micros))];
        let batch = PredictionBatch {
            model: "late",
            version: 1,
            transform: "t",
            request_id: "r",
            rows,
            columns: &columns,
            latency_us: 1,
        };
        let day = LoggedModel {
            window: Span::days(1),
            time: "at".into(),
        };
        check_windows(&batch.to_record().unwrap(), &[("late".to_owned(), day)].into(), now, Some(now))
    }

    #[test]
    fn rows_of_a_hundred_windows_are_taken() {
        let most = MAX_WINDOWS as i64;
        assert_eq!(check(-most + 1..1).unwrap(), MAX_WINDOWS - 1, "before the first open one");
        // Many rows of few windows, in any order.
        check((0..1000).map(|row| -(row % most))).unwrap();
        let error = check((-most..1).rev()).unwrap_err();
        assert_eq!(error.kind, tidemill_core::ErrorKind::Input);
        assert!(
            error.message.starts_with("row 100: `at` is 2026-08-22T12:00:00Z") && error.message.contains("more than 100 windows of 1 day"),
            "{error}"
        );
    }

    #[test]
    fn the_window_after_this_one_is_taken() {
        check(0..2).unwrap();
        let error = check(1..3).unwrap_err();
        assert!(
            error.message.starts_with("row 1: `at` is 2026-12-02T12:00:00Z") && error.message.contains("before 2026-12-02T00:00:00Z"),
            "{error}"
        );
    }
}
