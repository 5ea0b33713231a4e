//! Pieces of messages.

use std::fmt::Display;

/// Names as a message lists them; `none` for an empty list.
///
/// ```
/// use tidemill_core::text::quoted_list;
///
/// assert_eq!(quoted_list(["late", "early"]), "`late`, `early`");
/// assert_eq!(quoted_list(Vec::<String>::new()), "none");
/// ```
pub fn quoted_list(names: impl IntoIterator<Item = impl Display>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// A number with its noun, in the plural unless there is one; for nouns whose plural ends in `s`.
///
/// ```
/// use tidemill_core::text::plural;
///
/// assert_eq!(plural(1, "dataset"), "1 dataset");
/// assert_eq!(plural(0, "dataset"), "0 datasets");
/// ```
pub fn plural(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

/// The first characters of a text that may be long, for a message.
///
/// ```
/// use tidemill_core::text::shorten;
///
/// assert_eq!(shorten("flights", 10), "flights");
/// assert_eq!(shorten("flights", 3), "fli…");
/// ```
pub fn shorten(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
