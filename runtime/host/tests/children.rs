//! SQL in children: the same bytes as in this process, and what a query may not take with it.
//!
//! This program is its own child, so it has a `main`: with `sql-worker` it runs SQL, with `hold` or `zone` it is a parent in a process of its
//! own, and else it runs the tests one after the other.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tidemill_core::{Digest, Error, ErrorKind, Format, Objects as _, PutResult, RunContext, Sql as _, Table, Trigger};
use tidemill_host::{Grants, RunHost, RunSetup, SQL_WORKER, SqlChildren, SqlEngine, SqlOptions, Store, run_sql_worker};

/// A test by its name.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        &[$((stringify!($name), $name as fn())),*]
    };
}

const TESTS: &[(&str, fn())] = tests![
    results_are_those_of_this_process,
    the_guard_holds_in_a_child,
    a_list_of_gigabytes_costs_its_query,
    a_hang_is_ended_at_its_deadline,
    a_crash_costs_its_run_alone,
    a_run_has_many_results_open_in_one_child,
    a_result_that_is_dropped_ends_its_query,
    children_end_with_their_parent,
    the_zone_of_the_machine_is_in_no_result,
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(SQL_WORKER) => return run_sql_worker(),
        Some("hold") => hold(),
        Some("zone") => zone(),
        _ => run_tests(&arguments),
    }
    ExitCode::SUCCESS
}

/// Runs or lists the tests as the arguments of a test program say.
fn run_tests(arguments: &[String]) {
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let names: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let is_meant = |test: &str| {
        let is_named = |name: &&String| {
            if has("--exact") {
                test == name.as_str()
            } else {
                test.contains(name.as_str())
            }
        };
        names.is_empty() || names.iter().any(is_named)
    };
    for (name, test) in TESTS {
        match (has("--list"), has("--ignored")) {
            (_, true) => {}
            (true, _) => println!("{name}: test"),
            (false, _) if is_meant(name) => {
                println!("test {name}");
                test();
            }
            _ => {}
        }
    }
}

/// A query that notices no interrupt for minutes.
const HANG: &str = "SELECT levenshtein(repeat('a', 400000), repeat('b', 400000))";

struct Bench {
    folder: TempDir,
    runtime: tokio::runtime::Runtime,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::local(&folder.path().join("store")).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        Self { folder, runtime, store }
    }

    fn options(&self, name: &str, seconds: f64) -> SqlOptions {
        SqlOptions {
            cache_dir: self.folder.path().join(name),
            memory_bytes: 2 << 30,
            threads: 2,
            timeout: Duration::from_secs_f64(seconds),
        }
    }

    fn children(&self, count: usize, seconds: f64) -> SqlEngine {
        let children = SqlChildren {
            count,
            ..SqlChildren::of_this_program().unwrap()
        };
        SqlEngine::in_children(self.options("children", seconds), children).unwrap()
    }

    fn run(&self, sql: &SqlEngine) -> RunHost {
        RunHost::new(RunSetup {
            store: self.store.clone(),
            sql: sql.clone(),
            context: RunContext {
                as_of: Default::default(),
                seed: 1,
                run_key: "r".into(),
                resource: "s".into(),
            },
            trigger: Trigger {
                key: "t".into(),
                digest: Digest::sha256(b""),
            },
            grants: Grants {
                reads: vec!["in/**".into(), "out/**".into()],
                writes: vec!["out/**".into()],
                fetch: vec![],
            },
            progress: None,
            handle: self.runtime.handle().clone(),
        })
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        assert!(self.store.blocking().create(key, bytes).unwrap() != PutResult::Conflict);
    }
}

fn table(name: &str, key: &str, format: Format) -> Table {
    Table {
        name: name.into(),
        keys: vec![key.into()],
        format,
    }
}

/// The bytes of a result.
fn read(run: &RunHost, sql: &str, tables: &[Table]) -> Result<Vec<u8>, Error> {
    let streams: Vec<Vec<u8>> = run.query(sql, tables)?.collect::<Result<_, _>>()?;
    Ok(streams.concat())
}

fn failure(run: &RunHost, sql: &str) -> Error {
    read(run, sql, &[]).expect_err(sql)
}

/// The children of a process, by their ids.
fn children_of(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_child = |process: &u32| {
        let state = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let fields: Vec<&str> = state.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        fields.get(1) == Some(&parent.to_string().as_str()) && fields.first() != Some(&"Z")
    };
    processes.filter(is_child).collect()
}

fn kill(process: u32) {
    assert!(Command::new("kill").args(["-9", &process.to_string()]).status().unwrap().success());
}

fn results_are_those_of_this_process() {
    let bench = Bench::new();
    bench.put(
        "in/a.csv",
        "id,at,x\n1,2025-07-01 12:00:00,1.5\n2\n3,2025-07-01T12:00:00+02:00,é\n".as_bytes(),
    );
    bench.put("in/b.jsonl", b"{\"id\":1,\"tags\":[1,2]}\n{\"id\":2}\n");
    let here = SqlEngine::new(bench.options("here", 60.0)).unwrap();
    let children = bench.children(2, 60.0);
    let rows = "SELECT i AS id, (i * 7919 % 1000003)::DOUBLE / 3 AS x, 'k' || (i % 10) AS k FROM range(250000) r(i)";
    bench.run(&here).export(rows, &[], "out/rows.parquet").unwrap();
    let tables = [
        Table::parquet("rows", ["out/rows.parquet"]),
        table("a", "in/a.csv", Format::Csv),
        table("b", "in/b.jsonl", Format::JsonLines),
    ];
    for (at, sql) in [
        "SELECT * FROM rows ORDER BY k, x, id",
        "SELECT k, sum(x) AS s, avg(x) AS m FROM rows GROUP BY k ORDER BY k",
        "SELECT repeat('x', 300) AS s FROM rows",
        "SELECT *, CAST(\"at\" AS TIMESTAMPTZ) AS t FROM a",
        "SELECT line, reason, raw FROM a__rejects",
        "SELECT * FROM b",
        "SELECT 1 AS x WHERE false",
        "SELECT count(*) FROM rows WHERE id % 2 = 0",
    ]
    .into_iter()
    .enumerate()
    {
        let (one, two) = (bench.run(&here), bench.run(&children));
        assert!(read(&one, sql, &tables).unwrap() == read(&two, sql, &tables).unwrap(), "{sql}");
        // Create-only: the second write succeeds if its bytes are the first one's.
        let key = format!("out/{at}.parquet");
        let exported = one.export(sql, &tables, &key).unwrap();
        assert_eq!(two.export(sql, &tables, &key).unwrap().digest, exported.digest, "{sql}");
    }
    let cache = bench.folder.path().join("children");
    drop(children);
    assert_eq!(std::fs::read_dir(cache).unwrap().count(), 0, "the cache outlived its engine");
}

fn the_guard_holds_in_a_child() {
    let bench = Bench::new();
    let children = bench.children(1, 60.0);
    let run = bench.run(&children);
    for (sql, part) in [
        ("SELECT now()", "`now`"),
        (
            "SELECT * FROM pg_settings WHERE (WITH pg_settings AS (SELECT 1) SELECT 1) = 1",
            "`pg_settings`",
        ),
        ("SELECT * FROM read_text('/etc/passwd')", "`read_text`"),
        ("SELECT localtime", "`localtime`"),
        ("COPY (SELECT 1) TO '/tmp/x'", "exactly one SELECT"),
    ] {
        let error = failure(&run, sql);
        assert!(error.kind == ErrorKind::Config && error.message.contains(part), "{sql}: {error}");
    }
    let sum = format!("SELECT {} AS s FROM (SELECT 1 AS x)", vec!["x"; 500].join(" + "));
    read(&run, &sum, &[]).unwrap();
    let planned = children.plan("SELECT 1 AS a, now() AS b", &[]).unwrap_err();
    assert_eq!(planned.span, Some(15..18), "{}", planned.error);
    assert_eq!(children.plan("SELECT 1 AS a", &[]).unwrap(), ["a"]);
    // A refusal harms nothing: it was one child all the time.
    assert_eq!(children_of(std::process::id()).len(), 1);
}

fn a_list_of_gigabytes_costs_its_query() {
    let bench = Bench::new();
    let children = bench.children(2, 30.0);
    let other = bench.run(&children);
    for sql in [
        "SELECT len(range(650000000))",
        "SELECT length(repeat('x', 4000000000))",
        "SELECT sum(len(range(i * 1000000, i * 1000000 + 200000000))) FROM range(1, 30) t(i)",
    ] {
        let started = Instant::now();
        let run = bench.run(&children);
        let error = failure(&run, sql);
        assert_eq!(error.kind, ErrorKind::Limit, "{error}");
        assert!(
            error.message.contains(sql) && error.message.contains("1024 MiB of memory"),
            "{error}"
        );
        assert!(started.elapsed() < Duration::from_secs(30));
        read(&run, "SELECT 1", &[]).unwrap();
        read(&other, "SELECT 1", &[]).unwrap();
    }
}

fn a_hang_is_ended_at_its_deadline() {
    let bench = Bench::new();
    let children = bench.children(2, 1.0);
    let run = bench.run(&children);
    let started = Instant::now();
    let error = failure(&run, HANG);
    assert!(error.kind == ErrorKind::Timeout && error.message.contains("levenshtein"), "{error}");
    let error = run.export(HANG, &[], "out/hang.parquet").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout, "{error}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    read(&run, "SELECT 1", &[]).unwrap();
    // What notices the interrupt says so itself.
    let slow = "SELECT count(*) FROM range(100000000000) a(i) WHERE hash(i) % 7 = 9";
    let error = failure(&run, slow);
    assert!(
        error.kind == ErrorKind::Timeout && error.message.contains("longer than its 1 seconds"),
        "{error}"
    );
    read(&run, "SELECT 1", &[]).unwrap();
}

fn a_crash_costs_its_run_alone() {
    let bench = Bench::new();
    let children = bench.children(2, 30.0);
    let rows = "SELECT i, repeat('x', 300) AS x FROM range(600000) t(i)";
    let (one, two) = (bench.run(&children), bench.run(&children));
    let mut first = one.reader(rows, &[]).unwrap();
    first.next().unwrap().unwrap();
    let [victim] = children_of(std::process::id())[..] else {
        panic!("one child is in use")
    };
    let mut second = two.reader(rows, &[]).unwrap();
    kill(victim);
    let error = first.find_map(Result::err).expect("its process was killed");
    assert!(error.kind == ErrorKind::Limit && error.message.contains("signal: 9"), "{error}");
    assert!(first.next().is_none());
    assert!(second.all(|rows| rows.is_ok()));
    read(&one, "SELECT 1", &[]).unwrap();
    // Killed while nobody uses it: nobody notices.
    drop((first, second, one, two));
    children_of(std::process::id()).into_iter().for_each(kill);
    std::thread::sleep(Duration::from_millis(500));
    read(&bench.run(&children), "SELECT 1", &[]).unwrap();
}

fn a_run_has_many_results_open_in_one_child() {
    let bench = Bench::new();
    let children = bench.children(1, 30.0);
    let rows = "SELECT i, repeat('x', 300) AS x FROM range(300000) t(i)";
    let run = bench.run(&children);
    let mut open: Vec<_> = (0..3).map(|_| run.reader(rows, &[]).unwrap()).collect();
    run.export("SELECT 1 AS x", &[], "out/nested.parquet").unwrap();
    let other = bench.run(&children);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| read(&other, "SELECT 1", &[]));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!waiting.is_finished(), "there is one child, and a run has it");
        let counts: Vec<usize> = open.iter_mut().map(|result| result.map(Result::unwrap).count()).collect();
        assert!(counts[0] > 3 && counts.iter().all(|count| *count == counts[0]), "{counts:?}");
        // Results that were read to their end hold nothing.
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(children_of(std::process::id()).len(), 1);
}

fn a_result_that_is_dropped_ends_its_query() {
    let bench = Bench::new();
    let children = bench.children(1, 60.0);
    let started = Instant::now();
    for _ in 0..5 {
        let run = bench.run(&children);
        let mut rows = run
            .reader("SELECT i, repeat('x', 300) AS x FROM range(100000000000) t(i)", &[])
            .unwrap();
        rows.next().unwrap().unwrap();
    }
    read(&bench.run(&children), "SELECT 1", &[]).unwrap();
    assert!(started.elapsed() < Duration::from_secs(30));
}

/// A parent that waits for a query that hangs.
fn hold() {
    let bench = Bench::new();
    let children = bench.children(1, 600.0);
    println!("{}", children_of(std::process::id())[0]);
    let _ = read(&bench.run(&children), HANG, &[]);
}

fn children_end_with_their_parent() {
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .arg("hold")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let child = Path::new("/proc").join(line.trim());
    std::thread::sleep(Duration::from_millis(500));
    assert!(child.exists());
    parent.kill().unwrap();
    parent.wait().unwrap();
    let started = Instant::now();
    let is_running = || std::fs::read_to_string(child.join("stat")).is_ok_and(|state| !state.contains(") Z "));
    while is_running() {
        assert!(started.elapsed() < Duration::from_secs(10), "the child goes on without its parent");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Prints what depends on a zone, in this process and in a child.
fn zone() {
    let bench = Bench::new();
    let sql = "SELECT t::TIMESTAMPTZ AS read, t::TIMESTAMPTZ::VARCHAR AS written, date_trunc('day', t::TIMESTAMPTZ) AS day, \
               TIMESTAMP '2025-07-01 12:00:00'::TIMESTAMPTZ AS cast_to, strftime(t::TIMESTAMPTZ, '%c %Z') AS text, \
               hour(t::TIMESTAMPTZ) AS hour FROM (VALUES ('2025-07-01T12:00:00'), ('2025-07-01T12:00:00+02:00'), ('2025-03-30 02:30:00')) v(t)";
    let here = SqlEngine::new(bench.options("here", 60.0)).unwrap();
    let digests = [here, bench.children(1, 60.0)].map(|engine| {
        let run = bench.run(&engine);
        let exported = run.export(sql, &[], "out/zone.parquet").unwrap();
        (exported.digest, Digest::sha256(&read(&run, sql, &[]).unwrap()))
    });
    println!("{digests:?}");
}

fn the_zone_of_the_machine_is_in_no_result() {
    let under = |zone: &str| {
        let output = Command::new(std::env::current_exe().unwrap())
            .arg("zone")
            .env("TZ", zone)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let utc = under("UTC");
    for zone in ["America/New_York", "Asia/Kolkata", "America/St_Johns"] {
        assert_eq!(under(zone), utc, "{zone}");
    }
}
