//! Names and messages use the field's words. `words.toml` lists the words that were replaced and those that were kept, with the reason.
//!
//! A function is a verb: a participle alone (`kept`, `asked`) doesn't tell whether it changes something or returns it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use serde::Deserialize;

use super::sources::{Piece, files, is_word, pieces, root};

/// `words.toml`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Words {
    /// Words that no public name, key or WIT identifier has, and what stands in their place.
    replaced: BTreeMap<String, String>,
    /// Phrases that no message has, and what stands in their place.
    phrases: BTreeMap<String, String>,
    /// Participles that are no regular ones.
    participles: BTreeSet<String>,
    /// Names that look like one of these and were kept, each with its reason.
    kept: BTreeMap<String, String>,
}

impl Words {
    fn read() -> Result<Self> {
        Ok(toml::from_str(&std::fs::read_to_string(
            root()?.join("tests/tests/conventions/words.toml"),
        )?)?)
    }

    fn is_participle(&self, name: &str) -> bool {
        let is_regular = name.len() > 3 && name.ends_with("ed") && !name.ends_with("eed");
        !name.contains('_') && (is_regular || self.participles.contains(name)) && !self.kept.contains_key(name)
    }

    /// What a name should be, if it should be another one.
    fn instead(&self, name: &str) -> Option<&str> {
        let limit = [("MOST_", "MAX_…"), ("LEAST_", "MIN_…")]
            .into_iter()
            .find(|(prefix, _)| name.starts_with(prefix));
        let instead = self.replaced.get(name).map(String::as_str).or(limit.map(|(_, instead)| instead));
        instead.filter(|_| !self.kept.contains_key(name))
    }
}

/// Sources of the product and its tools, by path.
fn sources() -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for folder in ["functions", "runtime", "infra", "tests/src", "tests/harness"] {
        if root()?.join(folder).is_dir() {
            found.extend(files(folder, "rs")?);
        }
    }
    Ok(found)
}

/// The public names that a line of code defines, each with whether it is a function's.
fn public_names(code: &str) -> Vec<(String, bool)> {
    let code = code.trim_start();
    let words = |text: &str| {
        text.split(|c| !is_word(c))
            .filter(|w| !w.is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let Some(rest) = code.strip_prefix("pub ") else { return Vec::new() };
    let words = words(rest);
    let keywords = [
        "async", "const", "unsafe", "fn", "struct", "enum", "trait", "type", "static", "mod", "extern", "use", "mut",
    ];
    let Some(at) = words.iter().position(|word| !keywords.contains(&word.as_str())) else {
        return Vec::new();
    };
    if words[..at].iter().any(|word| word == "use") {
        return Vec::new();
    }
    let is_function = words[..at].iter().any(|word| word == "fn");
    vec![(words[at].clone(), is_function)]
}

#[test]
fn public_names_are_the_fields_words() -> Result<()> {
    let words = Words::read()?;
    let mut wrong = Vec::new();
    for (path, source) in sources()? {
        for piece in pieces(&source) {
            let Piece::Code(line, code) = piece else { continue };
            for (name, is_function) in public_names(&code) {
                if is_function && words.is_participle(&name) {
                    wrong.push(format!(
                        "{path}:{line}: `{name}` is a participle: use a verb, or a noun or `is_…` for a view"
                    ));
                }
                if let Some(instead) = words.instead(&name) {
                    wrong.push(format!("{path}:{line}: `{name}`: use `{instead}`"));
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The identifiers of WIT packages, and the keys of records and settings in the cases and the templates.
#[test]
fn wire_formats_are_the_fields_words() -> Result<()> {
    let words = Words::read()?;
    let mut wrong = Vec::new();
    let mut check = |path: &str, names: BTreeSet<String>| {
        for name in &names {
            if let Some(instead) = words.instead(&name.replace('-', "_")) {
                wrong.push(format!("{path}: `{name}`: use `{instead}`"));
            }
        }
    };
    for (path, text) in files("runtime/wit", "wit")? {
        let code = text.lines().filter_map(|line| line.split("//").next());
        let is_name = |c: char| is_word(c) || c == '-';
        check(
            &path,
            code.flat_map(|line| line.split(|c| !is_name(c)).map(str::to_owned)).collect(),
        );
    }
    for folder in ["tests/cases", "templates", "infra/sam"] {
        for (path, text) in files(folder, "json")? {
            if let Ok(value) = serde_json::from_str(&text) {
                let mut keys = BTreeSet::new();
                collect_keys(&value, &mut keys);
                check(&path, keys);
            }
        }
        for (path, text) in files(folder, "toml")? {
            if let Ok(value) = toml::from_str::<serde_json::Value>(&text) {
                let mut keys = BTreeSet::new();
                collect_keys(&value, &mut keys);
                check(&path, keys);
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn collect_keys(value: &serde_json::Value, keys: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            keys.insert(key.clone());
            collect_keys(value, keys);
        }),
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect_keys(item, keys)),
        _ => (),
    }
}

#[test]
fn messages_are_plain_english() -> Result<()> {
    let words = Words::read()?;
    let mut wrong = Vec::new();
    for (path, source) in sources()? {
        for piece in pieces(&source) {
            let Piece::Text(line, text) = piece else { continue };
            let spaced = format!(" {} ", text.to_lowercase().replace(|c: char| !is_word(c) && c != '\'', " "));
            let found = words.phrases.iter().filter(|(phrase, _)| spaced.contains(&format!(" {phrase} ")));
            wrong.extend(found.map(|(phrase, instead)| format!("{path}:{line}: \"{phrase}\": {instead}; in {text}")));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn names_are_found() {
    assert_eq!(public_names("    pub async fn kept(&self) -> u8 {"), [("kept".to_owned(), true)]);
    assert_eq!(public_names("    pub parts: Vec<Part>,"), [("parts".to_owned(), false)]);
    assert_eq!(public_names("pub const MOST_ROWS: usize = 1;"), [("MOST_ROWS".to_owned(), false)]);
    assert!(public_names("pub use a::kept;").is_empty() && public_names("fn kept() {").is_empty());
}
