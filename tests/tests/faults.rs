//! Objects that do not belong where they are, and a log of another store: what is around them goes on.

use std::fs;

use anyhow::{Result, ensure};
use tidemill_harness::server::Server;
use tidemill_tests::{small, trained};

/// Folders of the store in which each object is a record.
const RECORDS: [&str; 8] = [
    "dead",
    "outcomes/validate/readings",
    "models",
    "models/alarm/versions",
    "models/alarm/aliases",
    "decisions/alarm",
    "decisions/alarm/schedules",
    "requests/alarm",
];

#[test]
fn stray_files_stop_nothing() -> Result<()> {
    let Some(tidemill) = trained::find_tidemill() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let project = small::project(folder.path())?;
    let store = project.join(".tidemill/store");
    for place in RECORDS {
        fs::create_dir_all(store.join(place))?;
        for name in [".DS_Store", "note.txt", "note.json"] {
            fs::write(store.join(place).join(name), "x")?;
        }
    }
    let server = Server::up(&tidemill, &project, &[])?;
    for day in 1..=2 {
        let file = folder.path().join(format!("day-{day}.csv"));
        fs::write(&file, small::csv(&small::day(day)))?;
        server.run_command(&["put", "readings", &file.to_string_lossy()])?;
        server.wait_for_decision("alarm", &format!("2024-01-{day:02}T00-00-00Z"))?;
    }
    for command in ["models", "runs", "events"] {
        server.run_command(&[command])?;
    }
    server.stop()?;
    ensure!(store.join("models/alarm/versions/1.json").is_file(), "no version was registered");
    Ok(())
}
