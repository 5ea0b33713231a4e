//! Monitoring: closed windows, and the reports on them.

use tidemill_core::{
    Result,
    layout::{Key, Prefix},
    record::{MonitoringReport, MonitoringWindow},
};

use crate::Catalog;

impl Catalog {
    /// The closed windows of a model, the earliest first.
    pub async fn windows(&self, model: &str) -> Result<Vec<MonitoringWindow>> {
        let mut keys = self.keys(&Prefix::Windows.under(model)).await?;
        keys.retain(|key| matches!(Key::parse(key), Some(Key::Window { .. })));
        let mut windows: Vec<MonitoringWindow> = self.read_all(keys).await?;
        windows.sort_by_key(|window| window.start);
        Ok(windows)
    }

    /// The reports of a model, the earliest window first. A window has several if labels came late; the one that knows most labels
    /// comes last.
    pub async fn reports(&self, model: &str) -> Result<Vec<MonitoringReport>> {
        let keys = self.keys(&Prefix::Reports.under(model)).await?;
        let keys = keys.into_iter().filter(|key| key.ends_with("/report.json")).collect();
        let mut reports: Vec<MonitoringReport> = self.read_all(keys).await?;
        reports.sort_by_key(|report| (report.start, report.labelled));
        Ok(reports)
    }
}
