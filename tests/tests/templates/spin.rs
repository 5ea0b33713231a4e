//! `spin templates install --dir` on the checkout takes the same folders. Spin itself is not here: these are its rules, read from its
//! source (`crates/templates`): a manifest of version 1 without fields that it does not know, and a folder `content` beside it, of which
//! each file is written, rendered as Liquid, without the ending `.tmpl`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use super::tools::{Tools, files};

const FIELDS: [&str; 9] = [
    "manifest_version",
    "id",
    "description",
    "trigger_type",
    "tags",
    "new_application",
    "add_component",
    "parameters",
    "outputs",
];
const PARAMETER: [&str; 5] = ["type", "prompt", "default", "pattern", "allowed_values"];

fn templates() -> Result<Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates");
    let folders = fs::read_dir(root)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    Ok(folders.into_iter().filter(|path| path.is_dir()).collect())
}

fn known<'a>(table: &toml::Table, fields: impl IntoIterator<Item = &'a str>, place: &str) -> Result<()> {
    let fields: BTreeSet<&str> = fields.into_iter().collect();
    let unknown: Vec<&String> = table.keys().filter(|key| !fields.contains(key.as_str())).collect();
    ensure!(unknown.is_empty(), "{place}: Spin does not know {unknown:?}");
    Ok(())
}

#[test]
fn manifests_are_as_spin_reads_them() -> Result<()> {
    let mut ids = BTreeSet::new();
    for folder in templates()? {
        let place = folder.display().to_string();
        let text = fs::read_to_string(folder.join("metadata/spin-template.toml")).context(place.clone())?;
        let manifest: toml::Table = toml::from_str(&text).context(place.clone())?;
        known(&manifest, FIELDS, &place)?;
        ensure!(manifest["manifest_version"].as_str() == Some("1"), "{place}");
        let id = manifest["id"].as_str().context("an id is a text")?.to_owned();
        ensure!(
            folder.ends_with(&id),
            "{place} has the id `{id}`: a person looks for it under its id"
        );
        ids.insert(id);
        for (name, parameter) in manifest.get("parameters").and_then(|p| p.as_table()).into_iter().flatten() {
            let parameter = parameter.as_table().context("a parameter is a table")?;
            known(parameter, PARAMETER, &format!("{place}: {name}"))?;
            ensure!(
                parameter["type"].as_str() == Some("string") && parameter["prompt"].is_str(),
                "{place}: {name}"
            );
        }
        ensure!(fs::read_dir(folder.join("content"))?.next().is_some(), "{place} has no content");
    }
    let wanted = [
        "flights",
        "lambda-stage",
        "onnx",
        "stage-js",
        "stage-python",
        "stage-rust",
        "tabular",
    ];
    ensure!(ids.iter().map(String::as_str).eq(wanted), "{ids:?}");
    Ok(())
}

/// The same files under the same names, those without placeholders to the byte. Beside them, `tidemill new` copies the SDK.
#[test]
fn the_same_files_come_out() -> Result<()> {
    let Some(tools) = Tools::find() else { return Ok(()) };
    for template in templates()? {
        let id = template
            .file_name()
            .and_then(|name| name.to_str())
            .context("a template has a name")?;
        let folder = tempfile::tempdir()?;
        let project = tools.new_project(id, folder.path(), "mine", &[])?;
        let (mut made, content) = (files(&project)?, files(&template.join("content"))?);
        made.remove("node_modules");
        if id == "stage-rust" {
            let all = made.len();
            made.retain(|name| name != "Cargo.lock" && !name.starts_with("vendor/tidemill/"));
            ensure!(made.len() + 20 < all, "the SDK is not in the project: {made:?}");
        }
        let named: BTreeSet<String> = content.iter().map(|name| name.trim_end_matches(".tmpl").to_owned()).collect();
        ensure!(made == named, "{id}: {made:?} is not {named:?}");
        for name in &content {
            let bytes = fs::read(template.join("content").join(name))?;
            if !bytes.windows(2).any(|pair| pair == b"{{" || pair == b"{%") {
                ensure!(fs::read(project.join(name))? == bytes, "{id}: `{name}` was changed");
            }
        }
    }
    Ok(())
}
