//! What `cargo xtask image` makes: layouts that say what they hold, files that a stranger's container may run, and a program that runs from them
//! as a user without rights, with a root that is read-only.
//!
//! `cargo xtask test` makes them of the program that it has built, and names their folder in `TIDEMILL_IMAGE`.

mod layout;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tidemill_core::pipeline::StageKind;
use tidemill_harness::server::Server;
use tidemill_tests::stdout_of;

use self::layout::{Layout, USER, array, is_root, unpack};
use crate::conventions::sources::root;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The folder of the layouts, or `None` where there is none and nobody insists: Debian's packages are fetched with apt.
fn find_images() -> Option<PathBuf> {
    let folder = std::env::var_os("TIDEMILL_IMAGE").map(PathBuf::from);
    if folder.is_none() {
        let can_be_made = cfg!(target_os = "linux") && Path::new("/usr/lib/apt/apt-helper").exists();
        assert!(
            !can_be_made || std::env::var_os("CI").is_none(),
            "TIDEMILL_IMAGE is not set: run `cargo xtask test`"
        );
        eprintln!("left out: TIDEMILL_IMAGE is not set; `cargo xtask test` sets it");
    }
    folder
}

/// How the image's program is called: `$0` is this script, its arguments are the program's. Nothing but the volumes can be written. A caller
/// who is not root becomes the image's user in a namespace; files of theirs are that user's there.
const SANDBOX: &str = r#"
set -eu
if [ -z "${INSIDE:-}" ]; then
    [ "$(id -u)" = 0 ] && map= || map=--map-root-user
    export INSIDE=1 FOLDER="$PWD" PATH=/usr/sbin:/usr/bin:/sbin:/bin
    exec unshare --mount $map sh "$0" "$@"
fi
case "$FOLDER" in "$ROOT"/data*) folder="${FOLDER#"$ROOT"}" ;; *) folder=/data ;; esac
mount --bind "$ROOT" "$ROOT"
for volume in data cache; do mount --bind "$ROOT/$volume" "$ROOT/$volume"; done
mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"
mount --rbind /proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
mount -o remount,bind,ro "$ROOT"
if [ "$AS_ROOT" = 1 ]; then user="--setgid=65532 --setuid=65532"; else user="--map-group=65532 --map-user=65532"; fi
exec env -i $VARIABLES unshare $user --root="$ROOT" --wd="$folder" $ENTRYPOINT "$@"
"#;

/// The script for an image that was unpacked, or `None` where this machine lets nobody enter it.
fn sandbox(image: &Path, config: &Value, script: &Path) -> Result<Option<PathBuf>> {
    let words = |name: &str| -> Result<String> {
        let words: Vec<&str> = array(&config[name])?.iter().filter_map(Value::as_str).collect();
        Ok(words.join(" "))
    };
    let text = format!(
        "#!/bin/sh\nROOT='{}' VARIABLES='{}' ENTRYPOINT='{}' AS_ROOT={}\n{SANDBOX}",
        image.display(),
        words("Env")?,
        words("Entrypoint")?,
        u8::from(is_root()?)
    );
    fs::write(script, text)?;
    fs::set_permissions(script, fs::Permissions::from_mode(0o755))?;
    let mut probe = Command::new("unshare");
    probe.arg("--mount");
    if !is_root()? {
        probe.arg("--map-root-user");
    }
    let can_enter = probe.arg("true").output().is_ok_and(|output| output.status.success());
    Ok(can_enter.then(|| script.to_owned()))
}

#[test]
fn an_image_is_what_it_says_and_runs_as_its_user() -> Result<()> {
    let Some(images) = find_images() else { return Ok(()) };
    let mut layout = Layout::open(images.join("tidemill"))?;
    let manifests = layout.manifests()?;
    let [(name, manifest)] = manifests.as_slice() else {
        bail!("one image is named: {manifests:?}")
    };
    ensure!(
        name == VERSION && manifest["annotations"]["org.opencontainers.image.version"] == VERSION,
        "{name}"
    );
    let config = layout.json(&manifest["config"])?;
    ensure!(config["config"]["User"] == format!("{USER}:{USER}"), "{config}");
    let created: jiff::Timestamp = config["created"].as_str().context("it has a time")?.parse()?;

    let folder = tempfile::tempdir()?;
    let image = folder.path().canonicalize()?.join("image");
    fs::create_dir(&image)?;
    fs::set_permissions(&image, fs::Permissions::from_mode(0o755))?;
    let layers = array(&manifest["layers"])?;
    let times = [0, created.as_second()];
    ensure!(layers.len() == times.len(), "{layers:?}");
    let mut diff_ids = Vec::new();
    for (descriptor, time) in layers.iter().zip(times) {
        diff_ids.push(unpack(&layout.blob(descriptor)?, &image, time)?);
    }
    ensure!(config["rootfs"] == json!({"type": "layers", "diff_ids": diff_ids}), "{config}");
    layout.check_complete()?;
    for path in [
        "etc/ssl/certs/ca-certificates.crt",
        "usr/share/zoneinfo/Europe/Berlin",
        "usr/share/doc/libc6/copyright",
    ] {
        ensure!(image.join(path).is_file(), "the image has no {path}");
    }
    ensure!(!image.join("usr/bin/sh").exists(), "the image has a shell");

    let Some(tidemill) = sandbox(&image, &config["config"], &folder.path().join("tidemill"))? else {
        eprintln!("left out: this machine lets its user make no namespace, so the image's program is not run");
        return Ok(());
    };
    let run = |arguments: &[&str]| stdout_of(Command::new(&tidemill).args(arguments).output()?).with_context(|| format!("{arguments:?}"));
    ensure!(run(&["--version"])?.contains(VERSION), "it is another version");
    run(&["new", "--template", "tabular", "mine"])?;
    run(&["--project", "mine", "check"])?;
    let doctor = run(&["--project", "mine", "doctor"])?;
    for found in ["/usr/lib/tidemill/libonnxruntime.so", "9 of 9"] {
        ensure!(doctor.contains(found), "{doctor}");
    }
    let outside = Command::new(&tidemill).args(["new", "/usr/share/mine"]).output()?;
    ensure!(!outside.status.success(), "the root of the image was written to");

    let server = Server::up(&tidemill, &image.join("data/mine"), &[])?;
    let health = ureq::get(&format!("{}/healthz", server.address)).call()?;
    ensure!(health.status() == 200, "{health:?}");
    server.stop()?;
    let compiled = image.join("cache/tidemill/components");
    ensure!(fs::read_dir(&compiled)?.count() > 0, "{} is empty", compiled.display());
    Ok(())
}

/// The bytes that are pulled are those that a run key names.
#[test]
fn components_are_artifacts_of_their_own_bytes() -> Result<()> {
    let Some(images) = find_images() else { return Ok(()) };
    let components = std::env::var_os("TIDEMILL_COMPONENTS").map(PathBuf::from);
    let components = components.context("`cargo xtask test` sets TIDEMILL_COMPONENTS")?;
    let mut layout = Layout::open(images.join("components"))?;
    let manifests = layout.manifests()?;
    for (name, manifest) in &manifests {
        let (component, version) = name.split_once(':').with_context(|| name.clone())?;
        let [layer] = array(&manifest["layers"])?.as_slice() else {
            bail!("{name} has not one layer")
        };
        ensure!(layer["mediaType"] == "application/wasm" && version == VERSION, "{name}: {layer}");
        let file = components.join(format!("tidemill_{}.wasm", component.replace('-', "_")));
        ensure!(
            fs::read(layout.blob(layer)?)? == fs::read(&file)?,
            "{name} is not {}",
            file.display()
        );
        ensure!(manifest["config"]["mediaType"] == "application/vnd.wasm.config.v0+json", "{name}");
        let config = layout.json(&manifest["config"])?;
        ensure!(config["layerDigests"] == json!([layer["digest"]]), "{name}: {config}");
        ensure!(
            !array(&config["component"]["exports"])?.is_empty(),
            "{name} exports nothing: {config}"
        );
    }
    layout.check_complete()?;
    let named = |stage: &str| manifests.iter().find(|(name, _)| *name == format!("{stage}:{VERSION}"));
    for stage in StageKind::ALL.map(StageKind::name).into_iter().chain(["onnx"]) {
        ensure!(named(stage).is_some(), "there is no artifact of `{stage}`");
    }
    let (_, validate) = named("validate").context("it was there")?;
    let interface = layout.json(&validate["config"])?["component"].clone();
    ensure!(array(&interface["exports"])?.contains(&json!("run")), "{interface}");
    let imports = array(&interface["imports"])?.iter().filter_map(Value::as_str);
    ensure!(
        imports.into_iter().any(|name| name.starts_with("tidemill:stage/sql@")),
        "{interface}"
    );
    Ok(())
}

#[test]
fn the_dockerfile_is_sound() -> Result<()> {
    let Some(hadolint) = std::env::var_os("TIDEMILL_HADOLINT") else {
        eprintln!("left out: TIDEMILL_HADOLINT is not set; `cargo xtask test` sets it where PyPI has the program");
        return Ok(());
    };
    stdout_of(Command::new(hadolint).arg(root()?.join("infra/image/Dockerfile")).output()?).map(drop)
}
