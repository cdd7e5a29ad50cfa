//! The days that a report is about.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde::Serialize;

use crate::error::ReportError;

/// Longest period in days, five years and a bit: there is a bucket in memory for each day.
pub const DAYS_MAX: usize = 1_830;

/// Years that a log can be of. Time stamps reach further, but not to the end of the year 9999.
const YEARS: std::ops::RangeInclusive<i16> = 1970..=2999;

/// Whole days in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Period {
    /// As it was written.
    pub text: String,
    /// The first day.
    pub first: Date,
    /// The last day, which is part of it.
    pub last: Date,
}

impl Period {
    /// Reads `2026-Q4`, `2026-11`, `2026`, `2026-11-05` or `2026-11-01..2026-11-30`.
    ///
    /// # Errors
    /// [`ReportError::Period`].
    pub fn parse(text: &str) -> Result<Self, ReportError> {
        let bad = |why| ReportError::Period { text: crate::text::visible(text, 80), why };
        let (first, last) = match text.split_once("..") {
            Some((from, to)) => {
                let from = span(from).ok_or_else(|| bad("what stands before the two dots is no day"))?;
                let to = span(to).ok_or_else(|| bad("what stands after the two dots is no day"))?;
                (from.0, to.1)
            }
            None => span(text)
                .ok_or_else(|| bad("it is none of 2026-Q4, 2026-11, 2026 and FIRST-DAY..LAST-DAY"))?,
        };
        if last < first {
            return Err(bad("it ends before it begins"));
        }
        let period = Self { text: text.to_owned(), first, last };
        if period.days() > DAYS_MAX {
            return Err(bad("it is longer than five years"));
        }
        Ok(period)
    }

    /// Its first moment, in milliseconds since 1970.
    #[must_use]
    pub fn from_ms(&self) -> i64 {
        midnight_ms(self.first)
    }

    /// The first moment after it, in milliseconds since 1970.
    #[must_use]
    pub fn to_ms(&self) -> i64 {
        midnight_ms(self.last) + DAY_MS
    }

    /// How many days it has.
    #[must_use]
    pub fn days(&self) -> usize {
        usize::try_from((self.to_ms() - self.from_ms()) / DAY_MS).unwrap_or(0)
    }

    /// The day of this moment, from 0; none if it is outside.
    pub(crate) fn day_of(&self, ms: i64) -> Option<usize> {
        let inside = (self.from_ms()..self.to_ms()).contains(&ms);
        inside.then(|| usize::try_from((ms - self.from_ms()) / DAY_MS).unwrap_or(0))
    }

    /// The day of this number, from 0.
    pub(crate) fn day(&self, number: usize) -> Date {
        let days = i64::try_from(number).unwrap_or(0);
        self.first.checked_add(days.days()).unwrap_or(self.last)
    }
}

/// A day in milliseconds; days in UTC have no other length here (POSIX time).
pub(crate) const DAY_MS: i64 = 86_400_000;

/// First and last day of a year, quarter, month or day.
fn span(text: &str) -> Option<(Date, Date)> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = text.split('-').collect();
    let year: i16 = parts.first().filter(|year| year.len() == 4 && digits(year))?.parse().ok()?;
    if !YEARS.contains(&year) {
        return None;
    }
    let two = |text: &str| text.len() == 2 && digits(text);
    match parts.get(1..)? {
        [] => Some((Date::new(year, 1, 1).ok()?, Date::new(year, 12, 31).ok()?)),
        [quarter] if quarter.len() == 2 && quarter.starts_with(['Q', 'q']) => {
            let quarter: i8 = quarter[1..].parse().ok().filter(|quarter| (1..=4).contains(quarter))?;
            let first = Date::new(year, quarter * 3 - 2, 1).ok()?;
            Some((first, Date::new(year, quarter * 3, 1).ok()?.last_of_month()))
        }
        [month] if two(month) => {
            let first = Date::new(year, month.parse().ok()?, 1).ok()?;
            Some((first, first.last_of_month()))
        }
        [month, day] if two(month) && two(day) => {
            let date = Date::new(year, month.parse().ok()?, day.parse().ok()?).ok()?;
            Some((date, date))
        }
        _ => None,
    }
}

fn midnight_ms(date: Date) -> i64 {
    let zoned = date.to_zoned(TimeZone::UTC).expect("every day of these years has a midnight in UTC");
    zoned.timestamp().as_millisecond()
}

/// A moment as people read it, to the second.
#[must_use]
pub fn moment(ms: i64) -> String {
    Timestamp::from_millisecond(ms)
        .map_or_else(|_| "?".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_whole_days() {
        for (text, first, last, days) in [
            ("2026-Q4", "2026-10-01", "2026-12-31", 92),
            ("2024-q1", "2024-01-01", "2024-03-31", 91),
            ("2026-02", "2026-02-01", "2026-02-28", 28),
            ("2028", "2028-01-01", "2028-12-31", 366),
            ("2026-11-05", "2026-11-05", "2026-11-05", 1),
            ("2026-11-01..2026-11-30", "2026-11-01", "2026-11-30", 30),
            ("2026-Q1..2026-Q2", "2026-01-01", "2026-06-30", 181),
        ] {
            let period = Period::parse(text).unwrap();
            assert_eq!(
                (period.first.to_string(), period.last.to_string()),
                (first.into(), last.into()),
                "{text}"
            );
            assert_eq!(period.days(), days, "{text}");
            assert_eq!(period.day(days - 1).to_string(), last);
            assert_eq!(period.day_of(period.to_ms()), None);
            assert_eq!(period.day_of(period.to_ms() - 1), Some(days - 1));
        }
    }

    #[test]
    fn what_is_no_period_is_said_so() {
        for text in [
            "",
            "Q4",
            "2026-Q5",
            "2026-Q0",
            "2026-13",
            "2026-1",
            "26-11",
            "2026-02-30",
            "2026-11-30..2026-11-01",
            "2026-11-01..",
            "..",
            "2026..2036",
            "now",
            "9999",
            "0001",
            "9999-12-31..9999-12-31",
            "2026-11-01T00:00:00Z",
            "+026",
            "2026-Q\u{661}",
            "2026-11-01..x",
        ] {
            assert!(Period::parse(text).is_err(), "{text}");
        }
    }
}
