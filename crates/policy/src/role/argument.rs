//! Conditions on the arguments of one tool.

use std::collections::{BTreeMap, BTreeSet};

use super::cedar::{self, Guard};
use super::condition::{self, Asked, Presence};
use super::literal::ValueType;
use super::read::{Section, shown};
use super::report::{Report, did_you_mean};
use crate::arguments::path;

/// The arguments of one tool by dotted path, with their types, as its pinned
/// definition declares them.
pub type Arguments = BTreeMap<String, ValueType>;

/// What a rule says about arguments.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    /// Dotted path, byte offset, and what is asked.
    named: Vec<(String, usize, Asked)>,
    /// Arguments that are not named may come along.
    others: bool,
}

impl Conditions {
    /// Reads `arguments` and `others` of a rule.
    pub(super) fn read(rule: &Section<'_>, never: bool) -> Self {
        let others = rule.choice("others", &["allow", "refuse"]);
        let mut conditions = Conditions { named: Vec::new(), others: others == Some("allow") };
        let Some(section) = rule.section("arguments") else {
            if let Some(entry) = rule.get("others").filter(|_| others.is_some()) {
                rule.report.say(
                    entry.at,
                    "`others` without arguments",
                    "name arguments, or leave the line out",
                );
            }
            return conditions;
        };
        if let Some(entry) = rule.get("others").filter(|_| never) {
            let hint = "a [[never]] rule forbids what matches, whatever else comes along; leave the line out";
            rule.report.say(entry.at, "`others` in a [[never]] rule", hint);
        }
        for entry in section.entries() {
            if path::steps(entry.key).is_none() {
                let what = format!("`{}` is no path of an argument", shown(entry.key));
                rule.report.say(entry.at, what, condition::PATH_HINT);
                continue;
            }
            let Some(asked) = condition::read(entry.key, entry.value, condition::ARGUMENT, &section) else {
                continue;
            };
            if never && asked.presence == Presence::Optional {
                let what = format!("`{}` may or may not be there: that forbids nothing", shown(entry.key));
                rule.report.say(entry.at, what, "leave `optional` or `any` out");
            }
            conditions.named.push((entry.key.to_owned(), entry.at, asked));
        }
        if section.entries().is_empty() {
            rule.report.say(section.at, "`arguments` is empty", "name arguments, or leave the line out");
        }
        conditions
    }

    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// Whether a value of an argument is compared, which needs its type.
    pub(super) fn reads_values(&self) -> bool {
        self.named.iter().any(|(_, _, asked)| !asked.tests.is_empty())
    }

    /// Notes arguments that the tool does not have.
    fn check_names(&self, tool: &str, known: &Arguments, report: &Report<'_>) {
        for (path, at, asked) in &self.named {
            if asked.presence != Presence::Absent && !known.contains_key(path) {
                let hint = match known.is_empty() {
                    true => "the tool takes no arguments".to_owned(),
                    false => did_you_mean(path, known.keys().map(String::as_str)),
                };
                report.say(*at, format!("`{}` has no argument `{}`", shown(tool), shown(path)), hint);
            }
        }
    }

    /// The conditions in Cedar for one tool, one after the other.
    ///
    /// `also` are arguments that the rule names elsewhere.
    pub(super) fn clauses(
        &self,
        tool: &str,
        known: Option<&Arguments>,
        also: &[String],
        never: bool,
        report: &Report<'_>,
    ) -> Vec<String> {
        if let Some(known) = known {
            self.check_names(tool, known, report);
        }
        let mut clauses = Vec::new();
        for (path, _, asked) in &self.named {
            let of = known.and_then(|known| known.get(path)).copied();
            let steps = path::steps(path).unwrap_or_default();
            let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
            if asked.tests.is_empty() {
                clauses.extend(present(path, asked.presence));
            }
            let mut guard = Guard::default();
            let input = guard.reach("context", &["input"]);
            let subject = guard.reach(&input, &steps);
            for (test, at) in &asked.tests {
                match condition::render(test, &subject, of, never) {
                    Ok(text) if asked.presence == Presence::Optional => {
                        clauses.push(optional(&guard, path, &text))
                    }
                    Ok(text) => clauses.push(guard.else_false(&text)),
                    Err((what, hint)) => report.say(*at, format!("`{}`: {what}", shown(path)), hint),
                }
            }
        }
        if !never && !self.others {
            clauses.extend(self.closed(also));
        }
        clauses
    }

    /// No arguments but the ones that are named. A rule that only says what
    /// must be absent closes nothing.
    fn closed(&self, also: &[String]) -> Vec<String> {
        let positive = self.named.iter().filter(|(_, _, asked)| asked.presence != Presence::Absent);
        let paths: BTreeSet<&str> = positive.map(|(path, _, _)| path.as_str()).collect();
        if paths.is_empty() {
            return Vec::new();
        }
        let also = also.iter().map(String::as_str);
        let paths: Vec<Vec<String>> = paths.into_iter().chain(also).filter_map(path::steps).collect();
        let mut guard = Guard::default();
        let names = guard.reach("context", &["names"]);
        let outermost: BTreeSet<&String> = paths.iter().filter_map(|steps| steps.first()).collect();
        let outermost = cedar::set(outermost.into_iter().map(|name| cedar::text(name)));
        let mut clauses = vec![guard.else_false(&format!("{outermost}.containsAll({names})"))];
        if paths.iter().any(|steps| steps.len() > 1) {
            // Records are named by their members: these, and the way to them.
            let ways = paths.iter().flat_map(|steps| (1..=steps.len()).flat_map(|n| ways(&steps[..n])));
            let ways: BTreeSet<String> = ways.collect();
            let mut guard = Guard::default();
            let seen = guard.reach("context", &["scan", "paths"]);
            let all = cedar::set(ways.iter().map(|way| cedar::text(way)));
            clauses.push(guard.else_false(&format!("{all}.containsAll({seen})")));
        }
        clauses
    }
}

/// How a member is named in `context.scan.paths`.
fn ways(steps: &[String]) -> [String; 2] {
    let exact: Vec<String> = steps.iter().map(|step| path::step(step)).collect();
    [steps.join(".").to_lowercase(), exact.join(".").to_lowercase()]
}

/// A test of an argument that may be missing. What is missing is seen in the
/// names, so that an argument of another type than expected does not count as
/// missing.
fn optional(guard: &Guard, path: &str, test: &str) -> String {
    let missing = is_there(path, false).1;
    format!("{} || ({})", missing, guard.else_false(test))
}

fn present(path: &str, presence: Presence) -> Option<String> {
    let (_, text) = match presence {
        Presence::Required => is_there(path, true),
        Presence::Absent => is_there(path, false),
        Presence::Optional => return None,
    };
    Some(text)
}

/// Whether an argument came, with its guard.
fn is_there(path: &str, wanted: bool) -> (Guard, String) {
    let steps = path::steps(path).unwrap_or_default();
    let mut guard = Guard::default();
    let mut seen = |names: &[&str], name: &str| {
        let sign = if wanted { "" } else { "!" };
        format!("{sign}{}.contains({})", guard.reach("context", names), cedar::text(name))
    };
    let text = match steps.as_slice() {
        [name] => seen(&["names"], name),
        // A name with a dot in it could be taken for the way to a member, but for its first step.
        [first, ..] if wanted => {
            format!("{} && {}", seen(&["names"], first), seen(&["scan", "paths"], &ways(&steps)[1]))
        }
        _ => seen(&["scan", "paths"], &ways(&steps)[1]),
    };
    let text = guard.else_false(&text);
    (guard, text)
}
