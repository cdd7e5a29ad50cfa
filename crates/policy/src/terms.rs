//! What a policy says beside its condition: its annotations.

use std::collections::BTreeSet;

use cedar_policy::{Effect, Policy};

use crate::{nearest, rates::Rate};

/// What follows when a policy is violated, weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Violation {
    /// A person may let the call pass.
    Hold,
    #[default]
    Deny,
    Kill,
}

/// The annotations that change what a policy does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    /// `@on_violation`; `None` is a plain denial.
    pub(crate) violation: Option<Violation>,
    /// `@approval("required")`.
    pub(crate) approval: bool,
    /// `@result_fields`.
    pub(crate) only: Option<BTreeSet<String>>,
    /// `@result_hidden`.
    pub(crate) hidden: BTreeSet<String>,
    /// `@rate`.
    pub(crate) rate: Option<Rate>,
    /// `@mode("shadow")`.
    pub(crate) shadow: bool,
    /// `@record_for`: the purpose for which records keep content.
    pub(crate) record_for: Option<String>,
}

/// Annotations with a meaning. `rule` names the rule that several policies of
/// a role file make up; rates count by it.
const KNOWN: [&str; 12] = [
    "id",
    "reason",
    "hint",
    "source",
    "rule",
    "on_violation",
    "approval",
    "result_fields",
    "result_hidden",
    "rate",
    "mode",
    "record_for",
];

/// Longest word for a purpose, in bytes: it stands in every record that is kept for it.
const PURPOSE_BYTES_MAX: usize = 32;

/// What a purpose looks like.
pub(crate) const PURPOSE_HINT: &str =
    "write a word for the purpose: up to 32 lower-case letters, digits and hyphens, like \"treatment\"";

/// Whether this word can name a purpose.
pub(crate) fn is_purpose(word: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    word.len() <= PURPOSE_BYTES_MAX
        && word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.bytes().all(fits)
}

/// What is wrong with an annotation, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) what: String,
    pub(crate) hint: String,
}

impl Terms {
    /// Reads the annotations.
    ///
    /// # Errors
    /// Everything that is wrong: a consequence that is misspelt must not
    /// silently be a weaker one.
    pub(crate) fn read(policy: &Policy) -> Result<Self, Vec<Wrong>> {
        let mut terms = Terms::default();
        let mut wrong = Vec::new();
        for (name, value) in policy.annotations() {
            let forbid = policy.effect() == Effect::Forbid;
            if let Err(found) = terms.set(name, value.trim(), forbid) {
                wrong.push(found);
            }
        }
        if wrong.is_empty() { Ok(terms) } else { Err(wrong) }
    }

    fn set(&mut self, name: &str, value: &str, forbid: bool) -> Result<(), Wrong> {
        if forbid && matches!(name, "approval" | "rate" | "result_fields" | "result_hidden" | "record_for") {
            let hint =
                "put it on the permit; for a forbid that a person may lift, write @on_violation(\"hold\")";
            return Err(Wrong { what: format!("@{name} on a forbid means nothing"), hint: hint.to_owned() });
        }
        let understood = match name {
            "on_violation" => {
                self.violation = match value {
                    "deny" => Some(Violation::Deny),
                    "hold" => Some(Violation::Hold),
                    "kill" => Some(Violation::Kill),
                    _ => None,
                };
                self.violation.is_some()
            }
            "approval" => {
                self.approval = value == "required";
                self.approval
            }
            "mode" => {
                self.shadow = value == "shadow";
                matches!(value, "shadow" | "enforce")
            }
            "rate" => {
                self.rate = Rate::parse(value);
                self.rate.is_some()
            }
            "record_for" => {
                self.record_for = is_purpose(value).then(|| value.to_owned());
                self.record_for.is_some()
            }
            "result_fields" => {
                self.only = fields(value);
                self.only.is_some()
            }
            "result_hidden" => fields(value).map(|hidden| self.hidden = hidden).is_some(),
            known if KNOWN.contains(&known) => true,
            unknown => return misspelt(unknown),
        };
        if understood { Ok(()) } else { Err(unreadable(name, value)) }
    }
}

/// Annotations of others are none of our business, unless they look like ours.
fn misspelt(name: &str) -> Result<(), Wrong> {
    match nearest::word(name, KNOWN) {
        Some(meant) => Err(Wrong {
            what: format!("@{name} is no annotation that Lockgate knows"),
            hint: format!("did you mean @{meant}? It would have no effect as it is"),
        }),
        None => Ok(()),
    }
}

fn unreadable(name: &str, value: &str) -> Wrong {
    let hint = match name {
        "on_violation" => "write \"deny\", \"hold\" or \"kill\"",
        "approval" => "write \"required\", or leave it out",
        "mode" => "write \"shadow\", or leave it out to enforce the policy",
        "record_for" => PURPOSE_HINT,
        "rate" => "write a number from 1 to 1000000 and second, minute, hour or day: \"30/minute\"",
        _ => "write names of fields or dotted paths, with commas between them: \"name,address.city\"",
    };
    let value: String = value.chars().take(80).collect();
    Wrong { what: format!("@{name}({value:?}) cannot be read"), hint: hint.to_owned() }
}

/// A list of dotted paths. An empty text is an empty list: nothing passes.
fn fields(value: &str) -> Option<BTreeSet<String>> {
    if value.is_empty() {
        return Some(BTreeSet::new());
    }
    let path = |text: &str| {
        let text = text.trim();
        (!text.split('.').any(str::is_empty)).then(|| text.to_owned())
    };
    value.split(',').map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> Result<Terms, Vec<Wrong>> {
        Terms::read(&Policy::parse(None, text).expect(text))
    }

    #[test]
    fn annotations_are_read_or_refused() {
        let set = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
        for (annotation, expected) in [
            ("@on_violation(\"kill\")", Some(Terms { violation: Some(Violation::Kill), ..Terms::default() })),
            ("@approval(\"required\")", Some(Terms { approval: true, ..Terms::default() })),
            ("@mode(\"shadow\")", Some(Terms { shadow: true, ..Terms::default() })),
            ("@mode(\"enforce\")", Some(Terms::default())),
            (
                "@result_fields(\"a, b.c\")",
                Some(Terms { only: Some(set(&["a", "b.c"])), ..Terms::default() }),
            ),
            ("@result_fields(\"\")", Some(Terms { only: Some(set(&[])), ..Terms::default() })),
            ("@result_hidden(\"ssn\")", Some(Terms { hidden: set(&["ssn"]), ..Terms::default() })),
            ("@rate(\"30/minute\")", Some(Terms { rate: Rate::parse("30/minute"), ..Terms::default() })),
            ("@owner(\"team-x\")", Some(Terms::default())),
            ("@on_violation(\"Kill\")", None),
            ("@on_violation(\"\")", None),
            ("@on_violatoin(\"kill\")", None),
            ("@approval(\"yes\")", None),
            ("@mode(\"shadwo\")", None),
            ("@rate(\"30\")", None),
            ("@result_fields(\"a,,b\")", None),
            ("@result_hidden(\"a.\")", None),
        ] {
            let found = terms(&format!("{annotation} permit(principal, action, resource);"));
            assert_eq!(found.ok(), expected, "{annotation}");
        }
        for annotation in ["@approval(\"required\")", "@rate(\"1/day\")", "@result_fields(\"a\")"] {
            assert!(terms(&format!("{annotation} forbid(principal, action, resource);")).is_err());
        }
    }
}
