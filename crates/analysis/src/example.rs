//! A counterexample of the solver as a call that a person can try.

use cedar_policy::{EntityUid, EvalResult, Expression, eval_expression};
use cedar_policy_symcc::Env;
use jiff::{civil, tz::TimeZone};
use lockgate_identity::SpiffeId;
use lockgate_policy::FactValues;
use serde_json::{Map, Value};

use crate::call::{Call, LinkKind, TOOLS_CALL};
use crate::world::{Mentions, TOOL_ACTION, World, decoded};

/// The latest point in time of an example, in milliseconds since 1970: the year 2200.
const NOW_MS_MAX: i64 = 7_258_118_400_000;

/// The day from which examples count their weekdays: a Monday. No zone changes its clocks in that week.
const MONDAY: civil::Date = civil::date(2026, 1, 5);

/// The calls that a counterexample can stand for, the plainest first. What the solver left open, or filled with what
/// cannot be (an agent called ""), gets a plain value; whoever shows a call decides it for real first.
pub(crate) fn calls(found: &Env, world: &World, mentions: &Mentions) -> Vec<Call> {
    let call = call(found, world, mentions);
    let missing: Vec<String> = Reader { found, shift_ms: 0 }
        .touched()
        .into_iter()
        .filter(|needle| !Value::from(call.arguments.clone()).to_string().to_lowercase().contains(needle))
        .collect();
    if missing.is_empty() {
        return vec![call];
    }
    // What is touched has to stand somewhere: in an argument of its own, or inside of one that is there already.
    let mut calls = Vec::new();
    let mut with_own = call.clone();
    with_own.arguments.insert("touching".to_owned(), missing.clone().into());
    for name in call.arguments.keys() {
        let mut with_inside = call.clone();
        let Some(value) = with_inside.arguments.get_mut(name) else { continue };
        match value {
            Value::String(text) => *text = format!("{text} {}", missing.join(" ")).trim().to_owned(),
            Value::Array(items) => items.extend(missing.iter().map(|needle| Value::from(needle.as_str()))),
            _ => continue,
        }
        calls.push(with_inside);
    }
    calls.insert(0, with_own);
    calls
}

fn call(found: &Env, world: &World, mentions: &Mentions) -> Call {
    let mut read = Reader { found, shift_ms: 0 };
    let at_ms = read.at_ms(mentions);
    // Facts speak of times around the solver's own now, which may not be the time of the local clocks.
    read.shift_ms = i128::from(at_ms) - i128::from(read.now_ms().unwrap_or_default());
    let principal = found.request.principal().cloned();
    let roles = principal.as_ref().map(|id| read.roles(id)).unwrap_or_default();
    let (server, method, name) = read.target();
    let of_link = |name: &str| read.flag(&format!("context.link.{name}"));
    let link = match (of_link("quantum_safe"), of_link("encrypted"), of_link("quantum_safe_group")) {
        (Some(false), Some(false), _) => LinkKind::Plain,
        (Some(false), _, Some(true)) => LinkKind::QuantumSafeGroup,
        (Some(false), ..) => LinkKind::Classical,
        _ => LinkKind::QuantumSafe,
    };
    Call {
        agent: principal.map_or_else(|| "anonymous".to_owned(), |id| read.agent(&id, world)),
        roles,
        arguments: read.arguments(),
        server,
        method,
        name,
        at_ms,
        link,
        loopback: read.flag("context.link.loopback").unwrap_or(false),
        facts: read.facts(),
    }
}

struct Reader<'a> {
    found: &'a Env,
    /// What is added to points in time, in milliseconds.
    shift_ms: i128,
}

impl Reader<'_> {
    fn value(&self, path: &str) -> Option<EvalResult> {
        let path: Expression = path.parse().ok()?;
        eval_expression(&self.found.request, &self.found.entities, &path).ok()
    }

    fn flag(&self, path: &str) -> Option<bool> {
        match self.value(path)? {
            EvalResult::Bool(flag) => Some(flag),
            _ => None,
        }
    }

    fn number(&self, path: &str) -> Option<i64> {
        match self.value(path)? {
            EvalResult::Long(number) => Some(number),
            _ => None,
        }
    }

    fn text(&self, path: &str) -> Option<String> {
        match self.value(path)? {
            EvalResult::String(text) => Some(text),
            _ => None,
        }
    }

    fn roles(&self, id: &EntityUid) -> Vec<String> {
        let mut roles: Vec<String> = self
            .found
            .entities
            .ancestors(id)
            .into_iter()
            .flatten()
            .filter(|group| group.type_name().basename() == "Role")
            .map(|group| group.id().unescaped().to_owned())
            .collect();
        roles.sort_unstable();
        roles
    }

    fn agent(&self, id: &EntityUid, world: &World) -> String {
        match id.type_name().basename() {
            "LocalUser" => return "local-user".to_owned(),
            "Anonymous" => return "anonymous".to_owned(),
            _ => {}
        }
        let named = id.id().unescaped();
        if SpiffeId::parse(named).is_ok_and(|id| id.role().is_some()) {
            return named.to_owned();
        }
        let domain = self.text("principal.trust_domain").unwrap_or_default();
        let path = self.text("principal.path").unwrap_or_default();
        let described = format!("spiffe://{domain}{path}");
        if SpiffeId::parse(&described).is_ok_and(|id| id.role().is_some()) {
            return described;
        }
        format!("spiffe://{}/agent/somebody", world.trust_domain)
    }

    fn target(&self) -> (String, String, Option<String>) {
        let action = self.found.request.action().map(|id| id.id().unescaped().to_owned()).unwrap_or_default();
        if let Some((server, tool)) = action.strip_prefix(TOOL_ACTION).and_then(|tool| tool.split_once('/')) {
            return (decoded(server), TOOLS_CALL.to_owned(), Some(tool.to_owned()));
        }
        let id = self.found.request.resource().map(|id| id.id().unescaped().to_owned()).unwrap_or_default();
        let or_some = |text: Option<String>, other: &str| {
            text.filter(|text| !text.is_empty()).unwrap_or_else(|| other.to_owned())
        };
        let is_server = self.found.request.resource().is_some_and(|id| id.type_name().basename() == "Server");
        if is_server {
            let server = or_some(Some(id).or_else(|| self.text("resource.name")), "some-server");
            return (server, action, None);
        }
        let server = or_some(self.text("resource.server"), "some-server");
        let name = or_some(self.text("resource.name"), "some-name");
        (server, action, Some(name))
    }

    fn arguments(&self) -> Map<String, Value> {
        let mut arguments = match self.value("context.input") {
            Some(input @ EvalResult::Record(_)) => match json(&input, self.shift_ms) {
                Value::Object(members) => members,
                _ => Map::new(),
            },
            _ => Map::new(),
        };
        if let Some(EvalResult::Set(names)) = self.value("context.names") {
            for name in names.iter() {
                if let EvalResult::String(name) = name {
                    arguments.entry(name.clone()).or_insert(Value::Bool(true));
                }
            }
        }
        arguments
    }

    fn touched(&self) -> Vec<String> {
        let Some(EvalResult::Set(needles)) = self.value("context.touched") else { return Vec::new() };
        let text = |needle: &EvalResult| match needle {
            EvalResult::String(needle) => Some(needle.clone()),
            _ => None,
        };
        needles.iter().filter_map(text).collect()
    }

    /// The solver's own now, in milliseconds since 1970.
    fn now_ms(&self) -> Option<i64> {
        self.number("context.now.durationSince(datetime(\"1970-01-01\")).toMilliseconds()")
    }

    fn facts(&self) -> FactValues {
        match self.value("context.facts") {
            Some(EvalResult::Record(facts)) => facts
                .iter()
                .filter_map(|(name, fact)| match json(fact, self.shift_ms) {
                    Value::Object(record) => Some((name.clone(), record)),
                    _ => None,
                })
                .collect(),
            _ => FactValues::default(),
        }
    }

    /// A time of the weekday and minute in the first zone that policies ask for, else `now` itself.
    fn at_ms(&self, mentions: &Mentions) -> u64 {
        let local = mentions.zones().find_map(|zone| {
            let local = format!("context.local[{}]", crate::clause::cedar_string(zone));
            let minute = self.number(&format!("{local}.minute_of_day"))?;
            let weekday = self.text(&format!("{local}.weekday"))?;
            let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
            let day = days.iter().position(|name| *name == weekday)?;
            let date = MONDAY.checked_add(jiff::Span::new().days(i64::try_from(day).ok()?)).ok()?;
            let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
            let time = date.to_datetime(civil::Time::new(hour, minute, 0, 0).ok()?);
            let zone = TimeZone::get(zone).ok()?;
            time.to_zoned(zone).ok().map(|zoned| zoned.timestamp().as_millisecond())
        });
        let now = || self.now_ms().filter(|ms| (0..NOW_MS_MAX).contains(ms));
        let default = || crate::moment::parse(crate::cases::DEFAULT_AT).unwrap_or_default();
        local.or_else(now).and_then(|ms| u64::try_from(ms).ok()).unwrap_or_else(default)
    }
}

/// A value of Cedar as JSON.
fn json(value: &EvalResult, shift_ms: i128) -> Value {
    match value {
        EvalResult::Bool(flag) => (*flag).into(),
        EvalResult::Long(number) => (*number).into(),
        EvalResult::String(text) => text.as_str().into(),
        EvalResult::EntityUid(id) => id.id().unescaped().into(),
        EvalResult::Set(items) => Value::Array(items.iter().map(|item| json(item, shift_ms)).collect()),
        EvalResult::Record(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), json(value, shift_ms))).collect())
        }
        EvalResult::ExtensionValue(text) => {
            time(text, shift_ms).or_else(|| decimal(text)).unwrap_or_else(|| text.as_str().into())
        }
    }
}

/// `datetime("…")`, or such a one with an offset, as RFC 3339.
fn time(written: &str, shift_ms: i128) -> Option<Value> {
    let expression: Expression =
        format!("({written}).durationSince(datetime(\"1970-01-01\")).toMilliseconds()").parse().ok()?;
    let request = cedar_policy::Request::new(
        "A::\"\"".parse().ok()?,
        "Action::\"\"".parse().ok()?,
        "A::\"\"".parse().ok()?,
        cedar_policy::Context::empty(),
        None,
    )
    .ok()?;
    match eval_expression(&request, &cedar_policy::Entities::empty(), &expression).ok()? {
        EvalResult::Long(ms) => {
            // What lies beyond the calendar stays before or after all that lies in it.
            let shifted = (i128::from(ms) + shift_ms).clamp(0, i128::from(NOW_MS_MAX));
            Some(crate::moment::text(u64::try_from(shifted).ok()?).into())
        }
        _ => None,
    }
}

/// `decimal("1.5")` as a number of JSON.
fn decimal(written: &str) -> Option<Value> {
    let number = written.split_once("decimal(\"")?.1.split_once('"')?.0;
    Some(Value::Number(serde_json::Number::from_f64(number.parse().ok()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_in_time_are_written_as_people_do() {
        let value = time("(datetime(\"1970-01-01\")).offset(duration(\"86400000ms\"))", 0).unwrap();
        assert_eq!(value, "1970-01-02T00:00:00Z");
        assert_eq!(time("decimal(\"1.0\")", 0), None);
        assert_eq!(decimal("decimal(\"1.5\")"), Some(1.5.into()));
    }
}
