//! The quarantine: bad rows as Parquet, each with its reasons. All columns are text, because a bad value has no better type.

use tidemill_core::{
    Result,
    sql::{quote_identifier, quote_string},
};

use crate::scan::Scan;

impl Scan<'_> {
    /// Writes the bad rows, if there are any, with all the file's columns as text and the reasons for each. Returns their number.
    pub(crate) fn write_quarantine(&self, key: &str) -> Result<u64> {
        let bad = self.quarantining_checks();
        if bad.is_empty() && self.malformed_lines == 0 {
            return Ok(0);
        }
        let reasons = bad
            .iter()
            .map(|f| format!("CASE WHEN {} THEN {} END", f.check.failure_sql, quote_string(&f.check.reason)))
            .chain(["NULL".into()]);
        let reasons = format!("concat_ws('; ', NULL, {})", reasons.collect::<Vec<_>>().join(", "));
        let mut rows = self.bad_rows_sql();
        if self.malformed_lines > 0 {
            rows += &format!(" UNION ALL {}", self.malformed_lines_sql());
        }
        let select = format!(
            "WITH {}, judged AS (SELECT *, {reasons} AS __reasons FROM typed) SELECT * FROM ({rows}) \
             ORDER BY _row NULLS LAST, _line, _text, _reasons",
            self.typed_cte(true)
        );
        Ok(self.run_export(&select, key)?.rows)
    }

    /// Selects the rows that fail a check: the file's columns as text, the reasons, and the row's number.
    fn bad_rows_sql(&self) -> String {
        let names = self.columns.names.iter().enumerate();
        let names: Vec<String> = names.map(|(i, name)| format!("__text_{i} AS {}", quote_identifier(name))).collect();
        format!(
            "SELECT {}, __reasons AS _reasons, CAST(__row AS BIGINT) AS _row, CAST(NULL AS BIGINT) AS _line, CAST(NULL AS VARCHAR) AS _text \
             FROM judged WHERE __reasons <> ''",
            names.join(", ")
        )
    }

    /// Selects the lines that are not CSV, in the same columns: null for the file's own, with the line's number and text.
    fn malformed_lines_sql(&self) -> String {
        let names = self.columns.names.iter();
        let nulls: Vec<String> = names
            .map(|name| format!("CAST(NULL AS VARCHAR) AS {}", quote_identifier(name)))
            .collect();
        format!(
            "SELECT {}, 'not CSV: ' || reason, CAST(NULL AS BIGINT), CAST(line AS BIGINT), CAST(raw AS VARCHAR) FROM raw__rejects",
            nulls.join(", ")
        )
    }
}
