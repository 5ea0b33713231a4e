//! What goes wrong with a store's server while the chain runs over it: it refuses, answers are lost, it falls silent, it is killed and
//! comes back. Again and again until told to stop.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    proxy::{Fault, Proxy},
    seaweedfs::SeaweedFs,
};

/// How often what happened.
#[derive(Debug, Default, Clone, Copy, serde::Serialize)]
pub struct OutageCounts {
    /// Times that nobody was there.
    pub refused: u32,
    /// Times that nothing was answered.
    pub stalled: u32,
    /// Times that the server was killed and started again.
    pub restarted: u32,
    /// Writes that were done while their answer was lost.
    pub lost_answers: u64,
}

/// Disturbs until `stop`; then all is whole again. Each disturbance lasts about a `beat`, and so does the calm after it, in which the chain
/// gets on.
pub fn inject(weed: &mut SeaweedFs, proxy: &Proxy, stop: &AtomicBool, beat: Duration) -> Result<OutageCounts> {
    let mut outages = OutageCounts::default();
    let mut act = 0;
    while !stop.load(Ordering::SeqCst) {
        match act % 4 {
            0 => hold_fault(proxy, Fault::LoseAnswers, beat, stop),
            1 => {
                hold_fault(proxy, Fault::Refuse, beat * 3 / 4, stop);
                outages.refused += 1;
            }
            2 => {
                weed.kill()?;
                weed.restart()?;
                outages.restarted += 1;
            }
            _ => {
                hold_fault(proxy, Fault::Stall, beat * 3 / 2, stop);
                outages.stalled += 1;
            }
        }
        act += 1;
        hold_fault(proxy, Fault::None, beat, stop);
    }
    proxy.set(Fault::None);
    outages.lost_answers = proxy.lost_answers();
    Ok(outages)
}

fn hold_fault(proxy: &Proxy, wire: Fault, time: Duration, stop: &AtomicBool) {
    proxy.set(wire);
    let until = Instant::now() + time;
    while Instant::now() < until && !stop.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(50));
    }
}
