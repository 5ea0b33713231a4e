//! The layer below Tidemill's files: of Debian, what a program loads and reads, and a user without rights. There is no shell and no package
//! manager in it.

use std::{io::Read as _, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

use super::{
    layer::{Content, Layer},
    lock::Lock,
};
use crate::{
    machine::{Machine, capture},
    package::arch::Arch,
};

/// The user and group that the image runs as, and owns its volumes.
pub(super) const USER: u64 = 65532;

/// The folders that are written to, apart from `/tmp`.
pub(super) const VOLUMES: [&str; 2] = ["data", "cache"];

/// Folders of packages that serve people, build tools or shells.
const LEFT_OUT: [&str; 17] = [
    "boot",
    "etc/ca-certificates",
    "etc/default",
    "etc/issue",
    "etc/profile.d",
    "etc/skel",
    "etc/update-motd.d",
    "usr/games",
    "usr/include",
    "usr/sbin/update-ca-certificates",
    "usr/share/base-files",
    "usr/share/gcc",
    "usr/share/gdb",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/man",
    "usr/src",
];

/// Certificates, which become one file.
const CERTIFICATES: &str = "usr/share/ca-certificates/";

const PASSWD: &str = "\
root:x:0:0:root:/root:/usr/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/usr/sbin/nologin
";
const GROUP: &str = "root:x:0:\nnonroot:x:65532:\n";
const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\n";

/// The layer for a processor. It follows from the lock file alone, so that images of several versions share it.
pub(super) fn layer(machine: &Machine, lock: &Lock, arch: Arch) -> Result<Layer> {
    let mut layer = Layer::new(0);
    let mut certificates = Certificates::default();
    for package in lock.packages_for(arch) {
        let file = lock.fetch(machine, package)?;
        let name = package.name();
        unpack(machine, &file, name, &mut layer, &mut certificates).with_context(|| format!("{} cannot be read", file.display()))?;
        // Where scanners look for packages that no package manager installed.
        let control = capture(machine.command("dpkg-deb").arg("--field").arg(&file))?;
        layer.add_bytes(&format!("var/lib/dpkg/status.d/{name}"), control);
    }
    layer.add_bytes("etc/ssl/certs/ca-certificates.crt", certificates.bundle()?);
    layer.add_bytes("etc/passwd", PASSWD);
    layer.add_bytes("etc/group", GROUP);
    layer.add_bytes("etc/nsswitch.conf", NSSWITCH);
    layer.add_folder("home/nonroot", USER);
    VOLUMES.iter().for_each(|volume| layer.add_folder(volume, USER));
    Ok(layer)
}

/// Adds what is wanted of a package.
fn unpack(machine: &Machine, file: &Path, name: &str, layer: &mut Layer, certificates: &mut Certificates) -> Result<()> {
    let tar = output(machine.command("dpkg-deb").arg("--fsys-tarfile").arg(file))?;
    for entry in tar::Archive::new(tar.as_slice()).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_str().context("a name is no text")?.to_owned();
        let path = path.trim_start_matches("./").trim_end_matches('/');
        let kind = entry.header().entry_type();
        // `base-files` has the folders of every system; others follow from their files.
        if !is_wanted(path) || (kind.is_dir() && name != "base-files") {
            continue;
        }
        let mode = entry.header().mode()?;
        let content = if kind.is_dir() {
            Content::Folder
        } else if kind.is_symlink() {
            let target = entry.link_name()?.context("a link leads nowhere")?;
            Content::Link(target.to_str().context("a link's target is no text")?.to_owned())
        } else {
            ensure!(kind.is_file(), "`{path}` is no file, folder or link");
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            Content::Bytes(bytes)
        };
        match content {
            Content::Bytes(bytes) if path.starts_with(CERTIFICATES) => certificates.add(path, bytes),
            content => layer.add(path, content, mode, 0),
        }
    }
    Ok(())
}

fn is_wanted(path: &str) -> bool {
    let is_below = |folder: &&str| path == *folder || path.strip_prefix(*folder).is_some_and(|rest| rest.starts_with(['/', '.']));
    // Converters of character sets, which nothing here calls.
    let is_converter = path.split('/').any(|part| part == "gconv");
    // Of a package's documentation, its licence; the folder's name may be a link to another package's.
    let is_licence = match path.strip_prefix("usr/share/doc/").and_then(|rest| rest.split_once('/')) {
        Some((_, file)) => file == "copyright",
        None => true,
    };
    !path.is_empty() && !is_converter && is_licence && !LEFT_OUT.iter().any(is_below)
}

/// The certificates of authorities, as `update-ca-certificates` joins them.
#[derive(Default)]
struct Certificates(Vec<(String, Vec<u8>)>);

impl Certificates {
    fn add(&mut self, path: &str, bytes: Vec<u8>) {
        if path.ends_with(".crt") {
            self.0.push((path.to_owned(), bytes));
        }
    }

    fn bundle(mut self) -> Result<Vec<u8>> {
        ensure!(!self.0.is_empty(), "Debian's `ca-certificates` has none in {CERTIFICATES}");
        self.0.sort();
        let mut bundle = Vec::new();
        for (_, bytes) in self.0 {
            bundle.extend_from_slice(bytes.trim_ascii_end());
            bundle.push(b'\n');
        }
        Ok(bundle)
    }
}

/// What a command prints, which is no text.
fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command
        .output()
        .with_context(|| format!("{:?} cannot be started", command.get_program()))?;
    ensure!(
        output.status.success(),
        "{:?}: {}",
        command.get_program(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_wanted_and_what_explains_is_not() {
        for wanted in [
            "usr/lib/x86_64-linux-gnu/libc.so.6",
            "usr/share/doc/libc6/copyright",
            "usr/share/doc/libgcc-s1",
            "usr/share/zoneinfo/Europe/Berlin",
            "etc/os-release",
        ] {
            assert!(is_wanted(wanted), "{wanted}");
        }
        for unwanted in [
            "",
            "usr/lib/x86_64-linux-gnu/gconv/UTF-16.so",
            "usr/share/doc/libc6/changelog.gz",
            "usr/share/man/man8/a.8.gz",
            "etc/issue.net",
            "usr/games",
        ] {
            assert!(!is_wanted(unwanted), "{unwanted}");
        }
    }

    #[test]
    fn certificates_are_joined_by_name() {
        let mut certificates = Certificates::default();
        certificates.add("a/2.crt", b"two\n\n".to_vec());
        certificates.add("a/1.crt", b"one".to_vec());
        certificates.add("a/README", b"text".to_vec());
        assert_eq!(certificates.bundle().unwrap(), b"one\ntwo\n");
        assert!(Certificates::default().bundle().is_err());
    }

    #[test]
    fn the_user_is_the_one_that_owns_the_volumes() {
        assert!(PASSWD.contains(&format!(":{USER}:{USER}:")) && GROUP.contains(&format!(":{USER}:")));
    }
}
