//! Breaks and cuts text to a width in columns of the terminal.

use textwrap::{Options, core::display_width};

/// The lines of a text, each at most `width` columns wide. Words are broken only where one alone is too wide. Lines that follow from a
/// long one are indented by `indent` more than it.
pub(crate) fn wrap(text: &str, width: usize, indent: usize) -> Vec<String> {
    text.lines().flat_map(|line| wrap_line(line, width, indent)).collect()
}

/// The lines of a text of a command. Below a label (`hint: …`) they are indented; other prose is not.
pub(super) fn wrap_prose(text: &str, width: usize) -> Vec<String> {
    let is_labelled = |line: &str| {
        line.split_whitespace()
            .next()
            .is_some_and(|word| word.ends_with(':') || word == "-")
    };
    let indent = |line: &str| if is_labelled(line) { 2 } else { 0 };
    text.lines().flat_map(|line| wrap_line(line, width, indent(line))).collect()
}

fn wrap_line(line: &str, width: usize, indent: usize) -> Vec<String> {
    if display_width(line) <= width {
        return vec![line.trim_end().to_owned()];
    }
    let text = line.trim_start();
    let first = " ".repeat(line.len() - text.len());
    // In a terminal that is narrower than its indentation there is none.
    let (first, next) = match first.len() + indent + 10 <= width {
        true => (first.clone(), format!("{first}{}", " ".repeat(indent))),
        false => (String::new(), String::new()),
    };
    let options = Options::new(width.max(1))
        .initial_indent(&first)
        .subsequent_indent(&next)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::wrap(text, options)
        .into_iter()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

/// A text of at most `width` columns: of a longer one, `…` replaces the middle. The end of a key tells more than its middle.
pub(super) fn cut_middle(text: &str, width: usize) -> String {
    if display_width(text) <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let start = take_columns(text.chars(), kept / 2);
    let end: String = take_columns(text.chars().rev(), kept - display_width(&start))
        .chars()
        .rev()
        .collect();
    format!("{start}…{end}")
}

/// The first characters that fit.
fn take_columns(characters: impl Iterator<Item = char>, width: usize) -> String {
    let mut taken = String::new();
    for character in characters {
        taken.push(character);
        if display_width(&taken) > width {
            taken.pop();
            break;
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_wrapped_below_themselves() {
        assert_eq!(wrap("short\nnote: one two three", 14, 6), ["short", "note: one two", "three"]);
        assert_eq!(wrap("note: one two three four", 20, 6), ["note: one two three", "      four"]);
        assert_eq!(wrap("  - a-b c-d e-f g-h i-j", 18, 2), ["  - a-b c-d e-f", "    g-h i-j"]);
        assert_eq!(wrap("0123456789", 4, 0), ["0123", "4567", "89"], "a word that is too wide");
        assert_eq!(wrap("", 4, 0), Vec::<String>::new());
    }

    #[test]
    fn prose_is_indented_below_a_label_only() {
        assert_eq!(
            wrap_prose("one two three four\nhint: five six seven", 16),
            ["one two three", "four", "hint: five six", "  seven"]
        );
    }

    #[test]
    fn columns_are_counted_and_not_bytes() {
        assert_eq!(wrap("日本語 日本語", 7, 0), ["日本語", "日本語"]);
        assert_eq!(cut_middle("日本語日本語", 6), "日…語");
        assert_eq!(cut_middle("raw/flights/2013-04.parquet", 16), "raw/fli….parquet");
        assert_eq!(cut_middle("short", 5), "short");
        assert_eq!(cut_middle("short", 1), "…");
    }
}
