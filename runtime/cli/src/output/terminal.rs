//! What is known of the terminal: its width, and whether it shows colours.
//!
//! Results are as wide as the terminal that they are written to. Without one (a pipe, a file) the width is that of `COLUMNS`, or else 100.
//! Errors are wrapped only where there is a terminal or `COLUMNS`: in a log file, one error is one line.

use std::io::{IsTerminal as _, stderr, stdout};

use clap::builder::styling::{AnsiColor, Style};
use terminal_size::{Width, terminal_size_of};

/// The width without a terminal and without `COLUMNS`; clap's for its help, too.
const DEFAULT_WIDTH: usize = 100;

/// The width of results, in columns.
pub(crate) fn result_width() -> usize {
    positive(terminal_size_of(stdout()).map(|(Width(width), _)| width.into()))
        .or_else(columns_variable)
        .unwrap_or(DEFAULT_WIDTH)
}

/// The width of errors, in columns; `None` does not limit it.
pub(super) fn error_width() -> Option<usize> {
    positive(terminal_size_of(stderr()).map(|(Width(width), _)| width.into())).or_else(columns_variable)
}

fn columns_variable() -> Option<usize> {
    positive(std::env::var("COLUMNS").ok()?.trim().parse().ok())
}

/// Some terminals say 0 where they do not know.
fn positive(width: Option<usize>) -> Option<usize> {
    width.filter(|width| *width > 0)
}

/// What a piece of text says, as a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// A heading.
    Heading,
    /// As it should be.
    Good,
    /// Worth a look.
    Warning,
    /// Failed.
    Bad,
}

impl Tone {
    /// The tone of a word that says how something ended.
    pub(super) fn of_state(word: &str) -> Option<Self> {
        match word.trim() {
            "done" | "ok" | "pass" | "yes" => Some(Self::Good),
            "rejected" | "optional" | "held" => Some(Self::Warning),
            "failed" | "fail" | "missing" | "NO" => Some(Self::Bad),
            _ => None,
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Heading => Style::new().bold(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
        }
    }
}

/// Colours text, if the standard output is a terminal that shows colours and `NO_COLOR` is not set (or empty).
pub(crate) fn paint(tone: Tone, text: &str) -> String {
    match shows_colours() {
        true => {
            let style = tone.style();
            format!("{style}{text}{style:#}")
        }
        false => text.to_owned(),
    }
}

fn shows_colours() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}
