//! The same cases on every target: what a stage decides, finds, reads and writes must be equal to the byte wherever it runs. Each folder
//! under `cases/` is a case; adding one needs no Rust. Whole chains are compared in `parity_chain.rs`.
//!
//! What was seen is the table `docs/parity.md`. It is compared with the committed one where every target is here, as in CI;
//! `TIDEMILL_UPDATE=1` writes it anew.

mod application;
mod case;
mod table;
mod targets;

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use self::{case::Case, table::Row, targets::Targets};

#[tokio::test(flavor = "multi_thread")]
async fn every_case_on_every_target() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let targets = Targets::available()?;
    let (mut rows, mut wrong) = (Vec::new(), Vec::new());
    for case in Case::all(&root)? {
        match judge(&case, &targets).await {
            Ok(row) => rows.push(row),
            Err(error) => wrong.push(format!("{}: {error:#}", case.name)),
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    if targets.are_complete() {
        table::compare_with_docs(&rows)?;
    }
    Ok(())
}

/// The native run is judged by what the case says, every other by the native one.
async fn judge(case: &Case, targets: &Targets) -> Result<Row> {
    let mut row = Row::new(case);
    let mut first = None;
    for target in targets.iter() {
        if !target.runs(&case.stage) {
            row.skip();
            continue;
        }
        let seen = targets.run(target, case).await.context(target.name())?;
        match &first {
            None => {
                case.check(&seen)?;
                first = Some(seen);
            }
            Some(native) => ensure!(*native == seen, "{} differs: natively {native:#?}, there {seen:#?}", target.name()),
        }
        row.equal();
    }
    Ok(row)
}
