//! Constructors of keys, one for each kind of object. A function named `…_prefix` returns what a listing takes (it ends in `/`), one named
//! `…_pattern` what a grant or a trigger takes.

use jiff::Timestamp;

use super::Prefix;
use crate::{Digest, time::key_time};

// The ledger.

/// The outcome of a trigger: `outcomes/<stage>/<resource>/<id>.json`.
pub fn outcome(stage: &str, resource: &str, id: &str) -> String {
    format!("{}{id}.json", outcome_prefix(stage, resource))
}

/// All outcomes of a stage for a resource, for listings.
pub fn outcome_prefix(stage: &str, resource: &str) -> String {
    format!("{}/{stage}/{resource}/", Prefix::Outcomes.name())
}

/// All outcomes of a stage for a resource, as a pattern.
pub fn outcome_pattern(stage: &str, resource: &str) -> String {
    format!("{}*", outcome_prefix(stage, resource))
}

/// How the run of a trigger went: `runs/<stage>/<resource>/<id>.json`.
pub fn run(stage: &str, resource: &str, id: &str) -> String {
    format!("{}{id}.json", run_prefix(stage, resource))
}

/// All runs of a stage for a resource, for listings.
pub fn run_prefix(stage: &str, resource: &str) -> String {
    format!("{}/{stage}/{resource}/", Prefix::Runs.name())
}

/// All runs of a stage for a resource, as a pattern.
pub fn run_pattern(stage: &str, resource: &str) -> String {
    format!("{}*", run_prefix(stage, resource))
}

/// The dead letter of a trigger: `dead/<stage>/<resource>/<id>.json`.
pub fn dead_letter(stage: &str, resource: &str, id: &str) -> String {
    format!("{}{id}.json", dead_letter_prefix(stage, resource))
}

/// All dead letters of a stage for a resource, for listings.
pub fn dead_letter_prefix(stage: &str, resource: &str) -> String {
    format!("{}/{stage}/{resource}/", Prefix::Dead.name())
}

/// All dead letters of a stage for a resource, as a pattern.
pub fn dead_letter_pattern(stage: &str, resource: &str) -> String {
    format!("{}*", dead_letter_prefix(stage, resource))
}

/// A component by its digest: `components/<digest>`.
pub fn component(digest: &Digest) -> String {
    format!("{}/{digest}", Prefix::Components.name())
}

/// A resolved configuration by its digest: `configs/<digest>`.
pub fn config(digest: &Digest) -> String {
    format!("{}/{digest}", Prefix::Configs.name())
}

/// A scheduled event: `schedules/<stage>/<resource>/<time>.json`.
pub fn schedule(stage: &str, resource: &str, time: Timestamp) -> String {
    format!("{}/{stage}/{resource}/{}.json", Prefix::Schedules.name(), key_time(time))
}

/// The scheduled events of a stage for a resource, as a pattern.
pub fn schedule_pattern(stage: &str, resource: &str) -> String {
    format!("{}/{stage}/{resource}/*", Prefix::Schedules.name())
}

// Data.

/// An upload: `raw/<dataset>/<name>`.
pub fn raw(dataset: &str, name: &str) -> String {
    format!("{}{name}", Prefix::Raw.under(dataset))
}

/// The name of an upload that came over HTTP: `posted-<digest>.<extension>`.
pub fn posted_name(content: &Digest, extension: &str) -> String {
    format!("posted-{}.{extension}", &content.as_str()[..32])
}

/// What `collect` fetched, named by content: `raw/<dataset>/collected/<digest>.<extension>`.
pub fn collected(dataset: &str, content: &Digest, extension: &str) -> String {
    raw(dataset, &format!("collected/{}.{extension}", content.short()))
}

/// All that `collect` may write for a dataset, as a pattern.
pub fn collected_pattern(dataset: &str) -> String {
    raw(dataset, "collected/**")
}

/// The validated rows of an upload: `datasets/<dataset>/<run>/data.parquet`.
pub fn data_file(dataset: &str, run: &str) -> String {
    format!("{}{run}/data.parquet", Prefix::Datasets.under(dataset))
}

/// The profile beside a data file: `datasets/<dataset>/<run>/profile.json`.
pub fn data_profile(dataset: &str, run: &str) -> String {
    format!("{}{run}/profile.json", Prefix::Datasets.under(dataset))
}

/// The rejected rows of an upload: `quarantine/<dataset>/<run>/rejected.parquet`.
pub fn quarantine(dataset: &str, run: &str) -> String {
    format!("{}{run}/rejected.parquet", Prefix::Quarantine.under(dataset))
}

// Training.

/// The training request that follows a window: `requests/<model>/<start>.json`.
pub fn request(model: &str, window: Timestamp) -> String {
    format!("{}{}.json", Prefix::Requests.under(model), key_time(window))
}

/// The training request of a schedule or a person: `requests/<model>/<time>-scheduled.json`.
pub fn scheduled_request(model: &str, time: Timestamp) -> String {
    format!("{}{}-scheduled.json", Prefix::Requests.under(model), key_time(time))
}

/// The decision of `retrain` on a window: `decisions/<model>/<start>.json`.
pub fn decision(model: &str, window: Timestamp) -> String {
    format!("{}{}.json", Prefix::Decisions.under(model), key_time(window))
}

/// All decisions of a model, for listings; also those on scheduled events.
pub fn decision_prefix(model: &str) -> String {
    Prefix::Decisions.under(model)
}

/// The note that `retrain` ended in a dead letter for a window: `decisions/<model>/not-judged/<start>.json`.
pub fn undecided_window(model: &str, window: Timestamp) -> String {
    format!("{}not-judged/{}.json", Prefix::Decisions.under(model), key_time(window))
}

/// The decision of `retrain` on a schedule's or a person's event: `decisions/<model>/schedules/<time>.json`.
pub fn scheduled_decision(model: &str, time: Timestamp) -> String {
    format!("{}{}.json", scheduled_decision_prefix(model), key_time(time))
}

/// All decisions on schedules' and persons' events, for listings.
pub fn scheduled_decision_prefix(model: &str) -> String {
    format!("{}schedules/", Prefix::Decisions.under(model))
}

/// A file of a feature set: `features/<model>/<run>/<file>`, such as `train.parquet` or `transform.json`.
pub fn feature_file(model: &str, run: &str, file: &str) -> String {
    format!("{}{run}/{file}", Prefix::Features.under(model))
}

/// The fitted transforms of a model, as a pattern: the only part of a feature set that serving reads.
pub fn transform_pattern(model: &str) -> String {
    feature_file(model, "*", TRANSFORM)
}

/// The file name of a fitted transform.
pub const TRANSFORM: &str = "transform.json";

/// A file of a candidate: `candidates/<model>/<run>/<file>`, such as `model.onnx`.
pub fn candidate_file(model: &str, run: &str, file: &str) -> String {
    format!("{}{run}/{file}", Prefix::Candidates.under(model))
}

/// A model from elsewhere: `imports/<model>/<digest>.onnx`.
pub fn import(model: &str, digest: &Digest) -> String {
    format!("{}{digest}.onnx", Prefix::Imports.under(model))
}

/// The evaluation of a candidate: `evaluations/<model>/<run>/evaluation.json`, or `evaluations/<model>/<run>/against-<n>/evaluation.json`
/// where it was compared with a champion: a run that is made again after the champion moved writes another object.
pub fn evaluation(model: &str, run: &str, champion: Option<u32>) -> String {
    let against = champion.map(|version| format!("against-{version}/")).unwrap_or_default();
    format!("{}{run}/{against}evaluation.json", Prefix::Evaluations.under(model))
}

// The registry.

/// A version: `models/<model>/versions/<number>.json`.
pub fn version(model: &str, number: u32) -> String {
    format!("{}{number}.json", version_prefix(model))
}

/// All versions of a model, for listings. They do not sort by number.
pub fn version_prefix(model: &str) -> String {
    format!("{}versions/", Prefix::Models.under(model))
}

/// An alias: `models/<model>/aliases/<alias>.json`.
pub fn alias(model: &str, alias: &str) -> String {
    format!("{}{alias}.json", alias_prefix(model))
}

/// All aliases of a model and their history, for listings.
pub fn alias_prefix(model: &str) -> String {
    format!("{}aliases/", Prefix::Models.under(model))
}

/// One entry of an alias's history: `models/<model>/aliases/<alias>/<moves>.json`.
pub fn alias_move(model: &str, alias: &str, moves: u32) -> String {
    format!("{}{moves}.json", alias_history_prefix(model, alias))
}

/// The history of an alias, for listings.
pub fn alias_history_prefix(model: &str, alias: &str) -> String {
    format!("{}{alias}/", alias_prefix(model))
}

// Serving and monitoring.

/// All that serving reads of a model, as patterns: the registry whole, because it lists the models, candidates, and fitted transforms.
/// `*` stands for every model.
///
/// ```
/// let patterns = tidemill_core::layout::serving_patterns("late");
/// assert_eq!(patterns, ["models/**", "candidates/late/**", "features/late/*/transform.json"]);
/// ```
pub fn serving_patterns(model: &str) -> [String; 3] {
    [
        Prefix::Models.everything(),
        Prefix::Candidates.pattern(model),
        transform_pattern(model),
    ]
}

/// The segments of the prediction log for a window, for listings: `predictions/<model>/<start>/`.
pub fn segment_prefix(model: &str, window: Timestamp) -> String {
    format!("{}{}/", Prefix::Predictions.under(model), key_time(window))
}

/// A closed window: `windows/<model>/<start>.json`.
pub fn window(model: &str, start: Timestamp) -> String {
    format!("{}{}.json", Prefix::Windows.under(model), key_time(start))
}

/// The segments that belong to a closed window: `logs/<model>/<start>.json`.
pub fn window_segments(model: &str, start: Timestamp) -> String {
    format!("{}{}.json", Prefix::Logs.under(model), key_time(start))
}

/// A report: `reports/<model>/<start>/<known>/report.json`, where `known` names the labels that it knew.
pub fn report(model: &str, window: Timestamp, known: &str) -> String {
    format!("{}{}/{known}/report.json", Prefix::Reports.under(model), key_time(window))
}

/// The note that `monitor` ended in a dead letter for a window: `reports/<model>/<start>/not-judged.json`.
pub fn unreported_window(model: &str, window: Timestamp) -> String {
    format!("{}{}/not-judged.json", Prefix::Reports.under(model), key_time(window))
}

/// An entry of the audit trail: `audit/<name>.json`.
pub fn audit(name: &str) -> String {
    format!("{}/{name}.json", Prefix::Audit.name())
}
