//! What the documents tell a reader to type is typed here. `cargo xtask demo` and its like are not run again (this test runs inside one of
//! them): they must be commands that xtask has.
//!
//! What needs an account, or a tool that is not here, is fenced as `sh elsewhere`, and its document says so.
//!
//! Each document is one shell session in an empty folder, so that a later block may use what an earlier one made.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use tidemill_tests::trained;

use crate::conventions::sources::root;

/// The fenced blocks of a document: what follows the fence's ticks, and the lines.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (line.trim_start().strip_prefix("```"), open.take()) {
            (Some(kind), None) => open = Some((kind.trim().to_owned(), String::new())),
            (Some(_), Some(block)) => found.push(block),
            (None, Some((kind, body))) => open = Some((kind, format!("{body}{line}\n"))),
            (None, None) => (),
        }
    }
    found
}

/// The commands that xtask's help names.
fn xtask_commands(root: &Path) -> Result<Vec<String>> {
    let source = fs::read_to_string(root.join("infra/xtask/src/main.rs"))?;
    let help = source
        .split("const HELP")
        .nth(1)
        .and_then(|rest| rest.split("\";").next())
        .context("xtask has no help")?;
    let lines = help.lines().filter_map(|line| line.strip_prefix("  "));
    Ok(lines.filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect())
}

/// `cargo` as the session sees it: xtask's commands are checked, all else runs in the checkout.
const CARGO: &str = r#"
set -euo pipefail
cargo() {
    if [ "$1" != xtask ]; then (cd "$ROOT" && command cargo "$@"); return; fi
    case " $XTASK " in *" $2 "*) ;; *) echo "xtask has no command $2" >&2; return 1;; esac
    case "$2" in
        env) echo "export PATH='$(dirname "$TIDEMILL")':\"\$PATH\"";;
        run) (cd "$ROOT" && command "${@:3}");;
    esac
}
"#;

fn run(document: &str) -> Result<()> {
    let root = root()?;
    let text = fs::read_to_string(root.join(document))?;
    let blocks = blocks(&text);
    let shell = |kind: &str| matches!(kind.split_whitespace().next(), Some("sh" | "bash" | "console"));
    let unrun: Vec<&String> = blocks
        .iter()
        .filter(|(kind, _)| shell(kind) && kind != "sh run" && kind != "sh elsewhere")
        .map(|(_, body)| body)
        .collect();
    ensure!(
        unrun.is_empty(),
        "{document}: fence these with ```sh run, so that they are tested, or with ```sh elsewhere if this machine cannot run them: {unrun:?}"
    );
    let script: String = blocks
        .iter()
        .filter(|(kind, _)| kind == "sh run")
        .map(|(_, body)| body.as_str())
        .collect();
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let output = Command::new("bash")
        .arg("-c")
        .arg(format!("{CARGO}{script}"))
        .current_dir(folder.path())
        .env("ROOT", &root)
        .env("XTASK", xtask_commands(&root)?.join(" "))
        .env("TIDEMILL", tidemill)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{document}: its commands fail ({}):\n{said}",
        output.status
    );
    Ok(())
}

#[test]
fn the_readme_works() -> Result<()> {
    run("README.md")
}

#[test]
fn the_guide_works() -> Result<()> {
    run("CONTRIBUTING.md")
}

#[test]
fn the_page_on_spin_works() -> Result<()> {
    run("docs/spin.md")
}

#[test]
fn the_page_on_buckets_works() -> Result<()> {
    run("docs/s3.md")
}

#[test]
fn the_page_on_aws_works() -> Result<()> {
    run("docs/aws.md")
}

#[test]
fn the_page_on_kubernetes_works() -> Result<()> {
    run("docs/kubernetes.md")
}

#[test]
fn the_page_on_the_package_works() -> Result<()> {
    run("docs/package.md")
}

#[test]
fn the_page_on_images_works() -> Result<()> {
    run("docs/image.md")
}

/// Links to files of the checkout lead somewhere.
#[test]
fn links_lead_somewhere() -> Result<()> {
    let root = root()?;
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "docs/aws.md",
        "docs/image.md",
        "docs/kubernetes.md",
        "docs/limits.md",
        "docs/package.md",
        "docs/s3.md",
        "templates/README.md",
        "templates/flights/data/README.md",
    ] {
        let text = fs::read_to_string(root.join(document))?;
        let folder = root.join(document).parent().context("a document is in a folder")?.to_path_buf();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or(link);
            ensure!(
                link.contains("://") || folder.join(file).exists(),
                "{document} links to `{link}`, which is not there"
            );
        }
    }
    Ok(())
}

#[test]
fn a_fence_is_read() {
    let text = "a\n```sh run\nx\ny\n```\nb\n```toml\nz\n```\n   ```rust\n   w\n   ```\n";
    let kinds: Vec<(String, String)> = blocks(text);
    assert_eq!(kinds.len(), 3);
    assert_eq!(kinds[0], ("sh run".to_owned(), "x\ny\n".to_owned()));
    assert_eq!(kinds[2].0, "rust");
}

/// What `tidemill new` makes is a project that `tidemill check` accepts.
#[test]
fn the_template_is_sound() -> Result<()> {
    let folder = root()?.join("templates/flights");
    let content = folder.join("content");
    let read = |path: &str| fs::read_to_string(content.join(path)).map_err(|e| tidemill_core::Error::not_found(format!("`{path}`: {e}")));
    let pipeline = tidemill_core::project::Project::parse(&read("tidemill.toml")?, &read)?.pipeline;
    let parts: usize = fs::read_dir(folder.join("data"))?
        .flatten()
        .filter(|f| f.path().extension().is_some_and(|e| e == "parquet"))
        .count();
    ensure!(
        pipeline.models.contains_key("late") && parts == 12,
        "the template has {parts} months"
    );
    Ok(())
}
