//! Tables without lines: a header in capitals, two spaces between columns, and no line that is wider than the terminal.
//!
//! Own code, because a column must know how it gives way: libraries of tables wrap every column alike, and so break digests and numbers.
//! What is too wide gives way in this order: text wraps under its own column, then keys are cut in the middle. Where even that is not
//! enough, each row becomes a block of its own, one line for each cell.

use textwrap::core::display_width;

use super::{
    terminal::{Tone, paint},
    wrapping::{cut_middle, wrap},
};

/// Spaces between two columns.
const GAP: &str = "  ";
/// Text is not wrapped to less while a key can still be cut.
const TEXT_WIDTH: usize = 24;
/// Keys are not cut to less.
const KEY_WIDTH: usize = 12;
/// Text is not wrapped to less.
const MIN_TEXT_WIDTH: usize = 12;

/// A column: its header, and how it gives way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column<'a> {
    header: &'a str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Key,
    Word,
    Number,
    State,
}

impl<'a> Column<'a> {
    /// Sentences and lists: they wrap.
    pub(crate) const fn text(header: &'a str) -> Self {
        Self { header, kind: Kind::Text }
    }

    /// Keys, digests, paths: they are cut in the middle.
    pub(crate) const fn key(header: &'a str) -> Self {
        Self { header, kind: Kind::Key }
    }

    /// Names, times: always whole.
    pub(crate) const fn word(header: &'a str) -> Self {
        Self { header, kind: Kind::Word }
    }

    /// Always whole, and to the right.
    pub(crate) const fn number(header: &'a str) -> Self {
        Self {
            header,
            kind: Kind::Number,
        }
    }

    /// How something ended: always whole, in its colour.
    pub(crate) const fn state(header: &'a str) -> Self {
        Self { header, kind: Kind::State }
    }

    fn min_width(self, natural: usize, step: Step) -> usize {
        match (self.kind, step) {
            (Kind::Text, Step::Text) => natural.min(TEXT_WIDTH),
            (Kind::Text, Step::All) => natural.min(MIN_TEXT_WIDTH),
            (Kind::Key, Step::All) => natural.min(KEY_WIDTH),
            _ => natural,
        }
    }

    /// The lines of a cell.
    fn lines(self, cell: &str, width: usize) -> Vec<String> {
        match self.kind {
            Kind::Text => wrap(cell, width, 0),
            Kind::Key => cell.lines().map(|line| cut_middle(line, width)).collect(),
            Kind::Word | Kind::Number | Kind::State => cell.lines().map(str::to_owned).collect(),
        }
    }

    /// A line of a cell in its width.
    fn align(self, line: &str, width: usize) -> String {
        let padding = " ".repeat(width.saturating_sub(display_width(line)));
        let shown = match self.kind {
            Kind::State => Tone::of_state(line).map(|tone| paint(tone, line)),
            _ => None,
        };
        let shown = shown.unwrap_or_else(|| line.to_owned());
        match self.kind {
            Kind::Number => format!("{padding}{shown}"),
            _ => format!("{shown}{padding}"),
        }
    }
}

impl<'a> From<&'a str> for Column<'a> {
    /// A column of text.
    fn from(header: &'a str) -> Self {
        Self::text(header)
    }
}

/// Which columns give way: text, or keys too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Text,
    All,
}

/// The lines of a table.
pub(super) fn render_table(columns: &[Column<'_>], rows: &[Vec<String>], width: usize) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    let headers: Vec<String> = columns.iter().map(|column| column.header.to_uppercase()).collect();
    let Some(widths) = fit_widths(columns, &headers, &rows, width) else {
        return render_blocks(&headers, &rows, width);
    };
    let header = columns.iter().zip(&headers).zip(&widths);
    let header: Vec<String> = header.map(|((column, header), width)| column.align(header, *width)).collect();
    let mut lines = Vec::new();
    if headers.iter().any(|header| !header.is_empty()) {
        lines.push(paint(Tone::Heading, header.join(GAP).trim_end()));
    }
    for row in &rows {
        lines.extend(row_lines(columns, row, &widths));
    }
    lines.join("\n")
}

/// A row: as many lines as its highest cell.
fn row_lines(columns: &[Column<'_>], row: &[String], widths: &[usize]) -> Vec<String> {
    let cells = columns.iter().zip(row).zip(widths);
    let cells: Vec<Vec<String>> = cells.map(|((column, cell), width)| column.lines(cell, *width)).collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let line = |at: usize| {
        let parts = columns.iter().zip(&cells).zip(widths);
        let parts = parts.map(|((column, cell), width)| column.align(cell.get(at).map_or("", String::as_str), *width));
        parts.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    };
    (0..height).map(line).collect()
}

/// The width of each column; `None` if there is no room for all of them side by side.
fn fit_widths(columns: &[Column<'_>], headers: &[String], rows: &[Vec<String>], width: usize) -> Option<Vec<usize>> {
    let room = width.checked_sub(GAP.len() * columns.len().saturating_sub(1))?;
    let widest = |cell: &String| cell.lines().map(display_width).max().unwrap_or(0);
    let natural: Vec<usize> = (0..columns.len())
        .map(|at| {
            let cells = rows.iter().filter_map(|row| row.get(at)).map(widest).max().unwrap_or(0);
            cells.max(display_width(&headers[at]))
        })
        .collect();
    [Step::Text, Step::All].into_iter().find_map(|step| {
        let least = columns.iter().zip(&natural).zip(headers);
        let least: Vec<usize> = least
            .map(|((column, natural), header)| column.min_width(*natural, step).max(display_width(header)))
            .collect();
        shrink(natural.clone(), &least, room)
    })
}

/// Takes columns from the widest that can give way until all fit.
fn shrink(mut widths: Vec<usize>, least: &[usize], room: usize) -> Option<Vec<usize>> {
    loop {
        let excess = widths.iter().sum::<usize>().saturating_sub(room);
        if excess == 0 {
            return Some(widths);
        }
        let widest = (0..widths.len())
            .filter(|at| widths[*at] > least[*at])
            .max_by_key(|at| widths[*at])?;
        // The widest alone gives way until another one is as wide.
        let next = (0..widths.len())
            .filter(|at| *at != widest && widths[*at] > least[*at])
            .map(|at| widths[at])
            .max();
        let give = widths[widest] - next.unwrap_or(0).max(least[widest]).min(widths[widest] - 1);
        widths[widest] -= give.min(excess);
    }
}

/// Each row as a block of lines `HEADER value`, for narrow terminals.
fn render_blocks(headers: &[String], rows: &[Vec<String>], width: usize) -> String {
    let label = headers.iter().map(|header| display_width(header)).max().unwrap_or(0) + GAP.len();
    let block = |row: &Vec<String>| {
        let cells = headers.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
        let lines = cells.flat_map(|(header, cell)| {
            let lines = match width > label + MIN_TEXT_WIDTH {
                true => wrap(cell, width - label, 0),
                false => return wrap(&format!("{header} {cell}"), width, 2),
            };
            let start = |at: usize| if at == 0 { header.as_str() } else { "" };
            let lines = lines.iter().enumerate().map(|(at, line)| format!("{:label$}{line}", start(at)));
            lines.collect()
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    rows.iter().map(block).collect::<Vec<_>>().join("\n\n")
}

/// Without what would move the cursor: names of objects come from outside.
fn printable(cell: &str) -> String {
    cell.replace(|c: char| c.is_control() && c != '\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column<'static>; 4] = [
        Column::word("stage"),
        Column::number("rows"),
        Column::key("object"),
        Column::text("why"),
    ];

    fn rows() -> Vec<Vec<String>> {
        let cells = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
        vec![
            cells(["validate", "7", "raw/flights/2013-04.parquet", "all rows are good"]),
            cells([
                "train",
                "1200",
                "requests/late/2013-05.json",
                "the data drifted in three of its columns",
            ]),
        ]
    }

    #[test]
    fn what_fits_is_not_changed() {
        let text = render_table(&COLUMNS, &rows(), 200);
        let expected = "STAGE     ROWS  OBJECT                       WHY\n\
                        validate     7  raw/flights/2013-04.parquet  all rows are good\n\
                        train     1200  requests/late/2013-05.json   the data drifted in three of its columns";
        assert_eq!(text, expected);
    }

    #[test]
    fn text_wraps_before_keys_are_cut() {
        let text = render_table(&COLUMNS, &rows(), 72);
        assert!(
            text.contains("raw/flights/2013-04.parquet") && text.contains("the data drifted in"),
            "{text}"
        );
        let text = render_table(&COLUMNS, &rows(), 50);
        assert!(text.contains('…') && text.contains("validate     7"), "{text}");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 1..120 {
            let text = render_table(&COLUMNS, &rows(), width);
            for line in text.lines() {
                assert!(display_width(line) <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn a_narrow_terminal_gets_blocks() {
        let text = render_table(&COLUMNS, &rows(), 30);
        let expected = "STAGE   validate\nROWS    7\nOBJECT  raw/flights/2013-04.pa\n        rquet\nWHY     all rows are good";
        assert_eq!(text.split("\n\n").next(), Some(expected));
    }

    #[test]
    fn control_characters_are_not_printed() {
        let text = render_table(&[Column::text("a")], &[vec!["x\u{1b}[2Jy".to_owned()]], 80);
        assert_eq!(text, "A\nx [2Jy");
    }
}
