//! Spans of data time and the windows that they define. All times are UTC; a month is a calendar month.

use jiff::{Timestamp, ToSpan, Unit, civil, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A length of data time: `"15 minutes"`, `"1 hour"`, `"7 days"`, `"1 week"`, `"1 month"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    count: u32,
    unit: CalendarUnit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CalendarUnit {
    Minute,
    Hour,
    Day,
    Week,
    Month,
}

const UNITS: [(&str, CalendarUnit); 5] = [
    ("minute", CalendarUnit::Minute),
    ("hour", CalendarUnit::Hour),
    ("day", CalendarUnit::Day),
    ("week", CalendarUnit::Week),
    ("month", CalendarUnit::Month),
];

impl Span {
    /// A span of `count` days.
    pub const fn days(count: u32) -> Self {
        Self {
            count,
            unit: CalendarUnit::Day,
        }
    }

    /// Parses `"<count> <unit>"`, with the unit in singular or plural.
    pub fn parse(text: &str) -> Result<Self> {
        let error = || {
            Error::config(format!(
                "`{text}` is not a span of time: write a count and a unit, such as `1 day` (minutes, hours, days, weeks, months)"
            ))
        };
        let (count, unit) = text.trim().split_once(' ').ok_or_else(error)?;
        let count = count.parse().map_err(|_| error())?;
        let unit = unit.trim().trim_end_matches('s');
        let (_, unit) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
        Ok(Self { count, unit })
    }

    /// Whether the span has no length.
    pub fn is_zero(self) -> bool {
        self.count == 0
    }

    /// The time that is `times` spans later (or earlier, if `times` is negative).
    pub fn advance(self, time: Timestamp, times: i64) -> Timestamp {
        let count = i64::from(self.count) * times;
        let span = match self.unit {
            CalendarUnit::Minute => count.minutes(),
            CalendarUnit::Hour => count.hours(),
            CalendarUnit::Day => count.days(),
            CalendarUnit::Week => count.weeks(),
            CalendarUnit::Month => count.months(),
        };
        let zoned = time.to_zoned(TimeZone::UTC);
        zoned
            .checked_add(span)
            .map_or(if times < 0 { Timestamp::MIN } else { Timestamp::MAX }, |z| z.timestamp())
    }

    /// The start of the window of this length that contains `time`. Windows are counted from 1970-01-01 (weeks from Monday 1970-01-05).
    pub fn window_start(self, time: Timestamp) -> Timestamp {
        let count = i64::from(self.count.max(1));
        if self.unit == CalendarUnit::Month {
            let date = time.to_zoned(TimeZone::UTC).date();
            let months = (i64::from(date.year()) - 1970) * 12 + i64::from(date.month()) - 1;
            return Self {
                count: 1,
                unit: CalendarUnit::Month,
            }
            .advance(Timestamp::UNIX_EPOCH, months.div_euclid(count) * count);
        }
        let (unit, origin) = match self.unit {
            CalendarUnit::Minute => (60, 0),
            CalendarUnit::Hour => (3600, 0),
            CalendarUnit::Day => (86_400, 0),
            _ => (7 * 86_400, 4 * 86_400),
        };
        let length = unit * count;
        // Rounds whole seconds down: jiff rounds towards zero, which before 1970 gives the next window.
        let second = time.as_microsecond().div_euclid(1_000_000);
        let second = (second - origin).div_euclid(length) * length + origin;
        Timestamp::from_second(second).unwrap_or(Timestamp::MIN)
    }

    /// The start of the window after the one that starts at `start`.
    pub fn next_window(self, start: Timestamp) -> Timestamp {
        Self {
            count: self.count.max(1),
            unit: self.unit,
        }
        .advance(start, 1)
    }
}

impl TryFrom<String> for Span {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<Span> for String {
    fn from(span: Span) -> String {
        span.to_string()
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = UNITS.iter().find(|(_, unit)| *unit == self.unit).map_or("", |(name, _)| name);
        write!(f, "{} {name}{}", self.count, if self.count == 1 { "" } else { "s" })
    }
}

/// Formats a window's start for keys: `2013-05-01T00-00-00Z`, which sorts by time and is portable.
pub fn key_time(time: Timestamp) -> String {
    time.round(Unit::Second).unwrap_or(time).to_string().replace(':', "-")
}

/// Parses the time in a segment of a key, as [`key_time`] writes it.
pub fn parse_key_time(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once('T')?;
    parse_time(&format!("{date}T{}", time.replace('-', ":"))).ok()
}

/// Parses a time: RFC 3339, or without a zone (read as UTC), or a date.
pub fn parse_time(text: &str) -> Result<Timestamp> {
    text.parse::<Timestamp>()
        .or_else(|_| {
            text.parse::<civil::DateTime>()
                .and_then(|t| t.to_zoned(TimeZone::UTC))
                .map(|z| z.timestamp())
        })
        .or_else(|_| {
            text.parse::<civil::Date>()
                .and_then(|d| d.to_zoned(TimeZone::UTC))
                .map(|z| z.timestamp())
        })
        .map_err(|_| {
            Error::input(format!(
                "`{text}` is not a time: write it like `2013-05-01T12:00:00Z` or `2013-05-01`"
            ))
        })
}

/// The clock of a run: the `as-of` in its trigger's content, or 1970 if there is none.
pub fn parse_as_of(key: &str, bytes: &[u8]) -> Timestamp {
    #[derive(Deserialize)]
    struct Clock {
        #[serde(rename = "as-of")]
        as_of: Timestamp,
    }
    let clock = key
        .ends_with(".json")
        .then(|| serde_json::from_slice::<Clock>(bytes).ok())
        .flatten();
    clock.map_or(Timestamp::UNIX_EPOCH, |clock| clock.as_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        parse_time(text).unwrap()
    }

    #[test]
    fn months_are_calendar_months() {
        let month = Span::parse("1 month").unwrap();
        assert_eq!(month.window_start(at("2013-02-28T23:59:59Z")), at("2013-02-01"));
        assert_eq!(month.next_window(at("2013-12-01")), at("2014-01-01"));
        assert_eq!(Span::parse("3 months").unwrap().window_start(at("2013-05-31")), at("2013-04-01"));
    }

    #[test]
    fn weeks_start_on_monday() {
        assert_eq!(Span::parse("1 week").unwrap().window_start(at("2013-01-01")), at("2012-12-31"));
        assert_eq!(
            Span::days(1).window_start(Timestamp::from_microsecond(-5).unwrap()),
            at("1969-12-31")
        );
        assert_eq!(Span::parse("1 week").unwrap().window_start(at("1969-12-31")), at("1969-12-29"));
    }

    #[test]
    fn the_clock_is_the_triggers() {
        let time = at("2013-02-01");
        assert_eq!(parse_as_of("windows/m/x.json", br#"{"as-of":"2013-02-01T00:00:00Z","x":1}"#), time);
        assert_eq!(
            parse_as_of("raw/d/x.csv", br#"{"as-of":"2013-02-01T00:00:00Z"}"#),
            Timestamp::UNIX_EPOCH
        );
        assert_eq!(parse_as_of("raw/d/x.json", b"not json"), Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn keys_sort_and_wrong_spans_teach() {
        assert_eq!(key_time(at("2013-05-01")), "2013-05-01T00-00-00Z");
        let error = Span::parse("one day").unwrap_err();
        assert!(error.message.contains("`one day`") && error.message.contains("`1 day`"), "{error}");
        assert_eq!(Span::parse("2 hours").unwrap().to_string(), "2 hours");
    }
}
