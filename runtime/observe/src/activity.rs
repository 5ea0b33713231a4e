//! What a process does, for a person who watches it: one line for each run, and for what fails its reason and its file.
//!
//! What fails the same way again and again (a client that sends one wrong request a thousand times, a store that does not answer) is one
//! line, and then one line a minute with a count.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;

use crate::recorder::{FailedEvent, Run};

/// Something that happened.
#[derive(Debug, Clone, Copy)]
pub enum Activity<'a> {
    /// A run of a stage ended. One that ended with an error is followed by [`Retry`](Self::Retry) or [`DeadLetter`](Self::DeadLetter).
    Run(Run<'a>),
    /// The delivery of an event failed, and is repeated later.
    Retry(FailedEvent<'a>),
    /// An event failed for good.
    DeadLetter(FailedEvent<'a>),
    /// A request was answered with an error.
    FailedRequest {
        /// The model that it asked for, or its path.
        target: &'a str,
        /// The HTTP status.
        status: u16,
        /// The answer's message.
        reason: &'a str,
    },
}

/// Takes in what happens. It is called where it happens, so it must not block.
pub type Observer = dyn Fn(&Activity<'_>) + Send + Sync;

/// Kinds of failures that are told apart; more are written each time.
const MAX_KINDS: usize = 200;

/// Renders activities as lines.
pub struct ActivityLines {
    write: Box<dyn Fn(&str) + Send + Sync>,
    /// What failed since the last [`flush`](Self::flush), by kind.
    failures: Mutex<BTreeMap<String, Repeats>>,
}

/// How often a kind of failure came again, and what it said last.
#[derive(Default)]
struct Repeats {
    count: u64,
    latest: String,
}

impl ActivityLines {
    /// Lines for `write`, which gets each without its end.
    pub fn new(write: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self {
            write: Box::new(write),
            failures: Mutex::default(),
        }
    }

    /// Writes the line of an activity, if it has one.
    pub fn add(&self, activity: &Activity<'_>) {
        match activity {
            Activity::Run(run) => {
                if let Some(line) = render_run(run) {
                    (self.write)(&line);
                }
            }
            Activity::Retry(event) => self.add_failure(&format!("~ {} is tried again", describe(event)), event.reason),
            Activity::DeadLetter(event) => (self.write)(&format!(
                "✗ {} failed: {}\n    `tidemill events` lists it, `tidemill events retry` tries it again",
                describe(event),
                indent(event.reason)
            )),
            Activity::FailedRequest { target, status, reason } => self.add_failure(&format!("✗ {status} {target}"), reason),
        }
    }

    /// Writes a failure of a kind, or counts it if that kind was written already.
    fn add_failure(&self, kind: &str, reason: &str) {
        let mut failures = self.failures.lock();
        if let Some(repeats) = failures.get_mut(kind) {
            repeats.count += 1;
            reason.clone_into(&mut repeats.latest);
            return;
        }
        if failures.len() < MAX_KINDS {
            failures.insert(kind.to_owned(), Repeats::default());
        }
        drop(failures);
        (self.write)(&format!("{kind}: {}", indent(reason)));
    }

    /// Writes how often failures came again since the last call, and forgets those that did not. Call it once a minute.
    pub fn flush(&self) {
        let mut failures = self.failures.lock();
        failures.retain(|_, repeats| repeats.count > 0);
        let repeated: Vec<(String, Repeats)> = failures
            .iter_mut()
            .map(|(kind, repeats)| (kind.clone(), std::mem::take(repeats)))
            .collect();
        drop(failures);
        for (kind, Repeats { count, latest }) in repeated {
            (self.write)(&format!("{kind}, {count} more in the last minute; the latest: {}", indent(&latest)));
        }
    }
}

fn render_run(run: &Run<'_>) -> Option<String> {
    let subject = subject(run.stage, run.resource, run.trigger);
    let (reason, took) = (indent(run.reason), render_duration(run.duration));
    let finding = run.finding.filter(|finding| !run.reason.contains(finding)).map(indent);
    Some(match (run.outcome, finding) {
        ("done", None) => format!("✓ {subject} in {took}: {reason}"),
        ("done", Some(finding)) => format!("✓ {subject} in {took}: {reason} ({finding})"),
        ("skipped", _) => format!("- {subject} skipped: {reason}"),
        ("rejected", finding) => {
            // Validation is what rejects files: the stage need not be said.
            let subject = subject.strip_prefix("validate ").unwrap_or(&subject);
            let finding = finding.map(|finding| format!(": {finding}")).unwrap_or_default();
            format!("✗ rejected {subject}: {reason}{finding}")
        }
        _ => return None,
    })
}

fn describe(event: &FailedEvent<'_>) -> String {
    let subject = subject(event.stage, event.resource, event.trigger);
    let names_trigger = event.stage == event.resource || subject.len() > event.stage.len() + event.resource.len() + 1;
    match names_trigger {
        true => subject,
        false => format!("{subject} (`{}`)", event.trigger),
    }
}

/// `validate flights 2013-05.csv`, `train late`; for an added stage, which is its own resource, `thumbnails raw/photos/a.jpg`.
fn subject(stage: &str, resource: &str, trigger: &str) -> String {
    let file = trigger
        .strip_prefix("raw/")
        .and_then(|rest| rest.strip_prefix(resource)?.strip_prefix('/'));
    match file {
        _ if stage == resource => format!("{stage} {trigger}"),
        Some(file) => format!("{stage} {resource} {file}"),
        None => format!("{stage} {resource}"),
    }
}

/// Further lines of a message below its first.
fn indent(message: &str) -> String {
    message.trim_end().replace('\n', "\n    ")
}

fn render_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        ..0.1 => format!("{:.0} ms", seconds * 1000.0),
        ..9.95 => format!("{seconds:.1} s"),
        ..119.5 => format!("{seconds:.0} s"),
        _ => format!("{} min {} s", seconds as u64 / 60, seconds as u64 % 60),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// The lines of these activities, and a function that flushes.
    fn lines() -> (ActivityLines, Arc<Mutex<Vec<String>>>) {
        let written = Arc::<Mutex<Vec<String>>>::default();
        let lines = written.clone();
        (ActivityLines::new(move |line| lines.lock().push(line.to_owned())), written)
    }

    fn run<'a>(stage: &'a str, resource: &'a str, trigger: &'a str, outcome: &'a str, reason: &'a str) -> Run<'a> {
        Run {
            stage,
            resource,
            trigger,
            outcome,
            reason,
            run_key: "",
            finding: None,
            duration: Duration::from_secs(12),
            memory_bytes: 0,
        }
    }

    #[test]
    fn a_run_is_a_line_with_its_file() {
        let (lines, written) = lines();
        let quarantined = Run {
            finding: Some("`distance` is below 1: 2 of 20 rows, first `-3`"),
            ..run(
                "validate",
                "flights",
                "raw/flights/2013-04.csv",
                "done",
                "18 good rows, 2 in quarantine",
            )
        };
        let rejected = Run {
            finding: Some("1 lines are not CSV with this header: line 12: too many columns"),
            ..run("validate", "flights", "raw/flights/2013-05.csv", "rejected", "all 1 rows are bad")
        };
        let written_by = |run: Run<'_>| lines.add(&Activity::Run(run));
        written_by(run("train", "late", "requests/late/x.json", "done", "150 rounds"));
        written_by(quarantined);
        written_by(rejected);
        written_by(run("retrain", "late", "outcomes/monitor/late/x.json", "skipped", "no drift"));
        written_by(run("sum", "sum", "raw/events/a.jsonl", "done", "3 rows"));
        // What failed is written when it is known whether it is tried again.
        written_by(run(
            "train",
            "late",
            "requests/late/x.json",
            "transient",
            "the store does not answer",
        ));
        assert_eq!(
            *written.lock(),
            [
                "✓ train late in 12 s: 150 rounds",
                "✓ validate flights 2013-04.csv in 12 s: 18 good rows, 2 in quarantine (`distance` is below 1: 2 of 20 rows, first `-3`)",
                "✗ rejected flights 2013-05.csv: all 1 rows are bad: 1 lines are not CSV with this header: line 12: too many columns",
                "- retrain late skipped: no drift",
                "✓ sum raw/events/a.jsonl in 12 s: 3 rows",
            ]
        );
    }

    #[test]
    fn a_failure_names_its_file() {
        let (lines, written) = lines();
        let event = |stage, trigger| FailedEvent {
            stage,
            resource: "flights",
            trigger,
            reason: "it traps\nat `run`",
        };
        lines.add(&Activity::DeadLetter(event("validate", "raw/flights/a.csv")));
        lines.add(&Activity::DeadLetter(event("featurize", "outcomes/retrain/flights/1.json")));
        let written = written.lock();
        assert!(
            written[0].starts_with("✗ validate flights a.csv failed: it traps\n    at `run`\n    `tidemill events`"),
            "{written:?}"
        );
        assert!(
            written[1].starts_with("✗ featurize flights (`outcomes/retrain/flights/1.json`) failed:"),
            "{written:?}"
        );
    }

    #[test]
    fn failures_that_repeat_are_counted() {
        let (lines, written) = lines();
        let fail = |status, reason| {
            lines.add(&Activity::FailedRequest {
                target: "late",
                status,
                reason,
            });
        };
        fail(400, "the input `x` is missing");
        fail(400, "the input `x` is missing");
        fail(400, "the input `y` is missing");
        fail(503, "no version");
        lines.flush();
        // Quiet for a minute: the next one is a first again.
        lines.flush();
        fail(503, "no version");
        assert_eq!(
            *written.lock(),
            [
                "✗ 400 late: the input `x` is missing",
                "✗ 503 late: no version",
                "✗ 400 late, 2 more in the last minute; the latest: the input `y` is missing",
                "✗ 503 late: no version",
            ]
        );
    }

    #[test]
    fn durations_are_short() {
        let rendered = [0.004, 0.44, 9.96, 12.3, 125.0].map(|seconds| render_duration(Duration::from_secs_f64(seconds)));
        assert_eq!(rendered, ["4 ms", "0.4 s", "10 s", "12 s", "2 min 5 s"]);
    }
}
