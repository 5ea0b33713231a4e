//! Closes windows of event time, in order, each once: when the data has passed a window's end, it names what was predicted in it.
//!
//! The object `windows/<model>/<start>.json` names predictions by content. Which files hold them is chance, and stands in `logs/`.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::Serialize;
use tidemill_core::{
    Decision, Digest, Error, PutResult, Result,
    record::{DataFile, MonitoringWindow, WindowSegments},
    time::{Span, key_time, parse_time},
};
use tidemill_host::{Ledger, Store};

pub use tidemill_host::log::WindowSummary;

use crate::{
    kill,
    scan::list_all,
    state::{Inner, lock},
};

/// The prediction log, as far as closing windows needs it.
pub trait WindowSource: Send + Sync + 'static {
    /// Makes every acknowledged prediction of the model visible as Parquet.
    fn seal<'a>(&'a self, model: &'a str) -> BoxFuture<'a, Result<()>>;
    /// What was predicted in the window that starts at `start`.
    fn summarize<'a>(&'a self, model: &'a str, start: Timestamp) -> BoxFuture<'a, Result<WindowSummary>>;
}

/// For projects without predictions: every window is empty.
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

impl Inner {
    /// Closes whatever can be closed. What must wait for a validation keeps the flow `dirty`.
    pub(crate) async fn close_windows(&self) -> Result<()> {
        self.dirty.store(false, Ordering::SeqCst);
        for model in self.pipeline.models.values() {
            let Some(features) = self.pipeline.features.get(&model.features) else {
                continue;
            };
            if self.validates(&features.dataset) {
                self.dirty.store(true, Ordering::SeqCst);
                continue;
            }
            let cut = WindowPolicy {
                window: model.monitor.window,
                block: model.monitor.block,
            };
            if let Err(error) = self.close_model(&model.name, cut, &features.dataset).await {
                self.dirty.store(true, Ordering::SeqCst);
                return Err(error.context(format!("cannot close windows of `{}`", model.name)));
            }
        }
        Ok(())
    }

    fn validates(&self, dataset: &str) -> bool {
        let raw = format!("raw/{dataset}/");
        self.queue.any(|item| item.stage == "validate" && item.resource == dataset)
            || lock(&self.looks).keys().any(|key| key.starts_with(&raw))
    }

    async fn close_model(&self, model: &str, cut: WindowPolicy, dataset: &str) -> Result<()> {
        let closing = WindowCloser {
            store: &self.store,
            ledger: &self.ledger,
            windows: &*self.windows,
        };
        let mut closed = Vec::new();
        let result = closing.close_model(model, cut, dataset, &mut closed).await;
        for key in closed {
            self.take_in(&key).await?;
        }
        result
    }
}

/// How a model's event time is cut.
#[derive(Debug, Clone, Copy)]
pub struct WindowPolicy {
    /// The span that is judged at once.
    pub window: Span,
    /// A window closes when the data has come within a block of its end.
    pub block: Span,
}

/// What closing windows needs. Whoever calls it makes sure that no validation of the dataset is under way.
pub struct WindowCloser<'a> {
    /// The state.
    pub store: &'a Store,
    /// Its ledger.
    pub ledger: &'a Ledger,
    /// The prediction log.
    pub windows: &'a dyn WindowSource,
}

impl WindowCloser<'_> {
    /// Closes all windows of `model` that the parts of `dataset` have passed, in order. Keys of closed windows go to `closed`, also
    /// where a later one fails.
    pub async fn close_model(&self, model: &str, cut: WindowPolicy, dataset: &str, closed: &mut Vec<String>) -> Result<()> {
        let parts = self.parts(dataset).await?;
        let Some(watermark) = parts.iter().map(|part| part.until).max() else {
            return Ok(());
        };
        let last = self.last(model).await?;
        let mut sealed = false;
        for (start, end, previous) in due(cut, &parts, watermark, last) {
            if !sealed {
                self.windows.seal(model).await?;
                sealed = true;
            }
            closed.push(self.close(model, &parts, start, end, previous).await?);
        }
        Ok(())
    }

    async fn close(
        &self,
        model: &str,
        parts: &[DataFile],
        start: Timestamp,
        end: Timestamp,
        previous: Option<Timestamp>,
    ) -> Result<String> {
        let summary = self.windows.summarize(model, start).await?;
        let log = WindowSegments {
            segments: summary.segments,
        };
        let log_key = format!("logs/{model}/{}.json", key_time(start));
        let log_bytes = json(&log)?;
        if self.store.create(&log_key, log_bytes.clone().into()).await? == PutResult::Conflict {
            // Left by a crash before the window was created: nobody has read it, and more may have been sealed since.
            let old = Digest::sha256(&self.store.get(&log_key).await?);
            self.store.swap(&log_key, Some(&old), log_bytes.into()).await?;
        }
        kill::pass("window-log");
        let window = MonitoringWindow {
            model: model.to_owned(),
            start,
            end,
            as_of: end,
            previous,
            predictions: summary.predictions,
            versions: summary.versions,
            digest: summary.digest,
            data_files: parts.iter().filter(|part| part.from < end).cloned().collect(),
        };
        let key = format!("windows/{model}/{}.json", key_time(start));
        self.store.create(&key, json(&window)?.into()).await?;
        kill::pass("window-create");
        tracing::info!("closed window {} of `{model}`: {} predictions", key_time(start), window.predictions);
        Ok(key)
    }

    /// Every validated part, by time, then digest.
    async fn parts(&self, dataset: &str) -> Result<Vec<DataFile>> {
        let outcomes = self.ledger.list_outcomes(Some("validate"), Some(dataset)).await?;
        let mut parts: Vec<DataFile> = outcomes
            .into_iter()
            .filter(|outcome| outcome.decision == Decision::Done)
            .filter_map(|outcome| serde_json::from_value(outcome.result).ok())
            .collect();
        parts.sort_by(|a, b| (a.from, &a.digest).cmp(&(b.from, &b.digest)));
        // The same rows under two names are one part.
        parts.dedup_by(|a, b| a.digest == b.digest && a.data == b.data);
        Ok(parts)
    }

    /// The start of the last window that was closed.
    async fn last(&self, model: &str) -> Result<Option<Timestamp>> {
        let last = list_all(self.store, &format!("windows/{model}/")).await?.pop();
        Ok(last.and_then(|meta| window_start(&meta.key)))
    }
}

/// The windows that can be closed now: (start, end, the window before). Stretches without any part are passed over.
fn due(
    cut: WindowPolicy,
    parts: &[DataFile],
    watermark: Timestamp,
    mut closed: Option<Timestamp>,
) -> Vec<(Timestamp, Timestamp, Option<Timestamp>)> {
    let WindowPolicy { window, block } = cut;
    let mut due = Vec::new();
    let first = parts.iter().map(|part| window.window_start(part.from)).min();
    let Some(mut start) = closed.map(|last| window.next_window(last)).or(first) else {
        return due;
    };
    loop {
        let end = window.next_window(start);
        if end <= start || watermark < block.advance(end, -1) {
            return due;
        }
        if parts.iter().any(|part| part.from < end && part.until >= start) {
            due.push((start, end, closed));
            closed = Some(start);
            start = end;
        } else {
            let next = parts
                .iter()
                .filter(|part| part.from >= end)
                .map(|part| window.window_start(part.from))
                .min();
            start = next.filter(|next| *next > start).unwrap_or(end);
        }
    }
}

/// `windows/late/2013-05-01T00-00-00Z.json` → its time.
pub(crate) fn window_start(key: &str) -> Option<Timestamp> {
    let name = key.rsplit('/').next()?.strip_suffix(".json")?;
    let (date, time) = name.split_once('T')?;
    parse_time(&format!("{date}T{}", time.replace('-', ":"))).ok()
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|e| Error::bug(format!("a window cannot be written: {e}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
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
        }
    }

    fn starts(parts: &[DataFile], closed: Option<&str>) -> Vec<String> {
        let span = |text: &str| Span::parse(text).unwrap();
        let cut = WindowPolicy {
            window: span("1 month"),
            block: span("1 day"),
        };
        let watermark = parts.iter().map(|p| p.until).max().unwrap();
        due(cut, parts, watermark, closed.map(at))
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
    fn reads_its_own_keys() {
        assert_eq!(
            window_start("windows/m/2013-05-01T12-30-00Z.json"),
            Some(at("2013-05-01T12:30:00Z"))
        );
        assert_eq!(window_start("windows/m/x.json"), None);
    }
}
