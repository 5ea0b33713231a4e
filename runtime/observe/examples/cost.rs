//! What recording one prediction request costs: `cargo run --release -p tidemill-observe --example cost`.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use tidemill_observe::Recorder;

const REQUESTS: u32 = 5_000_000;

fn main() {
    let recorder = Recorder::new();
    let start = Instant::now();
    for _ in 0..REQUESTS {
        recorder.record_request(black_box("late"), black_box("3"), black_box("200"), Duration::from_micros(900));
    }
    println!("{} ns a request", (start.elapsed() / REQUESTS).as_nanos());
}
