//! `<table>__numbered`: the rows of a table of Parquet objects, each with the place of its object among the table's keys.
//!
//! One view stands for many objects, whose order a query may need: a view for each would make a plan that grows with their number, and
//! thousands of them do not fit in memory. To create a view DuckDB opens every file, so a view that the query does not name is left out.

use tidemill_core::{Error, Result, sql::quote_identifier};

use super::{BoundTable, Session, error, paths, select_parquet};

/// The column with the place of the row's object, from 0.
const COLUMN: &str = "_file";
/// DuckDB's own name for it: a virtual column, which a column of the files would hide.
const VIRTUAL_COLUMN: &str = "file_index";

/// The name of the view.
pub(super) fn name(table: &str) -> String {
    format!("{table}__numbered")
}

/// Whether the query may read the view of this table: its text has the name.
pub(super) fn is_named(sql: &str, table: &str) -> bool {
    sql.to_lowercase().contains(&name(table).to_lowercase())
}

/// Creates the view, and the table itself if the query may read it too.
pub(super) fn bind(session: &Session, sql: &str, table: &BoundTable) -> Result<()> {
    let numbered = name(&table.name);
    let create = |view: &str, columns: &str| {
        let select = select_parquet(columns, &paths(&table.objects));
        let sql = format!("CREATE TEMP VIEW {} AS {select}", quote_identifier(view));
        session.execute_batch(&sql).map_err(|e| error::from_duckdb(&e, &table.objects))
    };
    create(&numbered, &format!("*, CAST({VIRTUAL_COLUMN} AS BIGINT) AS {COLUMN}"))?;
    if has_column(session, &numbered, VIRTUAL_COLUMN).map_err(|e| error::from_duckdb(&e, &table.objects))? {
        return Err(Error::config(format!(
            "the table `{}` has a column `{VIRTUAL_COLUMN}`, a name that stands for the place of a file where files are merged; \
             give the column another name",
            table.name
        )));
    }
    let others = sql.to_lowercase().replace(&numbered.to_lowercase(), "");
    if others.contains(&table.name.to_lowercase()) {
        create(&table.name, "*")?;
    }
    Ok(())
}

fn has_column(session: &Session, view: &str, column: &str) -> duckdb::Result<bool> {
    let sql = "SELECT count(*) > 0 FROM duckdb_columns() WHERE table_name = ? AND lower(column_name) = ?";
    session.query_row(sql, [view, column], |row| row.get(0))
}
