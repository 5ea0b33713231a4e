//! `cargo xtask image`: an OCI image of what `cargo xtask package` installs, and the components as OCI artifacts, each as a layout that tools copy
//! to a registry. No container runtime is needed, nor root. `docs/image.md` says what is inside.
//!
//! Two builds from one commit give the same bytes: the base is pinned by `infra/image/debian.lock`, and entries are sorted and have fixed times.

mod base;
mod component;
mod describe;
mod layer;
mod layout;
mod lock;

use std::{path::PathBuf, process::ExitCode, thread};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;

use self::{
    describe::About,
    layer::Layer,
    layout::{Descriptor, Layout},
    lock::Lock,
};
use super::{Contents, Options, arch::Arch, archive::Packing, compile, date, libraries, tree::Libraries};
use crate::{
    machine::{Machine, Profile},
    step::step,
};

/// The program of the image; the others are for Lambda.
const PROGRAM: &str = "tidemill";

/// What an image is made of.
struct Build {
    options: Options,
    libraries: Libraries,
    /// The folder of the program.
    programs: PathBuf,
}

/// `cargo xtask image`.
pub(crate) fn run(machine: &Machine, arguments: &[String]) -> Result<ExitCode> {
    if arguments.len() == 1 && arguments[0] == "--update" {
        return lock::update(machine);
    }
    ensure!(
        !arguments.iter().any(|argument| argument == "--update"),
        "`--update` stands alone: it writes the lock file of Debian's packages, and makes no image"
    );
    let mut builds = Vec::new();
    for options in parse(arguments)? {
        let (libraries, programs) = compile(machine, &options, &[PROGRAM])?;
        builds.push(Build {
            options,
            libraries,
            programs,
        });
    }
    write(machine, &builds)?;
    Ok(ExitCode::SUCCESS)
}

/// The images of the program and components that the tests have built; nothing is compiled. For `TIDEMILL_IMAGE`.
pub(crate) fn of_tests(machine: &Machine) -> Result<PathBuf> {
    let options = Options::parse(&["--profile=dev".into()])?;
    let build = Build {
        libraries: libraries(machine, options.arch)?,
        programs: machine.programs(options.profile),
        options,
    };
    write(machine, &[build])
}

/// The options of `cargo xtask package`, once for each `--arch`.
fn parse(arguments: &[String]) -> Result<Vec<Options>> {
    let (mut archs, mut rest) = (Vec::new(), Vec::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.split_once('=') {
            Some(("--arch", arch)) => archs.push(Arch::parse(arch)?.name()),
            _ if argument == "--arch" => archs.push(Arch::parse(arguments.next().context("`--arch` needs a value")?)?.name()),
            _ => rest.push(argument.clone()),
        }
    }
    // In whichever order they are named, the bytes are the same.
    archs.sort_unstable();
    archs.dedup();
    if archs.is_empty() {
        return Ok(vec![Options::parse(&rest)?]);
    }
    let with = |arch: &&str| Options::parse(&[rest.as_slice(), &[format!("--arch={arch}")]].concat());
    archs.iter().map(with).collect()
}

/// Makes both layouts, and returns their folder.
fn write(machine: &Machine, builds: &[Build]) -> Result<PathBuf> {
    let first = builds.first().context("there is no processor to make an image for")?;
    let (folder, level) = match first.options.profile {
        Profile::Release => (machine.folder("image")?, 9),
        // Tests unpack it once.
        Profile::Dev => (machine.folder("image-dev")?, 1),
    };
    let packing = Packing {
        level,
        time: date::of_commit(machine)?,
    };
    let mut contents = Vec::new();
    for build in builds {
        let read = Contents::read(machine, build.options.arch, &build.libraries, &build.programs, &packing.time)?;
        contents.push((build.options.arch, read));
    }
    let version = contents.first().map(|(_, contents)| contents.version.as_str());
    let about = About::read(machine, version.unwrap_or_default(), &packing.time);
    let (lock, layout) = (Lock::read(machine)?, Layout::create(&folder.join("tidemill"))?);
    let mut manifests = Vec::new();
    for (arch, contents) in &contents {
        check_glibc(contents, &lock)?;
        let base = base::layer(machine, &lock, *arch)?;
        let own = Layer::of_tree(&contents.tree, describe::PREFIX, packing.time.seconds);
        let manifest = step("image", || add(&layout, *arch, &about, (&base, &own), level))?;
        manifests.push((*arch, manifest));
    }
    finish(layout, &about, &manifests)?;
    step("components", || {
        let count = component::write(machine, &folder.join("components"), &about)?;
        Ok(((), format!("{count} OCI artifacts")))
    })?;
    step("images", || Ok((folder.clone(), folder.display().to_string())))
}

fn check_glibc(contents: &Contents, lock: &Lock) -> Result<()> {
    let (needed, has) = (contents.tree.needed_glibc()?, lock.glibc()?);
    ensure!(
        needed <= has,
        "the program needs glibc {needed}, and the image's Debian has {has}: it would not start there\n\
         hint: leave `--native` out, so that an earlier one is enough"
    );
    Ok(())
}

/// Adds an image of two layers. Returns its manifest, and what to say of it.
fn add(layout: &Layout, arch: Arch, about: &About, (base, own): (&Layer, &Layer), level: u32) -> Result<(Descriptor, String)> {
    let (base, own) = thread::scope(|scope| {
        let own = scope.spawn(|| own.write(level, layout, "own"));
        (base.write(level, layout, "base"), own.join())
    });
    let (base, own) = (base?, own.map_err(|_| anyhow!("packing panicked"))??);
    let layers = [("what the program loads and reads, of Debian 13", &base), (describe::TITLE, &own)];
    let config = describe::config(about, arch, &layers);
    let config = layout.add_json("application/vnd.oci.image.config.v1+json", &config)?;
    let descriptors = layers.map(|(_, layer)| layer.descriptor.to_json());
    let annotations = about.annotations(describe::TITLE, describe::DESCRIPTION);
    let manifest = layout.add_manifest(&config, &descriptors, &annotations)?;
    let sizes = layers.map(|(_, layer)| format!("{:.1} MB", layer.descriptor.size as f64 / 1e6));
    Ok((manifest, format!("{}, {}", arch.name(), sizes.join(" and "))))
}

/// Names the image by its version: the one that there is, or an index from which a runtime takes that for its processor.
fn finish(layout: Layout, about: &About, manifests: &[(Arch, Descriptor)]) -> Result<()> {
    let with_platform = |mut manifest: Value, arch: Arch| {
        manifest["platform"] = describe::platform(arch);
        manifest
    };
    let named = match manifests {
        [(arch, only)] => with_platform(only.named(&about.version), *arch),
        several => {
            let listed: Vec<Value> = several
                .iter()
                .map(|(arch, manifest)| with_platform(manifest.to_json(), *arch))
                .collect();
            let annotations = about.annotations(describe::TITLE, describe::DESCRIPTION);
            layout.add_index(&listed, &annotations)?.named(&about.version)
        }
    };
    layout.finish(&[named])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::package::archive::tests::folder;

    fn parse(arguments: &[&str]) -> Result<Vec<&'static str>> {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Ok(super::parse(&arguments)?.iter().map(|options| options.arch.name()).collect())
    }

    #[test]
    fn processors_are_named_in_any_order() {
        assert_eq!(parse(&["--arch", "x86_64", "--arch=arm64"]).unwrap(), ["arm64", "x86_64"]);
        assert_eq!(parse(&["--arch=arm64", "--arch=aarch64"]).unwrap(), ["arm64"]);
        assert_eq!(parse(&["--profile=dev"]).unwrap(), [Arch::of_this_machine().unwrap().name()]);
        assert!(parse(&["--arch"]).unwrap_err().to_string().contains("needs a value"));
        assert!(parse(&["--arch=mips"]).unwrap_err().to_string().contains("`--arch mips`"));
        assert!(parse(&["--push"]).unwrap_err().to_string().contains("`--push`"));
    }

    /// One image is named itself, several by an index; the same files give the same bytes.
    #[test]
    fn an_image_is_named_by_its_version() {
        let folder = folder("image");
        let index = |name: &str, archs: &[Arch]| -> Value {
            let layout = Layout::create(&folder.join(name)).unwrap();
            let (mut base, mut own) = (Layer::new(0), Layer::new(1));
            base.add_bytes("etc/passwd", "root");
            own.add_bytes("usr/share/tidemill/a", "a");
            let about = About::sample();
            let add = |arch: &Arch| (*arch, add(&layout, *arch, &about, (&base, &own), 6).unwrap().0);
            let manifests: Vec<(Arch, Descriptor)> = archs.iter().map(add).collect();
            finish(layout, &about, &manifests).unwrap();
            serde_json::from_slice(&fs::read(folder.join(name).join("index.json")).unwrap()).unwrap()
        };
        let (one, again) = (index("one", &[Arch::Arm64]), index("again", &[Arch::Arm64]));
        assert_eq!(one, again);
        assert_eq!(one["manifests"][0]["platform"]["architecture"], "arm64");
        let both = index("both", &[Arch::Arm64, Arch::X86_64]);
        for index in [&one, &both] {
            let named = index["manifests"].as_array().unwrap();
            assert_eq!(
                (named.len(), &named[0]["annotations"]["org.opencontainers.image.ref.name"]),
                (1, &Value::from("0.1.0"))
            );
        }
        let digest = both["manifests"][0]["digest"].as_str().unwrap().replace(':', "/");
        let inner: Value = serde_json::from_slice(&fs::read(folder.join("both/blobs").join(digest)).unwrap()).unwrap();
        let archs: Vec<&Value> = inner["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| &m["platform"]["architecture"])
            .collect();
        assert_eq!(archs, ["arm64", "amd64"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
