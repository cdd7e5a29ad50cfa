//! The least that covers what was used, as role files for a person to review.
//!
//! Calls that policy let pass are grouped by who made them and what they used. Each argument gets the narrowest test
//! that its observed values pass: a constant, a small set, a common beginning, a highest number. Nothing is widened by
//! guessing: one sample of a sensitive key stays that one value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use serde_json::Value;

use crate::call::{Outcome, TOOLS_CALL};
use crate::replay::Recorded;

/// Most values that are listed one by one; above it a pattern is looked for.
const VALUES_MAX: usize = 8;

/// Shortest common beginning that is worth a rule, in characters: one letter says nothing.
const PREFIX_CHARS_MIN: usize = 2;

/// Fewest calls from which hours are learned. Three calls at noon do not say when an agent works.
const HOURS_CALLS_MIN: usize = 20;

/// Longest text that is written into a rule as a value, in bytes. A longer one is content, not a choice.
const VALUE_BYTES_MAX: usize = 128;

/// Parts of argument names whose values are never generalised from a single sample.
const SENSITIVE: &[&str] = &[
    "id", "key", "token", "secret", "password", "path", "file", "url", "uri", "host", "email", "account",
    "iban", "user", "customer", "patient", "query", "sql", "command", "cmd",
];

/// What was learned, for one group of callers.
#[derive(Clone, Debug, Serialize)]
pub struct Suggestion {
    /// The role's name.
    pub role: String,
    /// The agents in it.
    pub agents: Vec<String>,
    /// Calls that it was learned from.
    pub calls: usize,
    /// The role file's text.
    pub text: String,
}

/// Everything that was learned.
#[derive(Clone, Debug, Serialize)]
pub struct Suggested {
    /// One role file for each group of callers.
    pub roles: Vec<Suggestion>,
    /// Permits in force that no recorded call was decided by.
    pub never_used: Vec<String>,
    /// Permitted calls whose arguments were not recorded: rules learned from them say nothing about arguments.
    pub without_arguments: usize,
}

/// How to learn.
#[derive(Clone, Debug)]
pub struct Learning {
    /// The zone in which hours are written.
    pub zone: String,
    /// Our trust domain: agents in it are written by their path.
    pub trust_domain: String,
    /// The ids of the permits in force.
    pub permits: Vec<String>,
}

/// Learns role files from recorded calls.
pub fn suggest(recorded: &[Recorded], learning: &Learning) -> Suggested {
    let used: Vec<&Recorded> = recorded.iter().filter(|one| one.was == Outcome::Allow).collect();
    let mut groups: BTreeMap<String, Vec<&Recorded>> = BTreeMap::new();
    for one in &used {
        groups.entry(role_of(one)).or_default().push(one);
    }
    let decided: BTreeSet<&String> = used.iter().flat_map(|one| &one.by).collect();
    Suggested {
        roles: groups.into_iter().map(|(role, calls)| role_file(&role, &calls, learning)).collect(),
        never_used: learning.permits.iter().filter(|id| !decided.contains(id)).cloned().collect(),
        without_arguments: used.iter().filter(|one| is_tool(one) && !one.arguments_known).count(),
    }
}

fn is_tool(one: &Recorded) -> bool {
    one.call.method == TOOLS_CALL
}

/// Callers with roles by registration are grouped by them, others stand alone.
fn role_of(one: &Recorded) -> String {
    if one.call.roles.is_empty() {
        let name = one.call.agent.rsplit('/').next().unwrap_or("agent");
        return format!("{}-observed", word(name));
    }
    format!("{}-observed", word(&one.call.roles.join("-")))
}

/// A name of letters, digits and dashes.
fn word(text: &str) -> String {
    let text: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let parts: Vec<&str> = text.split('-').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "x".to_owned() } else { parts.join("-") }
}

fn role_file(role: &str, calls: &[&Recorded], learning: &Learning) -> Suggestion {
    let prefix = format!("spiffe://{}/", learning.trust_domain);
    let agents: BTreeSet<String> = calls
        .iter()
        .map(|one| one.call.agent.strip_prefix(&prefix).unwrap_or(&one.call.agent).to_owned())
        .collect();
    let agents: Vec<String> = agents.into_iter().collect();
    let mut text = String::new();
    let quoted: Vec<String> = agents.iter().map(|agent| quote(agent)).collect();
    let _ = write!(
        text,
        "# Learned from {} by `lockgate policy suggest`. Read it as a proposal: what was used is not\n\
         # always what should be.\n\n[role]\nname = {}\nagents = [{}]\nzone = {}\n",
        calls_text(calls.len()),
        quote(role),
        quoted.join(", "),
        quote(&learning.zone),
    );
    let mut tools: BTreeMap<(&str, &str), Vec<&Recorded>> = BTreeMap::new();
    let mut items: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    let mut servers: BTreeMap<&str, usize> = BTreeMap::new();
    for one in calls {
        let call = &one.call;
        match (call.method.as_str(), &call.name) {
            (TOOLS_CALL, Some(tool)) => tools.entry((&call.server, tool)).or_default().push(one),
            ("resources/read" | "prompts/get", Some(name)) => {
                let key = if call.method == "prompts/get" { "prompts" } else { "resources" };
                *items.entry((key, &call.server, name)).or_default() += 1;
            }
            _ => *servers.entry(&call.server).or_default() += 1,
        }
    }
    let mut ids = BTreeSet::new();
    let mut fresh = |server: &str, name: &str| {
        let id = format!("{}-{}", word(server), word(name));
        let free = (1..).map(|n| if n == 1 { id.clone() } else { format!("{id}-{n}") });
        let free = free.into_iter().find(|id| ids.insert(id.clone()));
        free.expect("some number is free")
    };
    for ((server, tool), calls) in &tools {
        text.push_str(&tool_rule(&fresh(server, tool), server, tool, calls, learning));
    }
    for ((key, server, name), count) in &items {
        let id = fresh(server, name);
        let target = quote(&format!("{server}/{name}"));
        let _ =
            write!(text, "\n# {}\n[[allow]]\nid = {}\n{key} = [{target}]\n", calls_text(*count), quote(&id));
    }
    // A rule on a tool of a server opens that server; others need a rule that only opens it.
    let opened: BTreeSet<&str> =
        tools.keys().map(|(server, _)| *server).chain(items.keys().map(|(_, server, _)| *server)).collect();
    for (server, count) in servers.iter().filter(|(server, _)| !opened.contains(*server)) {
        let id = fresh(server, "lists");
        let _ = write!(
            text,
            "\n# {}: opened and listed, nothing used\n[[allow]]\nid = {}\nservers = [{}]\nmethods = [\"session\", \"list\"]\n",
            calls_text(*count),
            quote(&id),
            quote(server)
        );
    }
    text.push_str("\n[end]\n");
    Suggestion { role: role.to_owned(), agents, calls: calls.len(), text }
}

fn calls_text(count: usize) -> String {
    if count == 1 { "1 call".to_owned() } else { format!("{count} calls") }
}

fn tool_rule(id: &str, server: &str, tool: &str, calls: &[&Recorded], learning: &Learning) -> String {
    let known: Vec<&&Recorded> = calls.iter().filter(|one| one.arguments_known).collect();
    let mut text = format!("\n# {}", calls_text(calls.len()));
    if known.len() < calls.len() {
        let _ = write!(text, ", arguments of {} not recorded", calls.len() - known.len());
    }
    let _ =
        write!(text, "\n[[allow]]\nid = {}\ntools = [{}]\n", quote(id), quote(&format!("{server}/{tool}")));
    // Tests learned from some of the calls would deny the others.
    if known.len() == calls.len() {
        let mut names: BTreeMap<&String, Vec<&Value>> = BTreeMap::new();
        for one in &known {
            for (name, value) in &one.call.arguments {
                names.entry(name).or_default().push(value);
            }
        }
        for (name, values) in names {
            let is_optional = values.len() < known.len();
            let _ = writeln!(
                text,
                "arguments.{} = {}   # {}",
                key(name),
                test_of(name, &values, is_optional),
                calls_text(values.len())
            );
        }
    }
    if let Some(hours) = hours(calls, &learning.zone) {
        let _ = writeln!(text, "hours = {}", quote(&hours));
    }
    if calls.iter().all(|one| one.call.link == crate::call::LinkKind::QuantumSafe) {
        text.push_str("link = { quantum_safe = true }\n");
    }
    text
}

/// The narrowest test that all observed values pass, as an inline table.
fn test_of(name: &str, values: &[&Value], is_optional: bool) -> String {
    let test = narrowest(name, values);
    match (test, is_optional) {
        (Some(test), false) => format!("{{ {test} }}"),
        (Some(test), true) => format!("{{ {test}, optional = true }}"),
        (None, _) => "{ any = true }".to_owned(),
    }
}

fn narrowest(name: &str, values: &[&Value]) -> Option<String> {
    let distinct: BTreeSet<String> = values.iter().map(|value| value.to_string()).collect();
    if values.iter().all(|value| value.is_boolean()) {
        let one = values[0].to_string();
        return (distinct.len() == 1).then(|| format!("is = {one}"));
    }
    if let Some(numbers) = values.iter().map(|value| value.as_i64()).collect::<Option<Vec<i64>>>() {
        return Some(match distinct.len() {
            1 => format!("is = {}", numbers[0]),
            _ => {
                let (min, max) = (numbers.iter().min()?, numbers.iter().max()?);
                format!("min = {}, max = {}", (*min).min(0), rounded_up(*max))
            }
        });
    }
    if let Some(texts) = values.iter().map(|value| value.as_str()).collect::<Option<Vec<&str>>>() {
        return of_texts(name, &texts);
    }
    let lists: Option<Vec<Vec<&str>>> =
        values.iter().map(|value| value.as_array()?.iter().map(Value::as_str).collect()).collect();
    let members: BTreeSet<&str> = lists?.into_iter().flatten().collect();
    let fits = !members.is_empty()
        && members.len() <= 4 * VALUES_MAX
        && members.iter().all(|member| member.len() <= VALUE_BYTES_MAX);
    fits.then(|| format!("only = [{}]", list(members)))
}

fn of_texts(name: &str, texts: &[&str]) -> Option<String> {
    let distinct: BTreeSet<&str> = texts.iter().copied().collect();
    let short = distinct.iter().all(|text| text.len() <= VALUE_BYTES_MAX);
    if distinct.len() == 1 && short {
        // A free text that was said once is no constant, unless its name says that it chooses something.
        let is_certain = texts.len() > 1 || is_sensitive(name);
        return is_certain.then(|| format!("is = {}", quote(texts[0])));
    }
    if distinct.len() <= VALUES_MAX && short && (texts.len() >= 2 * distinct.len() || is_sensitive(name)) {
        return Some(format!("one_of = [{}]", list(distinct)));
    }
    let prefix = common_prefix(&distinct);
    (prefix.chars().count() >= PREFIX_CHARS_MIN).then(|| format!("starts_with = {}", quote(prefix)))
}

/// Whether the name of an argument says that its values choose whom or what a call is about.
fn is_sensitive(name: &str) -> bool {
    let name = name.to_lowercase();
    SENSITIVE.iter().any(|word| name.split(['_', '-', '.']).any(|part| part == *word) || name.ends_with(word))
}

fn common_prefix<'a>(texts: &BTreeSet<&'a str>) -> &'a str {
    // Sorted, so that what first and last share is shared by all.
    let (Some(first), Some(last)) = (texts.first(), texts.last()) else { return "" };
    let shared = first.char_indices().zip(last.chars()).find(|((_, a), b)| a != b);
    let end = shared.map_or(first.len().min(last.len()), |((at, _), _)| at);
    // A cut inside a word or number would be a guess about what comes next, so it goes back to a separator.
    let cut = first[..end]
        .rfind(|c: char| !c.is_alphanumeric())
        .map_or(0, |at| at + first[at..].chars().next().map_or(1, char::len_utf8));
    &first[..cut]
}

/// The next of 1, 2, 5 × 10ⁿ.
fn rounded_up(number: i64) -> i64 {
    if number <= 0 {
        return number;
    }
    let mut step = 1_i64;
    loop {
        for factor in [1, 2, 5] {
            match step.checked_mul(factor) {
                Some(round) if round >= number => return round,
                Some(_) => {}
                None => return number,
            }
        }
        match step.checked_mul(10) {
            Some(next) => step = next,
            None => return number,
        }
    }
}

/// The hours between the first and the last call of a day, rounded outwards; `None` if too few or all day.
fn hours(calls: &[&Recorded], zone: &str) -> Option<String> {
    if calls.len() < HOURS_CALLS_MIN {
        return None;
    }
    let zone = TimeZone::get(zone).ok()?;
    let hours: Option<Vec<i8>> = calls
        .iter()
        .map(|one| {
            let ms = i64::try_from(one.call.at_ms).ok()?;
            Some(Timestamp::from_millisecond(ms).ok()?.to_zoned(zone.clone()).hour())
        })
        .collect();
    let hours = hours?;
    let (from, to) = (*hours.iter().min()?, *hours.iter().max()? + 1);
    (to - from < 20).then(|| format!("{from:02}:00-{:02}:00", to % 24))
}

fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    texts.into_iter().map(quote).collect::<Vec<_>>().join(", ")
}

/// A TOML string.
fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A TOML key: bare where it can be.
fn key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(is_bare) { name.to_owned() } else { quote(name) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::call::Call;

    fn recorded(tool: &str, arguments: Value, hour: u64) -> Recorded {
        let mut call = Call::tool("spiffe://d.example/agent/retail-1", "crm", tool, hour * 3_600_000);
        call.arguments = arguments.as_object().unwrap().clone();
        Recorded {
            seq: 1,
            call,
            was: Outcome::Allow,
            by: vec!["p1".into()],
            approved: false,
            arguments_known: true,
            facts_unknown: false,
        }
    }

    fn learning() -> Learning {
        Learning {
            zone: "UTC".into(),
            trust_domain: "d.example".into(),
            permits: vec!["p1".into(), "p2".into()],
        }
    }

    #[test]
    fn tests_are_as_narrow_as_what_was_seen() {
        let test = |name: &str, values: &[Value]| narrowest(name, &values.iter().collect::<Vec<_>>());
        for (name, values, expected) in [
            ("limit", vec![json!(3), json!(17)], Some("min = 0, max = 20")),
            ("limit", vec![json!(7), json!(7)], Some("is = 7")),
            ("dry", vec![json!(true), json!(true)], Some("is = true")),
            ("dry", vec![json!(true), json!(false)], None),
            ("fields", vec![json!(["name"]), json!(["email", "name"])], Some(r#"only = ["email", "name"]"#)),
            ("mode", vec![json!("a"), json!("a"), json!("b"), json!("b")], Some(r#"one_of = ["a", "b"]"#)),
            ("note", vec![json!("hello")], None),
            // One sample of a sensitive key is never widened.
            ("customer_id", vec![json!("c-1")], Some(r#"is = "c-1""#)),
            ("customer_id", vec![json!("c-1"), json!("c-2")], Some(r#"one_of = ["c-1", "c-2"]"#)),
            ("mixed", vec![json!(1), json!("a")], None),
            ("nested", vec![json!({"a": 1})], None),
        ] {
            assert_eq!(test(name, &values).as_deref(), expected, "{name} {values:?}");
        }
        let many: Vec<Value> = (0..20).map(|n| json!(format!("c-{n}"))).collect();
        assert_eq!(test("customer_id", &many).as_deref(), Some(r#"starts_with = "c-""#));
        let unlike: Vec<Value> = (0..20).map(|n| json!(format!("{n}"))).collect();
        assert_eq!(test("customer_id", &unlike), None);
    }

    #[test]
    fn numbers_round_up() {
        for (number, expected) in
            [(-3, -3), (0, 0), (1, 1), (3, 5), (17, 20), (100, 100), (101, 200), (i64::MAX, i64::MAX)]
        {
            assert_eq!(rounded_up(number), expected);
        }
    }

    #[test]
    fn a_file_for_each_caller_and_what_was_never_used() {
        let mut calls: Vec<Recorded> = (0..30)
            .map(|n| recorded("get", json!({"customer_id": format!("c-{n}"), "n": n}), 8 + n % 9))
            .collect();
        calls.push(recorded("say \"hi\"", json!({"a b": true}), 12));
        let suggested = suggest(&calls, &learning());
        assert_eq!(suggested.never_used, ["p2"]);
        let text = &suggested.roles[0].text;
        for line in [
            "name = \"retail-1-observed\"",
            "agents = [\"agent/retail-1\"]",
            "tools = [\"crm/get\"]",
            "arguments.customer_id = { starts_with = \"c-\" }   # 30 calls",
            "arguments.n = { min = 0, max = 50 }   # 30 calls",
            "hours = \"08:00-17:00\"",
            "arguments.\"a b\" = { is = true }   # 1 call",
            "[end]",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.parse::<toml::Table>().is_ok(), "{text}");
    }

    #[test]
    fn without_arguments_nothing_is_said_about_them() {
        let mut one = recorded("get", json!({}), 9);
        one.arguments_known = false;
        let suggested = suggest(&[one, recorded("get", json!({"id": "1"}), 9)], &learning());
        assert_eq!(suggested.without_arguments, 1);
        assert!(!suggested.roles[0].text.contains("arguments."), "{}", suggested.roles[0].text);
    }
}
