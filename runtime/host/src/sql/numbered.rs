//! `<table>__numbered`: the rows of a table of Parquet objects, each with the place of its object among the table's keys.
//!
//! One view stands for many objects, whose order a query may need: a view for each would make a plan that grows with their number, and
//! thousands of them do not fit in memory. To create a view DuckDB opens every file, so a view that the query does not name is left out.

use tidemill_core::{Error, Result};

use super::{BoundTable, error, job::View, session::Session};

/// The columns of the view: those of the files, and the place of the row's object, from 0.
pub(super) const COLUMNS: &str = "*, CAST(file_index AS BIGINT) AS _file";
/// DuckDB's own name for the place: a virtual column, which a column of the files would hide.
const VIRTUAL_COLUMN: &str = "file_index";
/// What DuckDB calls the place where the files have a column `_file`, which a query would then read in its stead.
const SECOND_COLUMN: &str = "_file_1";

/// The name of the view.
pub(super) fn name(table: &str) -> String {
    format!("{table}__numbered")
}

/// The views of a table of Parquet objects that the query may read: those whose names are in its text.
pub(super) fn views(sql: &str, table: &BoundTable) -> Vec<View> {
    let files = || table.objects.iter().map(|object| object.path().to_owned()).collect();
    let numbered = View {
        name: name(&table.name),
        files: files(),
        is_numbered: true,
    };
    let rows = View {
        name: table.name.clone(),
        files: files(),
        is_numbered: false,
    };
    let (sql, lower) = (sql.to_lowercase(), numbered.name.to_lowercase());
    if !sql.contains(&lower) {
        return vec![rows];
    }
    let is_read_too = sql.replace(&lower, "").contains(&table.name.to_lowercase());
    std::iter::once(numbered).chain(is_read_too.then_some(rows)).collect()
}

/// Refuses a view whose files hide the place of the file.
pub(super) fn check(session: &Session, view: &View) -> Result<()> {
    let sql = "SELECT count(*) > 0 FROM duckdb_columns() WHERE table_name = ? AND lower(column_name) IN (?, ?)";
    let found = session.query_row(sql, [view.name.as_str(), VIRTUAL_COLUMN, SECOND_COLUMN], |row| row.get(0));
    match found.map_err(|e| error::from_duckdb(&e, &[]))? {
        false => Ok(()),
        true => Err(Error::config(format!(
            "the table `{}` has a column `{VIRTUAL_COLUMN}` or `_file`, names that stand for the place of a file where files are merged; \
             give the column another name",
            view.name.trim_end_matches(&name(""))
        ))),
    }
}
