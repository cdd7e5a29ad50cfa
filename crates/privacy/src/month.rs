//! Months in UTC: keys are made for one, and end with it.

use std::fmt;
use std::str::FromStr;

/// A month, counted from January 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(pub(crate) u16);

impl Month {
    /// The month of this moment, milliseconds since the Unix epoch.
    #[must_use]
    pub fn at(ms: i64) -> Self {
        let date =
            jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC);
        let months = (i32::from(date.year()) - 1970) * 12 + i32::from(date.month()) - 1;
        Self(u16::try_from(months).unwrap_or(if months < 0 { 0 } else { u16::MAX }))
    }

    /// This month.
    #[must_use]
    pub fn now() -> Self {
        Self::at(jiff::Timestamp::now().as_millisecond())
    }

    /// The month so many months later.
    #[must_use]
    pub fn plus(self, months: u32) -> Self {
        Self(self.0.saturating_add(u16::try_from(months).unwrap_or(u16::MAX)))
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", 1970 + self.0 / 12, self.0 % 12 + 1)
    }
}

impl FromStr for Month {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (year, month) = text.split_once('-').filter(|_| text.len() == 7).ok_or(())?;
        let (year, month): (u16, u16) = (year.parse().map_err(drop)?, month.parse().map_err(drop)?);
        let years = year.checked_sub(1970).filter(|_| (1..=12).contains(&month)).ok_or(())?;
        years.checked_mul(12).and_then(|months| months.checked_add(month - 1)).map(Self).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_those_of_utc() {
        for (ms, text) in [
            (0, "1970-01"),
            (1_795_356_000_000, "2026-11"),
            (1_798_761_599_999, "2026-12"),
            (1_798_761_600_000, "2027-01"),
        ] {
            assert_eq!(Month::at(ms).to_string(), text);
            assert_eq!(text.parse(), Ok(Month::at(ms)));
        }
        assert_eq!(
            "2026-11".parse::<Month>().map(|month| month.plus(2).to_string()),
            Ok("2027-01".to_owned())
        );
        for wrong in ["2026-13", "2026-00", "1969-12", "202611", "2026-1", "+026-11"] {
            assert!(wrong.parse::<Month>().is_err(), "{wrong}");
        }
    }
}
