//! `tidemill new` as it is typed: what it says when it cannot, that nothing is left half-written, what it asks in a terminal, and that the
//! lines that it ends with work.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tidemill_harness::server::Server;
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
        (&["full/there"], 3, &["`full/there` is a file"]),
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

/// A person at a terminal: waits for each question, and answers it. Prints what the program wrote.
const PERSON: &str = r#"
import os, pty, sys
answers = [("What do you start from?", "\r"), ("Folder", "mine\r"), ("How the model is trained", "forest\r"), ("^(trees|linear)$", "linear\r")]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], "new"])
seen, whole = "", ""
def read():
    global seen, whole
    try:
        text = os.read(terminal, 4096).decode(errors="replace")
    except OSError:
        return False
    seen, whole = seen + text, whole + text
    return text != ""
for question, answer in answers:
    while question not in seen and read():
        pass
    seen = ""
    os.write(terminal, answer.encode())
while read():
    pass
print(whole)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

#[test]
fn a_terminal_is_asked() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let output = Command::new("python3")
        .args(["-I", "-c", PERSON])
        .arg(&tidemill)
        .current_dir(folder.path())
        .env("TERM", "xterm")
        .output()?;
    let text = said(&output);
    ensure!(output.status.success(), "{}: {text}", output.status);
    // A wrong answer is asked for again, with the reason.
    ensure!(text.contains("`trainer` is `forest`"), "{text}");
    let toml = fs::read_to_string(folder.path().join("mine/tidemill.toml")).with_context(|| text.clone())?;
    ensure!(toml.contains("kind = \"linear\""), "{toml}");
    ensure!(
        text.contains("  cd mine\r\n  tidemill up\r\n  tidemill put readings data/day-1.csv"),
        "{text}"
    );
    Ok(())
}

/// Types the lines after `cd`, the first shell's beside the other's. Returns when the project has come to rest.
fn type_lines(tidemill: &Path, folder: &Path, template: &str) -> Result<Server> {
    let output = Command::new(tidemill)
        .args(["new", "--template", template, "--json", "mine"])
        .current_dir(folder)
        .output()?;
    let made: Value = serde_json::from_slice(&output.stdout).with_context(|| said(&output))?;
    let lines: Vec<&str> = made["next"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let ["cd mine", "tidemill up", last] = lines.as_slice() else {
        bail!("{template}: {lines:?}")
    };
    let server = Server::up(tidemill, &folder.join("mine"), &[])?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = tidemill.parent().context("tidemill is in no folder")?.to_path_buf();
    let path = std::env::join_paths([own].into_iter().chain(std::env::split_paths(&path)))?;
    let mut shell = Command::new("bash");
    succeeded(
        shell
            .args(["-ec", last])
            .current_dir(folder.join("mine"))
            .env("PATH", path)
            .output()?,
    )?;
    server.wait_until_idle()?;
    Ok(server)
}

#[test]
fn the_last_lines_work_as_typed() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    for template in ["tabular", "onnx", "flights"] {
        let folder = tempfile::tempdir()?;
        let server = type_lines(&tidemill, folder.path(), template)?;
        // The flights lie in the package, which is not what runs here.
        ensure!(
            template == "flights" || !server.keys("outcomes/validate/readings/")?.is_empty(),
            "{template}: nothing was validated"
        );
        ensure!(
            template != "onnx" || server.champion("failure")?.is_some(),
            "the model does not serve"
        );
        server.stop()?;
    }
    // A stage is built by the blocks of its README, which the other tests type.
    let folder = tempfile::tempdir()?;
    let output = Command::new(&tidemill)
        .args(["new", "--template", "stage-js", "mine"])
        .current_dir(folder.path())
        .output()?;
    let text = said(&output);
    ensure!(
        text.ends_with("  cd mine\n  npm install && npm run build\n  tidemill up\n"),
        "{text}"
    );
    Ok(())
}
