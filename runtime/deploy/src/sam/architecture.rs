//! The processor of the functions: Lambda has two, and a program runs on the one that it was built for.

use std::str::FromStr;

use serde::Serialize;
use tidemill_core::{Error, Result, text::quoted_list};

/// A processor of Lambda, by AWS's name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub enum Architecture {
    /// Graviton, a fifth cheaper.
    #[default]
    #[serde(rename = "arm64")]
    Arm64,
    /// Intel and AMD.
    #[serde(rename = "x86_64")]
    X86_64,
}

impl Architecture {
    /// Both, the default first.
    pub const ALL: [Self; 2] = [Self::Arm64, Self::X86_64];

    /// AWS's name, which is also the folder's in a package.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::X86_64 => "x86_64",
        }
    }

    /// The processor that a program or library was built for, by the first bytes of its file; `None` if it is no ELF file for one of the two.
    pub fn of_elf(header: &[u8]) -> Option<Self> {
        // The magic number, 64 bits, little-endian; `e_machine` follows the 16 bytes of identification and the file's type.
        header.strip_prefix(b"\x7fELF\x02\x01")?;
        match header.get(18..20)? {
            [0xb7, 0] => Some(Self::Arm64),
            [0x3e, 0] => Some(Self::X86_64),
            _ => None,
        }
    }
}

impl FromStr for Architecture {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|known| known.name() == text).ok_or_else(|| {
            let known = quoted_list(Self::ALL.map(Self::name));
            Error::config(format!("`{text}` is no architecture of AWS Lambda; there is {known}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_aws_own() {
        for known in Architecture::ALL {
            assert_eq!(known.name().parse::<Architecture>().unwrap(), known);
            assert_eq!(serde_json::to_value(known).unwrap(), known.name());
        }
        let error = "aarch64".parse::<Architecture>().unwrap_err().message;
        assert!(error.contains("`aarch64`") && error.contains("`arm64`, `x86_64`"), "{error}");
    }

    #[test]
    fn a_program_says_what_it_was_built_for() {
        let elf = |machine: u8| [b"\x7fELF\x02\x01\x01".as_slice(), &[0; 9], &[3, 0, machine, 0]].concat();
        assert_eq!(Architecture::of_elf(&elf(0xb7)), Some(Architecture::Arm64));
        assert_eq!(Architecture::of_elf(&elf(0x3e)), Some(Architecture::X86_64));
        for other in [&elf(0xf3)[..], b"#!/bin/sh\nexec something else\n", b"\x7fELF\x02\x01", b""] {
            assert_eq!(Architecture::of_elf(other), None);
        }
    }
}
