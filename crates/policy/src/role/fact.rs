//! Conditions on facts from outside.

use std::collections::BTreeMap;

use super::cedar::Guard;
use super::condition::{self, Misfit, Test};
use super::literal::ValueType;
use super::read::{Section, shown};
use super::report::{Report, did_you_mean};
use crate::arguments::path;

/// The facts that are declared: name → field → type.
pub type Facts = BTreeMap<String, BTreeMap<String, ValueType>>;

/// What a rule says about facts.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    tests: Vec<Asked>,
}

/// One question about one field.
#[derive(Debug)]
struct Asked {
    fact: String,
    field: String,
    test: Test,
    at: usize,
}

impl Conditions {
    /// Reads `facts` of a rule.
    pub(super) fn read(rule: &Section<'_>, known: Option<&Facts>) -> Self {
        let mut conditions = Conditions::default();
        let Some(section) = rule.section("facts") else { return conditions };
        for fact in section.entries() {
            let Some(fields) = section.section(fact.key) else { continue };
            let shape = match known.map(|known| (known, known.get(fact.key))) {
                Some((known, None)) => {
                    let hint = match known.is_empty() {
                        true => "declare it in the configuration: [[fact]]".to_owned(),
                        false => did_you_mean(fact.key, known.keys().map(String::as_str)),
                    };
                    rule.report.say(fact.at, format!("no fact `{}` is declared", shown(fact.key)), hint);
                    continue;
                }
                Some((_, shape)) => shape,
                None => None,
            };
            if fields.entries().is_empty() {
                let what = format!("nothing is asked of the fact `{}`", shown(fact.key));
                rule.report.say(fact.at, what, "name a field: facts.staff.on_duty = { min = 1 }");
            }
            conditions.read_fields(fact.key, &fields, shape);
        }
        if section.entries().is_empty() {
            rule.report.say(section.at, "`facts` is empty", "name facts, or leave the line out");
        }
        conditions
    }

    fn read_fields(&mut self, fact: &str, fields: &Section<'_>, shape: Option<&BTreeMap<String, ValueType>>) {
        for field in fields.entries() {
            if let Some(shape) = shape.filter(|shape| !shape.contains_key(field.key)) {
                let what = format!("the fact `{}` has no field `{}`", shown(fact), shown(field.key));
                fields.report.say(field.at, what, did_you_mean(field.key, shape.keys().map(String::as_str)));
                continue;
            }
            let asked = condition::read(field.key, field.value, condition::FACT, fields);
            for (test, at) in asked.into_iter().flat_map(|asked| asked.tests) {
                self.tests.push(Asked { fact: fact.to_owned(), field: field.key.to_owned(), test, at });
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    /// The arguments that facts are compared with, and where.
    pub(super) fn arguments(&self) -> Vec<(String, usize)> {
        self.tests
            .iter()
            .filter_map(|asked| match &asked.test {
                Test::IsArgument(path) | Test::IncludesArgument(path) => Some((path.clone(), asked.at)),
                _ => None,
            })
            .collect()
    }

    /// The conditions in Cedar. Where a fact is missing, an [[allow]] does not
    /// match and a [[never]] does.
    pub(super) fn clauses(
        &self,
        facts: Option<&Facts>,
        arguments: Option<&super::Arguments>,
        never: bool,
        report: &Report<'_>,
    ) -> Vec<String> {
        let mut clauses = Vec::new();
        for asked in &self.tests {
            let of = facts.and_then(|facts| facts.get(&asked.fact)?.get(&asked.field)).copied();
            let mut guard = Guard::default();
            let subject = guard.reach("context", &["facts", &asked.fact, &asked.field]);
            match asked.render(&subject, of, arguments, never, &mut guard) {
                Ok(text) if never => clauses.push(guard.else_true(&text)),
                Ok(text) => clauses.push(guard.else_false(&text)),
                Err((what, hint)) => {
                    let what = format!("`{}.{}`: {what}", shown(&asked.fact), shown(&asked.field));
                    report.say(asked.at, what, hint);
                }
            }
        }
        clauses
    }
}

impl Asked {
    fn render(
        &self,
        subject: &str,
        of: Option<ValueType>,
        arguments: Option<&super::Arguments>,
        never: bool,
        guard: &mut Guard,
    ) -> Result<String, Misfit> {
        let (path, is_list) = match &self.test {
            Test::IsArgument(path) => (path, false),
            Test::IncludesArgument(path) => (path, true),
            test => return condition::render(test, subject, of, never),
        };
        if let Some(known) = arguments {
            let Some(argument) = known.get(path) else {
                let hint = did_you_mean(path, known.keys().map(String::as_str));
                return Err((format!("the tool has no argument `{}`", shown(path)), hint));
            };
            let fits = match (of, is_list) {
                (None, _) => true,
                (Some(of), false) => of == *argument,
                (Some(of), true) => of == ValueType::Texts && *argument == ValueType::Text,
            };
            if !fits {
                let what = format!("the argument `{}` is of another type", shown(path));
                return Err((what, "compare a text with a text, a number with a number".to_owned()));
            }
        }
        let steps = path::steps(path).unwrap_or_default();
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        let input = guard.reach("context", &["input"]);
        let argument = guard.reach(&input, &steps);
        Ok(if is_list {
            format!("{subject}.contains({argument})")
        } else {
            format!("{subject} == {argument}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_fact_never_helps() {
        let mut guard = Guard::default();
        let subject = guard.reach("context", &["facts", "staff", "on-duty"]);
        assert_eq!(
            guard.else_false(&format!("{subject} >= 1")),
            "context has facts && context.facts has staff && context.facts.staff has \"on-duty\" && \
             context.facts.staff[\"on-duty\"] >= 1"
        );
        assert_eq!(
            guard.else_true("x"),
            "if context has facts && context.facts has staff && context.facts.staff has \"on-duty\" then x else true"
        );
    }
}
