//! The processors that packages are made for, and their names in each tool.

use anyhow::{Result, bail};

use super::elf::Glibc;

/// A processor, under Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arch {
    X86_64,
    Arm64,
}

impl Arch {
    pub(super) fn parse(name: &str) -> Result<Self> {
        Ok(match name {
            "x86_64" => Self::X86_64,
            "arm64" | "aarch64" => Self::Arm64,
            other => bail!("`--arch {other}`: packages are made for x86_64 and arm64"),
        })
    }

    pub(super) fn of_this_machine() -> Result<Self> {
        match (std::env::consts::OS, std::env::consts::ARCH) {
            ("linux", arch) => Self::parse(arch),
            (os, _) => bail!("packages are made for Linux, on Linux; on {os}, use a container"),
        }
    }

    /// What the package's files and Lambda call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }

    /// What the kernel and Python call it.
    pub(super) fn machine(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// What Debian and OCI call it.
    pub(super) fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// Rust's target.
    pub(super) fn triple(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// The platform of ONNX Runtime's wheel.
    pub(super) fn wheel_platform(self) -> &'static str {
        match self {
            Self::X86_64 => "manylinux_2_28_x86_64",
            Self::Arm64 => "manylinux_2_28_aarch64",
        }
    }

    /// The tag of a wheel whose programs and libraries need this C library: no earlier one can load them, every later one can.
    pub(super) fn wheel_tag(self, needed: Glibc) -> String {
        // The oldest that the scheme names.
        let Glibc(major, minor) = needed.max(Glibc(2, 17));
        format!("py3-none-manylinux_{major}_{minor}_{}", self.machine())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_names_the_c_library_that_is_needed() {
        assert_eq!(Arch::X86_64.wheel_tag(Glibc(2, 28)), "py3-none-manylinux_2_28_x86_64");
        assert_eq!(Arch::Arm64.wheel_tag(Glibc(2, 5)), "py3-none-manylinux_2_17_aarch64");
    }
}
