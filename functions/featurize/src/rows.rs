//! The feature rows in memory, and the signature that follows from the SELECT's columns.

use std::collections::BTreeSet;

use tidemill_core::{
    ColumnValues, Error, ErrorKind, Host, Result,
    record::{Signature, SignatureColumn},
    spec::{ColumnType, Task},
    sql::{quote_identifier, quote_identifiers},
};
use tidemill_ml::Columns;

use crate::{Config, source::FeatureSource};

/// All rows with a label, ordered by time, then key.
pub(crate) struct FeatureRows {
    pub(crate) columns: Columns,
    pub(crate) signature: Signature,
    /// Event times in microseconds, one per row.
    pub(crate) times: Vec<i64>,
}

/// Reads all rows; `None` if there are none.
pub(crate) fn read_rows(source: &FeatureSource, config: &Config, host: &dyn Host) -> Result<Option<FeatureRows>> {
    let features = &config.features;
    let sql = format!(
        "{}SELECT * FROM _features ORDER BY {}, {}",
        source.with,
        quote_identifier(&features.time),
        quote_identifiers(&features.key)
    );
    let batches = tidemill_sdk::query_batches(host.sql(), &sql, &source.tables).map_err(|error| explain_error(error, config))?;
    let columns = Columns::from_batches(&batches).map_err(|error| explain_error(error, config))?;
    if columns.rows() == 0 {
        return Ok(None);
    }
    let signature = infer_signature(&columns, config)?;
    check_label(columns.require(&features.label)?, config)?;
    let times = match columns.require(&features.time)? {
        ColumnValues::Timestamp(times) => times.iter().map(|t| t.unwrap_or_default()).collect(),
        other => {
            let (time, name, kind) = (&features.time, &features.name, other.column_type().sql_type());
            return Err(Error::config(format!(
                "column `{time}` of features `{name}` is {kind}; the time must be a TIMESTAMP"
            )));
        }
    };
    Ok(Some(FeatureRows { columns, signature, times }))
}

/// Reports an error in the user's SQL as a configuration error.
fn explain_error(error: Error, config: &Config) -> Error {
    match error.kind {
        ErrorKind::Config | ErrorKind::Input => Error::config(format!(
            "the SQL of features `{}` cannot be run: {}",
            config.features.name, error.message
        )),
        _ => error,
    }
}

fn infer_signature(columns: &Columns, config: &Config) -> Result<Signature> {
    let features = &config.features;
    let context: BTreeSet<&String> = features.key.iter().chain([&features.time]).collect();
    for name in context.iter().copied().chain([&features.label]) {
        if columns.get(name).is_none() {
            let found: Vec<&str> = columns.iter().map(|(name, _)| name).collect();
            return Err(Error::config(format!(
                "the SQL of features `{}` does not select `{name}`; it must give the key, the time and the label; it gives `{}`",
                features.name,
                found.join("`, `")
            )));
        }
    }
    let column = |(name, values): (&str, &ColumnValues)| {
        let contract = config.dataset.contract.columns.get(name);
        SignatureColumn {
            name: name.to_owned(),
            kind: values.column_type(),
            nullable: contract.is_none_or(|column| column.nullable),
        }
    };
    let is_context = |name: &str| context.iter().any(|c| *c == name);
    let inputs: Vec<SignatureColumn> = columns
        .iter()
        .filter(|(name, _)| !is_context(name) && *name != features.label)
        .map(column)
        .collect();
    if inputs.is_empty() {
        return Err(Error::config(format!(
            "the SQL of features `{}` gives no column beside key, time and label",
            features.name
        )));
    }
    if let Some(input) = inputs.iter().find(|input| input.name.starts_with('_')) {
        return Err(Error::config(format!(
            "feature `{}` starts with `_`, which the prediction log keeps for itself; rename it",
            input.name
        )));
    }
    Ok(Signature {
        inputs,
        context: columns.iter().filter(|(name, _)| is_context(name)).map(column).collect(),
    })
}

fn check_label(label: &ColumnValues, config: &Config) -> Result<()> {
    let (name, kind) = (&config.features.label, label.column_type());
    match (config.model.task, kind) {
        (Task::Regression, ColumnType::Text | ColumnType::Timestamp) => Err(Error::config(format!(
            "label `{name}` is {}, and a regression predicts a number",
            kind.sql_type()
        ))),
        (Task::Binary | Task::Multiclass, ColumnType::Number | ColumnType::Timestamp) => Err(Error::config(format!(
            "label `{name}` is {}, and classes are BOOLEAN, BIGINT or VARCHAR; cast it, or set the task to `regression`",
            kind.sql_type()
        ))),
        _ => Ok(()),
    }
}
