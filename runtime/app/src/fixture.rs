//! A small project for tests: a dataset, a model and a stage of its own.

/// `tidemill.toml`.
pub(crate) const TOML: &str = r#"
[project]
name = "small"
[dataset.readings]
contract = "contract.toml"
time = "at"
key = ["id"]
[features.alarm]
dataset = "readings"
sql = "alarm.sql"
label = "alarm"
[model.alarm]
features = "alarm"
task = "binary"
gates = ["auc >= 0.6"]
[[stage]]
name = "sum"
component = "sum.wasm"
on = "drop/**"
"#;
/// `contract.toml`.
pub(crate) const CONTRACT: &str = "[columns]\nid = { type = \"integer\" }\nat = { type = \"timestamp\" }\nalarm = { type = \"integer\" }\n";
