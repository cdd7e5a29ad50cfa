//! One `[[allow]]` or `[[never]]` of a role file, as Cedar policies.

use super::argument;
use super::cedar::{self, Guard};
use super::fact;
use super::hours::Hours;
use super::link;
use super::read::{Section, shown};
use super::target::{self, Action, Target, Targets};
use super::{Known, Statement};
use crate::arguments::Needles;
use crate::terms;

/// Whether a rule allows or forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Never,
}

impl Effect {
    pub(super) fn key(self) -> &'static str {
        match self {
            Effect::Allow => "allow",
            Effect::Never => "never",
        }
    }

    /// The keys that such a rule can have.
    pub(super) fn keys(self) -> Vec<&'static str> {
        let own: &[&str] = match self {
            Effect::Allow => &["others", "rate", "result", "approval", "record_for"],
            Effect::Never => &["touching"],
        };
        let both = [
            "id",
            "arguments",
            "hours",
            "days",
            "zone",
            "facts",
            "link",
            "on_violation",
            "mode",
            "reason",
            "hint",
        ];
        target::KEYS.into_iter().chain(both).chain(own.iter().copied()).collect()
    }

    fn other(self) -> Self {
        match self {
            Effect::Allow => Effect::Never,
            Effect::Never => Effect::Allow,
        }
    }
}

/// What all rules of a file share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    /// The name of the role, or of the file for everybody.
    pub(super) name: &'a str,
    /// The rules are for everybody.
    pub(super) everyone: bool,
    pub(super) zone: Option<&'a str>,
    /// The rules of the role are tried out only.
    pub(super) shadow: bool,
    pub(super) known: &'a Known<'a>,
}

/// One rule, read.
#[derive(Debug)]
pub(super) struct Rule {
    effect: Effect,
    /// Without the role's name.
    pub(super) id: String,
    pub(super) at: usize,
    pub(super) shadow: bool,
    pub(super) targets: Targets,
    arguments: argument::Conditions,
    hours: Option<Hours>,
    facts: fact::Conditions,
    link: Vec<String>,
    touching: Option<String>,
    /// Name and value, in the order in which they are written.
    annotations: Vec<(&'static str, String)>,
}

impl Rule {
    /// Reads a rule; `number` counts the rules of its effect from 1.
    pub(super) fn read(section: &Section<'_>, effect: Effect, number: usize, frame: &Frame<'_>) -> Self {
        let never = effect == Effect::Never;
        refuse_keys(section, effect);
        let mode = section.choice("mode", &["shadow", "enforce"]);
        let shadow = mode.map_or(frame.shadow, |mode| mode == "shadow");
        let rule = Rule {
            effect,
            id: read_id(section).unwrap_or_else(|| format!("{}-{number}", effect.key())),
            at: section.at,
            shadow,
            targets: target::read(section, never),
            arguments: argument::Conditions::read(section, never),
            hours: Hours::read(section, frame.zone),
            facts: fact::Conditions::read(section, frame.known.facts),
            link: link::read(section),
            touching: if never { read_touching(section) } else { None },
            annotations: read_annotations(section, effect, shadow),
        };
        rule.check(section);
        rule
    }

    /// What the parts of a rule say about each other.
    fn check(&self, section: &Section<'_>) {
        let needs_tool: Vec<(usize, &str)> = section
            .get("arguments")
            .map(|entry| (entry.at, "`arguments`"))
            .into_iter()
            .chain(self.facts.arguments().into_iter().map(|(_, at)| (at, "an argument")))
            .collect();
        for (at, what) in needs_tool {
            if let Some(target) = self.targets.all.iter().find(|target| target.tool.is_none()) {
                let what = format!("{what} of `{}`, which is not one tool", shown(&target.label));
                let hint = "each tool types its own arguments: name the tools one by one, without stars; \
                            to forbid words wherever they occur, write `touching` in a [[never]] rule";
                section.report.say(at, what, hint);
            }
        }
        let conditions = ["arguments", "hours", "days", "facts", "link", "touching"];
        let says = |keys: &[&str]| keys.iter().any(|key| section.get(key).is_some());
        if self.effect == Effect::Never && !says(&target::KEYS) && !says(&conditions) {
            let hint = "name what is forbidden; servers = [\"*\"] is everything";
            section.report.say(section.at, "this rule does not say what is never allowed", hint);
        }
    }

    /// The time zone that the rule needs.
    pub(super) fn zone(&self) -> Option<&str> {
        self.hours.as_ref().map(Hours::zone)
    }

    /// The rule as Cedar policies, one for each of its targets.
    pub(super) fn statements(&self, frame: &Frame<'_>, section: &Section<'_>) -> Vec<Statement> {
        let report = section.report;
        let rule_id = format!("{}.{}", frame.name, self.id);
        let single = self.targets.all.len() == 1;
        let (line, column) = report.position(self.at);
        let mut statements = Vec::new();
        for target in &self.targets.all {
            let id = if single { rule_id.clone() } else { format!("{rule_id}:{}", target.label) };
            let (scope, unseen, conditions) = self.scope_and_conditions(target, frame, section);
            let mut annotations = vec![("id", id.clone())];
            if !single {
                annotations.push(("rule", rule_id.clone()));
            }
            annotations.push(("source", format!("{}:{line}", report.file())));
            annotations.extend(self.annotations.iter().cloned());
            let effect = if self.effect == Effect::Never { "forbid" } else { "permit" };
            let cedar = write(&annotations, effect, &scope, &conditions);
            statements.push(Statement { id, rule: rule_id.clone(), cedar, line, column, unseen });
        }
        statements
    }

    fn scope_and_conditions(
        &self,
        target: &Target,
        frame: &Frame<'_>,
        section: &Section<'_>,
    ) -> (Scope, Option<String>, Vec<String>) {
        let never = self.effect == Effect::Never;
        let also: Vec<String> = self.facts.arguments().into_iter().map(|(path, _)| path).collect();
        let tool = target.tool.as_ref();
        let known = tool.and_then(|(server, tool)| (frame.known.arguments)(server, tool));
        let typed = self.arguments.reads_values() || !also.is_empty();
        let mut unseen = None;
        let action = match (&target.action, tool) {
            (_, Some(_)) if typed && known.is_some() => {
                format!(
                    "action == Lockgate::Action::{}",
                    cedar::text(&format!("tools/call:{}", target.label))
                )
            }
            (_, Some(_)) if typed => {
                // The tool has no type yet; only calls of untyped tools are this very action.
                unseen = Some(target.label.clone());
                "action == Lockgate::Action::\"tools/call\"".to_owned()
            }
            // Facts are gathered for calls, not for opening a session.
            (Action::Any, _) if !self.facts.is_empty() => actions(&["use", "other"]),
            (Action::Any, _) => "action".to_owned(),
            (Action::In(names), _) => actions(names),
        };
        let mut conditions = target.conditions.clone();
        conditions.extend(self.link.iter().cloned());
        for (guard, text) in self.hours.iter().flat_map(Hours::clauses) {
            conditions.push(if never { guard.else_true(&text) } else { guard.else_false(&text) });
        }
        if !self.arguments.is_empty() {
            let report = section.report;
            conditions.extend(self.arguments.clauses(&target.label, known.as_ref(), &also, never, report));
        }
        conditions.extend(self.facts.clauses(frame.known.facts, known.as_ref(), never, section.report));
        conditions.extend(self.touching.iter().cloned());
        (Scope { principal: principal(frame), action, resource: target.resource.clone() }, unseen, conditions)
    }
}

/// The three parts of a Cedar scope.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) principal: String,
    pub(super) action: String,
    pub(super) resource: String,
}

pub(super) fn principal(frame: &Frame<'_>) -> String {
    match frame.everyone {
        true => "principal".to_owned(),
        false => format!("principal in Lockgate::Role::{}", cedar::text(frame.name)),
    }
}

pub(super) fn actions(names: &[&str]) -> String {
    let mut names = names.iter().map(|name| format!("Lockgate::Action::{}", cedar::text(name)));
    match (names.len(), names.next()) {
        (1, Some(only)) => format!("action in {only}"),
        (_, first) => format!("action in {}", cedar::set(first.into_iter().chain(names))),
    }
}

/// A whole policy; each condition is a clause of its own, so that an
/// explanation can name the one that was false.
pub(super) fn write(
    annotations: &[(&'static str, String)],
    effect: &str,
    scope: &Scope,
    conditions: &[String],
) -> String {
    let mut text = String::new();
    for (name, value) in annotations {
        text.push_str(&format!("@{name}({})\n", cedar::text(value)));
    }
    let Scope { principal, action, resource } = scope;
    text.push_str(&format!("{effect} (\n  {principal},\n  {action},\n  {resource}\n)"));
    for condition in conditions {
        text.push_str(&format!("\nwhen {{ {condition} }}"));
    }
    text.push_str(";\n");
    text
}

fn refuse_keys(section: &Section<'_>, effect: Effect) {
    let (known, elsewhere) = (effect.keys(), effect.other().keys());
    let misplaced: Vec<&str> = section
        .entries()
        .into_iter()
        .filter(|entry| !known.contains(&entry.key) && elsewhere.contains(&entry.key))
        .map(|entry| {
            let what = format!("`{}` is no part of an [[{}]] rule", entry.key, effect.key());
            let hint = format!("write it in an [[{}]] rule, or leave it out", effect.other().key());
            section.report.say(entry.at, what, hint);
            entry.key
        })
        .collect();
    let known: Vec<&str> = known.into_iter().chain(misplaced).collect();
    section.refuse_others(&known, &format!("an [[{}]] rule", effect.key()));
}

/// Longest name of a role or a rule, in bytes: they stand in every denial.
pub(super) const NAME_BYTES_MAX: usize = lockgate_identity::ROLE_NAME_BYTES_MAX;

/// Whether a text can name a role, as registrations have it, or a rule, whose names are made like those of roles.
pub(super) fn is_name(text: &str) -> bool {
    lockgate_identity::is_role_name(text)
}

/// The id of the policies that let a role open and list its servers.
pub(super) const OPEN: &str = "open";

fn read_id(section: &Section<'_>) -> Option<String> {
    let id = section.text("id")?;
    if !is_name(id.value) {
        let what = format!("`{}` is no id of a rule", shown(id.value));
        section.report.say(id.at, what, format!("use up to {NAME_BYTES_MAX} letters, digits, - and _"));
        return None;
    }
    if id.value == OPEN {
        let hint = "it is the id of the policies that let a role open and list its servers; choose another";
        section.report.say(id.at, "`open` is taken", hint);
        return None;
    }
    Some(id.value.to_owned())
}

fn read_touching(section: &Section<'_>) -> Option<String> {
    let texts = section.texts("touching")?;
    for text in &texts {
        if let Err(short) = Needles::new([text.value]) {
            section.report.say(text.at, short.to_string(), "write a longer word");
        }
    }
    let mut guard = Guard::default();
    let touched = guard.reach("context", &["touched"]);
    let condition = match texts.as_slice() {
        [] => return None,
        [one] => format!("{touched}.contains({})", cedar::text(one.value)),
        many => {
            let all = cedar::set(many.iter().map(|text| cedar::text(text.value)));
            format!("{touched}.containsAny({all})")
        }
    };
    Some(guard.else_false(&condition))
}

fn read_annotations(section: &Section<'_>, effect: Effect, shadow: bool) -> Vec<(&'static str, String)> {
    let mut annotations = Vec::new();
    for key in ["reason", "hint"] {
        annotations.extend(section.text(key).map(|text| (key, text.value.to_owned())));
    }
    if let Some(word) = section.choice("on_violation", &["deny", "hold", "kill"]) {
        annotations.push(("on_violation", word.to_owned()));
    }
    if effect == Effect::Allow {
        if section.flag("approval") == Some(true) {
            annotations.push(("approval", "required".to_owned()));
        }
        read_result(section, &mut annotations);
        annotations.extend(read_rate(section).map(|rate| ("rate", rate)));
        annotations.extend(read_purpose(section).map(|purpose| ("record_for", purpose)));
    }
    if shadow {
        annotations.push(("mode", "shadow".to_owned()));
    }
    annotations
}

/// The purpose for which records keep what is said.
fn read_purpose(section: &Section<'_>) -> Option<String> {
    let text = section.text("record_for")?;
    if !terms::is_purpose(text.value) {
        section.report.say(text.at, format!("`{}` is no purpose", shown(text.value)), terms::PURPOSE_HINT);
        return None;
    }
    Some(text.value.to_owned())
}

fn read_result(section: &Section<'_>, annotations: &mut Vec<(&'static str, String)>) {
    let Some(result) = section.section("result") else { return };
    result.refuse_others(&["only", "hide"], "`result`");
    if result.entries().is_empty() {
        section.report.say(
            result.at,
            "`result` is empty",
            "write result = { only = [\"name\"] } or { hide = [\"ssn\"] }",
        );
    }
    let mut seen: Vec<&str> = Vec::new();
    for (key, annotation) in [("only", "result_fields"), ("hide", "result_hidden")] {
        let Some(fields) = result.texts(key) else { continue };
        for field in &fields {
            let path = field.value;
            if path.contains(',') || path.trim() != path || path.split('.').any(str::is_empty) {
                let hint = "write the name of a field, or \"record.field\"; in a list, of each element";
                section.report.say(field.at, format!("`{}` is no field of a result", shown(path)), hint);
            }
            if seen.contains(&path) {
                section.report.say(
                    field.at,
                    format!("`{}` is named twice", shown(path)),
                    "remove one of the two",
                );
            }
            seen.push(path);
        }
        let all: Vec<&str> = fields.iter().map(|field| field.value).collect();
        annotations.push((annotation, all.join(",")));
    }
}

/// Calls in one window that a rate can allow at most.
const RATE_MAX: u32 = 1_000_000;

fn read_rate(section: &Section<'_>) -> Option<String> {
    let text = section.text("rate")?;
    let parsed = text.value.split_once('/').and_then(|(count, unit)| {
        let (count, unit) = (count.trim(), unit.trim());
        let count: u32 = count.parse().ok().filter(|n| (1..=RATE_MAX).contains(n))?;
        ["second", "minute", "hour", "day"].contains(&unit).then(|| format!("{count}/{unit}"))
    });
    if parsed.is_none() {
        let hint = format!(
            "write a number from 1 to {RATE_MAX} and second, minute, hour or day: rate = \"30/minute\""
        );
        section.report.say(text.at, format!("`{}` is no rate", shown(text.value)), hint);
    }
    parsed
}
