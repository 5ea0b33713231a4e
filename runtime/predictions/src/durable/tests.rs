//! The log over an in-memory store: what was acknowledged comes back, once. And the queue between requests and the writer.

use std::{thread, time::Instant};

use tidemill_core::{ColumnValues, record::WindowSummary, time::Span};

use super::{writer::MAX_GROUP, *};
use crate::{PredictionBatch, summarize_window};

fn record(request_id: &str, time: &str, version: u32, score: f64) -> Record {
    let at = time.parse::<jiff::Timestamp>().unwrap().as_microsecond();
    let columns = [
        ("at".to_owned(), ColumnValues::Timestamp(vec![Some(at); 2])),
        ("distance".to_owned(), ColumnValues::Number(vec![Some(1.5), None])),
        ("_score".to_owned(), ColumnValues::Number(vec![Some(score), Some(score)])),
    ];
    let batch = PredictionBatch {
        model: "late",
        version,
        transform: "t",
        request_id,
        rows: 2,
        columns: &columns,
        latency_us: 7,
    };
    batch.to_record().unwrap()
}

/// One row of one column.
fn record_of(column: &str, values: ColumnValues) -> Record {
    let columns = [(column.to_owned(), values)];
    let batch = PredictionBatch {
        model: "late",
        version: 1,
        transform: "t",
        request_id: "a",
        rows: 1,
        columns: &columns,
        latency_us: 7,
    };
    batch.to_record().unwrap()
}

fn open(folder: &Path, store: &Store) -> DurableLog {
    let month = LoggedModel {
        window: Span::parse("1 month").unwrap(),
        time: "at".into(),
    };
    let models = BTreeMap::from([("late".to_owned(), month)]);
    DurableLog::open(folder, store.clone(), models, LogOptions::default()).unwrap()
}

const MAY: &str = "2013-05-10T00:00:00Z";

async fn may(store: &Store) -> WindowSummary {
    summarize_window(store, "late", "2013-05-01T00:00:00Z".parse().unwrap())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_count_once_and_windows_are_apart() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::memory();
    let log = open(folder.path(), &store);
    for (request, time, version) in [("a", MAY, 1), ("b", MAY, 2), ("a", MAY, 1), ("c", "2013-06-01T00:00:00Z", 2)] {
        log.append(record(request, time, version, 0.1 + 0.2)).await.unwrap();
    }
    log.seal().await.unwrap();
    let one = may(&store).await;
    assert_eq!((one.predictions, one.segments.len()), (4, 2));
    assert_eq!(one.versions, BTreeMap::from([(1, 2), (2, 2)]));
    // Cut into other files and in another order, it is the same window.
    let other = Store::memory();
    let second = tempfile::tempdir().unwrap();
    let log = open(second.path(), &other);
    for (request, version) in [("b", 2), ("a", 1)] {
        log.append(record(request, MAY, version, 0.1 + 0.2)).await.unwrap();
        log.seal().await.unwrap();
    }
    assert_eq!(may(&other).await.digest, one.digest);
    assert_eq!(sealer::list_files(second.path()).unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_rows_survive_and_a_torn_tail_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), &Store::memory());
    for request in 0..20 {
        log.append(record(&format!("r{request}"), MAY, 1, 0.5)).await.unwrap();
    }
    // As after a kill: the files as they are, with half a record behind them.
    let copy = tempfile::tempdir().unwrap();
    for path in sealer::list_files(folder.path()).unwrap() {
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(&bytes.clone()[..30]);
        std::fs::write(copy.path().join(path.file_name().unwrap()), bytes).unwrap();
    }
    let before: Vec<_> = sealer::list_files(copy.path())
        .unwrap()
        .iter()
        .map(|p| (p.clone(), std::fs::read(p).unwrap()))
        .collect();
    let store = Store::memory();
    let again = open(copy.path(), &store);
    again.seal().await.unwrap();
    let first = may(&store).await;
    assert_eq!(first.predictions, 40);
    // A crash between put and removal: the same file once more.
    drop(again);
    for (path, bytes) in &before {
        std::fs::write(path, bytes).unwrap();
    }
    let other = tempfile::tempdir().unwrap();
    for path in sealer::list_files(copy.path()).unwrap() {
        std::fs::copy(&path, other.path().join(path.file_name().unwrap())).unwrap();
    }
    let again = open(other.path(), &store);
    again.seal().await.unwrap();
    assert_eq!(may(&store).await, first);
    // It is the same object to the byte, wherever it is made.
    let (third, elsewhere) = (tempfile::tempdir().unwrap(), Store::memory());
    for (path, bytes) in &before {
        std::fs::write(third.path().join(path.file_name().unwrap()), bytes).unwrap();
    }
    open(third.path(), &elsewhere).seal().await.unwrap();
    assert_eq!(may(&elsewhere).await.segments, first.segments);
    for key in &first.segments {
        assert_eq!(elsewhere.get(key).await.unwrap(), store.get(key).await.unwrap());
    }
}

#[tokio::test]
async fn a_record_that_is_too_large_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), &Store::memory());
    let note = ColumnValues::Text(vec![Some("x".repeat(wal::MAX_RECORD_SIZE))]);
    let error = log.append(record_of("note", note)).await.unwrap_err();
    assert_eq!(error.kind, tidemill_core::ErrorKind::Limit);
    assert!(error.message.contains("send fewer rows"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_cannot_be_written_refuses_and_recovers() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("log");
    let store = Store::memory();
    let log = open(&folder, &store);
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    let error = log.append(record("a", MAY, 1, 0.5)).await.unwrap_err();
    assert_eq!(error.kind, tidemill_core::ErrorKind::Transient);
    std::fs::remove_file(&folder).unwrap();
    std::fs::create_dir(&folder).unwrap();
    log.append(record("b", MAY, 1, 0.5)).await.unwrap();
    log.seal().await.unwrap();
    assert_eq!(may(&store).await.predictions, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_has_one_log() {
    let folder = tempfile::tempdir().unwrap();
    let _log = open(folder.path(), &Store::memory());
    let error = DurableLog::open(folder.path(), Store::memory(), BTreeMap::new(), LogOptions::default())
        .err()
        .unwrap();
    assert!(error.message.contains("another process"), "{error}");
}

/// Long enough that a test which waits for it fails.
const LONG: Duration = Duration::from_secs(60);

/// Asserts on drop that nothing waited until its timeout.
struct Promptly(Instant);

impl Drop for Promptly {
    fn drop(&mut self) {
        assert!(self.0.elapsed() < LONG / 2, "it waited until its timeout");
    }
}

fn enqueue(queue: &CommitQueue) -> oneshot::Receiver<Result<()>> {
    let (reply, answer) = oneshot::channel();
    let record = vec![7];
    queue.enqueue(PendingAppend { record, rows: 1, reply });
    answer
}

#[test]
fn a_group_is_complete_or_its_timeout_has_passed() {
    let _promptly = Promptly(Instant::now());
    let queue = Arc::new(CommitQueue::default());
    let from = queue.clone();
    let writer = thread::spawn(move || from.next_group(LONG, 3, LONG).unwrap().appends.len());
    let answers: Vec<_> = (0..3).map(|_| enqueue(&queue)).collect();
    assert_eq!((writer.join().unwrap(), answers.len()), (3, 3));
    let _one = enqueue(&queue);
    assert_eq!(queue.next_group(LONG, 3, Duration::from_millis(1)).unwrap().appends.len(), 1);
    assert_eq!(queue.next_group(Duration::from_millis(1), 3, LONG).unwrap().appends.len(), 0);
}

#[test]
fn many_records_are_written_group_by_group() {
    let queue = CommitQueue::default();
    let _answers: Vec<_> = (0..MAX_GROUP + 3).map(|_| enqueue(&queue)).collect();
    let lengths = [1, 2].map(|_| queue.next_group(LONG, 1, LONG).unwrap().appends.len());
    assert_eq!(lengths, [MAX_GROUP, 3]);
}

#[test]
fn a_close_request_does_not_wait_for_records() {
    let _promptly = Promptly(Instant::now());
    let queue = CommitQueue::default();
    let _one = enqueue(&queue);
    let (reply, _closed) = oneshot::channel();
    queue.request_close(reply);
    let group = queue.next_group(LONG, 3, LONG).unwrap();
    assert_eq!((group.appends.len(), group.close_requests.len()), (1, 1));
}

#[test]
fn a_closed_queue_returns_what_is_left_and_refuses_the_rest() {
    let _promptly = Promptly(Instant::now());
    let queue = CommitQueue::default();
    let mut before = enqueue(&queue);
    queue.close();
    let group = queue.next_group(LONG, 3, LONG).unwrap();
    assert_eq!(group.appends.len(), 1);
    assert!(queue.next_group(LONG, 3, LONG).is_none());
    assert_eq!(before.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    drop(group);
    assert_eq!(before.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    assert_eq!(enqueue(&queue).try_recv(), Err(oneshot::error::TryRecvError::Closed));
}

/// The write-ahead files of a folder, with those that were put aside.
fn log_files(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.to_string_lossy().contains(".wal")).collect();
    files.sort();
    files
}

/// A write-ahead file in `folder`, as a killed process leaves it.
async fn unsealed(folder: &Path, requests: &[(&str, f64)]) -> PathBuf {
    let other = tempfile::tempdir().unwrap();
    let log = open(other.path(), &Store::memory());
    for (request, score) in requests {
        log.append(record(request, MAY, 1, *score)).await.unwrap();
    }
    let written = log_files(other.path()).remove(0);
    let copy = folder.join(written.file_name().unwrap());
    std::fs::copy(written, &copy).unwrap();
    copy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_record_costs_no_other_and_the_file_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = unsealed(folder.path(), &[("a", 0.1), ("b", 0.2), ("c", 0.3)]).await;
    let mut bytes = std::fs::read(&file).unwrap();
    let place = bytes.windows(8).position(|word| word == b"distance").unwrap();
    bytes[place] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let store = Store::memory();
    let log = open(folder.path(), &store);
    log.seal().await.unwrap();
    assert_eq!(may(&store).await.predictions, 4);
    let aside = log_files(folder.path());
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert!(aside[0].to_string_lossy().ends_with(".wal.damaged"));
    assert_eq!(std::fs::read(&aside[0]).unwrap(), bytes, "as it was");
}

#[test]
fn records_that_do_not_fit_together_are_sealed_apart() {
    let of = |values| record_of("x", values).into_bytes();
    let (number, integer) = (of(ColumnValues::Number(vec![Some(1.0)])), of(ColumnValues::Integer(vec![Some(1)])));
    let records = [number.as_slice(), &number, b"no record", &integer, &integer];
    let mut unreadable = Vec::new();
    let segments = sealer::build_parts("n", &records, &BTreeMap::new(), &mut unreadable);
    assert_eq!(unreadable.len(), 1, "{unreadable:?}");
    let mut keys: Vec<&str> = segments.iter().map(|segment| segment.key.as_str()).collect();
    assert!((2..=3).contains(&keys.len()), "{keys:?}");
    keys.dedup();
    assert_eq!(keys.len(), segments.len());
}
