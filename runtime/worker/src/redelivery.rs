//! A source that delivers each event several times, in shuffled order: for tests of duplicates.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{Event, EventSource, GiveBack, Report};

/// Copies are delivered within this time.
const MAX_DELAY: Duration = Duration::from_millis(150);

/// Wraps a source. Each copy is acknowledged or given back on its own, so the source also sees late duplicates.
pub struct Redelivery<S> {
    source: Arc<S>,
    copies: u32,
    /// Events never say that an earlier delivery ended the process.
    forgets_unfinished: bool,
    state: Mutex<State>,
}

struct State {
    random: u64,
    pending: Vec<(Instant, Event)>,
}

impl<S: EventSource> Redelivery<S> {
    /// Delivers each event as `TIDEMILL_REDELIVER=<copies>,<seed>` says: once if it is not set. With `TIDEMILL_FORGET_UNFINISHED`, an
    /// event may end the process any number of times.
    pub fn from_environment(source: S) -> Self {
        let text = std::env::var("TIDEMILL_REDELIVER").unwrap_or_default();
        let (copies, seed) = text.split_once(',').unwrap_or_default();
        Self {
            forgets_unfinished: std::env::var_os("TIDEMILL_FORGET_UNFINISHED").is_some(),
            ..Self::new(Arc::new(source), copies.parse().unwrap_or(1), seed.parse().unwrap_or(0))
        }
    }

    /// Delivers each event `copies` times, in an order that follows from `seed`.
    pub fn new(source: Arc<S>, copies: u32, seed: u64) -> Self {
        let state = State {
            random: seed,
            pending: Vec::new(),
        };
        Self {
            source,
            copies: copies.max(1),
            forgets_unfinished: false,
            state: Mutex::new(state),
        }
    }

    async fn receive_from_source(&self) -> Option<Event> {
        let mut event = self.source.receive().await?;
        if self.forgets_unfinished {
            event.count.unfinished = 0;
        }
        Some(event)
    }

    fn schedule(&self, event: &Event) {
        let mut state = self.state.lock();
        for _ in 0..self.copies {
            state.random = state
                .random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let delay = MAX_DELAY.mul_f64((state.random >> 33) as f64 / f64::from(1u32 << 31));
            state.pending.push((Instant::now() + delay, event.clone()));
        }
    }

    /// The next copy, or when it is due.
    fn take_due(&self) -> Result<Event, Option<Instant>> {
        let mut state = self.state.lock();
        let next = state.pending.iter().enumerate().min_by_key(|(_, (due, _))| *due);
        match next.map(|(at, (due, _))| (at, *due)) {
            Some((at, due)) if due <= Instant::now() => Ok(state.pending.swap_remove(at).1),
            Some((_, due)) => Err(Some(due)),
            None => Err(None),
        }
    }
}

impl<S: EventSource> EventSource for Redelivery<S> {
    async fn receive(&self) -> Option<Event> {
        if self.copies == 1 {
            return self.receive_from_source().await;
        }
        loop {
            let due = match self.take_due() {
                Ok(event) => return Some(event),
                Err(due) => due.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600)),
            };
            tokio::select! {
                received = self.receive_from_source() => self.schedule(&received?),
                () = tokio::time::sleep_until(due) => {}
            }
        }
    }

    async fn acknowledge(&self, event: Event, reports: Vec<Report>) {
        self.source.acknowledge(event, reports).await;
    }

    async fn give_back(&self, event: Event, reason: GiveBack) {
        self.source.give_back(event, reason).await;
    }

    async fn extend(&self, event: &Event) {
        self.source.extend(event).await;
    }
}
