//! What goes wrong with a store's server while the chain runs over it: it refuses, answers are lost, it falls silent, it is killed and
//! comes back. Again and again until told to stop.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    proxy::{Proxy, Wire},
    weed::Weed,
};

/// How often what happened.
#[derive(Debug, Default, Clone, Copy, serde::Serialize)]
pub struct Outages {
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
pub fn disturb(weed: &mut Weed, proxy: &Proxy, stop: &AtomicBool, beat: Duration) -> Result<Outages> {
    let mut outages = Outages::default();
    let mut act = 0;
    while !stop.load(Ordering::SeqCst) {
        match act % 4 {
            0 => hold(proxy, Wire::LoseAnswers, beat, stop),
            1 => {
                hold(proxy, Wire::Refuse, beat * 3 / 4, stop);
                outages.refused += 1;
            }
            2 => {
                weed.kill()?;
                weed.restart()?;
                outages.restarted += 1;
            }
            _ => {
                hold(proxy, Wire::Stall, beat * 3 / 2, stop);
                outages.stalled += 1;
            }
        }
        act += 1;
        hold(proxy, Wire::Whole, beat, stop);
    }
    proxy.set(Wire::Whole);
    outages.lost_answers = proxy.lost();
    Ok(outages)
}

fn hold(proxy: &Proxy, wire: Wire, time: Duration, stop: &AtomicBool) {
    proxy.set(wire);
    let until = Instant::now() + time;
    while Instant::now() < until && !stop.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(50));
    }
}
