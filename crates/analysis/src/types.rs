//! The types that policies compare arguments with, read off their conditions.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::clause::cedar_string;

/// Deepest expression that is looked into; the parser of policies has a limit of its own.
const DEPTH_MAX: usize = 256;

/// Operators of Cedar that compare decimals.
const DECIMAL: [&str; 4] = ["lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"];

/// The arguments that policies speak of, by path, with the types that they compare them with.
#[derive(Debug, Default)]
pub(crate) struct Types {
    types: BTreeMap<Vec<String>, BTreeSet<String>>,
    /// The flags that an argument is compared with.
    flags: BTreeMap<Vec<String>, BTreeSet<bool>>,
    /// Flags are compared in a way that says nothing of which.
    any_flag: bool,
}

/// Why no type can be taken for granted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    TwoTypes(String),
    BothFlags(String),
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Doubt::TwoTypes(path) => write!(f, "policies compare the argument {path} as two types"),
            Doubt::BothFlags(path) => {
                write!(
                    f,
                    "policies compare the argument {path} with true and with false, and it could be neither"
                )
            }
        }
    }
}

impl Types {
    pub(crate) fn merge(&mut self, other: &Types) {
        for (path, types) in &other.types {
            self.types.entry(path.clone()).or_default().extend(types.iter().cloned());
        }
        for (path, flags) in &other.flags {
            self.flags.entry(path.clone()).or_default().extend(flags);
        }
        self.any_flag |= other.any_flag;
    }

    /// The arguments that are compared, by dotted path, with their types in words.
    pub(crate) fn in_words(&self) -> BTreeMap<String, String> {
        let words = |kind: &str| match kind {
            "String" => "text".to_owned(),
            "Long" => "integer".to_owned(),
            "Bool" => "flag".to_owned(),
            "decimal" => "number".to_owned(),
            other => {
                other.replace("Set<", "list of ").replace("String>", "texts").replace("Long>", "integers")
            }
        };
        let one =
            |(path, kinds): (&Vec<String>, &BTreeSet<String>)| Some((path.join("."), words(kinds.first()?)));
        self.types.iter().filter_map(one).collect()
    }

    /// The names of the arguments.
    pub(crate) fn names(&self) -> Vec<String> {
        let names: BTreeSet<&String> = self.types.keys().filter_map(|path| path.first()).collect();
        names.into_iter().cloned().collect()
    }

    /// The record type of all arguments.
    ///
    /// # Errors
    /// An argument of two types, or one whose types leave no value that is equal to nothing.
    pub(crate) fn record(&self) -> Result<String, Doubt> {
        self.record_below(&[])
    }

    fn record_below(&self, prefix: &[String]) -> Result<String, Doubt> {
        let below = |path: &&Vec<String>| path.len() > prefix.len() && path.starts_with(prefix);
        let names: BTreeSet<&String> =
            self.types.keys().filter(below).map(|path| &path[prefix.len()]).collect();
        let mut fields = Vec::new();
        for name in names {
            let path: Vec<String> = prefix.iter().cloned().chain([name.clone()]).collect();
            let own = self.types.get(&path);
            let has_inside =
                self.types.keys().any(|other| other.len() > path.len() && other.starts_with(&path));
            let kinds: Vec<&String> = own.into_iter().flatten().collect();
            let kind = match (has_inside, kinds.as_slice()) {
                (true, []) => self.record_below(&path)?,
                // Only asked whether it is there.
                (false, []) => "String".to_owned(),
                (false, [one]) if one.contains("Bool") && self.may_be_neither(&path, one) => {
                    return Err(Doubt::BothFlags(path.join(".")));
                }
                (false, [one]) => (*one).clone(),
                _ => return Err(Doubt::TwoTypes(path.join("."))),
            };
            fields.push(format!("{}?: {kind}", cedar_string(name)));
        }
        Ok(format!("{{ {} }}", fields.join(", ")))
    }

    fn may_be_neither(&self, path: &[String], kind: &str) -> bool {
        kind != "Bool" || self.any_flag || self.flags.get(path).is_some_and(|flags| flags.len() > 1)
    }

    /// Notes what a flag is compared with; anything but an argument with a literal says nothing.
    fn compare_flags(&mut self, left: &Value, right: &Value, depth: usize) {
        let sides = [(left, right), (right, left)];
        let is_flag = |side: &Value| kind_of(side).is_some_and(|kind| kind.contains("Bool"));
        if !is_flag(left) && !is_flag(right) {
            return;
        }
        let literals = |side: &Value| -> Option<Vec<bool>> {
            let one = |item: &Value| item["Value"].as_bool();
            match side.get("Set").and_then(Value::as_array) {
                Some(items) => items.iter().map(one).collect(),
                None => one(side).map(|flag| vec![flag]),
            }
        };
        let noted = sides.into_iter().find_map(|(argument, other)| {
            Some((argument.get(".").and_then(|_| input_path(argument, depth))?, literals(other)?))
        });
        match noted {
            Some((path, flags)) => self.flags.entry(path).or_default().extend(flags),
            None => self.any_flag = true,
        }
    }

    /// Looks for arguments in an expression of which a type is expected.
    pub(crate) fn read(&mut self, expression: &Value, expected: Option<&str>, depth: usize) {
        if depth >= DEPTH_MAX {
            return;
        }
        if let (Some(_), Some(path)) = (expression.get("."), input_path(expression, depth)) {
            self.note(path, expected);
            return;
        }
        let Some((operator, operands)) = expression.as_object().and_then(|one| one.iter().next()) else {
            return;
        };
        let (left, right) = match operands {
            Value::Array(both) => (both.first().unwrap_or(&Value::Null), both.get(1).unwrap_or(&Value::Null)),
            operands => (&operands["left"], &operands["right"]),
        };
        if matches!(operator.as_str(), "==" | "!=" | "contains" | "containsAll" | "containsAny") {
            self.compare_flags(left, right, depth);
        }
        let mut both = |types: [Option<&str>; 2]| {
            self.read(left, types[0], depth + 1);
            self.read(right, types[1], depth + 1);
        };
        match operator.as_str() {
            "has" => {
                if let Some(path) = input_path(expression, depth) {
                    self.note(path, None);
                } else {
                    self.read(left, None, depth + 1);
                }
            }
            "&&" | "||" => both([Some("Bool"); 2]),
            "==" | "!=" => both([
                kind_of(right).as_deref().or(Some("String")),
                kind_of(left).as_deref().or(Some("String")),
            ]),
            "<" | "<=" | ">" | ">=" | "+" | "-" | "*" => both([Some("Long"); 2]),
            "like" => self.read(left, Some("String"), depth + 1),
            "contains" => {
                let member = kind_of(right).unwrap_or_else(|| "String".to_owned());
                let of_left = kind_of(left).and_then(|kind| {
                    kind.strip_prefix("Set<").map(|kind| kind.trim_end_matches('>').to_owned())
                });
                both([Some(&format!("Set<{member}>")), of_left.as_deref().or(Some("String"))]);
            }
            "containsAll" | "containsAny" => {
                let set =
                    kind_of(right).or_else(|| kind_of(left)).unwrap_or_else(|| "Set<String>".to_owned());
                both([Some(&set), Some(&set)]);
            }
            "isEmpty" => self.read(&operands["arg"], Some("Set<String>"), depth + 1),
            "!" => self.read(&operands["arg"], Some("Bool"), depth + 1),
            "if-then-else" => {
                self.read(&operands["if"], Some("Bool"), depth + 1);
                self.read(&operands["then"], expected, depth + 1);
                self.read(&operands["else"], expected, depth + 1);
            }
            "Set" => operands
                .as_array()
                .into_iter()
                .flatten()
                .for_each(|item| self.read(item, Some("String"), depth + 1)),
            "." => self.read(left, None, depth + 1),
            name if DECIMAL.contains(&name) => both([Some("decimal"); 2]),
            _ => self.read_all(operands, depth + 1),
        }
    }

    /// Anything else: what is read there, of whatever type, counts as read.
    fn read_all(&mut self, json: &Value, depth: usize) {
        match json {
            Value::Array(items) => items.iter().for_each(|item| self.read(item, None, depth + 1)),
            Value::Object(members) => {
                if input_path(json, depth).is_some() || members.len() == 1 {
                    self.read(json, None, depth);
                } else {
                    members.values().for_each(|member| self.read(member, None, depth + 1));
                }
            }
            _ => {}
        }
    }

    fn note(&mut self, path: Vec<String>, expected: Option<&str>) {
        if !path.is_empty() {
            self.types.entry(path).or_default().extend(expected.map(str::to_owned));
        }
    }
}

/// The path below `context.input` of an access or a test for presence; `context has input` is the empty path.
fn input_path(expression: &Value, depth: usize) -> Option<Vec<String>> {
    if depth >= DEPTH_MAX {
        return None;
    }
    let access = expression.get(".").or_else(|| expression.get("has"))?;
    let attributes: Vec<String> = match &access["attr"] {
        Value::String(attribute) => vec![attribute.clone()],
        Value::Array(attributes) => attributes.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => return None,
    };
    if access["left"]["Var"] == "context" {
        let (first, rest) = attributes.split_first()?;
        return (first == "input").then(|| rest.to_vec());
    }
    let mut path = input_path(&access["left"], depth + 1)?;
    path.extend(attributes);
    Some(path)
}

/// The type of a literal, or of a set of literals.
fn kind_of(expression: &Value) -> Option<String> {
    match expression.get("Value") {
        Some(Value::String(_)) => return Some("String".to_owned()),
        Some(Value::Number(_)) => return Some("Long".to_owned()),
        Some(Value::Bool(_)) => return Some("Bool".to_owned()),
        _ => {}
    }
    if let Some(items) = expression.get("Set").and_then(Value::as_array) {
        let kind = items.first().and_then(kind_of).unwrap_or_else(|| "String".to_owned());
        return Some(format!("Set<{kind}>"));
    }
    expression.get("decimal").map(|_| "decimal".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_in_words() {
        let mut types = Types::default();
        for (path, kind) in
            [("a", "String"), ("b", "Set<String>"), ("c", "Set<Long>"), ("d", "decimal"), ("e", "Long")]
        {
            types.note(vec![path.to_owned()], Some(kind));
        }
        types.note(vec!["f".to_owned()], None);
        let words: Vec<String> =
            types.in_words().into_iter().map(|(path, kind)| format!("{path} {kind}")).collect();
        assert_eq!(words.join(", "), "a text, b list of texts, c list of integers, d number, e integer");
    }
}
