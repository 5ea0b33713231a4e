//! What the commands print, at 80 and at 200 columns, as files in `terminal/snapshots`. `UPDATE_SNAPSHOTS=1` (or `TIDEMILL_UPDATE=1`, which
//! updates all that tests generate) writes them again.
//!
//! The store holds records that [`store`] writes: nothing is trained here, and no number varies. What does vary (the folder, ports) is
//! masked by [`mask`], by text of the same length, so that lines break where they broke.

mod store;

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tidemill_tests::{small, trained};

use crate::conventions::sources::root;

/// The widths of the snapshots.
const WIDTHS: [usize; 2] = [80, 200];

/// A project with records, and a process that serves it: it answers what `tidemill` asks a running one.
struct Scene {
    tidemill: PathBuf,
    folder: TempDir,
    project: PathBuf,
}

impl Scene {
    fn build() -> Result<Option<Self>> {
        let Some(tidemill) = trained::find_tidemill() else {
            return Ok(None);
        };
        // Always of the same length.
        let folder = tempfile::Builder::new().prefix("tidemill-").rand_bytes(6).tempdir_in("/tmp")?;
        let project = small::project(folder.path())?;
        store::write(&project)?;
        fs::write(project.join(".tidemill/address"), serve()?)?;
        fs::write(project.join("day-3.csv"), small::csv(&small::day(3)[..40]))?;
        fs::create_dir(folder.path().join("empty"))?;
        Ok(Some(Self { tidemill, folder, project }))
    }

    /// What `tidemill <arguments>` says in a folder, with its standard error below, masked.
    fn say(&self, at: &Path, arguments: &[&str], width: usize) -> Result<String> {
        let output = Command::new(&self.tidemill)
            .args(arguments)
            .current_dir(at)
            .env("COLUMNS", width.to_string())
            .env("USER", "anna")
            .env_remove("TIDEMILL_STORE")
            .env_remove("CLICOLOR_FORCE")
            .output()
            .with_context(|| format!("{arguments:?}"))?;
        let said = [output.stdout, output.stderr].concat();
        Ok(mask(&String::from_utf8(said)?, self.folder.path()))
    }
}

/// Serves `/healthz` and a queue of two events until the process ends. Returns the address.
fn serve() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("http://{}", listener.local_addr()?);
    let item = |stage: &str, resource: &str, key: &str, running: bool, waits_for: Option<&str>| {
        serde_json::json!({
            "stage": stage, "resource": resource, "key": key, "digest": "0".repeat(64), "depth": 1, "attempt": 0, "retries": 0, "due": 0,
            "held": false, "waits-for": waits_for, "running": running,
        })
    };
    let queue = serde_json::json!([
        item(
            "featurize",
            "alarm",
            "requests/alarm/2024-01-04T00-00-00Z.json",
            false,
            Some("an earlier training of `alarm`")
        ),
        item("validate", "readings", "raw/readings/day-5.csv", true, None),
    ])
    .to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // To the blank line: a connection that is closed with something unread is reset.
            let head: Vec<String> = BufReader::new(&stream)
                .lines()
                .map_while(|line| line.ok().filter(|line| !line.is_empty()))
                .collect();
            let is_queue = head.first().is_some_and(|line| line.contains("/events"));
            let body = if is_queue { queue.as_str() } else { "{}" };
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    Ok(address)
}

/// Text without what differs from run to run: the folder and ports.
fn mask(text: &str, folder: &Path) -> String {
    let mut masked = text.replace(&folder.display().to_string(), "/tmp/tidemill-XXXXXX");
    let host = "127.0.0.1:";
    let mut from = 0;
    while let Some(at) = masked[from..].find(host) {
        let start = from + at + host.len();
        let digits = masked[start..].chars().take_while(char::is_ascii_digit).count();
        // The default port is no accident.
        if &masked[start..start + digits] != "8080" {
            masked.replace_range(start..start + digits, &"0".repeat(digits));
        }
        from = start + digits;
    }
    masked
}

/// Compares with the snapshot, or writes it.
fn compare(name: &str, said: &str, wrong: &mut Vec<String>) -> Result<()> {
    let path = snapshots()?.join(format!("{name}.txt"));
    if ["UPDATE_SNAPSHOTS", "TIDEMILL_UPDATE"]
        .iter()
        .any(|name| std::env::var_os(name).is_some())
    {
        fs::create_dir_all(snapshots()?)?;
        return Ok(fs::write(&path, said)?);
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if expected != said {
        wrong.push(format!("{name} was\n{expected}\nand is\n{said}"));
    }
    Ok(())
}

fn snapshots() -> Result<PathBuf> {
    Ok(root()?.join("tests/tests/terminal/snapshots"))
}

/// The commands in the project, by the name of their snapshot. The documents name all of them.
const IN_PROJECT: [(&str, &[&str]); 18] = [
    ("overview", &[]),
    ("help", &["--help"]),
    ("check", &["check"]),
    ("check-graph", &["check", "--graph"]),
    ("runs", &["runs"]),
    ("runs-limit", &["runs", "--limit", "3", "--stage", "validate"]),
    ("runs-failed", &["runs", "--failed"]),
    ("runs-show", &["runs", "show", store::REJECTED_RUN_KEY]),
    ("runs-show-unknown", &["runs", "show", "zzz"]),
    ("models", &["models"]),
    ("models-show", &["models", "show", "alarm"]),
    ("models-show-challenger", &["models", "show", "alarm@challenger"]),
    ("models-show-unknown", &["models", "show", "alarm@9"]),
    ("models-history", &["models", "history", "alarm"]),
    ("events", &["events"]),
    ("run", &["run", "validate", "readings", "--key", "raw/readings/gone.csv"]),
    ("put", &["put", "readings", "day-3.csv"]),
    ("new-list", &["new", "--list"]),
];

/// The commands elsewhere: in an empty folder, then in what `tidemill new` made there.
const ELSEWHERE: [(&str, &str, &[&str]); 6] = [
    ("outside", "empty", &[]),
    ("outside-check", "empty", &["check"]),
    ("new-store", "empty", &["new", "--store", "s3://tide/mill", "mine"]),
    ("new", "empty", &["new", "--template", "flights", "mine"]),
    ("flights-check-graph", "empty/mine", &["check", "--graph"]),
    ("flights-overview", "empty/mine", &[]),
];

fn is_too_wide(said: &str, width: usize) -> bool {
    said.lines().any(|line| line.chars().count() > width)
}

#[test]
fn commands_print_what_the_snapshots_show() -> Result<()> {
    let mut wrong = Vec::new();
    let mut names = BTreeSet::new();
    for width in WIDTHS {
        let Some(scene) = Scene::build()? else { return Ok(()) };
        let in_project = IN_PROJECT.map(|(name, arguments)| (name, scene.project.clone(), arguments));
        let elsewhere = ELSEWHERE.map(|(name, at, arguments)| (name, scene.folder.path().join(at), arguments));
        for (name, at, arguments) in in_project.into_iter().chain(elsewhere) {
            let said = scene.say(&at, arguments, width)?;
            ensure!(
                !is_too_wide(&said, width),
                "`tidemill {}` at {width} columns:\n{said}",
                arguments.join(" ")
            );
            let name = format!("{name}.{width}");
            compare(&name, &said, &mut wrong)?;
            names.insert(format!("{name}.txt"));
        }
    }
    for entry in fs::read_dir(snapshots()?)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let is_diagram = name.starts_with("diagram.");
        ensure!(is_diagram || names.contains(&name), "`{name}` is a snapshot of nothing: remove it");
    }
    ensure!(wrong.is_empty(), "{}\n`UPDATE_SNAPSHOTS=1` writes them again", wrong.join("\n"));
    Ok(())
}

/// Also where there is hardly room, and where what is printed depends on the machine.
#[test]
fn no_line_is_wider_than_the_terminal() -> Result<()> {
    let Some(scene) = Scene::build()? else { return Ok(()) };
    let dependent: [(&str, &[&str]); 3] = [
        ("doctor", &["doctor", "--addr", "127.0.0.1:0"]),
        ("deploy sam", &["deploy", "sam", "--plan"]),
        ("doctor --help", &["doctor", "--help"]),
    ];
    for width in [40, 60, 80, 120] {
        for (name, arguments) in IN_PROJECT.into_iter().chain(dependent) {
            let said = scene.say(&scene.project, arguments, width)?;
            // clap does not wrap the usage line.
            let is_help = arguments.contains(&"--help") && width < 80;
            ensure!(is_help || !is_too_wide(&said, width), "{name} at {width} columns:\n{said}");
        }
    }
    Ok(())
}

/// What programs read is not wrapped, and a pipe gets no colours.
#[test]
fn json_and_diagrams_do_not_depend_on_the_width() -> Result<()> {
    let Some(scene) = Scene::build()? else { return Ok(()) };
    let mut wrong = Vec::new();
    for (name, arguments) in [
        ("diagram.mermaid", &["check", "--graph", "--format", "mermaid"][..]),
        ("diagram.dot", &["check", "--graph", "--format", "dot"][..]),
        ("", &["runs", "--json"][..]),
        ("", &["models", "show", "alarm", "--json"][..]),
        ("", &["--json"][..]),
    ] {
        let narrow = scene.say(&scene.project, arguments, 40)?;
        ensure!(
            narrow == scene.say(&scene.project, arguments, 200)?,
            "{arguments:?} depends on the width"
        );
        ensure!(!narrow.contains('\u{1b}'), "{arguments:?} has colours");
        match name {
            "" => drop(serde_json::from_str::<serde_json::Value>(&narrow).with_context(|| narrow.clone())?),
            _ => compare(name, &narrow, &mut wrong)?,
        }
    }
    ensure!(wrong.is_empty(), "{}\n`UPDATE_SNAPSHOTS=1` writes them again", wrong.join("\n"));
    Ok(())
}

/// Mermaid itself parses the diagram. It is too heavy to be fetched for each run of the tests: `TIDEMILL_MERMAID` names a folder where
/// `npm install mermaid jsdom` was run.
#[test]
fn mermaid_parses_the_diagram() -> Result<()> {
    let Some(modules) = std::env::var_os("TIDEMILL_MERMAID") else {
        eprintln!("skipped: TIDEMILL_MERMAID names no folder with mermaid and jsdom");
        return Ok(());
    };
    let Some(scene) = Scene::build()? else { return Ok(()) };
    let diagram = scene.project.join("diagram.mmd");
    fs::write(
        &diagram,
        scene.say(&scene.project, &["check", "--graph", "--format", "mermaid"], 80)?,
    )?;
    let script = root()?.join("tests/tests/terminal/parse.mjs");
    let output = Command::new("node").arg(script).arg(modules).arg(&diagram).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && said.contains("flowchart"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// What the reader of JSON gets of a version beside its record.
#[test]
fn a_version_is_shown_with_its_lineage() -> Result<()> {
    let Some(scene) = Scene::build()? else { return Ok(()) };
    let shown = scene.say(&scene.project, &["models", "show", "alarm@2", "--json"], 80)?;
    let shown: serde_json::Value = serde_json::from_str(&shown).with_context(|| shown.clone())?;
    let stages: Vec<&str> = shown["lineage"]["runs"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|run| run["stage"].as_str())
        .collect();
    ensure!(stages == ["retrain", "featurize", "train", "evaluate", "register"], "{shown}");
    ensure!(shown["version"] == 2 && shown["lineage"]["data"]["rows"] == 2880, "{shown}");
    ensure!(
        shown["gates"][1]["passed"] == true && shown["gates"][1]["threshold"] == 0.5,
        "{}",
        shown["gates"]
    );
    let moves: Vec<&str> = shown["history"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|moved| moved["by"].as_str())
        .collect();
    ensure!(
        moves == ["local:anna", "register", "register", "local:anna"],
        "{}",
        shown["history"]
    );
    Ok(())
}
