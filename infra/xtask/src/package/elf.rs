//! Which version of the C library a program or a library needs, from the symbol versions that its file names.

use std::{collections::BTreeSet, fmt, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use object::{
    Endianness,
    elf::FileHeader64,
    read::elf::{FileHeader as _, SectionHeader as _},
};

/// A version of glibc, such as 2.28.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Glibc(pub(super) u32, pub(super) u32);

impl fmt::Display for Glibc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// GCC's C++ library, by the last version of its symbols that a glibc has beside it in every distribution with that glibc.
const LIBSTDCXX: [(u32, Glibc); 4] = [(19, Glibc(2, 17)), (24, Glibc(2, 28)), (29, Glibc(2, 34)), (30, Glibc(2, 35))];

/// The oldest glibc that has all symbols which this file imports.
pub(super) fn needed_glibc(file: &Path) -> Result<Glibc> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let versions = imported_versions(&bytes).with_context(|| format!("{} is no program or library of Linux", file.display()))?;
    glibc_of(&versions).with_context(|| file.display().to_string())
}

/// The versions of imported symbols, such as `GLIBC_2.17`.
fn imported_versions(bytes: &[u8]) -> Result<BTreeSet<String>> {
    let header = FileHeader64::<Endianness>::parse(bytes)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, bytes)?;
    let mut found = BTreeSet::new();
    for section in sections.iter() {
        let Some((libraries, strings)) = section.gnu_verneed(endian, bytes)? else {
            continue;
        };
        let strings = sections.strings(endian, bytes, strings)?;
        for library in libraries {
            let (_, versions) = library?;
            for version in versions {
                found.insert(String::from_utf8_lossy(version?.name(endian, strings)?).into_owned());
            }
        }
    }
    Ok(found)
}

fn glibc_of(versions: &BTreeSet<String>) -> Result<Glibc> {
    let mut needed = Glibc(2, 0);
    for version in versions {
        if version == "GLIBC_ABI_DT_RELR" {
            // Its relocations are packed, which no earlier loader reads.
            needed = needed.max(Glibc(2, 36));
        } else if let Some(version) = version.strip_prefix("GLIBC_") {
            needed = needed.max(parse(version).with_context(|| format!("`GLIBC_{version}` is no version"))?);
        } else if let Some(minor) = version.strip_prefix("GLIBCXX_3.4.") {
            let minor: u32 = minor.parse().with_context(|| format!("`{version}` is no version"))?;
            let beside = LIBSTDCXX.iter().find(|(last, _)| minor <= *last);
            ensure!(beside.is_some(), "`{version}` is newer than any C++ library that packages may need");
            needed = beside.map_or(needed, |(_, glibc)| needed.max(*glibc));
        }
    }
    Ok(needed)
}

/// `2.28`, or `2.2.5`, of which the first two count.
pub(super) fn parse(version: &str) -> Option<Glibc> {
    let mut parts = version.split('.');
    Some(Glibc(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glibc(versions: &[&str]) -> Result<Glibc> {
        glibc_of(&versions.iter().map(|v| (*v).to_owned()).collect())
    }

    #[test]
    fn the_newest_symbol_decides() {
        assert_eq!(glibc(&["GLIBC_2.2.5", "GLIBC_2.17", "GCC_3.0", "GLIBC_2.4"]).unwrap(), Glibc(2, 17));
        assert_eq!(glibc(&["GLIBC_2.17", "GLIBCXX_3.4.22", "GLIBCXX_3.4"]).unwrap(), Glibc(2, 28));
        assert!(glibc(&["GLIBCXX_3.4.99"]).is_err());
        assert!(glibc(&["GLIBC_new"]).is_err());
    }

    /// The test itself is a program.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_program_is_read() {
        let program = std::env::current_exe().unwrap();
        assert!(needed_glibc(&program).unwrap() >= Glibc(2, 2));
        let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert!(needed_glibc(&text).unwrap_err().to_string().contains("Cargo.toml"));
    }
}
