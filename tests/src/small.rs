//! Readings of three sites, an hour's block after the other: enough for a chain in seconds. From the fourth day on `level` is shifted.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tidemill_host::{SqlEngine, SqlOptions};

/// Readings a day.
pub const ROWS: u64 = 960;

/// One reading.
pub struct Reading {
    /// Its key.
    pub id: u64,
    /// RFC 3339.
    pub at: String,
    /// One of three.
    pub site: &'static str,
    /// Missing now and then.
    pub level: Option<f64>,
    /// Never missing.
    pub speed: f64,
    /// What is predicted.
    pub alarm: u8,
}

/// The readings of the `day`-th of January 2024 (1 is the first).
pub fn day(day: u64) -> Vec<Reading> {
    let mut state = day.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut uniform = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let shift = if day >= 4 { 4.0 } else { 0.0 };
    (0..ROWS)
        .map(|n| {
            let seconds = n * 86_400 / ROWS;
            let level = (uniform() + uniform() + uniform() - 1.5) * 4.0 + shift;
            let speed = uniform() * 10.0;
            let site = ["north", "south", "west"][(uniform() * 3.0) as usize % 3];
            let lean = level - shift + speed - 5.0 + if site == "west" { 2.0 } else { 0.0 };
            let missing = uniform() < 0.05;
            Reading {
                id: day * 1_000_000 + n,
                at: format!(
                    "2024-01-{day:02}T{:02}:{:02}:{:02}Z",
                    seconds / 3600,
                    seconds / 60 % 60,
                    seconds % 60
                ),
                site,
                level: (!missing).then(|| (level * 1000.0).round() / 1000.0),
                speed: (speed * 1000.0).round() / 1000.0,
                alarm: u8::from(uniform() < 1.0 / (1.0 + (-lean).exp())),
            }
        })
        .collect()
}

/// As a CSV file with its truth.
pub fn csv(readings: &[Reading]) -> String {
    readings.iter().fold("id,at,site,level,speed,alarm\n".to_owned(), |mut text, r| {
        let level = r.level.map(|l| l.to_string()).unwrap_or_default();
        let _ = writeln!(text, "{},{},{},{level},{},{}", r.id, r.at, r.site, r.speed, r.alarm);
        text
    })
}

/// As one inference request without the truth.
pub fn request(id: &str, readings: &[Reading]) -> Value {
    let column = |name: &str, datatype: &str, data: Vec<Value>| json!({ "name": name, "datatype": datatype, "shape": [readings.len()], "data": data });
    json!({ "id": id, "inputs": [
        column("id", "INT64", readings.iter().map(|r| json!(r.id)).collect()),
        column("at", "BYTES", readings.iter().map(|r| json!(r.at)).collect()),
        column("site", "BYTES", readings.iter().map(|r| json!(r.site)).collect()),
        column("level", "FP64", readings.iter().map(|r| json!(r.level)).collect()),
        column("speed", "FP64", readings.iter().map(|r| json!(r.speed)).collect()),
    ]})
}

/// A copy of the project in a folder of its own.
pub fn project(folder: &Path) -> Result<PathBuf> {
    let to = folder.join("small");
    std::fs::create_dir_all(&to)?;
    overlay(&to, "small")?;
    Ok(to)
}

/// Puts the files of another fixture over a project's.
pub fn overlay(project: &Path, fixture: &str) -> Result<()> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(fixture);
    for entry in std::fs::read_dir(&from).with_context(|| format!("{}", from.display()))? {
        let path = entry?.path();
        std::fs::copy(&path, project.join(path.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

/// SQL as small as the data, with its cache under `folder`.
pub fn sql(folder: &Path) -> tidemill_core::Result<SqlEngine> {
    SqlEngine::new(SqlOptions {
        cache_dir: folder.join("cache"),
        memory_bytes: 1 << 29,
        threads: 2,
        timeout: std::time::Duration::from_secs(60),
    })
}
