//! Files that are put, posted and dropped. Each gets an outcome; bad rows are kept with their reason; a part is whole or not there.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use tidemill_core::{
    Decision,
    record::{DataFile, OutcomeRecord},
};
use tidemill_harness::{http::Connection, server::Server};
use tidemill_tests::{prediction_log, small, trained};

use super::fails;

/// A file, what is decided about it, what its outcome must say, and the reasons in its quarantine.
struct File {
    name: &'static str,
    bytes: Vec<u8>,
    decision: Decision,
    says: &'static [&'static str],
    reasons: &'static [&'static str],
}

fn file(name: &'static str, bytes: impl Into<Vec<u8>>, decision: Decision, says: &'static [&'static str]) -> File {
    File {
        name,
        bytes: bytes.into(),
        decision,
        says,
        reasons: &[],
    }
}

/// Forty rows of one day, each day's keys its own; `change` sees line and number.
fn rows(day: u64, change: impl Fn(usize, &str) -> String) -> String {
    let text = small::csv(&small::day(day)[..40]);
    let lines = text.lines().enumerate();
    lines
        .map(|(n, line)| if n == 0 { line.to_owned() } else { change(n, line) } + "\n")
        .collect()
}

fn replaced(line: &str, column: usize, with: &str) -> String {
    let mut cells: Vec<&str> = line.split(',').collect();
    cells[column] = with;
    cells.join(",")
}

fn texts() -> Vec<File> {
    use Decision::{Done, Rejected};
    let good = |n: usize, line: &str, bad: &dyn Fn(usize) -> bool, with: &str| {
        if bad(n) { replaced(line, 2, with) } else { line.to_owned() }
    };
    let wide: Vec<u8> = rows(10, |_, l| l.to_owned()).encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        file("good.csv", rows(11, |_, l| l.to_owned()), Done, &["40 good rows, 0 in quarantine"]),
        file(
            "header.csv",
            rows(12, |_, l| l.to_owned()).replacen("level,speed", "levle,speed", 1),
            Rejected,
            &["`level` missing", "`levle` not in the contract"],
        ),
        File {
            reasons: &["not CSV: "],
            ..file(
                "ragged.csv",
                rows(13, |n, l| if n == 7 { format!("{l},1,2") } else { l.to_owned() }),
                Done,
                &["39 good rows, 1 in quarantine", "line 8"],
            )
        },
        File {
            reasons: &["`speed` is no DOUBLE"],
            ..file(
                "number.csv",
                rows(14, |n, l| if n == 7 { replaced(l, 4, "fast") } else { l.to_owned() }),
                Done,
                &["39 good rows, 1 in quarantine", "first `fast`"],
            )
        },
        file(
            "latin.csv",
            rows(15, |_, l| l.to_owned())
                .replace("west", "w\u{e9}st")
                .chars()
                .map(|c| c as u8)
                .collect::<Vec<u8>>(),
            Rejected,
            &["is not UTF-8: byte 0xE9 in line", "save it as UTF-8"],
        ),
        file("wide.csv", [vec![0xFF, 0xFE], wide].concat(), Rejected, &["UTF-16"]),
        file(
            "header-only.csv",
            rows(16, |_, _| String::new()).lines().next().unwrap_or_default(),
            Rejected,
            &["the file has no rows"],
        ),
        file("empty.csv", "", Rejected, &["`raw/readings/empty.csv` is empty"]),
        File {
            reasons: &["`site` is none of north, south, west"; 4],
            ..file(
                "tenth.csv",
                rows(17, |n, l| good(n, l, &|n| n % 10 == 0, "east")),
                Done,
                &["36 good rows, 4 in quarantine", "first `east`"],
            )
        },
        File {
            reasons: &["`site` is none of north, south, west"; 40],
            ..file(
                "all.csv",
                rows(18, |n, l| good(n, l, &|_| true, "east")),
                Rejected,
                &["all 40 rows are bad"],
            )
        },
        file(
            "open-quote.csv",
            rows(19, |n, l| if n == 7 { replaced(l, 2, "\"west") } else { l.to_owned() }),
            Rejected,
            &["opens a quote in line 8 that is never closed"],
        ),
        file(
            "line-ends.csv",
            rows(20, |n, l| if n % 2 == 0 { format!("{l}\r") } else { l.to_owned() }),
            Rejected,
            &["`raw/readings/line-ends.csv` cannot be cut into lines", "dos2unix"],
        ),
        File {
            reasons: &["`id` is no BIGINT"],
            ..file(
                "whole.csv",
                rows(21, |n, l| {
                    if n == 7 {
                        replaced(l, 0, "9007199254740993.5")
                    } else {
                        l.to_owned()
                    }
                }),
                Done,
                &["39 good rows, 1 in quarantine", "first `9007199254740993.5`"],
            )
        },
        file("lines.jsonl", "{\"id\": 1, \"at\": \n{]\n", Rejected, &["cannot be read"]),
    ]
}

/// What was decided about an object.
fn outcome(server: &Server, key: &str) -> Result<OutcomeRecord> {
    for outcome in server.keys("outcomes/validate/readings/")? {
        if let Some(record) = server.json::<OutcomeRecord>(&outcome)?.filter(|record| record.trigger.key == key) {
            return Ok(record);
        }
    }
    anyhow::bail!("`{key}` has no outcome")
}

fn judge(server: &Server, file: &File) -> Result<()> {
    let record = outcome(server, &format!("raw/readings/{}", file.name))?;
    let said = std::iter::once(&record.reason).chain(record.findings.iter().map(|f| &f.message));
    let said = said.cloned().collect::<Vec<_>>().join("\n");
    ensure!(record.decision == file.decision, "{} is {:?}: {said}", file.name, record.decision);
    for part in file.says {
        ensure!(said.contains(part), "{}: nothing says `{part}` but {said}", file.name);
    }
    let quarantine = record.outputs.iter().find(|output| output.key.starts_with("quarantine/"));
    let reasons = match quarantine {
        Some(output) => prediction_log::texts(server, output.key.trim_end_matches("rejected.parquet"), "_reasons")?,
        None => Vec::new(),
    };
    let expected = reasons.len() == file.reasons.len() && reasons.iter().zip(file.reasons).all(|(found, start)| found.starts_with(start));
    ensure!(expected, "{}: the quarantine's reasons are {reasons:?}", file.name);
    Ok(())
}

/// Every part and every quarantined file belongs to an outcome, and each part is the whole of what its outcome names.
fn nothing_is_half_written(server: &Server) -> Result<()> {
    let mut named = BTreeSet::new();
    for key in server.keys("outcomes/validate/readings/")? {
        let record: OutcomeRecord = server.json(&key)?.context(key)?;
        let written: BTreeSet<String> = record.outputs.iter().map(|output| output.key.clone()).collect();
        if record.decision == Decision::Done {
            let part: DataFile = serde_json::from_value(record.result)?;
            ensure!(
                written.contains(&part.data) && written.contains(&part.profile),
                "{part:?} of {written:?}"
            );
        } else {
            ensure!(
                written.iter().all(|key| key.starts_with("quarantine/")),
                "{written:?} of a refused file"
            );
        }
        named.extend(written);
    }
    let there = [server.keys("datasets/")?, server.keys("quarantine/")?].concat();
    let there: BTreeSet<String> = there.into_iter().collect();
    ensure!(there == named, "in the store {there:#?}, in outcomes {named:#?}");
    let temporary = fs::read_dir(server.project.join(".tidemill/store/.tidemill/tmp"))?.count();
    ensure!(temporary == 0, "{temporary} temporary files are left");
    Ok(())
}

/// Method, path, headers, body; the status, and what the answer must say.
type Post<'a> = (&'a str, &'a str, &'a [&'a str], &'a str, u16, &'a [&'a str]);

/// `POST /data/<dataset>`.
fn posted(server: &Server) -> Result<()> {
    let csv = rows(20, |_, line| line.to_owned());
    let mut connection = Connection::open(&server.address)?;
    let cases: [Post<'_>; 7] = [
        (
            "POST",
            "/data/readings",
            &["content-type: text/csv"],
            "",
            400,
            &["the body is empty"],
        ),
        (
            "POST",
            "/data/readings",
            &["content-type: application/json"],
            &csv,
            415,
            &["`application/json`", "`text/csv`"],
        ),
        ("POST", "/data/readings", &[], &csv, 415, &["the content type is", "`text/csv`"]),
        (
            "POST",
            "/data/readings",
            &["content-type: text/csv", "content-encoding: gzip"],
            &csv,
            415,
            &["`gzip`", "without a content encoding"],
        ),
        (
            "POST",
            "/data/raedings",
            &["content-type: text/csv"],
            &csv,
            404,
            &["no dataset `raedings`", "`readings`"],
        ),
        (
            "POST",
            "/data/../readings",
            &["content-type: text/csv"],
            &csv,
            404,
            &["no dataset `../readings`"],
        ),
        ("GET", "/data/readings", &[], "", 405, &["does not take `GET`", "it takes POST"]),
    ];
    let before = server.keys("raw/")?;
    for (method, path, headers, body, status, says) in cases {
        let answer = connection.request(method, path, headers, body.as_bytes())?;
        ensure!(answer.status == status, "{method} {path} {headers:?}: {answer:?}");
        for part in says {
            ensure!(
                answer.error().contains(part),
                "{method} {path}: `{}` does not say `{part}`",
                answer.error()
            );
        }
    }
    ensure!(server.keys("raw/")? == before, "a refused post left an object");
    let answer = connection.request("POST", "/data/readings", &["content-type: text/csv"], csv.as_bytes())?;
    ensure!(answer.status == 202, "{answer:?}");
    server.wait_until_idle()?;
    let key = answer.body["key"].as_str().unwrap_or_default().to_owned();
    ensure!(outcome(server, &key)?.decision == Decision::Done, "`{key}` was posted and is good");
    Ok(())
}

/// Parquet of the store, cut at its end and in its middle, and what is none.
fn parquets(server: &Server) -> Result<Vec<File>> {
    let part: DataFile = serde_json::from_value(outcome(server, "raw/readings/good.csv")?.result)?;
    let whole = fs::read(server.project.join(".tidemill/store").join(&part.data))?;
    let mut hollow = whole.clone();
    let middle = 4..whole.len() - 8;
    hollow[middle].fill(0);
    Ok(vec![
        file(
            "cut.parquet",
            &whole[..whole.len() - 20],
            Decision::Rejected,
            &["is a Parquet file that is cut off", "upload it again"],
        ),
        file("hollow.parquet", hollow, Decision::Rejected, &["`raw/readings/hollow.parquet`"]),
        file("text.parquet", "id,at\n1,2\n", Decision::Rejected, &["is not a Parquet file"]),
    ])
}

#[test]
fn gets_an_outcome_each() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let project = small::project(folder.path())?;
    let server = Server::up(&tidemill, &project, &[])?;
    let put = |file: &File| -> Result<()> {
        let path = folder.path().join(file.name);
        fs::write(&path, &file.bytes)?;
        server.run_command(&["put", "readings", &path.to_string_lossy()])
    };
    let texts = texts();
    texts.iter().try_for_each(put)?;
    let dropped = file(
        "notes.xlsx",
        "PK\x03\x04",
        Decision::Rejected,
        &["`raw/readings/notes.xlsx` ends in none of `.csv`"],
    );
    fs::write(project.join(".tidemill/store/raw/readings").join(dropped.name), &dropped.bytes)?;
    server.wait_until_idle()?;
    let parquets = parquets(&server)?;
    parquets.iter().try_for_each(put)?;
    server.wait_until_idle()?;
    for file in texts.iter().chain([&dropped]).chain(&parquets) {
        judge(&server, file)?;
    }
    posted(&server)?;
    nothing_is_half_written(&server)?;
    refused_by_the_command_line(&tidemill, &server, folder.path())?;
    server.stop()
}

fn refused_by_the_command_line(tidemill: &Path, server: &Server, folder: &Path) -> Result<()> {
    let before = server.keys("raw/")?;
    let good = folder.join("fresh.csv");
    fs::write(&good, rows(21, |_, line| line.to_owned()))?;
    fs::write(folder.join("notes.xlsx"), "PK")?;
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (good, missing, unknown) = (path("fresh.csv"), path("none.csv"), path("notes.xlsx"));
    fs::create_dir_all(folder.join("folder.csv"))?;
    let put = |arguments: &[&str], code, says: &[&str]| fails(tidemill, &server.project, &[&["put"], arguments].concat(), code, says);
    put(&["raedings", &good], 4, &["no dataset `raedings`", "`readings`"])?;
    put(&["readings", &good, &missing], 4, &["no file", "none.csv`"])?;
    put(&["readings", &good, &unknown], 3, &["notes.xlsx` ends in none of `.csv`"])?;
    put(&["readings", &path("folder.csv")], 3, &["is a folder"])?;
    ensure!(server.keys("raw/")? == before, "a refused `put` left an object");
    Ok(())
}
