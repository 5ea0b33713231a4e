//! A check that streamed data is UTF-8 text.

use tidemill_core::{Error, Result};

/// Checks text as it streams by; a piece may end within a character.
pub(super) struct Utf8Check<'a> {
    key: &'a str,
    lines: u64,
    cut: Vec<u8>,
}

impl<'a> Utf8Check<'a> {
    pub(super) fn new(key: &'a str) -> Self {
        Self {
            key,
            lines: 1,
            cut: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let joined;
        let bytes = if self.cut.is_empty() {
            bytes
        } else {
            joined = [std::mem::take(&mut self.cut).as_slice(), bytes].concat();
            &joined
        };
        match std::str::from_utf8(bytes) {
            Ok(text) => self.lines += count_lines(text.as_bytes()),
            Err(e) => {
                self.lines += count_lines(&bytes[..e.valid_up_to()]);
                let rest = &bytes[e.valid_up_to()..];
                if e.error_len().is_some() {
                    return Err(self.invalid_byte(rest[0]));
                }
                self.cut = rest.to_vec();
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<()> {
        match self.cut.first() {
            Some(byte) => Err(self.invalid_byte(*byte)),
            None => Ok(()),
        }
    }

    fn invalid_byte(&self, byte: u8) -> Error {
        Error::input(format!(
            "`{}` is not UTF-8: the byte 0x{byte:02X} in line {} does not belong there; save it as UTF-8, for example with `iconv -f latin1 -t utf-8`",
            self.key, self.lines
        ))
    }
}

#[allow(clippy::naive_bytecount)]
pub(super) fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}
