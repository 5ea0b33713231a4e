//! What `cargo xtask package` makes: its files are what its lists say, and a person without a checkout, a compiler or this machine's variables
//! is served by it.
//!
//! `cargo xtask test` makes it of the programs that it has built, and names its folder in `TIDEMILL_PACKAGE`.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidemill_core::pipeline::StageKind;
use tidemill_harness::server::Server;
use tidemill_tests::stdout_of;

/// How the archive's name begins; that of the programs for Lambda begins otherwise.
const ARCHIVE: &str = concat!("tidemill-", env!("CARGO_PKG_VERSION"));

/// The folder of the package, or `None` where there is none and nobody insists.
fn find_package() -> Option<PathBuf> {
    let folder = std::env::var_os("TIDEMILL_PACKAGE").map(PathBuf::from);
    if folder.is_none() && cfg!(target_os = "linux") {
        assert!(
            std::env::var_os("CI").is_none(),
            "TIDEMILL_PACKAGE is not set: run `cargo xtask test`"
        );
        eprintln!("left out: TIDEMILL_PACKAGE is not set; `cargo xtask test` sets it");
    }
    folder
}

/// The only file in the folder whose name begins and ends like this.
fn file(folder: &Path, start: &str, end: &str) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(start) && name.ends_with(end) {
            found.push(path);
        }
    }
    ensure!(found.len() == 1, "{} has {found:?} for {start}…{end}", folder.display());
    found.pop().context("there is one")
}

/// Compares a wheel with its RECORD and with the archive of the same files, and prints where the files are installed.
const VERIFY: &str = r#"
import base64, csv, hashlib, json, sys, tarfile, zipfile
wheel, archive = sys.argv[1:]
digest = lambda data: base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
with zipfile.ZipFile(wheel) as z:
    base = "-".join(wheel.rsplit("/", 1)[1].split("-")[:2])
    record = {r[0]: r[1:] for r in csv.reader(z.read(base + ".dist-info/RECORD").decode().splitlines())}
    assert set(record) == set(z.namelist()), set(record) ^ set(z.namelist())
    tag = wheel.rsplit("/", 1)[1][:-4].split("-", 2)[2]
    assert "Tag: " + tag in z.read(base + ".dist-info/WHEEL").decode().splitlines(), tag
    installed = {}
    for info in z.infolist():
        data = z.read(info)
        if record[info.filename] != ["", ""]:
            assert record[info.filename] == ["sha256=" + digest(data), str(len(data))], info.filename
        folder, _, rest = info.filename.partition("/")
        kind, _, path = rest.partition("/")
        if folder == base + ".data":
            place = {"scripts": "bin/", "data": ""}[kind] + path
            installed[place] = (digest(data), info.external_attr >> 16 & 0o777)
        else:
            assert folder == base + ".dist-info", info.filename
    assert len({info.date_time for info in z.infolist()}) == 1
with tarfile.open(archive) as t:
    top = archive.rsplit("/", 1)[1].removesuffix(".tar.gz") + "/"
    unpacked = {}
    for member in t:
        assert member.isfile() and member.name.startswith(top) and (member.uid, member.gid) == (0, 0), member.name
        unpacked[member.name[len(top):]] = (digest(t.extractfile(member).read()), member.mode)
    assert list(unpacked) == sorted(unpacked), "entries are sorted"
assert installed == unpacked, "the wheel and the archive differ"
json.dump(sorted(installed), sys.stdout)
"#;

fn verify(folder: &Path, wheel: &str, archive: &str) -> Result<BTreeSet<String>> {
    let mut python = Command::new("python3");
    python.args(["-I", "-c", VERIFY]);
    python.arg(file(folder, wheel, ".whl")?).arg(file(folder, archive, ".tar.gz")?);
    Ok(serde_json::from_str(&stdout_of(python.output()?)?)?)
}

#[test]
fn its_files_are_what_its_lists_say() -> Result<()> {
    let Some(folder) = find_package() else { return Ok(()) };
    stdout_of(
        Command::new("sha256sum")
            .args(["--check", "--strict", "SHA256SUMS"])
            .current_dir(&folder)
            .output()?,
    )?;
    let sums = fs::read_to_string(folder.join("SHA256SUMS"))?;
    ensure!(
        sums.lines().count() + 1 == fs::read_dir(&folder)?.count(),
        "each file has a checksum: {sums}"
    );

    let main = verify(&folder, "tidemill-", ARCHIVE)?;
    for path in [
        "bin/tidemill",
        "lib/tidemill/libduckdb.so",
        "lib/tidemill/libonnxruntime.so",
        "share/tidemill/LICENSES.txt",
        "share/tidemill/sbom.cdx.json",
        "share/tidemill/data/flights/2013-12.parquet",
        "share/tidemill/sdk/Cargo.lock",
        "share/tidemill/sdk/runtime/wit/stage/stage.wit",
    ] {
        ensure!(main.contains(path), "the wheel holds no {path}");
    }
    for stage in StageKind::ALL.map(StageKind::name).into_iter().chain(["onnx", "spin_run"]) {
        let path = format!("share/tidemill/components/tidemill_{stage}.wasm");
        ensure!(main.contains(&path), "the wheel holds no {path}");
    }
    let is_ours = |path: &&String| {
        ["bin/tidemill", "lib/tidemill/", "share/tidemill/"]
            .iter()
            .any(|place| path.starts_with(place))
    };
    let strays: Vec<&String> = main.iter().filter(|path| !is_ours(path) || path.contains("guest")).collect();
    ensure!(
        strays.is_empty(),
        "what is in no place of ours would be in the way of others: {strays:?}"
    );

    let lambda = verify(&folder, "tidemill_lambda_", "tidemill-lambda-")?;
    ensure!(lambda.len() == 5, "three programs and two libraries: {lambda:?}");
    for end in ["programs/tidemill-lambda/bootstrap", "engines/lib/libduckdb.so"] {
        ensure!(
            lambda
                .iter()
                .any(|path| path.starts_with("share/tidemill/lambda/") && path.ends_with(end)),
            "{end}"
        );
    }
    Ok(())
}

#[test]
fn what_is_inside_is_named_with_its_licence() -> Result<()> {
    let Some(folder) = find_package() else { return Ok(()) };
    let unpacked = tempfile::tempdir()?;
    let mut tar = Command::new("tar");
    tar.arg("-xzf")
        .arg(file(&folder, ARCHIVE, ".tar.gz")?)
        .args(["--strip-components=1", "--wildcards"]);
    stdout_of(
        tar.arg("-C")
            .arg(unpacked.path())
            .args(["*/share/tidemill/LICENSES.txt", "*/share/tidemill/sbom.cdx.json"])
            .output()?,
    )?;
    let share = unpacked.path().join("share/tidemill");
    let sbom: Value = serde_json::from_str(&fs::read_to_string(share.join("sbom.cdx.json"))?)?;
    ensure!(
        sbom["bomFormat"] == "CycloneDX" && sbom["specVersion"] == "1.5",
        "{}",
        sbom["specVersion"]
    );
    let components = sbom["components"].as_array().context("it has components")?;
    let name = |component: &Value| component["name"].as_str().unwrap_or_default().to_owned();
    let names: BTreeSet<String> = components.iter().map(name).collect();
    for inside in ["wasmtime", "duckdb", "onnxruntime", "tract-onnx", "tidemill-train", "rust-std"] {
        ensure!(names.contains(inside), "the bill of materials has no {inside}");
    }
    // Tools of tests and builds, and procedural macros.
    for outside in ["tidemill-tests", "tidemill-harness", "syn", "tempfile-macros", "bindgen"] {
        ensure!(!names.contains(outside), "{outside} is not inside");
    }
    let licences = fs::read_to_string(share.join("LICENSES.txt"))?;
    for component in components
        .iter()
        .filter(|component| component["purl"].as_str().is_some_and(|purl| purl.starts_with("pkg:cargo/")))
    {
        let line = format!("\n{} {}: ", name(component), component["version"].as_str().unwrap_or_default());
        ensure!(licences.contains(&line), "LICENSES.txt does not list{line}");
    }
    for text in ["Apache License", "DuckDB Foundation", "Microsoft Corporation", "LLVM Exceptions"] {
        ensure!(licences.contains(text), "LICENSES.txt has no `{text}`");
    }
    Ok(())
}

/// An installation, called as on a machine that has nothing else.
struct Installed {
    /// A program that calls `tidemill` without this machine's variables.
    tidemill: PathBuf,
    prefix: PathBuf,
    home: PathBuf,
}

impl Installed {
    /// Into a virtual environment, by pip, without a network.
    fn by_pip(package: &Path, folder: &Path) -> Result<Self> {
        let prefix = folder.join("venv");
        stdout_of(Command::new("python3").args(["-m", "venv"]).arg(&prefix).output()?)?;
        let mut pip = Command::new(prefix.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]);
        stdout_of(pip.arg(file(package, "tidemill-", ".whl")?).output()?)?;
        Self::new(prefix, folder)
    }

    fn unpacked(package: &Path, folder: &Path) -> Result<Self> {
        let prefix = folder.join("unpacked");
        fs::create_dir_all(&prefix)?;
        unpack(&file(package, ARCHIVE, ".tar.gz")?, &prefix)?;
        Self::new(prefix, folder)
    }

    fn new(prefix: PathBuf, folder: &Path) -> Result<Self> {
        let (home, tidemill) = (folder.join("home"), folder.join("tidemill"));
        fs::create_dir_all(&home)?;
        let script = format!(
            "#!/bin/sh\nexec env -i HOME='{}' PATH='{}/bin:/usr/bin:/bin' tidemill \"$@\"\n",
            home.display(),
            prefix.display()
        );
        fs::write(&tidemill, script)?;
        fs::set_permissions(&tidemill, fs::Permissions::from_mode(0o755))?;
        Ok(Self { tidemill, prefix, home })
    }

    fn run(&self, arguments: &[&str], folder: &Path) -> Result<String> {
        stdout_of(Command::new(&self.tidemill).args(arguments).current_dir(folder).output()?)
            .with_context(|| format!("tidemill {arguments:?}"))
    }

    /// All files below the prefix. Python leaves compiled files of its own.
    fn files(&self) -> Result<BTreeSet<PathBuf>> {
        let mut found = BTreeSet::new();
        collect(&self.prefix, &mut found)?;
        Ok(found)
    }
}

/// Unpacks an archive without its top folder.
fn unpack(archive: &Path, to: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(archive).args(["--strip-components=1", "-C"]).arg(to);
    stdout_of(tar.output()?).map(drop)
}

fn collect(folder: &Path, found: &mut BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            collect(&path, found)?;
        } else if path.extension().is_none_or(|e| e != "pyc") {
            found.insert(path);
        }
    }
    Ok(())
}

/// What `doctor --json` found.
fn find_check(text: &str, name: &str) -> Result<String> {
    let checks: Vec<Value> = serde_json::from_str(text).with_context(|| text.to_owned())?;
    let check = checks.iter().find(|check| check["check"] == name);
    Ok(check
        .and_then(|check| check["found"].as_str())
        .context("it has no such check")?
        .to_owned())
}

/// One reading of a machine, for the template's model.
fn request() -> Value {
    let input = |name: &str, datatype: &str, value: Value| json!({"name": name, "datatype": datatype, "shape": [1], "data": [value]});
    json!({"inputs": [
        input("machine", "INT64", json!(1)),
        input("at", "BYTES", json!("2024-01-03T00:00:00Z")),
        input("site", "BYTES", json!("north")),
        input("temperature", "FP64", json!(67.8)),
        input("vibration", "FP64", json!(7.02)),
        input("age", "INT64", json!(1)),
    ]})
}

#[test]
fn a_model_is_trained_and_predicts_with_the_wheel_alone() -> Result<()> {
    let Some(package) = find_package() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let installed = Installed::by_pip(&package, folder.path())?;
    let before = installed.files()?;
    installed.run(&["new", "--template", "tabular", "mine"], folder.path())?;
    let project = folder.path().join("mine");
    installed.run(&["check"], &project)?;
    let doctor = installed.run(&["doctor"], &project)?;
    let library = installed.prefix.canonicalize()?.join("lib/tidemill/libonnxruntime.so");
    ensure!(
        doctor.contains(&library.display().to_string()),
        "ONNX Runtime is the package's: {doctor}"
    );

    let server = Server::up(&installed.tidemill, &project, &[])?;
    for day in ["data/day-1.csv", "data/day-2.csv"] {
        installed.run(&["put", "readings", day], &project)?;
    }
    let patience = Instant::now() + Duration::from_secs(500);
    while server.champion("failure")?.is_none() {
        ensure!(
            Instant::now() < patience,
            "no model was trained: see {}",
            project.with_extension("log").display()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    let infer = format!("{}/v2/models/failure/infer", server.address);
    let answer: Value = ureq::post(&infer).send_json(request())?.body_mut().read_json()?;
    ensure!(
        answer["model_version"] == "1" && answer["outputs"][0]["data"][0].is_number(),
        "{answer}"
    );
    server.stop()?;

    ensure!(before == installed.files()?, "nothing is written where it is installed");
    let cache = installed.home.join(".cache/tidemill/components");
    let compiled = fs::read_dir(&cache).with_context(|| format!("compiled components are kept in {}", cache.display()))?;
    ensure!(compiled.count() > 0, "{} is empty", cache.display());
    Ok(())
}

#[test]
fn the_archive_runs_wherever_it_is_unpacked() -> Result<()> {
    let Some(package) = find_package() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let installed = Installed::unpacked(&package, folder.path())?;
    // Through a link, as many put programs on their path.
    let link = folder.path().join("home/linked");
    std::os::unix::fs::symlink(installed.prefix.join("bin/tidemill"), &link)?;
    installed.run(&["new", "--template", "flights", "mine"], folder.path())?;
    let project = folder.path().join("mine");
    let mut linked = Command::new("env");
    linked
        .args(["-i", &format!("HOME={}", installed.home.display())])
        .arg(&link)
        .args(["doctor", "--json"]);
    let components = find_check(&stdout_of(linked.current_dir(&project).output()?)?, "components")?;
    ensure!(components == "9 of 9", "the components are found: {components}");
    // A component that was lost is missed, with what to do about it.
    let components = installed.prefix.join("share/tidemill/components");
    fs::rename(&components, components.with_extension("lost"))?;
    let mut doctor = Command::new(&installed.tidemill);
    let output = doctor.args(["doctor", "--json"]).current_dir(&project).output()?;
    ensure!(!output.status.success(), "a component that is missing is no small matter");
    let text = find_check(&String::from_utf8(output.stdout)?, "components")?;
    ensure!(text.contains(&components.display().to_string()), "{text}");
    ensure!(text.contains("install it again"), "{text}");
    Ok(())
}

/// Deployments, and a stage in Rust, take everything from the packages.
#[test]
fn a_project_is_deployed_and_a_stage_is_made_without_a_checkout() -> Result<()> {
    let Some(package) = find_package() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let installed = Installed::unpacked(&package, folder.path())?;
    unpack(&file(&package, "tidemill-lambda-", ".tar.gz")?, &installed.prefix)?;
    installed.run(&["new", "--template", "flights", "mine"], folder.path())?;
    let project = folder.path().join("mine");

    let written: Value = serde_json::from_str(&installed.run(&["deploy", "sam", "--json"], &project)?)?;
    ensure!(
        written["missing"] == json!([]) && written["built-for-another"] == json!([]),
        "{written}"
    );
    let program = "programs/tidemill-component/bootstrap";
    let architecture = written["architecture"].as_str().context("it says the architecture")?;
    let installed_program = installed.prefix.join("share/tidemill/lambda").join(architecture).join(program);
    ensure!(
        fs::read(project.join("sam").join(program))? == fs::read(installed_program)?,
        "the program is another one"
    );
    installed.run(&["deploy", "spin"], &project)?;
    ensure!(project.join("spin/components/predict.wasm").is_file(), "there are no components");

    installed.run(&["new", "--template", "stage-rust", "stage"], folder.path())?;
    let stage = folder.path().join("stage");
    for name in ["Cargo.lock", "vendor/tidemill/Cargo.toml", "vendor/tidemill/runtime/sdk/src/lib.rs"] {
        ensure!(stage.join(name).is_file(), "the project has no {name}");
    }
    Ok(())
}
