//! Checks the SQL of a project before there is data: the queries of features, and the assertions of contracts, planned over the columns
//! that the contracts promise.

use std::ops::Range;

use tidemill_core::{
    Error, Result,
    pipeline::Pipeline,
    project::annotate,
    spec::{Assertion, Contract, Features},
    text::quoted_list,
};
use tidemill_host::{SqlEngine, TableShape};

use crate::Project;

impl Project {
    /// Checks the SQL files and the assertions that the project names.
    ///
    /// # Errors
    /// `Config`, with file, line and column, for the first mistake.
    pub fn check_queries(&self, sql: &SqlEngine) -> Result<()> {
        let pipeline = &self.pipeline;
        for features in pipeline.features.values() {
            let path = self.sources.queries.get(&features.name).map_or("the SQL", String::as_str);
            check_features(features, pipeline, path, sql)?;
        }
        for (name, path) in &self.sources.contracts {
            if let Some(dataset) = pipeline.datasets.get(name) {
                // The text again: a contract does not know where its assertions stand.
                let text = std::fs::read_to_string(self.root.join(path)).unwrap_or_default();
                check_assertions(&dataset.contract, path, &text, sql)?;
            }
        }
        Ok(())
    }
}

fn check_features(features: &Features, pipeline: &Pipeline, path: &str, sql: &SqlEngine) -> Result<()> {
    let Some(dataset) = pipeline.datasets.get(&features.dataset) else {
        return Ok(());
    };
    let table = TableShape {
        name: &dataset.name,
        columns: columns(&dataset.contract),
    };
    let text = &features.sql;
    let at = |span: Range<usize>, message: &str| Error::config(annotate(path, text, span, message));
    let selected = sql.plan(text, &[table]).map_err(|failed| match failed.error.kind.is_retryable() {
        true => failed.error,
        false => at(
            failed.span.unwrap_or_else(|| find_named(text, &failed.error.message)),
            &failed.error.message,
        ),
    })?;
    let required = features.key.iter().chain([&features.time, &features.label]);
    match required.into_iter().find(|name| !selected.contains(name)) {
        None => Ok(()),
        Some(missing) => Err(at(
            0..text.lines().next().map_or(0, str::len),
            &format!(
                "the SQL of features `{}` does not select `{missing}`; it must give the key, the time and the label; it gives {}",
                features.name,
                quoted_list(&selected)
            ),
        )),
    }
}

fn check_assertions(contract: &Contract, path: &str, text: &str, sql: &SqlEngine) -> Result<()> {
    for assertion in &contract.sql {
        let (Assertion::Row(condition) | Assertion::Table(condition)) = &assertion.assertion;
        let table = TableShape {
            name: "rows",
            columns: columns(contract),
        };
        if let Err(failed) = sql.plan(&format!("SELECT (\n{condition}\n) FROM rows"), &[table]) {
            let start = text.find(condition.as_str()).unwrap_or_default();
            let message = format!("the assertion `{}`: {}", assertion.name, failed.error.message);
            return Err(Error::config(annotate(path, text, start..start + condition.len(), &message)));
        }
    }
    Ok(())
}

fn columns(contract: &Contract) -> Vec<(&str, &'static str)> {
    let columns = contract.columns.iter();
    columns.map(|(name, column)| (name.as_str(), column.kind.sql_type())).collect()
}

/// Where the text has what the message quotes first, such as the name of a table.
fn find_named(text: &str, message: &str) -> Range<usize> {
    let named = message.split('`').nth(1).unwrap_or_default();
    match text.find(named) {
        Some(start) => start..start + named.len(),
        None => 0..0,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::fixture::{CONTRACT, TOML};

    fn check(folder: &Path, contract: &str, query: &str) -> Result<()> {
        for (name, text) in [("tidemill.toml", TOML), ("contract.toml", contract), ("alarm.sql", query)] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let project = Project::find(Some(folder), None)?;
        project.check_queries(&project.sql_engine(Some(1))?)
    }

    #[test]
    fn mistakes_have_a_file_and_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let query = "-- what is known\nSELECT id, \"at\", alarm, id % 7 AS day FROM readings;\n";
        check(folder.path(), CONTRACT, query).unwrap();
        let assertion = |sql: &str| format!("{CONTRACT}[[sql]]\nname = \"some\"\ntable = \"{sql}\"\n");
        check(folder.path(), &assertion("count(*) > 1"), query).unwrap();
        for (contract, query, parts) in [
            (CONTRACT.to_owned(), query.replace("id % 7", "idd % 7"), ["alarm.sql:2:25", "idd"]),
            (
                CONTRACT.to_owned(),
                query.replace("readings", "reading"),
                ["alarm.sql:2:", "reading"],
            ),
            (
                CONTRACT.to_owned(),
                query.replace(" alarm,", ""),
                ["alarm.sql:1:1", "does not select `alarm`"],
            ),
            (assertion("count(*) > levle"), query.to_owned(), ["contract.toml:7:", "`some`"]),
        ] {
            let error = check(folder.path(), &contract, &query).unwrap_err();
            assert!(parts.iter().all(|part| error.message.contains(part)), "{parts:?}: {error}");
        }
    }
}
