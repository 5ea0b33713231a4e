//! The time that all files of a package have: that of the commit, so that it does not say when it was packed.

use anyhow::{Context as _, Result};

use crate::machine::{Machine, capture};

/// A time, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time {
    /// Seconds since 1970.
    pub(super) seconds: u64,
    pub(super) year: u16,
    pub(super) month: u8,
    pub(super) day: u8,
    pub(super) hour: u8,
    pub(super) minute: u8,
    pub(super) second: u8,
}

/// `SOURCE_DATE_EPOCH`, or the commit's date; a checkout without git has that of the oldest zip archive.
pub(super) fn of_commit(machine: &Machine) -> Result<Time> {
    if let Ok(set) = std::env::var("SOURCE_DATE_EPOCH") {
        let seconds = set.parse();
        return seconds
            .map(Time::new)
            .with_context(|| format!("SOURCE_DATE_EPOCH is `{set}`; it is a number of seconds since 1970"));
    }
    let committed = capture(machine.command("git").args(["log", "-1", "--format=%ct"]));
    let seconds = committed.ok().and_then(|text| text.trim().parse().ok());
    Ok(Time::new(seconds.unwrap_or(0)))
}

impl Time {
    /// Zip archives know no time before 1980.
    pub(super) fn new(seconds: u64) -> Self {
        let seconds = seconds.max(315_532_800);
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = date(days);
        let part = |value: u64| u8::try_from(value).unwrap_or(0);
        Self {
            seconds,
            year: u16::try_from(year).unwrap_or(u16::MAX),
            month: part(month),
            day: part(day),
            hour: part(rest / 3600),
            minute: part(rest / 60 % 60),
            second: part(rest % 60),
        }
    }

    /// `2026-11-30T23:28:16Z`
    pub(super) fn rfc3339(&self) -> String {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
            ..
        } = self;
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// Year, month and day of a day since 1970: years begin in March, so that the leap day is the last one (Hinnant, `civil_from_days`).
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written() {
        assert_eq!(Time::new(1_796_081_296).rfc3339(), "2026-11-30T23:28:16Z");
        assert_eq!(Time::new(951_782_400).rfc3339(), "2000-02-29T00:00:00Z");
        assert_eq!(Time::new(0).rfc3339(), "1980-01-01T00:00:00Z");
    }
}
