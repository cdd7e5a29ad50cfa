//! Conditions on the link's own cryptography.

use lockgate_crypto::{Kind, catalog};

use super::cedar;
use super::read::{Section, shown};
use super::report::did_you_mean;

pub(super) const FLAGS: [&str; 5] =
    ["encrypted", "quantum_safe", "quantum_safe_group", "resumed", "loopback"];
pub(super) const NAMES: [&str; 4] = ["group", "peer_signature", "own_signature", "profile"];

/// What a link without the thing says in its place.
const NONE: &str = "none";

/// Reads `link` of a rule: the conditions in Cedar.
pub(super) fn read(rule: &Section<'_>) -> Vec<String> {
    let Some(section) = rule.section("link") else { return Vec::new() };
    let all: Vec<&str> = FLAGS.into_iter().chain(NAMES).collect();
    section.refuse_others(&all, "a link");
    let mut clauses = Vec::new();
    for entry in section.entries() {
        let subject = format!("context.link.{}", entry.key);
        if FLAGS.contains(&entry.key) {
            match section.flag(entry.key) {
                Some(true) => clauses.push(subject),
                Some(false) => clauses.push(format!("!{subject}")),
                None => {}
            }
        } else if NAMES.contains(&entry.key) {
            clauses.extend(names(&section, entry.key, &subject));
        }
    }
    if section.entries().is_empty() {
        rule.report.say(section.at, "`link` is empty", "write link = { quantum_safe = true }");
    }
    clauses
}

fn names(section: &Section<'_>, key: &str, subject: &str) -> Option<String> {
    let texts = section.texts(key)?;
    let mut alternatives = Vec::new();
    for text in &texts {
        if key == "profile" {
            // A profile's name without a date is each of its editions.
            alternatives.push(format!("{subject} == {}", cedar::text(text.value)));
            if !text.value.contains('@') {
                let editions = cedar::prefix(&format!("{}@", text.value));
                alternatives.push(format!("{subject} like {editions}"));
            }
            continue;
        }
        let kind = if key == "group" { Kind::Group } else { Kind::Signature };
        let known = || catalog::all().iter().filter(|row| row.kind == kind).map(|row| row.id).chain([NONE]);
        if !known().any(|id| id == text.value) {
            let ids: Vec<&str> = known().collect();
            let hint = did_you_mean(text.value, ids.iter().copied());
            section.report.say(text.at, format!("no `{key}` is called `{}`", shown(text.value)), hint);
        }
        alternatives.push(format!("{subject} == {}", cedar::text(text.value)));
    }
    (!alternatives.is_empty()).then(|| alternatives.join(" || "))
}
