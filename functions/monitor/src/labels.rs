//! Labels by prediction id, which may arrive long after their window closed: each window that holds one of the predictions gets a revised
//! report. A label for an open window is read when the window closes.

use tidemill_core::{
    Error, Format, Host, ObjectsExt, Outcome, Result, Table, Trigger, layout,
    record::{MonitoringReport, MonitoringWindow, WindowSegments},
    text::quoted_list,
};

use crate::{Config, read, report};

pub(crate) fn run(trigger: &Trigger, config: &Config, host: &dyn Host) -> Result<Outcome> {
    let labels = label_table(&trigger.key)?;
    let columns = read::column_names(host, &labels)?;
    if columns.is_empty() {
        return Ok(Outcome::skipped(format!("`{}` has no rows", trigger.key)));
    }
    if let Some(missing) = ["id", "label"].iter().find(|c| !columns.iter().any(|have| have == *c)) {
        return Err(Error::input(format!(
            "`{}` has no column `{missing}` but {}; labels need `id`, the prediction's, and `label`",
            trigger.key,
            quoted_list(&columns)
        )));
    }
    let mut revised: Option<MonitoringReport> = None;
    let mut count = 0;
    for window in report::closed_windows(&config.model.name, host)? {
        let window = window?;
        if contains_predictions(&window, &labels, host)? {
            revised = Some(report::write_report(&window, config, host)?);
            count += 1;
        }
    }
    Ok(match revised {
        Some(last) => {
            Outcome::done(format!("{count} reports revised; the last: {}", report::summarize(&last)), &last).with_as_of(last.as_of)
        }
        None => Outcome::skipped(format!("no closed window holds a prediction that `{}` names", trigger.key)),
    })
}

fn label_table(key: &str) -> Result<Table> {
    let format = Format::from_key(key).ok_or_else(|| {
        Error::input(format!(
            "`{key}` is none of `.parquet`, `.csv`, `.jsonl`; labels come in one of those"
        ))
    })?;
    Ok(Table {
        name: "labels".into(),
        keys: vec![key.into()],
        format,
    })
}

fn contains_predictions(window: &MonitoringWindow, labels: &Table, host: &dyn Host) -> Result<bool> {
    let log: Option<WindowSegments> = host.objects().find_json(&layout::window_segments(&window.model, window.start))?;
    let Some(log) = log.filter(|log| !log.segments.is_empty()) else {
        return Ok(false);
    };
    let sql = "SELECT count(*) AS found FROM predictions p JOIN labels l ON p.\"_id\" = CAST(l.id AS VARCHAR)";
    let batches = read::query(host, sql, &[Table::parquet("predictions", log.segments), labels.clone()])?;
    Ok(read::first_count(&batches, "found")? > 0)
}
