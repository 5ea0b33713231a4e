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

/// A URL without what may be a secret: a name and a password, and the query.
///
/// ```
/// use tidemill_core::text::redact_url;
///
/// assert_eq!(redact_url("https://me:pw@example.org/a.csv?token=x#y"), "https://example.org/a.csv?…");
/// assert_eq!(redact_url("https://example.org/a@b.csv"), "https://example.org/a@b.csv");
/// ```
pub fn redact_url(url: &str) -> String {
    let (plain, secret) = match url.find(['?', '#']) {
        Some(at) => (&url[..at], "?…"),
        None => (url, ""),
    };
    let (scheme, rest) = plain
        .split_once("://")
        .map_or(("", plain), |(scheme, rest)| (&plain[..scheme.len() + 3], rest));
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}{host}{path}{secret}")
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
/// use tidemill_core::text::truncate;
///
/// assert_eq!(truncate("flights", 10), "flights");
/// assert_eq!(truncate("flights", 3), "fli…");
/// ```
pub fn truncate(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
