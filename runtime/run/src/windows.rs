//! Closes windows of event time, in order, each once: when the data has passed a window's end.
//!
//! `windows/<model>/<start>.json` names the window's predictions by content. The files that hold them are listed in
//! `logs/<model>/<start>.json` instead: how the log was cut into files is not reproducible.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use jiff::Timestamp;
use tidemill_core::{
    Digest, PutResult, Result,
    layout::{self, Key, Prefix},
    record::{DataFile, MonitoringWindow, RowSpan, WindowSegments, WindowSummary},
    time::{Span, key_time},
};
use tidemill_store::Store;

use crate::{Manifest, ledger::to_json};

/// Of the rows of a data file, at most one in so many lies behind all others by mistake.
const STRAY_DIVISOR: u64 = 100;

/// The prediction log, as far as closing windows needs it.
pub trait WindowSource: Send + Sync + 'static {
    /// Makes every acknowledged prediction of the model visible as Parquet.
    fn seal<'a>(&'a self, model: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Summarizes the predictions of the window that starts at `start`.
    fn summarize<'a>(&'a self, model: &'a str, start: Timestamp) -> BoxFuture<'a, Result<WindowSummary>>;
}

/// The log of a project without predictions: every window is empty.
pub struct NoPredictions;

impl WindowSource for NoPredictions {
    fn seal<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }
    fn summarize<'a>(&'a self, _: &'a str, _: Timestamp) -> BoxFuture<'a, Result<WindowSummary>> {
        Box::pin(async {
            Ok(WindowSummary {
                segments: Vec::new(),
                predictions: 0,
                versions: BTreeMap::new(),
                digest: Digest::sha256(b""),
            })
        })
    }
}

/// The windows and blocks of a model's event time.
#[derive(Debug, Clone, Copy)]
pub struct WindowPolicy {
    /// The span of a window.
    pub window: Span,
    /// A window closes when the data has come within a block of its end.
    pub block: Span,
}

/// Closes windows of a dataset's models.
pub struct WindowCloser<'a> {
    /// The objects.
    pub store: &'a Store,
    /// The data files of the models' dataset.
    pub manifest: &'a mut Manifest,
    /// The prediction log.
    pub windows: &'a dyn WindowSource,
    /// Whether the data file with this key may close a window: the uploads that came before its own are settled.
    pub may_close: &'a (dyn Fn(&str) -> bool + Sync),
}

impl WindowCloser<'_> {
    /// Closes all windows of `model` that the data has passed, in order. Keys of closed windows go to `closed`, also where a later one
    /// fails.
    pub async fn close_model(&mut self, model: &str, policy: WindowPolicy, closed: &mut Vec<String>) -> Result<()> {
        let passing = self.manifest.files().iter().filter(|file| (self.may_close)(&file.data));
        let Some(watermark) = passing.map(|file| passed_time(file, policy.window)).max() else {
            return Ok(());
        };
        let last = self.last_closed(model).await?;
        let mut sealed = false;
        for (start, end, previous) in due_windows(policy, self.manifest.files(), watermark, last) {
            if !sealed {
                self.windows.seal(model).await?;
                sealed = true;
            }
            closed.push(self.close_window(model, start, end, previous).await?);
        }
        Ok(())
    }

    async fn close_window(&mut self, model: &str, start: Timestamp, end: Timestamp, previous: Option<Timestamp>) -> Result<String> {
        let summary = self.windows.summarize(model, start).await?;
        let log = WindowSegments {
            segments: summary.segments,
        };
        let log_key = layout::window_segments(model, start);
        let log_bytes = to_json("a window", &log)?;
        if self.store.create(&log_key, log_bytes.clone().into()).await? == PutResult::Conflict {
            // Left by a crash before the window was created: it was never read, and more may have been sealed since.
            let old = Digest::sha256(&self.store.get(&log_key).await?);
            self.store.swap(&log_key, Some(&old), log_bytes.into()).await?;
        }
        failpoint!("window-log");
        let window = MonitoringWindow {
            model: model.to_owned(),
            start,
            end,
            as_of: end,
            previous,
            predictions: summary.predictions,
            versions: summary.versions,
            digest: summary.digest,
            data_files: self.manifest.name_files_before(end).await?,
        };
        let key = layout::window(model, start);
        self.store.create(&key, to_json("a window", &window)?.into()).await?;
        failpoint!("window-create");
        tracing::info!("closed window {} of `{model}`: {} predictions", key_time(start), window.predictions);
        Ok(key)
    }

    /// The start of the last closed window.
    async fn last_closed(&self, model: &str) -> Result<Option<Timestamp>> {
        let listed = self.store.list(&Prefix::Windows.under(model), None, usize::MAX).await?;
        // A stray file may sort behind all windows.
        Ok(listed.iter().rev().find_map(|meta| window_start(&meta.key)))
    }
}

/// The time that a data file shows the data to have passed: its last row, but for a few that lie more than a window behind all others. A
/// wrong date closes no windows.
fn passed_time(file: &DataFile, window: Span) -> Timestamp {
    let spans = file.row_spans();
    let mut strays = (file.rows / STRAY_DIVISOR).max(1);
    let mut last = spans.len() - 1;
    while last > 0 && spans[last].rows <= strays && window.advance(spans[last - 1].until, 1) < spans[last].from {
        strays -= spans[last].rows;
        last -= 1;
    }
    spans[last].until
}

/// The windows that can be closed now: (start, end, the window before). Windows without rows are skipped.
fn due_windows(
    policy: WindowPolicy,
    files: &[DataFile],
    watermark: Timestamp,
    mut closed: Option<Timestamp>,
) -> Vec<(Timestamp, Timestamp, Option<Timestamp>)> {
    let WindowPolicy { window, block } = policy;
    let mut due = Vec::new();
    let spans: Vec<RowSpan> = files.iter().flat_map(DataFile::row_spans).collect();
    let first = spans.iter().map(|span| window.window_start(span.from)).min();
    let Some(mut start) = closed.map(|last| window.next_window(last)).or(first) else {
        return due;
    };
    loop {
        let end = window.next_window(start);
        if end <= start || watermark < block.advance(end, -1) {
            return due;
        }
        if spans.iter().any(|span| span.from < end && span.until >= start) {
            due.push((start, end, closed));
            closed = Some(start);
            start = end;
        } else {
            let next = spans
                .iter()
                .filter(|span| span.from >= end)
                .map(|span| window.window_start(span.from))
                .min();
            start = next.filter(|next| *next > start).unwrap_or(end);
        }
    }
}

/// `windows/late/2013-05-01T00-00-00Z.json` → its time.
fn window_start(key: &str) -> Option<Timestamp> {
    match Key::parse(key)? {
        Key::Window { start, .. } => Some(start),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tidemill_core::time::parse_time;

    use super::*;

    fn at(text: &str) -> Timestamp {
        parse_time(text).unwrap()
    }

    fn part(from: &str, until: &str) -> DataFile {
        DataFile {
            dataset: "d".into(),
            data: String::new(),
            digest: Digest::sha256(from.as_bytes()),
            profile: String::new(),
            rows: 1,
            quarantined: 0,
            quarantine: None,
            from: at(from),
            until: at(until),
            spans: Vec::new(),
        }
    }

    /// A data file of January with one row at another time.
    fn part_with_stray(other: &str) -> DataFile {
        let january = part("2013-01-01", "2013-01-31");
        let span = |from, until, rows| RowSpan { from, until, rows };
        let mut spans = vec![span(january.from, january.until, 100), span(at(other), at(other), 1)];
        spans.sort_by_key(|span| span.from);
        DataFile {
            rows: 101,
            from: spans[0].from,
            until: spans[1].until,
            spans,
            ..january
        }
    }

    fn starts(parts: &[DataFile], closed: Option<&str>) -> Vec<String> {
        let span = |text: &str| Span::parse(text).unwrap();
        let cut = WindowPolicy {
            window: span("1 month"),
            block: span("1 day"),
        };
        let watermark = parts.iter().map(|part| passed_time(part, cut.window)).max().unwrap();
        due_windows(cut, parts, watermark, closed.map(at))
            .into_iter()
            .map(|(start, _, _)| key_time(start))
            .collect()
    }

    #[test]
    fn windows_close_a_block_before_their_end() {
        let january = part("2013-01-01T05:00:00Z", "2013-01-30T23:59:00Z");
        assert!(starts(&[january], None).is_empty());
        let january = part("2013-01-01T05:00:00Z", "2013-01-31T00:00:00Z");
        assert_eq!(starts(std::slice::from_ref(&january), None), ["2013-01-01T00-00-00Z"]);
        assert!(starts(&[january], Some("2013-01-01")).is_empty());
    }

    #[test]
    fn empty_stretches_are_passed_over() {
        let parts = [part("1970-01-01", "1970-01-02"), part("2013-01-01", "2013-02-28")];
        assert_eq!(
            starts(&parts, None),
            ["1970-01-01T00-00-00Z", "2013-01-01T00-00-00Z", "2013-02-01T00-00-00Z"]
        );
    }

    #[test]
    fn one_row_with_a_wrong_date_closes_no_windows() {
        let january = "2013-01-01T00-00-00Z";
        let future = [part_with_stray("2103-05-05")];
        assert_eq!(starts(&future, None), [january]);
        let february = [part_with_stray("2103-05-05"), part("2013-02-01", "2013-02-28")];
        assert_eq!(starts(&february, Some("2013-01-01")), ["2013-02-01T00-00-00Z"], "time goes on");
        let past = [part_with_stray("1970-01-01")];
        assert_eq!(starts(&past, None), ["1970-01-01T00-00-00Z", january], "none between");
        // As many rows as that are no mistake.
        let mut many = part_with_stray("2013-05-31");
        many.spans[1].rows = 3;
        many.rows = 103;
        assert_eq!(starts(&[many], None), [january, "2013-05-01T00-00-00Z"]);
    }

    #[test]
    fn reads_its_own_keys() {
        assert_eq!(
            window_start("windows/m/2013-05-01T12-30-00Z.json"),
            Some(at("2013-05-01T12:30:00Z"))
        );
        assert_eq!(window_start("windows/m/x.json"), None);
    }
}
