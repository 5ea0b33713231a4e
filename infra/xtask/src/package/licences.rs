//! The texts of the licences of all that is inside: each text once, and before them a list of which crate has which.
//!
//! A crate whose archive holds no text is listed with its SPDX expression, and with the text that another crate has for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result};

use super::{
    inside::{Crate, Inside, Key},
    tree::Libraries,
};

/// DuckDB's licence, as its package on npm brings it.
const DUCKDB: &str = include_str!("duckdb-LICENSE.txt");

/// Beginnings of names of files that hold a licence or what must be passed on with it.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];

/// `LICENSES.txt`.
pub(super) fn render(inside: &Inside, libraries: &Libraries, root: &Path) -> Result<String> {
    let own = fs::read_to_string(root.join("LICENSE")).context("the checkout has no LICENSE")?;
    let mut found: BTreeMap<&Key, Vec<String>> = BTreeMap::new();
    for (key, krate) in &inside.crates {
        let texts = if krate.is_ours { vec![normalize(&own)] } else { read(krate)? };
        found.insert(key, texts);
    }
    let samples = samples(inside, &found, &own);
    let mut document = Document::default();
    for (key, krate) in &inside.crates {
        let expression = krate.licence.as_deref().unwrap_or("see the text");
        let texts = match &found[key] {
            none if none.is_empty() => choose(expression, &samples).with_context(|| {
                format!(
                    "{} {} brings no licence, and no crate here has a text for `{expression}`",
                    key.0, key.1
                )
            })?,
            texts => texts.clone(),
        };
        document.add(&format!("{} {}", key.0, key.1), expression, texts);
    }
    document.add("DuckDB (libduckdb.so)", "MIT", vec![normalize(DUCKDB)]);
    document.add("ONNX Runtime (libonnxruntime.so)", "MIT", onnx_runtime(&libraries.onnx_runtime)?);
    // The compiler's own distribution has these texts too.
    let standard = choose("MIT AND Apache-2.0", &samples).context("no crate has the text of MIT")?;
    document.add(&format!("Rust's standard library {}", inside.rust), "MIT OR Apache-2.0", standard);
    Ok(document.render())
}

/// ONNX Runtime's licence and notices, which its wheel holds two folders above the library.
fn onnx_runtime(library: &Path) -> Result<Vec<String>> {
    let folder = library.ancestors().nth(2).unwrap_or(library);
    ["LICENSE", "ThirdPartyNotices.txt"]
        .into_iter()
        .map(|name| {
            let bytes = fs::read(folder.join(name)).with_context(|| {
                format!(
                    "`{}` is not beside ONNX Runtime's library; unset ORT_DYLIB_PATH, so that the library comes from its wheel",
                    folder.join(name).display()
                )
            })?;
            Ok(normalize(&String::from_utf8_lossy(&bytes)))
        })
        .collect()
}

/// The texts in a crate's folder.
fn read(krate: &Crate) -> Result<Vec<String>> {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(&krate.folder).with_context(|| format!("cannot list {}", krate.folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        // `licenses.rs` would be a source.
        let is_source = name.ends_with(".RS") || name.ends_with(".TOML");
        if path.is_file() && !is_source && NAMES.iter().any(|start| name.starts_with(start)) {
            files.insert(path);
        }
    }
    let text = |path| Ok(normalize(&String::from_utf8_lossy(&fs::read(path)?)));
    files.into_iter().map(text).collect()
}

/// The same text with other line ends or spaces around it is the same text.
fn normalize(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// A text for each licence, from the first crate that has that licence alone and one text.
fn samples(inside: &Inside, found: &BTreeMap<&Key, Vec<String>>, own: &str) -> BTreeMap<String, String> {
    let mut samples = BTreeMap::from([("Apache-2.0".to_owned(), normalize(own))]);
    for (key, krate) in &inside.crates {
        let alone = krate
            .licence
            .as_ref()
            .filter(|text| !text.contains(" OR ") && !text.contains(" AND "));
        if let (Some(licence), [text]) = (alone, found[key].as_slice()) {
            samples.entry(licence.clone()).or_insert_with(|| text.clone());
        }
    }
    samples
}

/// The texts of the first of the alternatives of an expression that all have one.
fn choose(expression: &str, samples: &BTreeMap<String, String>) -> Option<Vec<String>> {
    let text = |id: &str| samples.get(id.trim_matches(['(', ')', ' '])).cloned();
    expression.split(" OR ").find_map(|all| all.split(" AND ").map(text).collect())
}

/// What is listed, and the texts in the order in which they are first named.
#[derive(Default)]
struct Document {
    list: Vec<String>,
    texts: Vec<String>,
    numbers: BTreeMap<String, usize>,
}

impl Document {
    fn add(&mut self, name: &str, expression: &str, texts: Vec<String>) {
        let mut numbers = BTreeSet::new();
        for text in texts {
            let number = *self.numbers.entry(text.clone()).or_insert_with(|| {
                self.texts.push(text);
                self.texts.len()
            });
            numbers.insert(number);
        }
        let numbers: Vec<String> = numbers.iter().map(|number| format!("[{number}]")).collect();
        self.list.push(format!("{name}: {expression} {}", numbers.join(" ")));
    }

    fn render(&self) -> String {
        let mut text = String::from(
            "Tidemill is licensed under Apache-2.0. What is inside its package, each with its SPDX expression and the numbers of its texts,\n\
             which follow. A crate without a text of its own has that of another crate under the same licence.\n\n",
        );
        self.list.iter().for_each(|line| text += &format!("{line}\n"));
        for (at, licence) in self.texts.iter().enumerate() {
            text += &format!("\n{}\n[{}]\n\n{licence}\n", "=".repeat(80), at + 1);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::archive::tests::folder;

    #[test]
    fn each_text_is_there_once_and_each_crate_has_one() {
        let folder = folder("licences");
        let write = |path: &str, text: &str| {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("LICENSE", "Apache text\n");
        write("a/LICENSE-MIT", "MIT text  \r\n");
        write("b/license.md", "MIT text");
        write("b/licenses.rs", "not this");
        write("c/Cargo.toml", "");
        write("ort/LICENSE", "ORT text");
        write("ort/ThirdPartyNotices.txt", "notices");
        let krate = |name: &str, licence: &str| {
            let found = Crate {
                licence: Some(licence.into()),
                folder: folder.join(name),
                ..Crate::default()
            };
            ((name.to_owned(), "1.0.0".to_owned()), found)
        };
        let mut inside = Inside {
            version: "0.1.0".into(),
            crates: BTreeMap::from([krate("a", "MIT"), krate("b", "MIT"), krate("c", "Zlib OR MIT")]),
            rust: "1.95.0".into(),
        };
        let libraries = Libraries {
            duckdb: folder.join("libduckdb.so"),
            onnx_runtime: folder.join("ort/capi/libonnxruntime.so.1"),
        };
        let text = render(&inside, &libraries, &folder).unwrap();
        assert!(
            text.contains("a 1.0.0: MIT [1]\nb 1.0.0: MIT [1]\nc 1.0.0: Zlib OR MIT [1]\n"),
            "{text}"
        );
        assert_eq!(text.matches("\nMIT text\n").count(), 1);
        assert!(text.contains("ORT text") && text.contains("notices") && text.contains("DuckDB Foundation"));
        assert!(!text.contains("not this"));
        inside.crates.extend([krate("c", "Zlib")]);
        let error = render(&inside, &libraries, &folder).unwrap_err().to_string();
        assert!(error.contains("c 1.0.0") && error.contains("`Zlib`"), "{error}");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn an_alternative_that_has_texts_is_chosen() {
        let samples = BTreeMap::from([("MIT".to_owned(), "m".to_owned()), ("ISC".to_owned(), "i".to_owned())]);
        assert_eq!(
            choose("Zlib OR (MIT AND ISC)", &samples),
            Some(vec!["m".to_owned(), "i".to_owned()])
        );
        assert_eq!(choose("Zlib", &samples), None);
    }
}
