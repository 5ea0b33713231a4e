//! The engine as a stage uses it: results, escapes, damaged input, determinism.

use std::{
    path::Path,
    slice::from_ref,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_array::{Array, Int64Array, RecordBatch, StringArray};
use tidemill_core::{Digest, Error, ErrorKind, Format, Objects, RunContext, Sql, Table, Trigger};

use tempfile::TempDir;

use super::*;
use crate::{Grants, RunHost, RunSetup, Store};

struct Bench {
    folder: TempDir,
    runtime: tokio::runtime::Runtime,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::local(&folder.path().join("store")).unwrap();
        Self {
            folder,
            runtime: tokio::runtime::Runtime::new().unwrap(),
            store,
        }
    }

    fn host(&self, threads: usize, timeout: f64) -> RunHost {
        self.host_over(self.store.clone(), threads, timeout)
    }

    fn host_over(&self, store: Store, threads: usize, timeout: f64) -> RunHost {
        let options = SqlOptions {
            cache_dir: self.folder.path().join(format!("cache-{threads}")),
            memory_bytes: 512 << 20,
            threads,
            timeout: Duration::from_secs_f64(timeout),
        };
        self.host_with(SqlEngine::new(options).unwrap(), store)
    }

    fn host_with(&self, sql: SqlEngine, store: Store) -> RunHost {
        RunHost::new(RunSetup {
            store,
            sql,
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
                reads: vec!["in/**".into()],
                writes: vec!["out/**".into()],
                fetch: vec![],
            },
            progress: None,
            handle: self.runtime.handle().clone(),
        })
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        assert!(self.store.blocking().create(key, bytes).unwrap() != tidemill_core::PutResult::Conflict);
    }

    /// 250,000 rows with doubles whose sum depends on the order.
    fn rows(&self) -> Table {
        let host = self.host(1, 60.0);
        let sql = "SELECT i AS id, (i * 7919 % 1000003)::DOUBLE / 3 AS x, 'k' || (i % 10) AS k, \
                   TIMESTAMP '2013-01-01' + INTERVAL (i) SECOND AS t FROM range(250000) r(i)";
        host.export(sql, &[], "out/rows.parquet").unwrap();
        self.put("in/rows.parquet", &self.store.blocking().get("out/rows.parquet").unwrap());
        Table::parquet("rows", ["in/rows.parquet"])
    }
}

fn table(name: &str, key: &str, format: Format) -> Table {
    Table {
        name: name.into(),
        keys: vec![key.into()],
        format,
    }
}

fn read(host: &RunHost, sql: &str, tables: &[Table]) -> Result<Vec<RecordBatch>, Error> {
    let mut batches = Vec::new();
    for stream in host.query(sql, tables)? {
        let stream = stream?;
        let reader = arrow_ipc::reader::StreamReader::try_new(std::io::Cursor::new(stream), None).unwrap();
        batches.extend(reader.map(|batch| batch.unwrap()));
    }
    Ok(batches)
}

fn texts(host: &RunHost, sql: &str, tables: &[Table]) -> Vec<String> {
    let cell = |column: &Arc<dyn Array>, row: usize| match column.as_any().downcast_ref::<StringArray>() {
        Some(text) if !text.is_null(row) => text.value(row).to_owned(),
        Some(_) => "NULL".to_owned(),
        None => column
            .as_any()
            .downcast_ref::<Int64Array>()
            .map_or("?".into(), |n| n.value(row).to_string()),
    };
    let rows = |batch: RecordBatch| {
        (0..batch.num_rows())
            .map(move |row| batch.columns().iter().map(|c| cell(c, row)).collect::<Vec<_>>().join("|"))
            .collect::<Vec<_>>()
    };
    read(host, sql, tables).unwrap().into_iter().flat_map(rows).collect()
}

fn error(host: &RunHost, sql: &str, tables: &[Table]) -> Error {
    read(host, sql, tables).expect_err(sql)
}

#[test]
fn rows_come_in_order_and_everything_is_recorded() {
    let bench = Bench::new();
    let rows = bench.rows();
    let host = bench.host(2, 60.0);
    let batches = read(&host, "SELECT id FROM rows WHERE id % 2 = 0", from_ref(&rows)).unwrap();
    let ids: Vec<i64> = batches
        .iter()
        .flat_map(|b| b.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec())
        .collect();
    assert_eq!(ids, (0..250_000).step_by(2).collect::<Vec<i64>>());
    assert_eq!(
        read(&host, "SELECT id FROM rows WHERE false", from_ref(&rows))
            .unwrap()
            .iter()
            .map(RecordBatch::num_rows)
            .sum::<usize>(),
        0
    );
    host.export("SELECT * FROM rows ORDER BY id", &[rows], "out/again.parquet").unwrap();
    let recorded = host.finish();
    assert_eq!(recorded.reads.len(), 1, "{recorded:?}");
    assert_eq!(recorded.outputs[0].key, "out/again.parquet");
}

#[test]
fn exports_are_the_same_on_any_number_of_threads() {
    let bench = Bench::new();
    let rows = bench.rows();
    let sql = "SELECT k, sum(x) AS s, avg(x) AS a, count(*) AS n FROM rows GROUP BY k ORDER BY k";
    let all = "SELECT * FROM rows ORDER BY k, x, id";
    let digests = |threads| {
        let host = bench.host(threads, 60.0);
        let one = host.export(sql, from_ref(&rows), "out/groups.parquet").unwrap();
        let two = host.export(all, from_ref(&rows), "out/all.parquet").unwrap();
        assert_eq!((one.rows, two.rows), (10, 250_000));
        (one.digest, two.digest)
    };
    // The second export must give the same bytes, or the create-only write fails.
    assert_eq!(digests(1), digests(2));
    let sums = |threads| {
        format!(
            "{:?}",
            read(&bench.host(threads, 60.0), "SELECT sum(x), avg(x) FROM rows", from_ref(&rows)).unwrap()
        )
    };
    assert_eq!(sums(1), sums(2));
    let host = bench.host(2, 60.0);
    let conflict = host.export("SELECT 1 AS x", &[], "out/all.parquet").unwrap_err();
    assert!(conflict.message.contains("exists with other content"), "{conflict}");
    assert_eq!(host.export("SELECT 1 AS x WHERE false", &[], "out/none.parquet").unwrap().rows, 0);
}

#[test]
fn every_escape_is_refused() {
    let bench = Bench::new();
    let rows = bench.rows();
    let secret = bench.folder.path().join("secret.csv");
    std::fs::write(&secret, "a\n1\n").unwrap();
    let path = secret.to_string_lossy();
    let host = bench.host(2, 60.0);
    for (sql, message) in [
        (format!("SELECT * FROM '{path}'"), "none of its tables"),
        (format!("SELECT * FROM \"{path}\""), "none of its tables"),
        ("SELECT * FROM 'https://example.org/x.parquet'".into(), "none of its tables"),
        (format!("SELECT * FROM read_csv('{path}')"), "table function `read_csv`"),
        (format!("SELECT * FROM rows, read_text('{path}')"), "table function `read_text`"),
        (
            format!("WITH q AS (SELECT * FROM read_blob('{path}')) SELECT * FROM q"),
            "table function `read_blob`",
        ),
        (
            format!("SELECT (SELECT count(*) FROM read_parquet('{path}'))"),
            "table function `read_parquet`",
        ),
        ("SELECT * FROM glob('/*')".into(), "table function `glob`"),
        (format!("SELECT * FROM sniff_csv('{path}')"), "table function `sniff_csv`"),
        (
            format!("SELECT * FROM parquet_metadata('{path}')"),
            "table function `parquet_metadata`",
        ),
        (format!("SELECT * FROM query('FROM ''{path}''')"), "table function `query`"),
        (format!("SELECT * FROM query_table('{path}')"), "table function `query_table`"),
        ("SELECT * FROM duckdb_settings()".into(), "table function `duckdb_settings`"),
        ("SELECT * FROM information_schema.tables".into(), "none of its tables"),
        ("SELECT * FROM other".into(), "which are `rows`"),
        (format!("COPY rows TO '{path}'"), "exactly one SELECT"),
        (format!("COPY (SELECT 1) TO '{path}'"), "exactly one SELECT"),
        (format!("ATTACH '{path}' AS x"), "exactly one SELECT"),
        ("INSTALL httpfs".into(), "exactly one SELECT"),
        ("LOAD httpfs".into(), "exactly one SELECT"),
        ("SET threads = 8".into(), "exactly one SELECT"),
        ("PRAGMA database_list".into(), "exactly one SELECT"),
        ("CREATE TABLE x AS SELECT 1".into(), "exactly one SELECT"),
        ("DROP VIEW rows".into(), "exactly one SELECT"),
        ("EXPORT DATABASE '/tmp/x'".into(), "exactly one SELECT"),
        (format!("SELECT 1; COPY rows TO '{path}'"), "exactly one SELECT"),
        ("SELECT 1; SELECT 2".into(), "exactly one SELECT"),
        ("".into(), "exactly one SELECT"),
        ("SELEC 1".into(), "cannot be parsed"),
        ("SELECT getenv('HOME')".into(), "`getenv` does not exist"),
        ("SELECT current_setting('memory_limit')".into(), "the machine"),
        ("SELECT now()".into(), "the clock"),
        ("SELECT current_date".into(), "`current_date`: it sees the clock"),
        ("SELECT localtime FROM rows".into(), "`localtime`: it sees the clock"),
        ("SELECT user".into(), "`user`: it sees the machine"),
        ("SELECT age(t) FROM rows".into(), "`age` with one argument"),
        ("SELECT CURRENT_TIMESTAMP".into(), "the clock"),
        ("SELECT id FROM rows ORDER BY random()".into(), "chance"),
        ("SELECT * FROM rows USING SAMPLE 10".into(), "SAMPLE"),
        ("SELECT * FROM rows WHERE id = ?".into(), "parameters"),
    ] {
        let error = error(&host, &sql, from_ref(&rows));
        assert!(error.message.contains(message), "{sql}: {error}");
        assert!(matches!(error.kind, ErrorKind::Config), "{sql}: {:?}", error.kind);
    }
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "a\n1\n");
    assert_eq!(
        texts(
            &host,
            "WITH q AS (SELECT k FROM rows) SELECT count(*) FROM q, range(2)",
            from_ref(&rows)
        ),
        ["500000"]
    );
    let error = error(&host, "SELECT 1", &[Table::parquet("x", ["secret/x.parquet"])]);
    assert!(
        error.kind == ErrorKind::Denied && error.message.contains("may not read `secret/x.parquet`"),
        "{error}"
    );
}

/// The second line of defence, in case the guard lets something through.
#[test]
fn the_instance_itself_is_locked() {
    let bench = Bench::new();
    let secret = bench.folder.path().join("secret.csv");
    std::fs::write(&secret, "a\n1\n").unwrap();
    let options = SqlOptions {
        cache_dir: bench.folder.path().join("cache"),
        memory_bytes: 64 << 20,
        threads: 1,
        timeout: Duration::from_secs(9),
    };
    let engine = SqlEngine::new(options).unwrap();
    let Place::Here(instances) = &engine.inner.place else {
        unreachable!()
    };
    for connection in [instances.session(false).unwrap(), instances.session(true).unwrap()] {
        check_lock(&connection, &engine, &bench, &secret);
    }
}

fn check_lock(connection: &session::Session, engine: &SqlEngine, bench: &Bench, secret: &Path) {
    for sql in [
        format!("SELECT * FROM read_csv('{}')", secret.display()),
        format!(
            "SELECT * FROM read_text('{}')",
            engine.inner.cache.dir().join("../../secret.csv").display()
        ),
        format!("COPY (SELECT 1) TO '{}'", secret.display()),
        format!("ATTACH '{}'", bench.folder.path().join("x.db").display()),
        "SET enable_external_access = true".into(),
        "SET lock_configuration = false".into(),
        "SET threads = 4".into(),
        "INSTALL httpfs".into(),
        "LOAD httpfs".into(),
    ] {
        assert!(connection.execute_batch(&sql).is_err(), "{sql}");
    }
}

/// A connection of a query is not the one that the settings were made on.
#[test]
fn settings_hold_for_every_connection() {
    let bench = Bench::new();
    let options = SqlOptions {
        cache_dir: bench.folder.path().join("cache"),
        memory_bytes: 128 << 20,
        threads: 2,
        timeout: Duration::from_secs(9),
    };
    let engine = SqlEngine::new(options).unwrap();
    let Place::Here(instances) = &engine.inner.place else {
        unreachable!()
    };
    for session in [instances.session(false).unwrap(), instances.session(true).unwrap()] {
        for (name, value) in [
            ("TimeZone", "UTC"),
            ("memory_limit", "128.0 MiB"),
            ("preserve_insertion_order", "true"),
            ("parquet_metadata_cache", "true"),
            ("errors_as_json", "false"),
            ("enable_external_access", "false"),
            ("lock_configuration", "true"),
        ] {
            let sql = format!("SELECT current_setting('{name}')::VARCHAR");
            let found: String = session.query_row(&sql, [], |row| row.get(0)).unwrap();
            assert_eq!(found, value, "{name}");
        }
    }
}

/// A column may have the name of a word that DuckDB would otherwise call.
#[test]
fn columns_with_the_names_of_calls_can_be_selected() {
    let bench = Bench::new();
    let host = bench.host(1, 60.0);
    for (word, _) in functions::CALLS_WITHOUT_PARENTHESES {
        let sql = format!("SELECT {word} FROM (SELECT 7::BIGINT AS {word})");
        assert_eq!(texts(&host, &sql, &[]), ["7"], "{word}");
        let refused = error(&host, &format!("SELECT {word}"), &[]);
        assert!(refused.kind == ErrorKind::Config && refused.message.contains(word), "{refused}");
    }
}

#[test]
fn long_sums_run() {
    let bench = Bench::new();
    let host = bench.host(1, 60.0);
    let sum = |terms: usize| format!("SELECT ({})::BIGINT FROM (SELECT 2 AS x)", vec!["x"; terms].join(" + "));
    assert_eq!(texts(&host, &sum(500), &[]), ["1000"]);
    assert_eq!(texts(&host, &sum(990), &[]), ["1980"]);
    let text = format!("SELECT {} FROM (SELECT 'ab' AS x)", vec!["x"; 500].join(" || "));
    assert_eq!(texts(&host, &text, &[]), ["ab".repeat(500)]);
    assert_eq!(host.export(&sum(500), &[], "out/sum.parquet").unwrap().rows, 1);
    assert!(error(&host, &sum(1500), &[]).message.contains("1000 levels"));
}

/// Where the project lies is in no value: DuckDB would read `name=value` in a path as a column.
#[test]
fn a_folder_with_an_equals_sign_is_no_column() {
    let bench = Bench::new();
    let rows = bench.rows();
    bench.put("in/a.csv", b"id,site\n1,north\n");
    bench.put("in/b.jsonl", b"{\"id\":1,\"site\":\"north\"}\n");
    let options = SqlOptions {
        cache_dir: bench.folder.path().join("env=prod/site=south/k=7"),
        memory_bytes: 512 << 20,
        threads: 1,
        timeout: Duration::from_secs(60),
    };
    let host = bench.host_with(SqlEngine::new(options).unwrap(), bench.store.clone());
    for (key, format) in [("in/a.csv", Format::Csv), ("in/b.jsonl", Format::JsonLines)] {
        assert_eq!(texts(&host, "SELECT * FROM t", &[table("t", key, format)]), ["1|north"]);
    }
    assert_eq!(texts(&host, "SELECT * EXCLUDE (t, x) FROM rows LIMIT 1", &[rows]), ["0|k0"]);
}

#[test]
fn csv_is_text_and_ragged_rows_are_kept_apart() {
    let bench = Bench::new();
    bench.put("in/a.csv", "\u{feff}id,name\n1,é\n2\n3,\"x, y\"\n4,a,b\n5,\n".as_bytes());
    let host = bench.host(2, 60.0);
    let a = table("a", "in/a.csv", Format::Csv);
    assert_eq!(texts(&host, "SELECT * FROM a", from_ref(&a)), ["1|é", "3|x, y", "5|NULL"]);
    let rejects = texts(&host, "SELECT line, raw FROM a__rejects", from_ref(&a));
    assert_eq!(rejects, ["3|2", "5|4,a,b"]);
    let reasons = texts(&host, "SELECT reason FROM a__rejects", &[a]);
    assert!(reasons[0].contains("Expected Number of Columns: 2"), "{reasons:?}");
}

#[test]
fn damaged_input_names_the_object() {
    let bench = Bench::new();
    let rows = bench.rows();
    let whole = bench.store.blocking().get("in/rows.parquet").unwrap();
    bench.put("in/cut.parquet", &whole[..whole.len() / 2]);
    bench.put("in/foreign.parquet", b"id,name\n1,2\n");
    bench.put("in/empty.parquet", b"");
    bench.put("in/empty.csv", b"");
    bench.put("in/latin.csv", b"id,name\n1,ok\n2,caf\xe9\n");
    bench.put("in/bad.jsonl", b"{\"a\":1}\n{\"a\":\n");
    let host = bench.host(2, 60.0);
    for (key, format, message) in [
        ("in/cut.parquet", Format::Parquet, "not a whole Parquet file"),
        ("in/foreign.parquet", Format::Parquet, "not a whole Parquet file"),
        ("in/empty.parquet", Format::Parquet, "not a whole Parquet file"),
        ("in/empty.csv", Format::Csv, "is empty"),
        ("in/latin.csv", Format::Csv, "0xE9 in line 3"),
        ("in/bad.jsonl", Format::JsonLines, "in/bad.jsonl"),
    ] {
        let error = error(&host, "SELECT count(*), max(COLUMNS(*)) FROM t", &[table("t", key, format)]);
        assert!(error.message.contains(message) && error.message.contains(key), "{key}: {error}");
        assert!(!error.message.contains("cache-"), "{key}: {error}");
        assert_eq!(error.kind, ErrorKind::Input, "{key}: {error}");
    }
    let missing = error(&host, "SELECT * FROM t", &[Table::parquet("t", ["in/none.parquet"])]);
    assert_eq!(missing.kind, ErrorKind::NotFound);
    let column = error(&host, "SELECT nothing FROM rows", &[rows]);
    assert!(column.kind == ErrorKind::Config && column.message.contains("nothing"), "{column}");
}

#[test]
fn json_lines_are_read_over_all_files() {
    let bench = Bench::new();
    bench.put("in/a.jsonl", b"{\"a\":1}\n{\"a\":2,\"b\":\"x\"}\n");
    bench.put("in/b.jsonl", b"{\"a\":3,\"b\":\"y\"}\n");
    let host = bench.host(2, 60.0);
    let both = Table {
        name: "t".into(),
        keys: vec!["in/b.jsonl".into(), "in/a.jsonl".into()],
        format: Format::JsonLines,
    };
    assert_eq!(texts(&host, "SELECT a, b FROM t", &[both]), ["3|y", "1|NULL", "2|x"]);
}

/// The value in one row does not change how another row is read.
#[test]
fn json_lines_stay_as_they_were_written() {
    let bench = Bench::new();
    let lines = [
        r#"{"text": "A7", "date": "2024-1-6", "big": 9007199254740993, "time": "12:30:00", "at": "2024-01-01T00:00:00+02:00", "list": [1], "deep": {"at": "2024-01-01T00:00:00+02:00"}}"#,
        r#"{"text": 7, "date": "2024-01-06", "big": 1.5, "time": "x", "at": "2024-01-01", "list": []}"#,
        r#"{"text": null, "big": 123456789012345678901234567890, "empty": ""}"#,
    ];
    bench.put("in/a.jsonl", lines.join("\n").as_bytes());
    let host = bench.host(2, 60.0);
    let sql = "SELECT text, \"date\", big, \"time\", \"at\", list[1]::VARCHAR, empty, deep['at'] FROM t";
    assert_eq!(
        texts(&host, sql, &[table("t", "in/a.jsonl", Format::JsonLines)]),
        [
            "A7|2024-1-6|9007199254740993|12:30:00|2024-01-01T00:00:00+02:00|1|NULL|2024-01-01T00:00:00+02:00",
            "7|2024-01-06|1.5|x|2024-01-01|NULL|NULL|NULL",
            "NULL|NULL|123456789012345678901234567890|NULL|NULL|NULL||NULL",
        ]
    );
}

#[test]
fn json_names_that_only_capitals_tell_apart_are_refused() {
    let bench = Bench::new();
    bench.put("in/twins.jsonl", b"{\"a\":1}\n{\"A\":2}\n");
    bench.put("in/none.jsonl", b"{\"a\":1,\"\":2}\n");
    bench.put("in/real.jsonl", b"{\"a\":1,\"a_1\":2,\"C7\":3}\n");
    let host = bench.host(2, 60.0);
    for (key, name) in [("in/twins.jsonl", "`A_1`"), ("in/none.jsonl", "`C1`")] {
        let error = error(&host, "SELECT * FROM t", &[table("t", key, Format::JsonLines)]);
        assert!(error.kind == ErrorKind::Input && error.message.contains(name), "{error}");
    }
    let real = table("t", "in/real.jsonl", Format::JsonLines);
    assert_eq!(texts(&host, "SELECT a, a_1, \"C7\" FROM t", &[real]), ["1|2|3"]);
}

/// An unclosed quote would swallow the rows after it, with one reject or none.
#[test]
fn a_quote_that_leads_astray_is_said() {
    let bench = Bench::new();
    let rows = |from: usize, to: usize| (from..to).map(|n| format!("{n},x\n")).collect::<String>();
    bench.put(
        "in/open.csv",
        format!("a,b\n{}50,\"open\n{}", rows(0, 50), rows(51, 9000)).as_bytes(),
    );
    bench.put("in/cut.csv", b"a,b\n1,x\n2,\"open");
    let host = bench.host(2, 60.0);
    let error = error(&host, "SELECT * FROM t", &[table("t", "in/open.csv", Format::Csv)]);
    assert!(
        error.kind == ErrorKind::Input
            && error
                .message
                .contains("`in/open.csv` opens a quote in line 52 that is never closed"),
        "{error}"
    );
    let cut = table("t", "in/cut.csv", Format::Csv);
    assert_eq!(texts(&host, "SELECT count(*) FROM t__rejects", &[cut]), ["1"]);
}

#[test]
fn a_query_that_takes_too_long_is_stopped() {
    let bench = Bench::new();
    let host = bench.host(1, 0.3);
    let started = Instant::now();
    let sql = "SELECT count(*) FROM range(100000000000) a(i) WHERE hash(i) % 7 = 9";
    let error = error(&host, sql, &[]);
    assert!(
        error.kind == ErrorKind::Timeout && error.message.contains("longer than its 0.3 seconds"),
        "{error}"
    );
    let error = host.export(sql, &[], "out/slow.parquet").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout, "{error}");
    assert!(started.elapsed() < Duration::from_secs(20));
    let error = read(&host, "SELECT list(range(i, i + 100000)) FROM range(100000) a(i)", &[]).unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Limit | ErrorKind::Timeout), "{error}");
}

#[test]
fn memory_stores_are_read_too_and_large_results_come_in_pieces() {
    let bench = Bench::new();
    let rows = bench.rows();
    let memory = Store::memory();
    memory
        .blocking()
        .create("in/rows.parquet", &bench.store.blocking().get("in/rows.parquet").unwrap())
        .unwrap();
    let host = bench.host_over(memory, 2, 60.0);
    assert_eq!(texts(&host, "SELECT count(*) FROM rows", from_ref(&rows)), ["250000"]);
    let mut streams = 0;
    for stream in host.query("SELECT repeat('x', 300) AS s FROM rows", &[rows]).unwrap() {
        assert!(stream.unwrap().len() <= 64 << 20);
        streams += 1;
    }
    assert!(streams > 3, "{streams}");
}

#[test]
fn a_file_edited_in_place_is_read_anew() {
    let bench = Bench::new();
    let path = bench.folder.path().join("store/in");
    std::fs::create_dir_all(&path).unwrap();
    let write = |text: &str| std::fs::write(Path::new(&path).join("a.csv"), text).unwrap();
    let a = table("a", "in/a.csv", Format::Csv);
    write("x\n1\n");
    assert_eq!(texts(&bench.host(1, 60.0), "SELECT * FROM a", from_ref(&a)), ["1"]);
    write("x\n23\n");
    assert_eq!(texts(&bench.host(1, 60.0), "SELECT * FROM a", &[a]), ["23"]);
}

#[test]
fn objects_of_the_same_content_do_not_disturb_each_other() {
    let bench = Bench::new();
    let memory = Store::memory();
    let keys: Vec<String> = (0..40).map(|number| format!("in/{number}.csv")).collect();
    for (number, key) in keys.iter().enumerate() {
        bench.put(key, b"x\n1\n");
        memory.blocking().create(key, b"x\n1\n").unwrap();
        // Modification times one second apart.
        let file = std::fs::File::options()
            .write(true)
            .open(bench.folder.path().join("store").join(key));
        let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + number as u64);
        file.unwrap().set_modified(time).unwrap();
    }
    let all = Table {
        keys,
        ..table("all_of_them", "in/0.csv", Format::Csv)
    };
    let sum = "SELECT sum(CAST(x AS INTEGER))::BIGINT FROM all_of_them";
    for store in [bench.store.clone(), memory] {
        assert_eq!(texts(&bench.host_over(store, 1, 60.0), sum, from_ref(&all)), ["40"]);
    }
}

/// Rows converted from text count towards the limit like their source, and are removed like it.
#[test]
fn a_small_disk_is_enough_for_any_number_of_files() {
    const ROOM: u64 = 8 << 10;
    let bench = Bench::new();
    let cache_dir = bench.folder.path().join("small");
    let options = SqlOptions {
        cache_dir: cache_dir.clone(),
        memory_bytes: 512 << 20,
        threads: 1,
        timeout: Duration::from_secs(60),
    };
    let engine = SqlEngine::open_here(&options, || ROOM).unwrap();
    for number in 0..40 {
        let (csv, lines) = (format!("in/{number}.csv"), format!("in/{number}.jsonl"));
        bench.put(&csv, format!("x\n{number}\n").as_bytes());
        bench.put(&lines, format!("{{\"y\": {number}}}\n").as_bytes());
        let host = bench.host_with(engine.clone(), bench.store.clone());
        let tables = [table("a", &csv, Format::Csv), table("b", &lines, Format::JsonLines)];
        let sql = "SELECT x || '-' || y FROM a, b";
        assert_eq!(texts(&host, sql, &tables), [format!("{number}-{number}")]);
    }
    let folder = engine.inner.cache.dir().to_owned();
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap());
    let bytes: u64 = files.filter(|data| data.is_file()).map(|data| data.len()).sum();
    assert!((1..ROOM + 4096).contains(&bytes), "{bytes} bytes in the cache");
    drop(engine);
    assert_eq!(std::fs::read_dir(cache_dir).unwrap().count(), 0, "the cache outlived its engine");
}

/// Twenty checks over a million rows: run with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn speed() {
    let bench = Bench::new();
    let host = bench.host(2, 60.0);
    let sql = "SELECT i AS id, (i * 7919 % 1000003)::DOUBLE / 3 AS x, i % 100 AS a, 'k' || (i % 10) AS k FROM range(1000000) r(i)";
    host.export(sql, &[], "out/m.parquet").unwrap();
    bench.put("in/m.parquet", &bench.store.blocking().get("out/m.parquet").unwrap());
    let checks: Vec<String> = (0..20)
        .map(|n| format!("count(*) FILTER (WHERE x > {n} AND a <> {n} AND k IS NOT NULL)"))
        .collect();
    let sql = format!("SELECT {} FROM m", checks.join(", "));
    for _ in 0..4 {
        let started = Instant::now();
        read(&host, &sql, &[Table::parquet("m", ["in/m.parquet"])]).unwrap();
        println!("20 checks over 1 M rows: {:?}", started.elapsed());
    }
    let started = Instant::now();
    read(&host, "SELECT 1", &[]).unwrap();
    println!("smallest query: {:?}", started.elapsed());
}

/// A query that fails closes its connection while its reader is dropped, which interrupts it.
#[test]
fn an_interrupt_never_meets_a_closed_connection() {
    let bench = Bench::new();
    let host = bench.host(2, 60.0);
    let rows = bench.rows();
    for _ in 0..300 {
        error(&host, "SELECT id, error('no') FROM rows", std::slice::from_ref(&rows));
    }
}

#[test]
fn a_row_knows_the_place_of_its_object() {
    let bench = Bench::new();
    let host = bench.host(2, 60.0);
    for (name, sql) in [
        ("a", "SELECT 1 AS id, 'a' AS x"),
        ("b", "SELECT 1 AS id, 'b' AS x, 2.5::DOUBLE AS more"),
    ] {
        host.export(sql, &[], &format!("out/{name}.parquet")).unwrap();
        let bytes = bench.store.blocking().get(&format!("out/{name}.parquet")).unwrap();
        bench.put(&format!("in/{name}.parquet"), &bytes);
    }
    let table = Table::parquet("t", ["in/b.parquet", "in/a.parquet", "in/b.parquet"]);
    let rows = texts(&host, "SELECT _file, x FROM T__Numbered ORDER BY _file", from_ref(&table));
    assert_eq!(rows, ["0|b", "1|a", "2|b"]);
    let both = "SELECT n.x FROM t__numbered n JOIN t USING (id, x) WHERE n._file = 1";
    assert_eq!(texts(&host, both, from_ref(&table)), ["a"]);
    assert_eq!(texts(&host, "SELECT count(*) FROM t WHERE more IS NULL", &[table]), ["1"]);
}

#[test]
fn a_column_that_hides_the_place_is_refused() {
    let bench = Bench::new();
    let host = bench.host(1, 60.0);
    for column in ["file_index", "_file"] {
        let (file, key) = (format!("out/{column}.parquet"), format!("in/{column}.parquet"));
        host.export(&format!("SELECT 7 AS {column}"), &[], &file).unwrap();
        bench.put(&key, &bench.store.blocking().get(&file).unwrap());
        let table = Table::parquet("t", [key.as_str()]);
        assert_eq!(texts(&host, &format!("SELECT {column}::BIGINT FROM t"), from_ref(&table)), ["7"]);
        let error = error(&host, "SELECT * FROM t__numbered", &[table]);
        assert!(error.message.contains("`t` has a column `file_index` or `_file`"), "{error}");
    }
}
