//! The part of WASI that a guest's standard library needs: clocks fixed at the run's `as-of`, randomness from its seed, output to the
//! log. Environment, arguments, files and sockets exist as imports and are empty.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use tidemill_core::{Digest, RunContext};
use wasmtime_wasi::{
    HostMonotonicClock, HostWallClock, WasiCtx,
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

/// The end of standard error that is retained: a panic's message is there.
const MAX_STDERR_BYTES: usize = 16 << 10;

pub(crate) fn build_context(run: &RunContext, trigger: &Digest, stderr: &CapturedOutput) -> WasiCtx {
    let mut hash = Sha256::new();
    hash.update(run.seed.to_le_bytes());
    hash.update(run.run_key.as_bytes());
    hash.update(trigger.as_str().as_bytes());
    let seed: [u8; 32] = hash.finalize().into();
    let mut short = [0; 16];
    short.copy_from_slice(&seed[..16]);
    let since = run.as_of.as_duration();
    let mut builder = WasiCtx::builder();
    builder
        .stdout(CapturedOutput::default())
        .stderr(stderr.clone())
        .wall_clock(FixedWallClock(since.unsigned_abs()))
        .monotonic_clock(CountingClock(AtomicU64::new(0)))
        .secure_random(SeededRng::new(seed, 0))
        .insecure_random(SeededRng::new(seed, 1))
        .insecure_random_seed(u128::from_le_bytes(short))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    builder.build()
}

/// Always `as-of`.
struct FixedWallClock(Duration);

impl HostWallClock for FixedWallClock {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }
    fn now(&self) -> Duration {
        self.0
    }
}

/// Advances by a microsecond at each reading, so that a guest that waits for time to pass ends, in the same way in every run.
struct CountingClock(AtomicU64);

impl HostMonotonicClock for CountingClock {
    fn resolution(&self) -> u64 {
        1000
    }
    fn now(&self) -> u64 {
        self.0.fetch_add(1000, Ordering::Relaxed)
    }
}

/// SHA-256 in counter mode.
struct SeededRng {
    seed: [u8; 32],
    stream: u8,
    counter: u64,
}

impl SeededRng {
    fn new(seed: [u8; 32], stream: u8) -> Self {
        Self { seed, stream, counter: 0 }
    }
    fn block(&mut self) -> [u8; 32] {
        self.counter += 1;
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update([self.stream]);
        hash.update(self.counter.to_le_bytes());
        hash.finalize().into()
    }
    fn word(&mut self) -> u64 {
        let block = self.block();
        u64::from_le_bytes([block[0], block[1], block[2], block[3], block[4], block[5], block[6], block[7]])
    }
}

impl rand_core::TryRng for SeededRng {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let bytes = self.word().to_le_bytes();
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.word())
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(32) {
            chunk.copy_from_slice(&self.block()[..chunk.len()]);
        }
        Ok(())
    }
}

/// A guest's output, which goes to the log; its end is retained.
#[derive(Clone, Default)]
pub(crate) struct CapturedOutput(Arc<Mutex<Vec<u8>>>);

impl CapturedOutput {
    /// The retained end.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
    fn push(&self, bytes: &[u8]) {
        tracing::debug!(target: "stage", "{}", String::from_utf8_lossy(bytes).trim_end());
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
        let over = kept.len().saturating_sub(MAX_STDERR_BYTES);
        kept.drain(..over);
    }
}

impl IsTerminal for CapturedOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for CapturedOutput {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink()) // WASI 0.3, which stages are not linked to
    }
}

#[async_trait::async_trait]
impl Pollable for CapturedOutput {
    async fn ready(&mut self) {}
}

impl OutputStream for CapturedOutput {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }
    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

#[cfg(test)]
mod tests {
    use rand_core::TryRng as _;

    use super::*;

    #[test]
    fn randomness_follows_the_seed_and_its_streams_differ() {
        let bytes = |seed, stream| {
            let mut bytes = [0; 40];
            SeededRng::new([seed; 32], stream).try_fill_bytes(&mut bytes).unwrap();
            bytes
        };
        assert_eq!(bytes(1, 0), bytes(1, 0));
        assert_ne!(bytes(1, 0), bytes(2, 0));
        assert_ne!(bytes(1, 0), bytes(1, 1));
        assert_ne!(bytes(1, 0)[..8], bytes(1, 0)[32..]);
    }

    #[test]
    fn output_keeps_its_end() {
        let output = CapturedOutput::default();
        output.push(&vec![b'a'; MAX_STDERR_BYTES]);
        output.push(b"end");
        assert!(output.text().ends_with("end") && output.text().len() == MAX_STDERR_BYTES);
    }
}
