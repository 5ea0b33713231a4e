//! The files of the checkout, and a Rust source split into code and string literals.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// The checkout.
pub(crate) fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.parent().context("the tests are not in a checkout")?.to_path_buf())
}

/// Files with this extension below a folder of the checkout, by path and text. What is built or hidden is left out.
pub(super) fn files(folder: &str, extension: &str) -> Result<Vec<(String, String)>> {
    let root = root()?;
    let mut found = Vec::new();
    collect(&root.join(folder), extension, &mut found)?;
    found.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok((path.strip_prefix(&root)?.display().to_string(), text))
    };
    found.into_iter().map(read).collect()
}

fn collect(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || ["target", "node_modules"].contains(&name.as_ref()) {
            continue;
        }
        if path.is_dir() {
            collect(&path, extension, found)?;
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    Ok(())
}

/// A piece of a Rust source.
pub(super) enum Piece {
    /// Code without comments and literals, with its line.
    Code(usize, String),
    /// A string literal, with its first line.
    Text(usize, String),
}

/// Splits a Rust source line by line. Unit tests, which stand at a file's foot, are left out.
pub(super) fn pieces(source: &str) -> Vec<Piece> {
    let source = source.split("\n#[cfg(test)]\nmod ").next().unwrap_or(source);
    let characters: Vec<char> = source.chars().collect();
    let (mut at, mut line) = (0, 1);
    let (mut found, mut code) = (Vec::new(), String::new());
    while at < characters.len() {
        let rest = &characters[at..];
        let end = match rest {
            ['/', '/', ..] => length_until(rest, &['\n']),
            ['/', '*', ..] => length_until(rest, &['*', '/']) + 2,
            ['\'', '\\', ..] => 2 + length_until(&rest[2..], &['\'']) + 1,
            ['\'', _, '\'', ..] => 3,
            ['"', ..] => text_length(rest),
            ['r', '#', '"', ..] => 3 + length_until(&rest[3..], &['"', '#']) + 2,
            ['r', '"', ..] if !code.ends_with(is_word) => 2 + length_until(&rest[2..], &['"']) + 1,
            _ => 0,
        };
        let end = end.min(rest.len());
        if end == 0 {
            if rest[0] == '\n' {
                found.push(Piece::Code(line, std::mem::take(&mut code)));
                line += 1;
            } else {
                code.push(rest[0]);
            }
            at += 1;
            continue;
        }
        if matches!(rest[0], '"' | 'r') {
            found.push(Piece::Text(line, rest[..end].iter().collect()));
        }
        line += rest[..end].iter().filter(|c| **c == '\n').count();
        at += end;
    }
    found.push(Piece::Code(line, code));
    found
}

pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn length_until(rest: &[char], end: &[char]) -> usize {
    rest.windows(end.len()).position(|window| window == end).unwrap_or(rest.len())
}

fn text_length(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

#[test]
fn a_source_is_split() {
    let source =
        "let a = \"b\\\" c\"; // d \"e\"\nlet f = 'g'; let h = '\"'; r#\"i \" j\"#;\n/* \"k\" */ m\n\n#[cfg(test)]\nmod tests { \"n\" }\n";
    let texts: Vec<String> = pieces(source)
        .into_iter()
        .filter_map(|piece| {
            if let Piece::Text(line, text) = piece {
                Some(format!("{line}{text}"))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(texts, ["1\"b\\\" c\"", "2r#\"i \" j\"#"]);
}
