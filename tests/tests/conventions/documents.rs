//! Rust in documents is compiled as an example of the crate of the tests, `tests/src/documents.rs`, which must know each document.

use anyhow::{Result, ensure};

use super::sources::{files, root};

#[test]
fn rust_in_documents_is_compiled() -> Result<()> {
    let compiled = std::fs::read_to_string(root()?.join("tests/src/documents.rs"))?;
    for (path, text) in files("", "md")? {
        let is_compiled = compiled.contains(&format!("include_str!(\"../../{path}\")"));
        let has_rust = text.lines().any(|line| line.trim_start().starts_with("```rust"));
        ensure!(
            has_rust == is_compiled,
            "{path}: a document with Rust is named in tests/src/documents.rs, and no other one is"
        );
    }
    Ok(())
}
