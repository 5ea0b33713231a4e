//! `tidemill new` as it is typed: what it says when it cannot, and that nothing is left half-written.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tidemill_tests::trained;

use super::tools::{said, succeeded};

#[test]
fn mistakes_teach_and_leave_nothing() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("full"))?;
    fs::write(folder.path().join("full/there"), "mine")?;
    for (arguments, code, parts) in [
        (
            &["--template", "tabluar", "x"][..],
            4,
            &["no template `tabluar`", "`tabular`", "--list"][..],
        ),
        (&["--set", "trianer=trees", "x"], 3, &["no parameter `trianer`", "it has `trainer`"]),
        (&["--set", "trainer=forest", "x"], 3, &["`trainer` is `forest`", "^(trees|linear)$"]),
        (&["--set", "trainer", "x"], 2, &["`trainer` is not `name=value`"]),
        (&["--set", "trainer=trees", "--set", "trainer=linear", "x"], 3, &["set twice"]),
        (&["full"], 3, &["`full` is not empty"]),
        (&["full/there"], 3, &["is not empty"]),
        (&["2nd"], 3, &["`2nd`", "begins with a letter"]),
        // The project's name is a prefix that its stage would write to, and this one is the host's.
        (&["--template", "stage-js", "outcomes"], 2, &["may not write `outcomes/**`"]),
        (&[], 2, &["<DIR>"]),
    ] {
        let output = Command::new(&tidemill)
            .arg("new")
            .args(arguments)
            .current_dir(folder.path())
            .output()?;
        let text = said(&output);
        ensure!(output.status.code() == Some(code), "{arguments:?} ({}): {text}", output.status);
        for part in parts {
            ensure!(text.contains(part), "{arguments:?}: `{part}` is not in: {text}");
        }
    }
    let left: Vec<_> = fs::read_dir(folder.path())?.flatten().map(|entry| entry.file_name()).collect();
    ensure!(
        left == ["full"] && fs::read(folder.path().join("full/there"))? == b"mine",
        "{left:?}"
    );
    Ok(())
}

#[test]
fn templates_are_listed_and_used_from_here() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let run = |arguments: &[&str]| -> Result<Vec<u8>> {
        let output = Command::new(&tidemill).args(arguments).current_dir(folder.path()).output()?;
        let bytes = output.stdout.clone();
        succeeded(output)?;
        Ok(bytes)
    };
    let shown = String::from_utf8(run(&["new", "--list"])?)?;
    ensure!(shown.contains("stage-python") && shown.contains("on=raw/events/**"), "{shown}");
    let listed: Vec<Value> = serde_json::from_slice(&run(&["new", "--list", "--json"])?)?;
    let js = listed.iter().find(|t| t["id"] == "stage-js").context("stage-js is not listed")?;
    ensure!(js["parameters"]["on"]["default"] == "raw/events/**", "{js}");
    // In the folder itself, which is empty.
    let here = folder.path().join("here");
    fs::create_dir(&here)?;
    let output = Command::new(&tidemill)
        .args(["new", "--template", "stage-js", "--set", "on=here/**", "--json", "."])
        .current_dir(&here)
        .output()?;
    // It would trigger itself: what comes of a parameter is checked like everything else.
    ensure!(
        output.status.code() == Some(2) && said(&output).contains("would trigger itself"),
        "{}",
        said(&output)
    );
    ensure!(fs::read_dir(&here)?.next().is_none());
    let output = Command::new(&tidemill)
        .args(["new", "--template", "stage-js", "--set", "on=raw/other/*", "--json", "."])
        .current_dir(&here)
        .output()?;
    let made: Value = serde_json::from_slice(&output.stdout).with_context(|| said(&output))?;
    ensure!(
        made["template"] == "stage-js" && made["files"].to_string().contains("wit/stage.wit"),
        "{made}"
    );
    let toml = fs::read_to_string(here.join("tidemill.toml"))?;
    ensure!(toml.contains("name = \"here\"") && toml.contains("on = \"raw/other/*\""), "{toml}");
    Ok(())
}
