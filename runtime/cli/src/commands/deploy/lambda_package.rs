//! The programs and libraries of functions on AWS Lambda, built for one processor: from an installed package, which has them ready.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use tidemill_deploy::sam::{Architecture, ENGINES_FOLDER, Sam};

use crate::project::Installation;

/// The folder of the programs, in the package and by default beside the template.
pub(super) const PROGRAMS: &str = "programs";

/// The package for a processor, which may not be installed.
#[derive(Debug, PartialEq)]
pub(super) struct LambdaPackage {
    pub(super) architecture: Architecture,
    folder: Option<PathBuf>,
}

impl LambdaPackage {
    /// The package for this processor; with no preference the first that is installed, in AWS's order of price.
    pub(super) fn find(asked: Option<Architecture>) -> Self {
        let installation = Installation::of_this_program();
        Self::choose(asked, |architecture| installation.lambda_package(architecture.name()))
    }

    fn choose(asked: Option<Architecture>, find: impl Fn(Architecture) -> Option<PathBuf>) -> Self {
        let installed = Architecture::ALL.into_iter().find(|known| find(*known).is_some());
        let architecture = asked.or(installed).unwrap_or_default();
        Self {
            architecture,
            folder: find(architecture),
        }
    }

    /// The package's files that a project needs: their places from the template's folder, and where they are. Without the programs, if the
    /// project has its own.
    pub(super) fn files(&self, sam: &Sam, with_programs: bool) -> Result<Vec<(String, PathBuf)>> {
        let Some(folder) = &self.folder else { return Ok(Vec::new()) };
        let programs = sam
            .programs
            .iter()
            .filter(|_| with_programs)
            .map(|program| format!("{PROGRAMS}/{program}"));
        let mut found = Vec::new();
        for place in programs.chain([ENGINES_FOLDER.to_owned()]) {
            collect(&folder.join(&place), &place, &mut found)?;
        }
        Ok(found)
    }

    /// How to get the files that a folder lacks.
    pub(super) fn advice(&self) -> String {
        let (arch, version) = (self.architecture.name(), env!("CARGO_PKG_VERSION"));
        format!(
            "`pip install tidemill-lambda-{}=={version}` installs what it lacks (or take the archive tidemill-lambda-{version}-linux-{arch}, \
             with TIDEMILL_LAMBDA as its `share/tidemill/lambda`); in a checkout, `cargo xtask package --arch {arch}` makes both. Then \
             repeat this command",
            arch.replace('_', "-")
        )
    }

    /// Of these files, those that were built for the other processor.
    pub(super) fn built_for_another<'a>(&self, folder: &Path, places: impl IntoIterator<Item = &'a String>) -> Vec<String> {
        let is_other = |place: &&String| read_architecture(&folder.join(place)).is_some_and(|found| found != self.architecture);
        places.into_iter().filter(is_other).cloned().collect()
    }
}

/// Files below a folder, if it is there.
fn collect(folder: &Path, place: &str, found: &mut Vec<(String, PathBuf)>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list `{}`", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        let place = format!("{place}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        match path.is_dir() {
            true => collect(&path, &place, found)?,
            false => found.push((place, path)),
        }
    }
    Ok(())
}

fn read_architecture(path: &Path) -> Option<Architecture> {
    let mut header = Vec::new();
    File::open(path).ok()?.take(20).read_to_end(&mut header).ok()?;
    Architecture::of_elf(&header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_installed_package_decides_where_nothing_was_asked_for() {
        use Architecture::{Arm64, X86_64};
        for (asked, installed, expected) in [
            (None, &[][..], Arm64),
            (None, &[Arm64], Arm64),
            (None, &[X86_64], X86_64),
            (None, &[X86_64, Arm64], Arm64),
            (Some(X86_64), &[Arm64], X86_64),
            (Some(X86_64), &[], X86_64),
        ] {
            let place = |architecture: Architecture| PathBuf::from(architecture.name());
            let found = LambdaPackage::choose(asked, |known| installed.contains(&known).then(|| place(known)));
            let folder = installed.contains(&expected).then(|| place(expected));
            assert_eq!(
                (found.architecture, found.folder.as_ref()),
                (expected, folder.as_ref()),
                "{asked:?} {installed:?}"
            );
        }
    }

    #[test]
    fn the_advice_names_the_package() {
        let package = LambdaPackage {
            architecture: Architecture::X86_64,
            folder: None,
        };
        let advice = package.advice();
        assert!(
            advice.contains("pip install tidemill-lambda-x86-64==") && advice.contains("package --arch x86_64"),
            "{advice}"
        );
    }
}
