//! Cases beside the policy: calls with the decision that they ought to get.
//!
//! ```toml
//! [defaults]
//! agent = "agent/retail-1"
//!
//! [[case]]
//! name = "email is fine"
//! tool = "crm/get_customer"
//! arguments = { customer_id = "c-1", fields = ["email"] }
//! at = "2026-11-22T14:00:00+01:00"
//! facts.staff = { on_duty = 2 }
//! expect = "allow"
//! by = "retail-bot.read-customer"
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use lockgate_policy::{FactValues, Policies};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::call::{Call, Decided, LinkKind, Outcome, TOOLS_CALL};
use crate::error::AnalysisError;
use crate::moment;

/// When a case happens that does not say when: a Monday at noon, UTC. Fixed, so that a test says the same each day.
pub const DEFAULT_AT: &str = "2026-01-05T12:00:00Z";

/// Most cases of one file. A file of tests comes from a colleague at best; a million cases would be a mistake.
const CASES_MAX: usize = 100_000;

/// One case, read and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What it is called.
    pub name: String,
    /// Its file.
    pub file: PathBuf,
    /// The line where it begins.
    pub line: usize,
    /// The call.
    pub call: Call,
    /// What ought to be decided.
    pub expect: Outcome,
    /// The rule that ought to decide, if the case says.
    pub by: Option<String>,
}

/// How a case went.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// What it is called.
    pub name: String,
    /// File and line.
    pub place: String,
    /// Whether it went as expected.
    pub passed: bool,
    /// What was expected.
    pub expect: Outcome,
    /// The rule that was expected, if the case says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_by: Option<String>,
    /// What was decided.
    #[serde(flatten)]
    pub decided: Decided,
    /// The command that explains the decision.
    pub explain: String,
}

/// How all cases went.
#[derive(Clone, Debug, Serialize)]
pub struct Tested {
    /// Each case.
    pub cases: Vec<Checked>,
    /// Rules that no case was decided by.
    pub never_decided: Vec<String>,
    /// How many rules there are.
    pub rules: usize,
}

impl Tested {
    /// How many cases did not go as expected.
    pub fn failed(&self) -> usize {
        self.cases.iter().filter(|case| !case.passed).count()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    defaults: Table,
    #[serde(default, rename = "case")]
    cases: Vec<toml::Spanned<Table>>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: Option<String>,
    agent: Option<String>,
    roles: Option<Vec<String>>,
    tool: Option<String>,
    server: Option<String>,
    method: Option<String>,
    subject: Option<String>,
    arguments: Option<toml::Table>,
    at: Option<toml::Value>,
    link: Option<LinkKind>,
    loopback: Option<bool>,
    facts: Option<BTreeMap<String, toml::Table>>,
    expect: Option<Outcome>,
    by: Option<String>,
}

/// Reads a file of cases.
///
/// # Errors
/// The first mistake, with its place.
pub fn read(path: &Path, text: &str) -> Result<Vec<Case>, AnalysisError> {
    let wrong = |at: usize, what: String| {
        let (line, column) = position(text, at);
        AnalysisError::Cases { file: path.to_owned(), line, column, what }
    };
    let file: File = toml::from_str(text)
        .map_err(|error| wrong(error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
    if file.cases.is_empty() {
        return Err(wrong(0, "it has no [[case]]".to_owned()));
    }
    if file.cases.len() > CASES_MAX {
        return Err(wrong(0, format!("it has more than {CASES_MAX} cases")));
    }
    file.cases
        .into_iter()
        .enumerate()
        .map(|(n, spanned)| {
            let at = spanned.span().start;
            let (line, _) = position(text, at);
            let table = merged(&file.defaults, spanned.into_inner());
            case(table, n + 1)
                .map(|(name, call, expect, by)| Case { name, file: path.to_owned(), line, call, expect, by })
                .map_err(|what| wrong(at, what))
        })
        .collect()
}

fn merged(defaults: &Table, own: Table) -> Table {
    let defaults = defaults.clone();
    Table {
        name: own.name,
        agent: own.agent.or(defaults.agent),
        roles: own.roles.or(defaults.roles),
        tool: own.tool.or(defaults.tool),
        server: own.server.or(defaults.server),
        method: own.method.or(defaults.method),
        subject: own.subject.or(defaults.subject),
        arguments: own.arguments.or(defaults.arguments),
        at: own.at.or(defaults.at),
        link: own.link.or(defaults.link),
        loopback: own.loopback.or(defaults.loopback),
        facts: own.facts.or(defaults.facts),
        expect: own.expect.or(defaults.expect),
        by: own.by.or(defaults.by),
    }
}

fn case(table: Table, number: usize) -> Result<(String, Call, Outcome, Option<String>), String> {
    let name = table.name.unwrap_or_else(|| format!("case {number}"));
    let missing = |what: &str| format!("the case {name:?} does not say {what}");
    let expect =
        table.expect.ok_or_else(|| missing("what to expect: expect = \"allow\", deny, hold or kill"))?;
    let agent = table.agent.ok_or_else(|| missing("who calls: agent = \"agent/NAME\""))?;
    let (server, method, subject) = match (table.tool, table.server, table.method) {
        (Some(tool), None, None) => {
            let (server, tool) =
                tool.split_once('/').ok_or_else(|| format!("tool = {tool:?} is not SERVER/TOOL"))?;
            (server.to_owned(), TOOLS_CALL.to_owned(), Some(tool.to_owned()))
        }
        (None, Some(server), Some(method)) => (server, method, table.subject),
        _ => return Err(missing("what is called: tool = \"SERVER/TOOL\", or server, method and subject")),
    };
    let at = match table.at {
        None => DEFAULT_AT.to_owned(),
        Some(toml::Value::String(text)) => text,
        Some(toml::Value::Datetime(time)) => time.to_string(),
        Some(_) => return Err(missing("when it happens: at is no time")),
    };
    let facts: FactValues = table
        .facts
        .unwrap_or_default()
        .into_iter()
        .map(|(name, record)| Ok((name, json(record)?)))
        .collect::<Result<_, String>>()?;
    let call = Call {
        agent,
        roles: table.roles.unwrap_or_default(),
        server,
        method,
        name: subject,
        arguments: table.arguments.map(json).transpose()?.unwrap_or_default(),
        at_ms: moment::parse(&at).map_err(|error| error.to_string())?,
        link: table.link.unwrap_or_default(),
        loopback: table.loopback.unwrap_or_default(),
        facts,
    };
    Ok((name, call, expect, table.by))
}

/// A TOML table as JSON; times become their text.
fn json(table: toml::Table) -> Result<Map<String, Value>, String> {
    table.into_iter().map(|(name, value)| Ok((name, json_value(value)?))).collect()
}

fn json_value(value: toml::Value) -> Result<Value, String> {
    Ok(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => serde_json::Number::from_f64(number)
            .map(Value::Number)
            .ok_or_else(|| format!("{number} is no number of JSON"))?,
        toml::Value::Boolean(flag) => flag.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => {
            Value::Array(items.into_iter().map(json_value).collect::<Result<_, _>>()?)
        }
        toml::Value::Table(table) => Value::Object(json(table)?),
    })
}

/// Line and column in characters, both from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(at)];
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |n| n + 1);
    (line, before[start..].chars().count() + 1)
}

/// Decides every case.
///
/// # Errors
/// [`AnalysisError::Call`] for a call that cannot be made, with the case's place.
pub fn test(cases: &[Case], policies: &Policies, trust_domain: &str) -> Result<Tested, AnalysisError> {
    let mut decided_by: BTreeSet<String> = BTreeSet::new();
    let mut checked = Vec::with_capacity(cases.len());
    for case in cases {
        let decided = case.call.decide(policies, trust_domain).map_err(|error| AnalysisError::Cases {
            file: case.file.clone(),
            line: case.line,
            column: 1,
            what: format!("{:?}: {error}", case.name),
        })?;
        decided_by.extend(decided.by.iter().cloned());
        let by_fits = case.by.as_ref().is_none_or(|by| decided.by.contains(by));
        checked.push(Checked {
            name: case.name.clone(),
            place: format!("{}:{}", case.file.display(), case.line),
            passed: decided.outcome == case.expect && by_fits,
            expect: case.expect,
            expect_by: case.by.clone(),
            decided,
            explain: case.call.command(),
        });
    }
    let ids: Vec<String> = policies.ids().map(str::to_owned).collect();
    Ok(Tested {
        cases: checked,
        rules: ids.len(),
        never_decided: ids.into_iter().filter(|id| !decided_by.contains(id)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Case>, AnalysisError> {
        read(Path::new("a.test.toml"), text)
    }

    #[test]
    fn a_case_takes_what_it_does_not_say_from_the_defaults() {
        let cases = parse(
            r#"
            [defaults]
            agent = "agent/a"
            expect = "deny"
            [[case]]
            name = "one"
            tool = "crm/get"
            arguments = { id = "c-1", fields = ["a"], n = 1.5 }
            at = 2026-11-22T14:00:00+01:00
            facts.staff = { on_duty = 2 }
            link = "plain"
            [[case]]
            server = "crm"
            method = "tools/list"
            expect = "allow"
            by = "x"
            "#,
        )
        .unwrap();
        assert_eq!((cases[0].line, cases[1].line), (5, 12));
        assert_eq!((cases[0].expect, cases[1].expect), (Outcome::Deny, Outcome::Allow));
        assert_eq!(cases[0].call.arguments["n"], 1.5);
        assert_eq!(moment::text(cases[0].call.at_ms), "2026-11-22T13:00:00Z");
        assert_eq!(cases[0].call.facts.get("staff").unwrap()["on_duty"], 2);
        assert_eq!((cases[1].name.as_str(), cases[1].call.what().as_str()), ("case 2", "tools/list crm"));
        assert_eq!(cases[1].call.at_ms, moment::parse(DEFAULT_AT).unwrap());
    }

    #[test]
    fn mistakes_have_places() {
        for (text, line, word) in [
            ("", 1, "no [[case]]"),
            ("[[case]]\nagent = \"a\"\nexpekt = 1", 3, "expekt"),
            ("[[case]]\nagent = \"a\"\ntool = \"crm/x\"", 1, "expect"),
            ("\n[[case]]\nexpect = \"allow\"\ntool = \"crm/x\"", 2, "who calls"),
            ("[[case]]\nexpect = \"allow\"\nagent = \"a\"\ntool = \"crm\"", 1, "SERVER/TOOL"),
            ("[[case]]\nexpect = \"allow\"\nagent = \"a\"", 1, "what is called"),
            ("[[case]]\nexpect = \"maybe\"", 2, "maybe"),
            ("[[case]]\nexpect=\"allow\"\nagent=\"a\"\ntool=\"c/x\"\nat=\"noon\"", 1, "noon"),
            ("[[case]]\nexpect=\"allow\"\nagent=\"a\"\ntool=\"c/x\"\narguments={a=nan}", 1, "number"),
            ("[[case]", 1, ""),
        ] {
            let AnalysisError::Cases { line: found, what, .. } = parse(text).unwrap_err() else {
                panic!("{text}")
            };
            assert_eq!(found, line, "{text}: {what}");
            assert!(what.contains(word), "{text}: {what}");
        }
    }
}
