//! `tidemill models`: versions and aliases; moving one by hand is how to roll back. A move is a compare-and-swap with its history
//! beside it, and says in `audit/` who made it.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use tidemill_core::{
    Digest, Error, ErrorKind, PutResult, Result,
    record::{ModelAlias, ModelVersion},
    time::key_time,
};
use tidemill_host::Store;

use crate::{
    commands::{import::import, run::current_user, suggest},
    output::{Output, table},
    project::Project,
};

/// Lists models, shows one, takes one in, moves an alias.
#[derive(Args)]
pub(crate) struct Models {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// All versions and aliases (default).
    List,
    /// One version whole; default: the champion.
    Show {
        /// The model.
        model: String,
        /// The version's number.
        version: Option<u32>,
    },
    /// Take in a model that was trained elsewhere: an ONNX file.
    Import {
        /// The model.
        model: String,
        /// The file.
        file: std::path::PathBuf,
    },
    /// Move an alias to a version.
    Alias {
        /// The model.
        model: String,
        /// `champion`, `challenger`, …
        alias: String,
        /// The version's number.
        version: u32,
    },
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    version: ModelVersion,
    aliases: Vec<String>,
}

impl Models {
    pub(crate) async fn run(&self, project: &Project, output: Output) -> anyhow::Result<()> {
        let store = project.open_store()?;
        match &self.action {
            None | Some(Action::List) => {
                let mut rows = Vec::new();
                for model in project.pipeline.models.keys() {
                    rows.extend(versions(&store, model).await?);
                }
                output.print(&rows, |rows| {
                    table(
                        &["model", "version", "aliases", "as of", "metrics", "onnx"],
                        rows.iter().map(cells).collect(),
                        "no model is registered yet",
                    )
                })
            }
            Some(Action::Show { model, version }) => {
                let version = match version {
                    Some(version) => *version,
                    None => {
                        alias(&store, model, "champion")
                            .await?
                            .ok_or_else(|| no_champion(project, model))?
                            .0
                            .version
                    }
                };
                let version = version_of(project, &store, model, version).await?;
                // The record is JSON either way: nothing of it is left out for people.
                Output { json: true }.print(&version, |_| String::new())
            }
            Some(Action::Import { model, file }) => {
                let imported = import(project, model, file).await?;
                output.print(&imported, |imported| imported.render_text(model))
            }
            Some(Action::Alias { model, alias, version }) => {
                let moved = move_alias(project, &store, model, alias, *version).await?;
                output.print(&moved, |moved| {
                    format!("`{}` of `{}` is now version {}", moved.alias, moved.model, moved.version)
                })
            }
        }
    }
}

fn no_champion(project: &Project, model: &str) -> Error {
    let unknown = suggest::require_model(&project.pipeline, model).err();
    unknown.unwrap_or_else(|| Error::not_found(format!("`{model}` has no champion yet")))
}

/// Says which versions there are instead.
pub(crate) async fn unknown_version(project: &Project, store: &Store, model: &str, version: u32) -> Error {
    // By their keys: a damaged record is another matter.
    let prefix = format!("models/{model}/versions/");
    let metas = match store.list(&prefix, None, 10_000).await {
        Ok(metas) => metas,
        Err(error) => return error,
    };
    let number = |key: &str| key.strip_prefix(&prefix)?.strip_suffix(".json")?.parse::<u32>().ok();
    let mut found: Vec<u32> = metas.iter().filter_map(|meta| number(&meta.key)).collect();
    if !found.is_empty() {
        found.sort_unstable();
        let found = suggest::quoted_list(found);
        return Error::not_found(format!("`{model}` has no version `{version}`; its versions are {found}"));
    }
    let unknown = suggest::require_model(&project.pipeline, model).err();
    unknown.unwrap_or_else(|| Error::not_found(format!("`{model}` has no version `{version}`: none of it is registered yet")))
}

fn cells(row: &Row) -> Vec<String> {
    let version = &row.version;
    let metrics: Vec<String> = version
        .metrics
        .iter()
        .take(4)
        .map(|(name, value)| format!("{name} {value:.4}"))
        .collect();
    vec![
        version.model.clone(),
        version.version.to_string(),
        row.aliases.join(", "),
        version.as_of.to_string(),
        metrics.join(", "),
        version.onnx_digest.short().to_owned(),
    ]
}

async fn json<T: DeserializeOwned>(store: &Store, key: &str) -> Result<Option<(T, Digest)>> {
    match store.get(key).await {
        Ok(bytes) => {
            let value = serde_json::from_slice(&bytes).map_err(|e| Error::input(format!("`{key}` is not what it should be: {e}")))?;
            Ok(Some((value, Digest::sha256(&bytes))))
        }
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn version_of(project: &Project, store: &Store, model: &str, version: u32) -> Result<ModelVersion> {
    match json(store, &format!("models/{model}/versions/{version}.json")).await? {
        Some((found, _)) => Ok(found),
        None => Err(unknown_version(project, store, model, version).await),
    }
}

async fn alias(store: &Store, model: &str, alias: &str) -> Result<Option<(ModelAlias, Digest)>> {
    json(store, &format!("models/{model}/aliases/{alias}.json")).await
}

async fn versions(store: &Store, model: &str) -> Result<Vec<Row>> {
    let mut aliases: Vec<ModelAlias> = Vec::new();
    for meta in store.list(&format!("models/{model}/aliases/"), None, 10_000).await? {
        if meta.key.split('/').count() == 4
            && let Some((alias, _)) = json(store, &meta.key).await?
        {
            aliases.push(alias);
        }
    }
    let mut rows = Vec::new();
    for meta in store.list(&format!("models/{model}/versions/"), None, 10_000).await? {
        if let Some((version, _)) = json::<ModelVersion>(store, &meta.key).await? {
            let of = aliases
                .iter()
                .filter(|alias| alias.version == version.version)
                .map(|alias| alias.alias.clone());
            rows.push(Row {
                aliases: of.collect(),
                version,
            });
        }
    }
    rows.sort_by_key(|row| row.version.version);
    Ok(rows)
}

/// All versions of a model, ascending.
pub(crate) async fn list_versions(store: &Store, model: &str) -> Result<Vec<ModelVersion>> {
    Ok(versions(store, model).await?.into_iter().map(|row| row.version).collect())
}

fn pretty(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|e| Error::bug(format!("a record cannot be written: {e}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

async fn move_alias(project: &Project, store: &Store, model: &str, name: &str, version: u32) -> Result<ModelAlias> {
    let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !good {
        return Err(Error::input(format!(
            "the alias `{name}` stands in keys: use letters, digits, `-` and `_`"
        )));
    }
    let target = version_of(project, store, model, version).await?;
    let key = format!("models/{model}/aliases/{name}.json");
    for _ in 0..10 {
        let old = alias(store, model, name).await?;
        if let Some((old, _)) = old.as_ref().filter(|(old, _)| old.version == version) {
            return Ok(old.clone());
        }
        let moved = ModelAlias {
            model: model.to_owned(),
            alias: name.to_owned(),
            version,
            onnx_digest: target.onnx_digest.clone(),
            moves: old.as_ref().map_or(0, |(old, _)| old.moves + 1),
            as_of: target.as_of,
        };
        let bytes = pretty(&moved)?;
        if store
            .swap(&key, old.as_ref().map(|(_, digest)| digest), bytes.clone().into())
            .await?
            == PutResult::Conflict
        {
            continue;
        }
        store
            .create(&format!("models/{model}/aliases/{name}/{}.json", moved.moves), bytes.into())
            .await?;
        audit(store, &moved, old.map(|(old, _)| old.version)).await?;
        return Ok(moved);
    }
    Err(Error::transient(format!("`{key}` is being moved by others; try again")))
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Audit<'a> {
    what: &'static str,
    who: String,
    at: Timestamp,
    model: &'a str,
    alias: &'a str,
    from: Option<u32>,
    to: u32,
}

async fn audit(store: &Store, moved: &ModelAlias, from: Option<u32>) -> Result<()> {
    let at = Timestamp::now();
    let entry = Audit {
        what: "alias",
        who: current_user(),
        at,
        model: &moved.model,
        alias: &moved.alias,
        from,
        to: moved.version,
    };
    let key = format!("audit/{}-{}-{}-{}.json", key_time(at), moved.model, moved.alias, moved.moves);
    store.create(&key, pretty(&entry)?.into()).await.map(drop)
}
