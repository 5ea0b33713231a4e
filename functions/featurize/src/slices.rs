//! The three slices: rows that the model is trained on, rows that end its training, and rows that evaluate it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tidemill_core::{
    Digest,
    spec::Features,
    time::{Span, key_time},
};

use crate::rows::FeatureRows;

/// A slice of the feature rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slice {
    /// Fits the model.
    Train,
    /// Ends the training, by early stopping.
    Validation,
    /// Evaluates the model, which never sees it before.
    Holdout,
}

impl Slice {
    pub(crate) const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Holdout];
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Holdout => "holdout",
        }
    }
}

/// Ascending spans of time, each with its slice: start and end in microseconds; the end is exclusive.
pub(crate) type Spans = Vec<(i64, i64, Slice)>;

/// The feature rows with their slices and classes.
pub(crate) struct SlicedRows {
    pub(crate) rows: FeatureRows,
    pub(crate) spans: Spans,
    /// The slice of each row.
    pub(crate) slices: Vec<Slice>,
    /// The label's classes; empty for regression.
    pub(crate) classes: Vec<String>,
}

/// Divides the time that these ascending event times cover into slices.
pub(crate) fn assign_slices(times: &[i64], features: &Features) -> Spans {
    match features.holdout.block {
        Some(block) => assign_by_block(times, block, features),
        None => assign_by_time(times, features),
    }
}

/// The slice of an event time.
pub(crate) fn slice_at(spans: &Spans, time: i64) -> Slice {
    let index = spans.partition_point(|(_, end, _)| *end <= time);
    spans.get(index).map_or(Slice::Train, |(.., slice)| *slice)
}

/// The blocks that contain these ascending times: start and end.
pub(crate) fn time_blocks(times: &[i64], block: Span) -> BTreeMap<i64, i64> {
    let mut blocks = BTreeMap::new();
    let mut end = i64::MIN;
    for time in times {
        if *time >= end {
            let start = block.window_start(Timestamp::from_microsecond(*time).unwrap_or_default());
            end = block.next_window(start).as_microsecond();
            blocks.insert(start.as_microsecond(), end);
        }
    }
    blocks
}

fn assign_by_block(times: &[i64], block: Span, features: &Features) -> Spans {
    let mut spans: Spans = Vec::new();
    for (start, end) in time_blocks(times, block) {
        let name = key_time(Timestamp::from_microsecond(start).unwrap_or_default());
        let slice = match hash_share("holdout", &name) {
            share if share < features.holdout.share => Slice::Holdout,
            // The salt is the former name of the slice: another salt would move days to other slices and change the bytes of every model.
            _ if hash_share("stop", &name) < features.validation_share => Slice::Validation,
            _ => Slice::Train,
        };
        match spans.last_mut() {
            Some((_, last, same)) if *last == start && *same == slice => *last = end,
            _ => spans.push((start, end, slice)),
        }
    }
    spans
}

/// A number from 0 to 1 that depends on salt and name alone.
fn hash_share(salt: &str, name: &str) -> f64 {
    let digest = Digest::sha256(format!("{salt} {name}").as_bytes());
    let number = u64::from_str_radix(&digest.as_str()[..13], 16).unwrap_or_default();
    number as f64 / (1u64 << 52) as f64
}

/// The latest share is the holdout, and the latest share of the rest is the validation slice. Rows of the same time stay together.
fn assign_by_time(times: &[i64], features: &Features) -> Spans {
    let at = |rows: usize, share: f64| times.get(((rows as f64) * (1.0 - share)).ceil() as usize).copied();
    let holdout = at(times.len(), features.holdout.share).unwrap_or(i64::MAX);
    let before = times.partition_point(|time| *time < holdout);
    let validation = at(before, features.validation_share).unwrap_or(holdout).min(holdout);
    let (Some(first), Some(last)) = (times.first(), times.last()) else {
        return Vec::new();
    };
    let end = last + 1;
    let (validation, holdout) = (validation.min(end), holdout.min(end));
    vec![
        (*first, validation, Slice::Train),
        (validation, holdout, Slice::Validation),
        (holdout, end, Slice::Holdout),
    ]
}

#[cfg(test)]
mod tests {
    use tidemill_core::spec::Holdout;

    use super::*;

    const DAY: i64 = 86_400_000_000;

    fn features(block: Option<Span>) -> Features {
        Features {
            name: "late".into(),
            dataset: "flights".into(),
            sql: String::new(),
            label: "late".into(),
            time: "time".into(),
            key: vec!["id".into()],
            holdout: Holdout { block, share: 0.2 },
            validation_share: 0.1,
            transform: BTreeMap::new(),
        }
    }

    #[test]
    fn a_day_keeps_its_slice_as_data_grows() {
        let times: Vec<i64> = (0..4000).map(|hour| hour * DAY / 10).collect();
        let few = assign_slices(&times[..1000], &features(Some(Span::days(1))));
        let all = assign_slices(&times, &features(Some(Span::days(1))));
        for time in &times[..1000] {
            assert_eq!(slice_at(&few, *time), slice_at(&all, *time));
        }
        let count = |slice| times.iter().filter(|t| slice_at(&all, **t) == slice).count() as f64 / 4000.0;
        assert!((count(Slice::Holdout) - 0.2).abs() < 0.05, "{}", count(Slice::Holdout));
        assert!((count(Slice::Validation) - 0.08).abs() < 0.04, "{}", count(Slice::Validation));
    }

    #[test]
    fn by_time_the_latest_rows_judge_and_equal_times_stay_together() {
        let times: Vec<i64> = (0..100).map(|row| row / 3).collect();
        let spans = assign_slices(&times, &features(None));
        let slices: Vec<Slice> = times.iter().map(|t| slice_at(&spans, *t)).collect();
        assert!(slices[0] == Slice::Train && slices[99] == Slice::Holdout && slices.contains(&Slice::Validation));
        assert!(times.windows(2).zip(slices.windows(2)).all(|(t, s)| t[0] != t[1] || s[0] == s[1]));
        let one = assign_slices(&[5, 5, 5], &features(None));
        assert_eq!(slice_at(&one, 5), Slice::Train);
    }
}
