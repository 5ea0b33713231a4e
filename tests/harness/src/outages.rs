//! Outages of a store's server while a pipeline runs over it: it refuses connections, loses answers, stalls, and is killed and restarted,
//! in turn until the caller stops it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    proxy::{Fault, Proxy},
    seaweedfs::SeaweedFs,
};

/// The number of outages by kind.
#[derive(Debug, Default, Clone, Copy, serde::Serialize)]
pub struct OutageCounts {
    /// Connections were refused.
    pub refused: u32,
    /// Nothing was answered.
    pub stalled: u32,
    /// The server was killed and restarted.
    pub restarted: u32,
    /// Writes that the server did and whose answer was lost.
    pub lost_answers: u64,
}

/// Injects outages until `stop` is set, then removes the last one. Each lasts for about `duration`, and so does the pause after it, in which
/// the pipeline makes progress.
pub fn inject(server: &mut SeaweedFs, proxy: &Proxy, stop: &AtomicBool, duration: Duration) -> Result<OutageCounts> {
    let mut outages = OutageCounts::default();
    let mut step = 0;
    while !stop.load(Ordering::SeqCst) {
        match step % 4 {
            0 => hold_fault(proxy, Fault::LoseAnswers, duration, stop),
            1 => {
                hold_fault(proxy, Fault::Refuse, duration * 3 / 4, stop);
                outages.refused += 1;
            }
            2 => {
                server.kill()?;
                server.restart()?;
                outages.restarted += 1;
            }
            _ => {
                hold_fault(proxy, Fault::Stall, duration * 3 / 2, stop);
                outages.stalled += 1;
            }
        }
        step += 1;
        hold_fault(proxy, Fault::None, duration, stop);
    }
    proxy.set(Fault::None);
    outages.lost_answers = proxy.lost_answers();
    Ok(outages)
}

fn hold_fault(proxy: &Proxy, fault: Fault, time: Duration, stop: &AtomicBool) {
    proxy.set(fault);
    let until = Instant::now() + time;
    while Instant::now() < until && !stop.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(50));
    }
}
