//! What `validate` says of a column's values against the values themselves, of few rows (exact) and of many (quantiles of a sample).

use std::{fmt::Write as _, path::Path};

use anyhow::{Context as _, Result};
use tidemill_core::{
    Digest, RunContext, Trigger,
    pipeline::NodeSettings,
    record::{ColumnProfile, DataFile, Profile, ProfileKind},
};
use tidemill_host::{Grants, RunHost, RunSetup, Store};
use tidemill_lambda::stage_runner;
use tidemill_tests::small;

/// Skewed, with repeated values, negative ones and gaps.
fn level(row: u64) -> Option<f64> {
    let x = (row.wrapping_mul(2_654_435_761) % 10_007) as f64 / 10_007.0;
    (!row.is_multiple_of(13)).then(|| (x * x * 80.0 * 10.0).round() / 10.0 - 20.0)
}

async fn profiled(rows: u64) -> Result<Profile> {
    let folder = tempfile::tempdir()?;
    let store = Store::local(&folder.path().join("store"))?;
    let mut csv = "id,at,site,level\n".to_owned();
    for row in 0..rows {
        let level = level(row).map(|l| l.to_string()).unwrap_or_default();
        let site = ["north", "south"][usize::from(row % 3 == 0)];
        writeln!(csv, "{row},2024-01-{:02}T00:00:00Z,{site},{level}", 1 + row % 28)?;
    }
    let trigger = Trigger {
        key: "raw/readings/r.csv".into(),
        digest: Digest::sha256(csv.as_bytes()),
    };
    store.create(&trigger.key, csv.into()).await?;
    let host = RunHost::new(RunSetup {
        store: store.clone(),
        sql: small::sql(folder.path())?,
        context: RunContext {
            as_of: jiff::Timestamp::UNIX_EPOCH,
            seed: 0,
            run_key: "0".repeat(32),
            resource: "readings".into(),
        },
        trigger: trigger.clone(),
        grants: Grants {
            reads: vec!["raw/**".into()],
            writes: vec!["datasets/**".into(), "quarantine/**".into()],
            fetch: vec![],
        },
        progress: None,
        handle: tokio::runtime::Handle::current(),
    });
    let config = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/readings.json"))?;
    let config: serde_json::Value = serde_json::from_slice(&config)?;
    let component = format!("components/{}", trigger.digest);
    let node = serde_json::json!({ "stage": "validate", "resource": "readings", "component": component, "config": config });
    let node: NodeSettings = serde_json::from_value(node)?;
    let runner = stage_runner(&node)?;
    let (outcome, ..) = tokio::task::spawn_blocking(move || runner.run(&node.to_node(), &trigger, host)).await?;
    let part: DataFile = serde_json::from_value(outcome?.result)?;
    Ok(serde_json::from_slice(&store.get(&part.profile).await?)?)
}

fn check(column: &ColumnProfile, rows: u64, tolerance: f64) -> Result<()> {
    let mut values: Vec<f64> = (0..rows).filter_map(level).collect();
    values.sort_by(f64::total_cmp);
    let count = values.len() as f64;
    assert_eq!(column.nulls, rows - values.len() as u64);
    let ProfileKind::Numeric {
        minimum,
        maximum,
        mean,
        deviation,
        quantiles,
        edges,
        counts,
    } = &column.detail
    else {
        panic!("{:?} is no numeric profile", column.detail)
    };
    assert_eq!((*minimum, *maximum), (values.first().copied(), values.last().copied()));
    let true_mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|v| (v - true_mean).powi(2)).sum::<f64>() / count;
    assert!((mean.context("no mean")? - true_mean).abs() < 1e-6);
    assert!((deviation.context("no deviation")? - variance.sqrt()).abs() < 1e-6);
    assert_eq!((quantiles.len(), edges.len()), (21, 19));
    for (step, quantile) in quantiles.iter().enumerate() {
        // Values repeat: the share may be anywhere between those below and those up to the quantile.
        let share = step as f64 / 20.0;
        let (below, upto) = (
            values.partition_point(|v| v < quantile) as f64 / count,
            values.partition_point(|v| v <= quantile) as f64 / count,
        );
        assert!(
            below - tolerance <= share && share <= upto + tolerance,
            "{step}: {quantile} has {below} to {upto}"
        );
    }
    let mut from = 0;
    for (edge, counted) in edges.iter().chain([&f64::INFINITY]).zip(counts) {
        let until = values.partition_point(|v| v < edge);
        assert_eq!(*counted, (until - from) as u64, "below {edge}");
        from = until;
    }
    assert_eq!(from, values.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn few_rows_exactly() -> Result<()> {
    let profile = profiled(3000).await?;
    assert_eq!(profile.rows, 3000);
    // An interpolated quantile lies between two values, each 1/2769 of all.
    check(&profile.columns["level"], 3000, 2.0 / 2769.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_by_a_sample() -> Result<()> {
    let rows = 450_000;
    let (one, two) = (profiled(rows).await?, profiled(rows).await?);
    assert_eq!(one, two, "a sample follows from the rows");
    check(&one.columns["level"], rows, 0.01)
}
