//! A composed component imports what Spin 4.1 offers, and nothing of ours.

use anyhow::{Result, ensure};
use tidemill_deploy::spin::compose::{imports, is_offered};
use tidemill_tests::spin::find_tools;

#[test]
fn nothing_but_what_spin_offers() -> Result<()> {
    let Some(tools) = find_tools() else { return Ok(()) };
    let bare = imports(&tools.component("predict")?)?;
    for ours in ["tidemill:serve/objects@0.1.0", "tidemill:serve/predictions@0.1.0"] {
        ensure!(
            bare.iter().any(|name| name == ours),
            "`predict` alone does not import `{ours}`: {bare:?}"
        );
    }
    ensure!(bare.iter().any(|name| name.starts_with("wasi:nn/")), "{bare:?}");
    let composed = imports(&tools.compose(&["onnx", "spin_store"])?)?;
    let foreign: Vec<&String> = composed.iter().filter(|name| !is_offered(name)).collect();
    ensure!(foreign.is_empty(), "Spin does not offer {foreign:?}");
    ensure!(composed.iter().any(|name| name.starts_with("wasi:http/client@0.3")), "{composed:?}");
    // For a host that is not Spin, its variables come from the environment.
    let elsewhere = imports(&tools.compose(&["onnx", "spin_store", "spin_environment"])?)?;
    ensure!(
        elsewhere.iter().all(|name| name.starts_with("wasi:") && is_offered(name)),
        "{elsewhere:?}"
    );
    Ok(())
}

/// The stages that ask no SQL say so, and the chain that they stand in asks nothing but what Spin offers.
#[test]
fn a_chain_of_stages_imports_nothing_else() -> Result<()> {
    let Some(tools) = find_tools() else { return Ok(()) };
    for (stage, asks) in [
        ("collect", false),
        ("register", false),
        ("retrain", false),
        ("train", true),
        ("validate", true),
    ] {
        let found = imports(&tools.component(stage)?)?;
        ensure!(
            found.iter().any(|name| name.starts_with("tidemill:stage/sql@")) == asks,
            "{stage}: {found:?}"
        );
    }
    for stages in [&[][..], &["register"], &["collect", "register", "retrain"]] {
        let found = imports(&tools.compose_chain(stages)?)?;
        let foreign: Vec<&String> = found.iter().filter(|name| !is_offered(name)).collect();
        ensure!(foreign.is_empty(), "{stages:?}: Spin does not offer {foreign:?}");
    }
    let sql = imports(&tools.compose_chain(&["train"])?)?;
    ensure!(sql.iter().any(|name| name.starts_with("tidemill:stage/sql@")), "{sql:?}");
    Ok(())
}
