//! Twenty checks on a million rows: the stage's queries one by one, and the same twenty counts in one handwritten scan.

use std::{
    cell::RefCell,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tidemill_core::{Batches, Digest, ExportedFile, FetchResponse, Host, Level, Objects, RunContext, Sql, Stage as _, Table, Trigger};
use tidemill_host::{Grants, RunHost, RunSetup, SqlEngine, SqlOptions, Store};
use tidemill_validate::{Config, Validate};

use crate::Arguments;

const ROWS: u64 = 1_000_000;
const THREADS: usize = 2;
/// The same counts as one handwritten query.
const BY_HAND: &str = include_str!("twenty.sql");
const CONTRACT: &str = include_str!("twenty.toml");

pub(crate) fn run(arguments: &Arguments) -> Result<serde_json::Value> {
    std::fs::create_dir_all(&arguments.dir)?;
    let folder = tempfile::tempdir_in(&arguments.dir)?;
    let store = Store::local(&folder.path().join("store"))?;
    let file = folder.path().join("million.parquet");
    make(&file)?;
    let hand = by_hand(&file)?;
    let bytes = std::fs::read(&file)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let trigger = Trigger {
        key: "raw/million/million.parquet".into(),
        digest: Digest::sha256(&bytes),
    };
    runtime.block_on(store.create(&trigger.key, bytes.into()))?;
    let sql = SqlEngine::new(SqlOptions {
        cache_dir: folder.path().join("cache"),
        memory_bytes: 4 << 30,
        threads: THREADS,
        timeout: Duration::from_secs(300),
    })?;
    let host = TimedSql {
        inner: host(store, sql, trigger.clone(), runtime.handle().clone()),
        took: RefCell::default(),
    };
    let contract: serde_json::Value = toml::from_str(CONTRACT)?;
    let config = Config {
        dataset: serde_json::from_value(json!({ "name": "million", "time": "at", "key": [], "contract": contract }))?,
    };
    let start = Instant::now();
    let outcome = Validate::run(&trigger, config, &host)?;
    let whole = start.elapsed();
    ensure!(
        outcome.decision == tidemill_core::Decision::Done,
        "validate decided {:?}: {}",
        outcome.decision,
        outcome.reason
    );
    let took = host.took.into_inner();
    // The first query reads the header; the second counts all checks.
    let checks = took.get(1).context("`validate` ran fewer than two queries")?.1;
    let ratio = checks.as_secs_f64() / hand.as_secs_f64();
    println!(
        "validate: {ROWS} rows, 20 checks: {:.3} s where one scan by hand takes {:.3} s, {ratio:.1} times (aim: 3)",
        checks.as_secs_f64(),
        hand.as_secs_f64()
    );
    println!(
        "  the whole stage: {:.2} s, {:.0} rows/s",
        whole.as_secs_f64(),
        ROWS as f64 / whole.as_secs_f64()
    );
    for (what, time) in &took {
        println!("  {:7.3} s  {what}", time.as_secs_f64());
    }
    Ok(
        json!({ "rows": ROWS, "checks_seconds": checks.as_secs_f64(), "by_hand_seconds": hand.as_secs_f64(), "ratio": ratio,
               "stage_seconds": whole.as_secs_f64(), "rows_per_second": ROWS as f64 / whole.as_secs_f64() }),
    )
}

/// Writes a million orders without errors.
fn make(file: &Path) -> Result<()> {
    let connection = duckdb::Connection::open_in_memory()?;
    connection.execute_batch(&format!(
        "COPY (SELECT i AS id, TIMESTAMP '2024-01-01' + to_seconds(i) AS at, (i * 7919) % 100000 AS customer,
             ['card', 'cash', 'transfer'][1 + i % 3] AS paid_by, (i % 50) + 1 AS items, (i * 37 % 100000) / 100.0::DOUBLE AS price,
             CASE WHEN i % 10 = 0 THEN NULL ELSE (i % 70) / 100.0::DOUBLE END AS discount, 'C' || lpad(CAST(i % 1000 AS VARCHAR), 4, '0') AS code,
             (i % 180) - 90.0::DOUBLE AS latitude, (i % 360) - 180.0::DOUBLE AS longitude
         FROM range({ROWS}) AS r(i)) TO '{}' (FORMAT parquet)",
        file.display()
    ))?;
    Ok(())
}

/// The best of five runs.
fn by_hand(file: &Path) -> Result<Duration> {
    let connection = duckdb::Connection::open_in_memory()?;
    connection.execute_batch(&format!("SET threads = {THREADS}"))?;
    let sql = BY_HAND.replace("$file", &format!("'{}'", file.display()));
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        let mut statement = connection.prepare(&sql)?;
        let rows: i64 = statement.query_row([], |row| row.get(0))?;
        ensure!(rows as u64 == ROWS, "{rows} rows were scanned");
        best = best.min(start.elapsed());
    }
    Ok(best)
}

fn host(store: Store, sql: SqlEngine, trigger: Trigger, handle: tokio::runtime::Handle) -> RunHost {
    RunHost::new(RunSetup {
        store,
        sql,
        context: RunContext {
            as_of: jiff::Timestamp::UNIX_EPOCH,
            seed: 0,
            run_key: "0".repeat(32),
            resource: "million".into(),
        },
        trigger,
        grants: Grants {
            reads: vec!["raw/**".into()],
            writes: vec!["datasets/**".into(), "quarantine/**".into()],
            fetch: vec![],
        },
        progress: None,
        handle,
    })
}

/// A host that records the duration of each query, to its last row.
struct TimedSql {
    inner: RunHost,
    took: RefCell<Vec<(String, Duration)>>,
}

impl TimedSql {
    fn note(&self, sql: &str, start: Instant) {
        let end = sql.char_indices().rev().nth(60).map_or(0, |(at, _)| at);
        let what = format!("{} … {}", sql.chars().take(30).collect::<String>(), &sql[end..]).replace('\n', " ");
        self.took.borrow_mut().push((what, start.elapsed()));
    }
}

impl Sql for TimedSql {
    fn query<'a>(&'a self, sql: &str, tables: &[Table]) -> tidemill_core::Result<Batches<'a>> {
        let start = Instant::now();
        let all: Vec<_> = self.inner.sql().query(sql, tables)?.collect();
        self.note(sql, start);
        Ok(Box::new(all.into_iter()))
    }

    fn export(&self, sql: &str, tables: &[Table], key: &str) -> tidemill_core::Result<ExportedFile> {
        let start = Instant::now();
        let exported = self.inner.sql().export(sql, tables, key);
        self.note(sql, start);
        exported
    }
}

impl Host for TimedSql {
    fn context(&self) -> &RunContext {
        self.inner.context()
    }
    fn objects(&self) -> &dyn Objects {
        self.inner.objects()
    }
    fn sql(&self) -> &dyn Sql {
        self
    }
    fn report_progress(&self, fraction: f64, message: &str) {
        self.inner.report_progress(fraction, message);
    }
    fn log(&self, level: Level, message: &str) {
        self.inner.log(level, message);
    }
    fn fetch(&self, url: &str, headers: &[(String, String)]) -> tidemill_core::Result<FetchResponse> {
        self.inner.fetch(url, headers)
    }
}
