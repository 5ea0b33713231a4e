//! `tidemill deploy sam` and `tidemill deploy spin` as they are typed: what it writes, what its plan says, and what it says when it cannot.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidemill_tests::trained;

/// The program's answer; `None` where it was not built and nobody insists.
fn tidemill(folder: &Path, arguments: &[&str]) -> Result<Option<Output>> {
    let Some(program) = trained::find_tidemill() else { return Ok(None) };
    Ok(Some(Command::new(program).args(arguments).current_dir(folder).output()?))
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The flights' project, new; `None` where there is no program to make it.
fn flights(folder: &Path) -> Result<Option<PathBuf>> {
    let Some(made) = tidemill(folder, &["new", "--template", "flights", "mine"])? else {
        return Ok(None);
    };
    ensure!(made.status.success(), "{}", said(&made));
    Ok(Some(folder.join("mine")))
}

const STAGE: &str = "\n[[stage]]\nname = \"geocode\"\ncomponent = \"stages/geocode.wasm\"\non = \"outcomes/validate/flights/*\"\n\
                     reads = [\"datasets/flights/**\"]\nwrites = [\"geocoded/flights/**\"]\n";

#[test]
fn a_project_is_written_and_planned() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(mine) = flights(folder.path())? else { return Ok(()) };
    let run = |arguments: &[&str]| tidemill(&mine, arguments)?.context("tidemill was there a moment ago");

    let first = run(&["deploy", "sam", "--plan", "--exit-code"])?;
    ensure!(
        first.status.code() == Some(10) && said(&first).contains("+ TrainLateFunction"),
        "{}",
        said(&first)
    );
    ensure!(!mine.join("sam").exists(), "a plan writes nothing");

    let written = run(&["deploy", "sam", "--json"])?;
    ensure!(written.status.success(), "{}", said(&written));
    let written: Value = serde_json::from_slice(&written.stdout)?;
    let missing = written["missing"].to_string();
    ensure!(
        missing.contains("programs/tidemill-component/bootstrap") && missing.contains("libduckdb.so"),
        "{missing}"
    );
    let advice = written["advice"].to_string();
    ensure!(
        advice.contains("pip install tidemill-lambda-arm64==") && advice.contains("cargo xtask package --arch arm64"),
        "{advice}"
    );
    ensure!(
        written["cost"]["idle-month"].as_f64().is_some_and(|dollars| dollars > 0.0),
        "{written}"
    );
    let told: Value = serde_json::from_slice(&fs::read(mine.join("sam/project/tidemill/functions/train-late.json"))?)?;
    let component = told["component"].as_str().context("train names no component")?;
    let packed = mine.join("sam/project").join(component.trim_start_matches("/opt/"));
    ensure!(packed.is_file(), "{} is not in the package", packed.display());

    let again = run(&["deploy", "sam", "--plan", "--exit-code"])?;
    ensure!(
        again.status.success() && said(&again).starts_with("nothing differs"),
        "{}",
        said(&again)
    );

    let toml = fs::read_to_string(mine.join("tidemill.toml"))?;
    fs::write(mine.join("tidemill.toml"), toml.replace("rounds = 150", "rounds = 100") + STAGE)?;
    let plan = run(&["deploy", "sam", "--plan", "--exit-code"])?;
    let text = said(&plan);
    ensure!(plan.status.code() == Some(10), "{text}");
    ensure!(text.contains("config.model.trainer.rounds: 150 → 100"), "{text}");
    ensure!(text.contains("+ GeocodeFunction  AWS::Serverless::Function"), "{text}");
    let without = run(&["deploy", "sam", "--plan"])?;
    ensure!(without.status.success(), "without `--exit-code` a difference is no failure");

    // Its component is not built: nothing is written.
    let before = fs::read(mine.join("sam/template.yaml"))?;
    let refused = run(&["deploy", "sam"])?;
    ensure!(
        refused.status.code() == Some(2) && said(&refused).contains("`stages/geocode.wasm`"),
        "{}",
        said(&refused)
    );
    ensure!(fs::read(mine.join("sam/template.yaml"))? == before);
    Ok(())
}

/// Programs and libraries of functions, as `pip install tidemill-lambda-<arch>` would install them: real ELF headers, and no code behind.
fn lambda_package(folder: &Path, architecture: &str, machine: u8) -> Result<()> {
    let elf = [
        b"\x7fELF\x02\x01\x01".as_slice(),
        &[0; 9],
        &[3, 0, machine, 0],
        architecture.as_bytes(),
    ]
    .concat();
    for file in [
        "programs/tidemill-lambda/bootstrap",
        "programs/tidemill-component/bootstrap",
        "programs/tidemill-component/compiled/train",
        "programs/tidemill-predict/bootstrap",
        "engines/lib/libduckdb.so",
        "engines/lib/libonnxruntime.so",
    ] {
        let path = folder.join(architecture).join(file);
        fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
        fs::write(path, &elf)?;
    }
    Ok(())
}

#[test]
fn the_installed_package_makes_the_folder_complete() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(mine) = flights(folder.path())? else { return Ok(()) };
    let package = folder.path().join("lambda");
    lambda_package(&package, "x86_64", 0x3e)?;
    let program = trained::find_tidemill().context("tidemill was there a moment ago")?;
    let run = |arguments: &[&str]| -> Result<Value> {
        let mut command = Command::new(&program);
        let output = command
            .args(arguments)
            .current_dir(&mine)
            .env("TIDEMILL_LAMBDA", &package)
            .output()?;
        ensure!(output.status.success(), "{arguments:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).with_context(|| said(&output))
    };
    let bytes = |place: &str| fs::read(mine.join("sam").join(place)).with_context(|| place.to_owned());

    // Nothing is asked for, and one package is installed: the stack is for its processor.
    let written = run(&["deploy", "sam", "--json"])?;
    ensure!(written["architecture"] == "x86_64", "{written}");
    ensure!(written["missing"] == json!([]) && written.get("advice").is_none(), "{written}");
    ensure!(written["built-for-another"] == json!([]), "{written}");
    ensure!(
        written["command"].to_string().contains("sam deploy --stack-name flights-dev"),
        "{written}"
    );
    let template = String::from_utf8(bytes("template.yaml")?)?;
    let architecture = template.split("  Architecture:").nth(1).context("there is no such parameter")?;
    ensure!(
        architecture.lines().take(5).any(|line| line.trim() == "Default: x86_64"),
        "{architecture}"
    );
    for name in ["tidemill-lambda", "tidemill-component", "tidemill-predict"] {
        let path = mine.join("sam/programs").join(name).join("bootstrap");
        ensure!(
            fs::metadata(&path)?.permissions().mode() & 0o111 == 0o111,
            "{} cannot be started",
            path.display()
        );
    }
    ensure!(
        bytes("programs/tidemill-component/compiled/train")? == bytes("engines/lib/libduckdb.so")?,
        "a file is another one"
    );
    ensure!(
        mine.join("sam/engines/lib/libonnxruntime.so").is_file(),
        "ONNX Runtime is not in it"
    );
    // Each folder that the template uploads is there.
    for line in template.lines().filter_map(|line| line.trim().split_once("Uri: ")) {
        ensure!(mine.join("sam").join(line.1).is_dir(), "`{}` is not there", line.1);
    }
    // It is a copy: writing to it does not change what is installed.
    fs::write(mine.join("sam/engines/lib/libduckdb.so"), "mine")?;
    ensure!(fs::read(package.join("x86_64/engines/lib/libduckdb.so"))? != b"mine");

    // The other processor's package is not installed: it is said, and so is what is in the folder already.
    let written = run(&["deploy", "sam", "--arch", "arm64", "--json"])?;
    ensure!(written["architecture"] == "arm64" && written["missing"] == json!([]), "{written}");
    let foreign = written["built-for-another"].to_string();
    ensure!(
        foreign.contains("programs/tidemill-predict/bootstrap") && foreign.contains("libonnxruntime.so"),
        "{foreign}"
    );
    lambda_package(&package, "arm64", 0xb7)?;
    let written = run(&["deploy", "sam", "--json"])?;
    ensure!(
        written["architecture"] == "arm64" && written["built-for-another"] == json!([]),
        "{written}"
    );

    // Programs of one's own are not replaced; those that are not there are named.
    let own = mine.join("sam/own/tidemill-lambda/bootstrap");
    fs::create_dir_all(own.parent().context("a file is in a folder")?)?;
    fs::write(&own, "mine")?;
    let written = run(&["deploy", "sam", "--programs", "own", "--json"])?;
    ensure!(fs::read(&own)? == b"mine");
    let missing = written["missing"].to_string();
    ensure!(
        missing.contains("own/tidemill-component/bootstrap") && !missing.contains("tidemill-lambda/bootstrap"),
        "{missing}"
    );

    // A part of it cannot be read: nothing is changed.
    let before = bytes("template.yaml")?;
    fs::write(package.join("arm64/engines/lib/libonnxruntime.so"), "newer")?;
    fs::remove_dir_all(package.join("arm64/programs/tidemill-predict"))?;
    std::os::unix::fs::symlink("nowhere", package.join("arm64/programs/tidemill-component/gone"))?;
    let mut command = Command::new(&program);
    let refused = command
        .args(["deploy", "sam"])
        .current_dir(&mine)
        .env("TIDEMILL_LAMBDA", &package)
        .output()?;
    ensure!(
        !refused.status.success() && said(&refused).contains("tidemill-component/gone"),
        "{}",
        said(&refused)
    );
    ensure!(bytes("template.yaml")? == before && bytes("engines/lib/libonnxruntime.so")? != b"newer");
    let left: Vec<_> = fs::read_dir(mine.join("sam"))?.flatten().map(|entry| entry.file_name()).collect();
    ensure!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{left:?}");
    Ok(())
}

#[test]
fn what_cannot_be_deployed_is_said() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(nowhere) = tidemill(folder.path(), &["deploy", "sam"])? else {
        return Ok(());
    };
    ensure!(
        nowhere.status.code() == Some(4) && said(&nowhere).contains("there is no tidemill.toml"),
        "{}",
        said(&nowhere)
    );
    tidemill(folder.path(), &["new", "--template", "flights", "mine"])?;
    let mine = folder.path().join("mine");
    let refused = |arguments: &[&str], code: i32, part: &str| -> Result<()> {
        let output = tidemill(&mine, arguments)?.context("tidemill was there a moment ago")?;
        ensure!(
            output.status.code() == Some(code) && said(&output).contains(part),
            "{arguments:?} ({}): {}",
            output.status,
            said(&output)
        );
        Ok(())
    };
    fs::write(mine.join("load.toml"), "request-row = 3.0\n")?;
    refused(&["deploy", "sam", "--assume", "load.toml"], 2, "request-row")?;
    refused(&["deploy", "sam", "--assume", "gone.toml"], 4, "`gone.toml`")?;
    refused(&["deploy", "sam", "--out", "contracts"], 3, "`contracts` is a folder")?;
    fs::write(mine.join("broken.yaml"), "Resources: [\n")?;
    refused(
        &["deploy", "sam", "--plan", "--out", "broken.yaml"],
        3,
        "`broken.yaml` cannot be read as YAML",
    )?;
    let toml = fs::read_to_string(mine.join("tidemill.toml"))?;
    fs::write(
        mine.join("tidemill.toml"),
        toml + &STAGE.replace("\"geocode\"", &format!("\"{}\"", "g".repeat(60))),
    )?;
    refused(&["deploy", "sam"], 2, "AWS takes 64")
}

#[test]
fn a_project_is_written_for_spin() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(mine) = flights(folder.path())? else { return Ok(()) };
    let run = |arguments: &[&str]| tidemill(&mine, arguments)?.context("tidemill was there a moment ago");

    let first = run(&["deploy", "spin", "--plan", "--exit-code"])?;
    ensure!(
        first.status.code() == Some(10) && said(&first).contains("+ components/predict.wasm"),
        "{}",
        said(&first)
    );
    ensure!(!mine.join("spin").exists(), "a plan writes nothing");

    let written = run(&["deploy", "spin", "--json"])?;
    ensure!(written.status.success(), "{}", said(&written));
    let written: Value = serde_json::from_slice(&written.stdout)?;
    let required = written["required"].to_string();
    ensure!(required.contains("bucket") && required.contains("secret_access_key"), "{required}");
    let notes = written["notes"].to_string();
    ensure!(
        notes.contains("evaluate, featurize, monitor, train, validate (needs SQL"),
        "what stays elsewhere is not said: {notes}"
    );
    let manifest = fs::read_to_string(mine.join("spin/spin.toml"))?;
    tidemill_deploy::spin::check("spin.toml", &manifest)?;
    ensure!(!manifest.to_lowercase().contains("akia"), "{manifest}");
    for name in ["predict", "events"] {
        let bytes = fs::read(mine.join(format!("spin/components/{name}.wasm")))?;
        let foreign: Vec<String> = tidemill_deploy::spin::compose::imports(&bytes)?
            .into_iter()
            .filter(|import| !tidemill_deploy::spin::compose::is_offered(import))
            .collect();
        ensure!(foreign.is_empty(), "{name}: {foreign:?}");
    }
    let again = run(&["deploy", "spin", "--plan", "--exit-code"])?;
    ensure!(
        again.status.success() && said(&again).starts_with("nothing differs"),
        "{}",
        said(&again)
    );

    // One more stage: its component is not built, then it is.
    let toml = fs::read_to_string(mine.join("tidemill.toml"))?;
    fs::write(mine.join("tidemill.toml"), toml + STAGE)?;
    let refused = run(&["deploy", "spin"])?;
    ensure!(
        refused.status.code() == Some(2) && said(&refused).contains("`stages/geocode.wasm`"),
        "{}",
        said(&refused)
    );
    let components = std::env::var_os("TIDEMILL_COMPONENTS").context("TIDEMILL_COMPONENTS is not set")?;
    fs::create_dir_all(mine.join("stages"))?;
    fs::copy(
        Path::new(&components).join("tidemill_register.wasm"),
        mine.join("stages/geocode.wasm"),
    )?;
    // Where its lines are broken depends on the width.
    let flat = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let plan = flat(said(&run(&["deploy", "spin", "--plan"])?));
    ensure!(
        plan.contains("tool.tidemill.stages: + geocode") && plan.contains("TIDEMILL_CONFIG.nodes[geocode:geocode]: + "),
        "{plan}"
    );
    ensure!(plan.contains("0 to add, 3 to change, 0 to remove"), "{plan}");

    let elsewhere = run(&["--store", "s3://my-bucket/flights", "deploy", "spin", "--plan"])?;
    let elsewhere = flat(said(&elsewhere));
    ensure!(elsewhere.contains("default: + my-bucket"), "{elsewhere}");
    Ok(())
}
