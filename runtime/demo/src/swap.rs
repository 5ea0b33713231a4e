//! The champion changes under load, between the first version and the last one.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    flights,
    server::{Server, new_agent},
};

/// The observations of clients while the champion changed.
#[derive(Default)]
pub struct Swaps {
    /// Number of moves of the alias.
    pub swaps: u32,
    /// Number of requests of all clients in that time.
    pub requests: u64,
    /// Number of requests that were not answered with 200 and a score.
    pub failed: u64,
}

/// Moves the alias while four clients send requests of one flight each without pause. The flights are those of the month `file`.
///
/// # Errors
/// If the alias cannot be moved, or the clients complete fewer than 200 requests in a minute. A failed request is counted, not an error.
pub fn under_load(server: &Server, file: &str) -> Result<Swaps> {
    let inputs = flights::inputs(server)?;
    let requests = flights::requests(server, &inputs, &flights::raw_key(file), Some(1))?;
    let (stop, asked, failed) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let url = format!("{}/v2/models/late/infer", server.address);
    let swaps = std::thread::scope(|scope| {
        for client in 0..4 {
            let (requests, url, stop, asked, failed) = (&requests, &url, &stop, &asked, &failed);
            scope.spawn(move || {
                let agent = new_agent();
                // Each request has its own row and a new id.
                for (n, request) in requests.iter().cycle().skip(client * 997).enumerate() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let request = request.replacen("{\"id\":\"", &format!("{{\"id\":\"swap-{client}-{n}-"), 1);
                    asked.fetch_add(1, Ordering::Relaxed);
                    if !flights::send_one(&agent, url, &request) {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let result = swap(server, &asked);
        stop.store(true, Ordering::Relaxed);
        result
    })?;
    Ok(Swaps {
        swaps,
        requests: asked.into_inner(),
        failed: failed.into_inner(),
    })
}

fn swap(server: &Server, asked: &AtomicU64) -> Result<u32> {
    let last = server.champion("late")?.context("there is no champion")?.version;
    let mut swaps = 0;
    for version in [1, last, 1, last, 1, last] {
        wait_for_requests(asked, 200)?;
        server.run_command(&["models", "alias", "late", "champion", &version.to_string()])?;
        swaps += 1;
    }
    wait_for_requests(asked, 200)?;
    Ok(swaps)
}

/// Waits until this many more requests were sent; fails after a minute.
fn wait_for_requests(asked: &AtomicU64, more: u64) -> Result<()> {
    let (goal, patience) = (asked.load(Ordering::Relaxed) + more, Instant::now() + Duration::from_secs(60));
    while asked.load(Ordering::Relaxed) < goal {
        let sent = asked.load(Ordering::Relaxed) + more - goal;
        ensure!(
            Instant::now() < patience,
            "four clients sent {sent} requests in a minute while the champion changed: {more} are due"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
