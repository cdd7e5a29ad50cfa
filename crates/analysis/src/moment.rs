//! Points in time as people write them.

use jiff::{Timestamp, Zoned, civil::DateTime, tz::TimeZone};

use crate::error::AnalysisError;

const HINT: &str = "write 2026-11-22T14:00:00+01:00, 2026-11-22T14:00[Europe/Berlin] or \
                    '2026-11-22 14:00 Europe/Berlin'";

/// Milliseconds since 1970 of a point in time: RFC 3339, RFC 9557 with its zone in brackets, or a local time with an
/// IANA zone after a space.
///
/// A local time that a change of clocks skips or repeats is refused: whoever means one of the two can write the offset.
///
/// # Errors
/// [`AnalysisError::Call`] with the forms that can be written.
pub fn parse(text: &str) -> Result<u64, AnalysisError> {
    let text = text.trim();
    let timestamp = match text.parse::<Timestamp>() {
        Ok(timestamp) => timestamp,
        Err(_) => match text.parse::<Zoned>() {
            Ok(zoned) => zoned.timestamp(),
            Err(_) => local(text)?,
        },
    };
    u64::try_from(timestamp.as_millisecond())
        .map_err(|_| AnalysisError::call(format!("{text:?} is before 1970"), HINT))
}

fn local(text: &str) -> Result<Timestamp, AnalysisError> {
    let fail = |why: &str| AnalysisError::call(format!("{text:?} is no point in time: {why}"), HINT);
    let (time, zone) = text.rsplit_once(' ').ok_or_else(|| fail("it has no offset and no zone"))?;
    let time: DateTime = time.trim().replace(' ', "T").parse().map_err(|_| fail("its date or time"))?;
    let zone = TimeZone::get(zone).map_err(|_| fail("no such zone"))?;
    zone.to_ambiguous_timestamp(time)
        .unambiguous()
        .map_err(|_| fail("the clocks skip or repeat it on that day; write its offset"))
}

/// RFC 3339 in UTC, to the second where nothing is lost.
pub fn text(ms: u64) -> String {
    i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| format!("{ms} ms"), |timestamp| timestamp.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_moment_in_every_form() {
        for form in [
            "2026-11-22T13:00:00Z",
            "2026-11-22T14:00:00+01:00",
            "2026-11-22T14:00[Europe/Berlin]",
            "2026-11-22 14:00 Europe/Berlin",
            " 2026-11-22T14:00:00 Europe/Berlin",
        ] {
            assert_eq!(text(parse(form).unwrap()), "2026-11-22T13:00:00Z", "{form}");
        }
    }

    #[test]
    fn what_is_no_single_moment_is_refused() {
        for form in [
            "",
            "noon",
            "2026-11-22T14:00",
            "2026-11-22 14:00",
            "2026-13-01T00:00:00Z",
            "2026-11-22 14:00 Europe/Atlantis",
            // Skipped and repeated by daylight saving.
            "2026-03-29 02:30 Europe/Berlin",
            "2026-10-25 02:30 Europe/Berlin",
            "1969-12-31T23:59:59Z",
        ] {
            assert!(parse(form).is_err(), "{form}");
        }
    }
}
