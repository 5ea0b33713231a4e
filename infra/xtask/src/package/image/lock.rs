//! `infra/image/debian.lock`: the packages of Debian that images are based on, as files of its archive with their SHA-256.
//!
//! The digest decides, so that it does not matter who serves a file: a mirror, or snapshot.debian.org, which keeps what mirrors have dropped.

use std::{collections::BTreeSet, fs, path::PathBuf, process::ExitCode, time::SystemTime};

use anyhow::{Context as _, Result, bail};

use crate::{
    apt::{self, Apt},
    machine::{Machine, capture},
    package::{
        arch::Arch,
        date::Time,
        elf::{self, Glibc},
        image::layer::digest_of,
    },
    step::step,
};

const FILE: &str = "infra/image/debian.lock";
const RELEASE: &str = "trixie";

/// What the program and its libraries load, what they read, and the packages with these files' licences.
const PACKAGES: [&str; 7] = [
    "base-files",
    "ca-certificates",
    "gcc-14-base",
    "libc6",
    "libgcc-s1",
    "libstdc++6",
    "tzdata",
];

const HEADER: &str = "\
# The packages of Debian 13 that images are based on: SHA-256 and place in Debian's archive. `cargo xtask image --update` takes the newest.
# When they were all in the archive, for snapshot.debian.org, which keeps them:
";
const SNAPSHOT: &str = "snapshot ";

/// Packages, and when they were the newest.
pub(super) struct Lock {
    snapshot: String,
    pub(super) packages: Vec<Package>,
}

/// A package's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    sha256: String,
    /// Below the archive's root, such as `pool/main/g/glibc/libc6_2.41-12_amd64.deb`.
    path: String,
}

impl Lock {
    pub(super) fn read(machine: &Machine) -> Result<Self> {
        let text = fs::read_to_string(machine.root.join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let (mut snapshot, mut packages) = (None, Vec::new());
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(time) = line.strip_prefix(SNAPSHOT) {
                snapshot = Some(time.to_owned());
                continue;
            }
            let package = line.split_once("  ").map(|(sha256, path)| Package {
                sha256: sha256.to_owned(),
                path: path.to_owned(),
            });
            match package {
                Some(package) if package.sha256.len() == 64 && package.path.ends_with(".deb") => packages.push(package),
                _ => bail!("{FILE}: `{line}` is no SHA-256, two spaces, and a `.deb` in Debian's archive"),
            }
        }
        let snapshot = snapshot.with_context(|| format!("{FILE} has no line `{SNAPSHOT}<time>`"))?;
        Ok(Self { snapshot, packages })
    }

    fn render(&self) -> String {
        let lines = self
            .packages
            .iter()
            .map(|package| format!("{}  {}\n", package.sha256, package.path));
        format!("{HEADER}{SNAPSHOT}{}\n{}", self.snapshot, lines.collect::<String>())
    }

    /// Those for a processor.
    pub(super) fn packages_for(&self, arch: Arch) -> impl Iterator<Item = &Package> {
        let packages = self.packages.iter();
        packages.filter(move |package| [arch.debian(), "all"].contains(&package.parts()[2]))
    }

    /// The version of the C library.
    pub(super) fn glibc(&self) -> Result<Glibc> {
        let package = self.packages.iter().find(|package| package.name() == "libc6");
        let version = package.map(|package| package.parts()[1].split('-').next().unwrap_or_default());
        version.and_then(elf::parse).with_context(|| format!("{FILE} names no `libc6`"))
    }

    /// The package's file, fetched where it is missing.
    pub(super) fn fetch(&self, machine: &Machine, package: &Package) -> Result<PathBuf> {
        let file = machine.folder("debian-packages")?.join(package.file_name());
        if file.is_file() && digest_of(&file)? == package.sha256 {
            return Ok(file);
        }
        // apt would resume it.
        fs::remove_file(&file).ok();
        let mut problems = Vec::new();
        for address in self.addresses(package) {
            match apt::download(machine, &address, &file, &package.sha256) {
                Ok(()) => return Ok(file),
                Err(error) => problems.push(format!("{error:#}")),
            }
        }
        bail!(
            "Debian's package `{}` cannot be had:\n{}\nhint: `cargo xtask image --update` takes the newest packages",
            package.file_name(),
            problems.join("\n")
        )
    }

    /// Where the file may be, the nearest place first.
    fn addresses(&self, package: &Package) -> Vec<String> {
        let (archive, path) = (package.archive(), &package.path);
        let mut addresses = vec![
            format!("{}/{path}", apt::mirror_of(&apt::machine_sources(), archive)),
            format!("{}/{archive}/{path}", apt::SERVER),
            format!("http://snapshot.debian.org/archive/{archive}/{}/{path}", self.snapshot),
        ];
        addresses.dedup();
        addresses
    }
}

impl Package {
    fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Name, version and architecture.
    fn parts(&self) -> [&str; 3] {
        let name = self.file_name().trim_end_matches(".deb");
        let mut parts = name.splitn(3, '_');
        [(); 3].map(|()| parts.next().unwrap_or_default())
    }

    pub(super) fn name(&self) -> &str {
        self.parts()[0]
    }

    /// Security updates have an archive of their own.
    fn archive(&self) -> &'static str {
        match self.path.starts_with("pool/updates/") {
            true => "debian-security",
            false => "debian",
        }
    }
}

/// Writes the lock file with the newest packages. apt checks the signatures of the lists that it takes them from.
pub(super) fn update(machine: &Machine) -> Result<ExitCode> {
    step("Debian's packages", || {
        let apt = apt(machine)?;
        capture(apt.command(machine, "apt-get").arg("update")).context("Debian's package lists cannot be had")?;
        let mut packages = Vec::new();
        for arch in [Arch::X86_64, Arch::Arm64] {
            let mut show = apt.command(machine, "apt-cache");
            show.args(["show", "--no-all-versions"]);
            show.args(PACKAGES.map(|name| format!("{name}:{}", arch.debian())));
            for package in parse_listing(&capture(&mut show)?)? {
                if !packages.contains(&package) {
                    packages.push(package);
                }
            }
        }
        let lock = Lock {
            snapshot: now()?,
            packages,
        };
        fs::write(machine.root.join(FILE), lock.render())?;
        let names: BTreeSet<&str> = lock.packages.iter().map(Package::file_name).collect();
        Ok(((), format!("{} files in {FILE}", names.len())))
    })?;
    Ok(ExitCode::SUCCESS)
}

/// apt, with Debian 13 for both processors and nothing installed.
fn apt(machine: &Machine) -> Result<Apt> {
    let home = machine.folder("debian-lists")?;
    let lists = [("debian", RELEASE.to_owned()), ("debian-security", format!("{RELEASE}-security"))];
    let (keys, sources) = (apt::keys()?, apt::machine_sources());
    let lines = lists.map(|(archive, suite)| {
        let mirror = apt::mirror_of(&sources, archive);
        format!("deb [signed-by={keys}] {mirror} {suite} main\n")
    });
    let mut apt = Apt::new(&home, &[("release.list".into(), lines.concat())], "")?;
    let status = home.join("status");
    fs::write(&status, "")?;
    apt.set(format!("Dir::State::status={}", status.display()));
    apt.set(format!("APT::Architecture={}", Arch::X86_64.debian()));
    for arch in [Arch::X86_64, Arch::Arm64] {
        apt.set(format!("APT::Architectures::={}", arch.debian()));
    }
    Ok(apt)
}

/// What `apt-cache show` says of packages.
fn parse_listing(text: &str) -> Result<Vec<Package>> {
    let blocks = text.split("\n\n").filter(|block| !block.trim().is_empty());
    let packages = blocks.map(|block| {
        let value = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        Some(Package {
            sha256: value("SHA256")?.to_owned(),
            path: value("Filename")?.to_owned(),
        })
    });
    let packages: Vec<Package> = packages
        .collect::<Option<_>>()
        .context("`apt-cache show` names a package without file or digest")?;
    let missing = PACKAGES
        .iter()
        .find(|name| !packages.iter().any(|package| package.name() == **name));
    match missing {
        Some(name) => bail!("Debian's lists have no package `{name}`"),
        None => Ok(packages),
    }
}

/// `20261130T232816Z`
fn now() -> Result<String> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(Time::new(since.as_secs()).rfc3339().replace(['-', ':'], ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_is_as_it_is_written() {
        let machine = Machine::new().unwrap();
        let lock = Lock::read(&machine).unwrap();
        assert_eq!(lock.render(), fs::read_to_string(machine.root.join(FILE)).unwrap());
        assert!(lock.glibc().unwrap() >= Glibc(2, 41));
        for arch in [Arch::X86_64, Arch::Arm64] {
            let names: Vec<&str> = lock.packages_for(arch).map(Package::name).collect();
            assert!(
                names.len() == PACKAGES.len() && PACKAGES.iter().all(|name| names.contains(name)),
                "{names:?}"
            );
        }
    }

    #[test]
    fn a_package_is_where_its_archive_is() {
        let text = format!(
            "{SNAPSHOT}20261201T000000Z\n{0}  pool/updates/main/g/glibc/libc6_2.41-13_amd64.deb\n",
            "0".repeat(64)
        );
        let lock = Lock::parse(&text).unwrap();
        let addresses = lock.addresses(&lock.packages[0]).concat();
        assert!(addresses.contains("snapshot.debian.org/archive/debian-security/20261201T000000Z/pool/updates/"));
        assert_eq!(lock.packages_for(Arch::Arm64).count(), 0);
        for (wrong, problem) in [("", "no line `snapshot"), ("snapshot x\n00  a.deb\n", "`00  a.deb`")] {
            assert!(Lock::parse(wrong).err().unwrap().to_string().contains(problem));
        }
    }

    #[test]
    fn a_listing_must_have_all() {
        let block = |name: &&str| format!("Package: {name}\nFilename: pool/{name}_1_all.deb\nSHA256: 00\n\n");
        let all: String = PACKAGES.iter().map(block).collect();
        assert_eq!(parse_listing(&all).unwrap().len(), PACKAGES.len());
        let error = parse_listing(&all.replace("libc6_", "other_")).unwrap_err().to_string();
        assert!(error.contains("`libc6`"), "{error}");
    }
}
