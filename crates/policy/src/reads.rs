//! What of the context a policy reads, found in its syntax tree.
//!
//! The tree is Cedar's JSON form of a policy. Whatever this walk does not
//! understand counts as reading everything, which costs time and never a
//! decision.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// What of the context is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    /// Everything; the rest does not matter then.
    pub(crate) all: bool,
    pub(crate) link: bool,
    pub(crate) names: bool,
    pub(crate) input: bool,
    pub(crate) scan: bool,
    pub(crate) now: bool,
    /// `touched` must be there; what it must hold is said below.
    pub(crate) touched: bool,
    /// `local` must be there.
    pub(crate) local: bool,
    /// `facts` must be there.
    pub(crate) facts_at_all: bool,
    /// The needles that are asked for in `touched`.
    pub(crate) needles: BTreeSet<String>,
    /// `touched` is used in another way than asking for needles.
    pub(crate) all_needles: bool,
    pub(crate) zones: BTreeSet<String>,
    pub(crate) all_zones: bool,
    pub(crate) facts: BTreeSet<String>,
    pub(crate) all_facts: bool,
}

impl Reads {
    /// What a policy of this JSON form reads.
    pub(crate) fn of(policy: &Value) -> Self {
        let mut reads = Reads::default();
        for condition in conditions(policy) {
            reads.walk(condition);
        }
        reads
    }

    /// Everything.
    pub(crate) fn everything() -> Self {
        Reads { all: true, ..Reads::default() }
    }

    /// Whether nothing but the link and the method is read.
    pub(crate) fn is_plain(&self) -> bool {
        let Reads { all, link: _, names, input, scan, now, .. } = self;
        let content = *names || *input || *scan || self.reads_touched();
        let surroundings = *now || self.reads_local() || self.reads_facts();
        !(*all || content || surroundings)
    }

    pub(crate) fn reads_touched(&self) -> bool {
        self.all || self.touched
    }

    pub(crate) fn reads_local(&self) -> bool {
        self.all || self.local
    }

    pub(crate) fn reads_zone(&self, name: &str) -> bool {
        self.all || self.all_zones || self.zones.contains(name)
    }

    pub(crate) fn reads_facts(&self) -> bool {
        self.all || self.facts_at_all
    }

    pub(crate) fn reads_fact(&self, name: &str) -> bool {
        self.all || self.all_facts || self.facts.contains(name)
    }

    /// Both.
    pub(crate) fn add(&mut self, other: &Reads) {
        let Reads { all, link, names, input, scan, now, .. } = other;
        self.all |= all;
        self.link |= link;
        self.names |= names;
        self.input |= input;
        self.scan |= scan;
        self.now |= now;
        self.touched |= other.touched;
        self.local |= other.local;
        self.facts_at_all |= other.facts_at_all;
        self.all_needles |= other.all_needles;
        self.all_zones |= other.all_zones;
        self.all_facts |= other.all_facts;
        self.needles.extend(other.needles.iter().cloned());
        self.zones.extend(other.zones.iter().cloned());
        self.facts.extend(other.facts.iter().cloned());
    }

    pub(crate) fn walk(&mut self, expr: &Value) {
        let Value::Object(node) = expr else {
            if let Value::Array(items) = expr {
                items.iter().for_each(|item| self.walk(item));
            }
            return;
        };
        if let Some(path) = context_path(expr) {
            return self.note(&path);
        }
        let Some((operator, operand)) = only(node) else {
            return node.values().for_each(|part| self.walk(part));
        };
        match operator {
            "Value" | "Unknown" => {}
            // Its keys are chosen by whoever wrote the policy.
            "Record" => {
                operand.as_object().into_iter().flat_map(Map::values).for_each(|part| self.walk(part))
            }
            "has" => self.has(operand),
            "contains" | "containsAny" | "containsAll" => self.contains(operand),
            _ => self.walk_parts(operand),
        }
    }

    fn walk_parts(&mut self, operand: &Value) {
        match operand {
            Value::Object(parts) => parts.values().for_each(|part| self.walk(part)),
            other => self.walk(other),
        }
    }

    fn has(&mut self, operand: &Value) {
        match has_path(operand).as_deref() {
            // Whether these are there is known without what they hold.
            Some(["touched"]) => self.touched = true,
            Some(["local"]) => self.local = true,
            Some(["facts"]) => self.facts_at_all = true,
            Some(path) => self.note(path),
            None => self.walk_parts(operand),
        }
    }

    fn contains(&mut self, operand: &Value) {
        let left = operand.get("left").and_then(context_path);
        let needles = operand.get("right").and_then(literals);
        match (left.as_deref(), needles) {
            (Some(["touched"]), Some(needles)) => {
                self.touched = true;
                self.needles.extend(needles);
            }
            _ => self.walk_parts(operand),
        }
    }

    fn note(&mut self, path: &[&str]) {
        let second = path.get(1).map(|name| (*name).to_owned());
        match path.first() {
            Some(&("link" | "method")) => self.link = true,
            Some(&"names") => self.names = true,
            Some(&"input") => self.input = true,
            Some(&"scan") => self.scan = true,
            Some(&"now") => self.now = true,
            Some(&"touched") => (self.touched, self.all_needles) = (true, true),
            Some(&"local") => {
                self.local = true;
                match second {
                    Some(zone) => drop(self.zones.insert(zone)),
                    None => self.all_zones = true,
                }
            }
            Some(&"facts") => {
                self.facts_at_all = true;
                match second {
                    Some(fact) => drop(self.facts.insert(fact)),
                    None => self.all_facts = true,
                }
            }
            _ => self.all = true,
        }
    }
}

/// The bodies of a policy's conditions.
pub(crate) fn conditions(policy: &Value) -> impl Iterator<Item = &Value> {
    let conditions = policy.get("conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().filter_map(|condition| condition.get("body"))
}

/// The one member of an object.
pub(crate) fn only(node: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut members = node.iter();
    match (members.next(), members.next()) {
        (Some((name, value)), None) => Some((name, value)),
        _ => None,
    }
}

/// The steps of `context.a.b`; empty for `context` itself.
pub(crate) fn context_path(expr: &Value) -> Option<Vec<&str>> {
    let (operator, operand) = only(expr.as_object()?)?;
    match operator {
        "Var" => (operand.as_str()? == "context").then(Vec::new),
        "." => {
            let mut path = context_path(operand.get("left")?)?;
            path.push(operand.get("attr")?.as_str()?);
            Some(path)
        }
        _ => None,
    }
}

/// The steps of what a `has` on the context asks for: `context has a.b`.
pub(crate) fn has_path(operand: &Value) -> Option<Vec<&str>> {
    let mut path = context_path(operand.get("left")?)?;
    match operand.get("attr")? {
        Value::String(attr) => path.push(attr),
        Value::Array(attrs) => {
            for attr in attrs {
                path.push(attr.as_str()?);
            }
        }
        _ => return None,
    }
    Some(path)
}

/// A string literal, or the strings of a set of literals.
pub(crate) fn literals(expr: &Value) -> Option<Vec<String>> {
    let (operator, operand) = only(expr.as_object()?)?;
    match (operator, operand) {
        ("Value", Value::String(text)) => Some(vec![text.clone()]),
        ("Value" | "Set", Value::Array(items)) => items
            .iter()
            .map(|item| match item {
                Value::String(text) => Some(text.clone()),
                other => literals(other).filter(|texts| texts.len() == 1)?.pop(),
            })
            .collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use cedar_policy::Policy;

    use super::*;

    fn reads(condition: &str) -> Reads {
        let text = format!("permit(principal, action, resource) when {{ {condition} }};");
        Reads::of(&Policy::parse(None, text).expect(condition).to_json().expect(condition))
    }

    #[test]
    fn what_is_read_is_found() {
        let set = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
        let nothing = Reads::default;
        let touched = || Reads { touched: true, ..Reads::default() };
        for (condition, expected) in [
            ("true", nothing()),
            ("principal.path == \"context\" && resource.name like \"*context*\"", nothing()),
            ("context.link.quantum_safe && context.method == \"x\"", Reads { link: true, ..nothing() }),
            ("context has link && context[\"link\"][\"group\"] == \"\"", Reads { link: true, ..nothing() }),
            ("context.names.contains(\"a\")", Reads { names: true, ..nothing() }),
            ("context has input", Reads { input: true, ..nothing() }),
            ("context has input.a.b", Reads { input: true, ..nothing() }),
            ("[\"a\"].containsAll(context.input.a)", Reads { input: true, ..nothing() }),
            ("context.scan.text like \"*a*\"", Reads { scan: true, ..nothing() }),
            ("context.now < datetime(\"2026-01-01\")", Reads { now: true, ..nothing() }),
            (
                "if context.now.toTime() < duration(\"1h\") then true else false",
                Reads { now: true, ..nothing() },
            ),
            ("context.touched.contains(\"a\")", Reads { needles: set(&["a"]), ..touched() }),
            (
                "context has touched && context.touched.containsAny([\"a\", \"b\"])",
                Reads { needles: set(&["a", "b"]), ..touched() },
            ),
            ("[\"a\"].containsAny(context.touched)", Reads { all_needles: true, ..touched() }),
            ("context.touched.contains(principal.path)", Reads { all_needles: true, ..touched() }),
            ("context.touched.isEmpty()", Reads { all_needles: true, ..touched() }),
            (
                "context.local[\"Europe/Berlin\"].hour < 8",
                Reads { local: true, zones: set(&["Europe/Berlin"]), ..nothing() },
            ),
            ("context.local == context.local", Reads { local: true, all_zones: true, ..nothing() }),
            (
                "context.facts has staff && context.facts.staff.on_duty > 0",
                Reads { facts_at_all: true, facts: set(&["staff"]), ..nothing() },
            ),
            ("{\"a\": context.facts}.a has b", Reads { facts_at_all: true, all_facts: true, ..nothing() }),
            ("{\".\": context.now} == {\".\": context.now}", Reads { now: true, ..nothing() }),
            ("context == context", Reads::everything()),
            ("[context].contains({})", Reads::everything()),
            ("context.other", Reads::everything()),
        ] {
            assert_eq!(reads(condition), expected, "{condition}");
        }
    }
}
