//! `tidemill models show`: a version with its lineage, gates and metrics, and the history of the model's aliases.

use std::collections::BTreeSet;

use tidemill_catalog::{AliasMove, Catalog, GateResult, ParentRun, VersionDetail};
use tidemill_core::{
    Error, Result,
    gate::Metrics,
    record::{Evaluation, RetrainAction},
    text::plural,
};
use tidemill_registry::{CHAMPION, VersionSelector};

use super::find_version;
use crate::{
    commands::runs::short_id,
    output::{Column, Output, fields, table},
    project::Project,
};

/// Shows a version: `selected` is a number or an alias, by default the champion.
pub(super) async fn run(project: &Project, catalog: &Catalog, model: &str, selected: Option<&str>, output: Output) -> anyhow::Result<()> {
    let number = match VersionSelector::parse(selected) {
        VersionSelector::Number(number) => number,
        VersionSelector::Alias(alias) => resolve_alias(project, catalog, model, alias).await?,
    };
    find_version(project, catalog, model, number).await?;
    let detail = catalog.version_detail(model, number).await?;
    output.print(&detail, render_text)
}

async fn resolve_alias(project: &Project, catalog: &Catalog, model: &str, alias: &str) -> Result<u32> {
    if let Some(found) = catalog.alias(model, alias).await? {
        return Ok(found.version);
    }
    project.pipeline.require_model(model)?;
    Err(Error::not_found(match alias {
        CHAMPION => format!("`{model}` has no champion yet"),
        _ => format!(
            "`{model}` has no alias `{alias}`; name a version by its number or an alias, such as `{model}@1` or `{model}@{CHAMPION}`"
        ),
    }))
}

fn render_text(detail: &VersionDetail) -> String {
    let version = &detail.version;
    let evaluation = detail.lineage.evaluation.as_ref();
    let aliases = if detail.aliases.is_empty() {
        "no alias".to_owned()
    } else {
        detail.aliases.join(", ")
    };
    // One version of them, unless Tidemill was updated between two of the runs.
    let engines: BTreeSet<&str> = detail.lineage.runs.iter().map(|run| run.engines.as_str()).collect();
    let head = fields(&[
        ("model", format!("{} version {} ({aliases})", version.model, version.version)),
        ("data until", version.as_of.to_string()),
        ("asked by", render_cause(detail)),
        ("data", render_data(detail)),
        ("rows", evaluation.map(render_rows).unwrap_or_default()),
        ("transform", format!("{} {}", version.transform_digest.short(), version.transform)),
        ("onnx", format!("{} {}", version.onnx_digest.short(), version.onnx)),
        ("trainer", evaluation.map(render_trainer).unwrap_or_default()),
        ("engines", engines.into_iter().collect::<Vec<_>>().join("; ")),
        (
            "inputs",
            version
                .signature
                .inputs
                .iter()
                .map(|input| input.name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        ),
    ]);
    let history = detail.history.iter().map(move_cells).collect();
    [
        head,
        render_metrics(&version.metrics, evaluation),
        table(
            &GATES,
            detail.gates.iter().map(gate_cells).collect(),
            "its gates are not in this store",
        ),
        table(
            &RUNS,
            detail.lineage.runs.iter().map(run_cells).collect(),
            "the runs that made it are not in this store",
        ),
        table(&MOVES, history, "no alias was ever moved"),
    ]
    .join("\n\n")
}

fn render_cause(detail: &VersionDetail) -> String {
    let Some(decision) = &detail.lineage.decision else {
        return String::new();
    };
    let decided = match decision.decision {
        RetrainAction::Train => decision.causes.join(", "),
        RetrainAction::Keep => "keep".to_owned(),
    };
    format!("{decided}, after the window that began {}: {}", decision.window, decision.reason)
}

fn render_data(detail: &VersionDetail) -> String {
    let Some(data) = &detail.lineage.data else {
        return String::new();
    };
    format!(
        "{}, {} rows, from {} until {}",
        plural(data.files, "file"),
        data.rows,
        data.from,
        data.until
    )
}

fn render_rows(evaluation: &Evaluation) -> String {
    let set = &evaluation.training.features;
    format!(
        "{} to train, {} to validate, {} held out",
        set.train_rows, set.validation_rows, set.holdout_rows
    )
}

fn render_trainer(evaluation: &Evaluation) -> String {
    let parameters = evaluation.training.parameters.as_object().into_iter().flatten();
    let parameters = parameters.map(|(name, value)| match value.as_str() {
        Some(text) => format!("{name} {text}"),
        None => format!("{name} {value}"),
    });
    let rounds = match evaluation.training.rounds {
        0 => None,
        rounds => Some(format!("{} grown", plural(rounds as usize, "round"))),
    };
    parameters.chain(rounds).collect::<Vec<_>>().join(", ")
}

/// Metrics on the holdout, beside those of the champion of then on the same rows.
fn render_metrics(metrics: &Metrics, evaluation: Option<&Evaluation>) -> String {
    let champion = evaluation.and_then(|evaluation| evaluation.champion.as_ref());
    let number = evaluation.and_then(|evaluation| evaluation.champion_version);
    let before = number.map(|number| format!("version {number}")).unwrap_or_default();
    let mut columns = vec![Column::word("metric"), Column::number("holdout")];
    if champion.is_some() {
        columns.push(Column::number(&before));
    }
    let row = |(name, value): (&String, &f64)| {
        let mut row = vec![name.clone(), format_value(*value)];
        if let Some(champion) = champion {
            row.push(champion.get(name).map(|value| format_value(*value)).unwrap_or_default());
        }
        row
    };
    table(&columns, metrics.iter().map(row).collect(), "it has no metrics")
}

/// Four decimals, or none for a count.
fn format_value(value: f64) -> String {
    match value.fract() == 0.0 && value.abs() > 1.0 {
        true => format!("{value:.0}"),
        false => format!("{value:.4}"),
    }
}

const GATES: [Column<'static>; 4] = [
    Column::text("gate"),
    Column::number("value"),
    Column::number("limit"),
    Column::state("result"),
];

fn gate_cells(gate: &GateResult) -> Vec<String> {
    let number = |value: Option<f64>| value.map(format_value).unwrap_or_default();
    let result = match gate.passed {
        Some(true) => "pass",
        Some(false) => "fail",
        None => "no champion",
    };
    vec![gate.gate.clone(), number(gate.value), number(gate.threshold), result.to_owned()]
}

const RUNS: [Column<'static>; 4] = [
    Column::word("parent run"),
    Column::word("started utc"),
    Column::word("id"),
    Column::key("code"),
];

fn run_cells(run: &ParentRun) -> Vec<String> {
    vec![
        run.stage.clone(),
        run.started.map(|at| at.strftime("%F %R").to_string()).unwrap_or_default(),
        short_id(&run.id),
        run.component.short().to_owned(),
    ]
}

/// Columns of a list of moves.
pub(super) const MOVES: [Column<'static>; 6] = [
    Column::word("alias"),
    Column::number("move"),
    Column::number("version"),
    Column::word("when utc"),
    Column::text("by"),
    Column::text("why"),
];

/// A move counts from 1.
pub(super) fn move_cells(moved: &AliasMove) -> Vec<String> {
    vec![
        moved.alias.alias.clone(),
        (moved.alias.moves + 1).to_string(),
        moved.alias.version.to_string(),
        moved.at.map(|at| at.strftime("%F %R").to_string()).unwrap_or_default(),
        moved.by.clone().unwrap_or_default(),
        moved.reason.clone().unwrap_or_default(),
    ]
}
