//! The queue over its file, and without one.

use super::*;

fn item(stage: &str, key: &str) -> QueueItem {
    QueueItem::new(stage, "m", key, &Digest::sha256(key.as_bytes()), 0)
}

#[test]
fn survives_a_restart_and_a_damaged_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.redb");
    {
        let queue = Queue::open(Some(&path)).unwrap();
        queue.put(vec![item("a", "k1"), item("a", "k2")], None);
        let taken = queue.take_next(0, &|_| 1).unwrap();
        queue.acknowledge(&taken, true);
        let error = Queue::open(Some(&path)).err().unwrap();
        assert!(error.message.contains("another `tidemill up`"), "{error}");
    }
    let queue = Queue::open(Some(&path)).unwrap();
    assert_eq!(queue.items().into_iter().map(|(i, _)| i.key).collect::<Vec<_>>(), ["k2"]);
    drop(queue);
    std::fs::write(&path, b"no database").unwrap();
    assert!(Queue::open(Some(&path)).unwrap().items().is_empty());
}

#[test]
fn a_file_that_failed_catches_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.redb");
    let queue = Queue::open(Some(&path)).unwrap();
    queue.put(vec![item("a", "k1"), item("a", "k2")], None);
    // As after a write that failed: nothing reaches the file, and it cannot be opened yet.
    let kept = queue.database.lock().take();
    queue.put(vec![item("a", "k3")], None);
    let taken = queue.take_next(0, &|_| 1).unwrap();
    queue.acknowledge(&taken, true);
    assert!(queue.database.lock().is_none());
    drop(kept);
    queue.put(vec![item("a", "k4")], None);
    drop(queue);
    let keys: Vec<String> = Queue::open(Some(&path)).unwrap().items().into_iter().map(|(i, _)| i.key).collect();
    assert_eq!(keys.len(), 3, "{keys:?}");
    assert!(!keys.contains(&taken.key), "{keys:?}");
}

#[test]
fn waiting_items_wake_with_their_resource() {
    let queue = Queue::open(None).unwrap();
    queue.put(vec![item("retrain", "k")], None);
    let mut taken = queue.take_next(0, &|_| 1).unwrap();
    (taken.due, taken.waits_for) = (1000, Some("x".into()));
    queue.give_back(taken);
    assert!(queue.take_next(10, &|_| 1).is_none());
    queue.wake("other");
    assert!(queue.take_next(10, &|_| 1).is_none());
    queue.wake("m");
    assert!(queue.take_next(10, &|_| 1).is_some());
}

#[test]
fn settled_items_are_not_queued_again() {
    let queue = Queue::open(None).unwrap();
    let put = || queue.put(vec![item("a", "k")], None);
    let take = || queue.take_next(0, &|_| 1);
    put();
    queue.acknowledge(&take().unwrap(), false);
    put();
    let taken = take().unwrap();
    queue.acknowledge(&taken, true);
    put();
    assert!(queue.items().is_empty());
    queue.give_back(taken);
    assert!(take().is_some());
}

#[test]
fn the_oldest_settled_ids_are_forgotten() {
    let mut settled = SettledIds::default();
    for id in 0..=2 * MAX_SETTLED_IDS {
        settled.insert(id.to_string());
    }
    assert!(!settled.contains("0"));
    assert!(settled.contains(&MAX_SETTLED_IDS.to_string()) && settled.contains(&(2 * MAX_SETTLED_IDS).to_string()));
}

#[test]
fn a_start_is_in_the_file_before_it_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.redb");
    let take = |queue: &Queue| queue.take_next(0, &|_| 8);
    // Each time as if the process had ended while both ran.
    let queue = Queue::open(Some(&path)).unwrap();
    queue.put(vec![item("a", "k1"), item("b", "k2")], None);
    assert_eq!(
        [take(&queue), take(&queue)].map(|taken| taken.unwrap().to_event().count.unfinished),
        [0, 0]
    );
    drop(queue);
    let queue = Queue::open(Some(&path)).unwrap();
    queue.put(vec![item("c", "k3")], None);
    let first = take(&queue).unwrap();
    assert_eq!((first.key.as_str(), first.to_event().count.unfinished), ("k1", 1));
    // The other suspect waits until this one came back; who never failed does not.
    let free = take(&queue).unwrap();
    assert_eq!((free.key.as_str(), free.to_event().count.unfinished), ("k3", 0));
    assert!(take(&queue).is_none());
    drop(queue);
    let queue = Queue::open(Some(&path)).unwrap();
    let first = take(&queue).unwrap();
    assert_eq!((first.key.as_str(), first.to_event().count.unfinished), ("k1", 2));
    queue.acknowledge(&first, true);
    let second = take(&queue).unwrap();
    assert_eq!((second.key.as_str(), second.to_event().count.unfinished), ("k2", 1));
    queue.give_back(second);
    let unfinished: Vec<u32> = queue.items().iter().map(|(item, _)| item.starts).collect();
    assert_eq!(unfinished.iter().sum::<u32>(), 1, "k2 came back, k3 did not: {unfinished:?}");
}
