//! What runs and waits now: the queue of the process that serves the project.

use std::time::Duration;

use serde_json::Value;

use crate::{
    output::{Column, table},
    project::Project,
};

/// How long a process that may be gone has to answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The items of the queue as `GET /events` lists them; `None` if no process serves the project.
pub(crate) fn fetch_queue(project: &Project) -> Option<Vec<Value>> {
    let address = project.running_address()?;
    // It is on this machine, whatever proxy the environment names.
    let config = ureq::Agent::config_builder().proxy(None);
    let agent: ureq::Agent = config.timeout_global(Some(TIMEOUT)).build().into();
    let mut response = agent.get(format!("{address}/events")).call().ok()?;
    serde_json::from_slice(&response.body_mut().read_to_vec().ok()?).ok()
}

/// What runs first, then what waits.
pub(crate) fn render_queue(items: &[Value], empty: &str) -> String {
    let columns = [
        Column::word("now"),
        Column::key("stage"),
        Column::key("object"),
        Column::number("attempt"),
        Column::text("waits for"),
    ];
    let (running, waiting): (Vec<&Value>, Vec<&Value>) = items.iter().partition(|item| item["running"] == true);
    table(&columns, running.into_iter().chain(waiting).map(cells).collect(), empty)
}

fn cells(item: &Value) -> Vec<String> {
    let text = |field: &str| item[field].as_str().unwrap_or_default().to_owned();
    let is_running = item["running"] == true;
    vec![
        if is_running { "running" } else { "waiting" }.to_owned(),
        format!("{}:{}", text("stage"), text("resource")),
        text("key"),
        // Of failed deliveries there is a number: this is the next one.
        (item["attempt"].as_u64().unwrap_or(0) + 1).to_string(),
        if is_running { String::new() } else { text("waits-for") },
    ]
}
