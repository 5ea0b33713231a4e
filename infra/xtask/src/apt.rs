//! apt on folders of its own: it reads the machine's list of installed packages and writes nothing of the machine's.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};

use crate::machine::{Machine, capture};

/// Debian's own server, for machines whose sources name no mirror.
pub(crate) const SERVER: &str = "http://deb.debian.org";

const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Comes with apt.
const HELPER: &str = "/usr/lib/apt/apt-helper";

/// apt drops to a user who may not read our folders, unless this is set.
const NO_OTHER_USER: &str = "APT::Sandbox::User=";

/// apt, with its options.
pub(crate) struct Apt(Vec<String>);

impl Apt {
    /// `sources` are lists by file name, `preferences` is text for `apt_preferences`.
    pub(crate) fn new(home: &Path, sources: &[(String, String)], preferences: &str) -> Result<Self> {
        for folder in ["state/lists/partial", "cache/archives/partial", "sources"] {
            fs::create_dir_all(home.join(folder))?;
        }
        for (name, text) in sources {
            fs::write(home.join("sources").join(name), text)?;
        }
        fs::write(home.join("preferences"), preferences)?;
        let at = |name: &str| home.join(name).display().to_string();
        Ok(Self(vec![
            format!("Dir::State={}", at("state")),
            "Dir::State::status=/var/lib/dpkg/status".into(),
            format!("Dir::Cache={}", at("cache")),
            "Dir::Etc::SourceList=/dev/null".into(),
            format!("Dir::Etc::SourceParts={}", at("sources")),
            format!("Dir::Etc::Preferences={}", at("preferences")),
            "Dir::Etc::PreferencesParts=/dev/null".into(),
            "Debug::NoLocking=1".into(),
            NO_OTHER_USER.into(),
        ]))
    }

    /// Sets an option; one of the same name is replaced.
    pub(crate) fn set(&mut self, option: String) {
        self.0.push(option);
    }

    pub(crate) fn command(&self, machine: &Machine, program: &str) -> Command {
        let mut command = machine.command(program);
        command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
        for option in &self.0 {
            command.args(["-o", option]);
        }
        command
    }
}

/// Downloads a file that has this digest.
pub(crate) fn download(machine: &Machine, address: &str, file: &Path, sha256: &str) -> Result<()> {
    ensure!(
        Path::new(HELPER).is_file(),
        "{HELPER} is not there, so `{address}` cannot be fetched; is this Debian or Ubuntu?"
    );
    let mut helper = machine.command(HELPER);
    helper.args(["-o", NO_OTHER_USER, "-o", "Acquire::Retries=1", "download-file", address]);
    capture(helper.arg(file).arg(format!("SHA256:{sha256}"))).map(drop)
}

/// The file with the keys that Debian signs with.
pub(crate) fn keys() -> Result<&'static str> {
    ensure!(
        Path::new(KEYS).is_file(),
        "{KEYS} is not there, so Debian's packages cannot be checked; is this Debian?"
    );
    Ok(KEYS)
}

/// The machine's own sources, as far as they are Debian's: file name and text.
pub(crate) fn machine_sources() -> Vec<(String, String)> {
    let mut paths: Vec<PathBuf> = fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "list" || e == "sources"))
        .collect();
    paths.push("/etc/apt/sources.list".into());
    paths.sort();
    let named = |path: PathBuf| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        Some((
            if name == "sources.list" { "main.list".into() } else { name },
            fs::read_to_string(path).ok()?,
        ))
    };
    paths
        .into_iter()
        .filter_map(named)
        .filter(|(_, text)| !mirrors(text).is_empty())
        .collect()
}

/// Where these sources get one of Debian's archives, `debian` or `debian-security`; Debian's server has them all.
pub(crate) fn mirror_of(sources: &[(String, String)], archive: &str) -> String {
    let mut found = sources.iter().flat_map(|(_, text)| mirrors(text));
    found
        .find(|mirror| mirror.rsplit('/').next() == Some(archive))
        .unwrap_or_else(|| format!("{SERVER}/{archive}"))
}

/// Addresses of Debian's archives in a list of sources; comments do not count.
fn mirrors(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words = lines.flat_map(str::split_whitespace).map(|word| word.trim_end_matches('/'));
    words
        .filter(|word| word.contains("://") && (word.ends_with("/debian") || word.ends_with("/debian-security")))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_mirror_is_used() {
        let text = "Types: deb\n# http://snapshot.debian.org/archive/debian\nURIs: https://mirror.example/debian/\nSuites: bookworm\n";
        assert_eq!(mirrors(text), ["https://mirror.example/debian"]);
        let sources = [("a.sources".into(), text.into())];
        assert_eq!(mirror_of(&sources, "debian"), "https://mirror.example/debian");
        let security = "deb http://mirror.example/debian-security bookworm-security main";
        let sources = [("b.list".into(), security.into())];
        assert_eq!(mirror_of(&sources, "debian"), "http://deb.debian.org/debian");
        assert_eq!(mirror_of(&sources, "debian-security"), "http://mirror.example/debian-security");
        assert!(mirrors("deb https://packages.example/apt stable main").is_empty());
    }
}
