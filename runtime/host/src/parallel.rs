//! The same work on many things, some of them at once, for threads that may block.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tidemill_core::Result;

/// What `work` gave for each item, in their order, by up to `most` threads. None is begun any more after an error: then results end early,
/// and the first error among them is the one that the items one after the other would have met first.
pub(crate) fn parallel_map<T: Sync, R: Send>(items: &[T], most: usize, work: impl Fn(&T) -> Result<R> + Sync) -> Vec<Result<R>> {
    // One needs no thread of its own.
    if let [item] = items {
        return vec![work(item)];
    }
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let results: Mutex<Vec<(usize, Result<R>)>> = Mutex::default();
    let worker = || {
        // An item that was taken is worked on, so that none is missing before the first error.
        while !failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return };
            let result = work(item);
            if result.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            results.lock().push((at, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..most.min(items.len()) {
            scope.spawn(worker);
        }
    });
    let mut results = results.into_inner();
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use tidemill_core::Error;

    use super::*;

    #[test]
    fn results_keep_their_order_and_are_made_at_once() {
        // Passed only by as many threads together.
        let together = Barrier::new(4);
        let results = parallel_map(&[4, 3, 2, 1], 4, |item| {
            together.wait();
            Ok(item * 10)
        });
        assert_eq!(results, [40, 30, 20, 10].map(Ok));
        assert_eq!(parallel_map(&[] as &[i32], 4, |_| Ok(())), []);
    }

    #[test]
    fn the_first_error_is_the_first_in_order() {
        let items: Vec<usize> = (0..1000).collect();
        for _ in 0..20 {
            let work = |item: &usize| {
                if *item % 7 == 6 {
                    Err(Error::input(item.to_string()))
                } else {
                    Ok(*item)
                }
            };
            let results = parallel_map(&items, 8, work);
            assert_eq!(results.iter().position(Result::is_err), Some(6));
            assert!(results.len() < items.len());
        }
    }
}
