//! Role files: policy that reads like sentences.
//!
//! A role file says in TOML who is in a role, what the role may do and what it
//! never may. [`compile`] turns it into Cedar text, each policy with an id
//! that people can find again and the line that it comes from. The compiler is
//! pure, and Cedar stays the only judge: nothing is decided here.
//!
//! ```toml
//! [role]
//! name = "retail-bot"
//! agents = ["agent/retail-*"]
//!
//! [[allow]]
//! id = "read-customer"
//! tools = ["crm/get_customer"]
//! arguments.fields = { only = ["name", "email"] }
//!
//! [[never]]
//! touching = ["system_config"]
//! on_violation = "kill"
//!
//! [end]
//! ```
//!
//! # What holds
//! * **Text never becomes syntax.** All that a file says ends up inside of
//!   literals ([`cedar`]), and a property test holds it there.
//! * **What is missing does not help.** An allow that rests on an argument, a
//!   fact or a clock does not match without it. A never that rests on a fact
//!   matches without it.
//! * **Half a file is no file.** TOML that is cut at the end of a line is often
//!   TOML still, without a condition or a prohibition. So the last line of a
//!   role file is `[end]`, and without it nothing of the file is used.
//! * **Every mistake at once, each with line and column**, and the word that
//!   was probably meant.

mod argument;
mod cedar;
mod condition;
mod fact;
mod hours;
mod json_schema;
mod link;
mod literal;
mod members;
mod read;
mod report;
mod rule;
mod target;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use toml::de::DeTable;

pub use self::argument::Arguments;
pub use self::fact::Facts;
pub use self::json_schema::json_schema;
pub use self::literal::ValueType;
pub use self::members::Members;
use self::{
    read::{Section, shown},
    report::Report,
    rule::{Effect, Frame, Rule, Scope},
    target::Door,
};
use crate::error::{Fault, PolicyError};

/// Largest role file, in bytes. A thousand rules are some 300 KiB.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// Most rules in one file.
pub const RULES_MAX: usize = 1_000;

/// Most policies that one file compiles to: rules times what they name.
pub const STATEMENTS_MAX: usize = 10_000;

/// The tables of a role file.
const FILE_KEYS: [&str; 5] = ["role", "everyone", "allow", "never", "end"];

/// The keys of `[role]`.
const ROLE_KEYS: [&str; 5] = ["name", "agents", "description", "zone", "mode"];

/// The keys of `[everyone]`.
const EVERYONE_KEYS: [&str; 4] = ["name", "description", "zone", "mode"];

/// What a role file is read against.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Our own trust domain, without `spiffe://`.
    pub trust_domain: &'a str,
    /// The arguments of a tool, by server and name, if its definition is
    /// pinned.
    pub arguments: &'a dyn Fn(&str, &str) -> Option<Arguments>,
    /// The declared facts; `None` if that is not known, so that their names
    /// are not checked.
    pub facts: Option<&'a Facts>,
}

impl std::fmt::Debug for Known<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Known { trust_domain, arguments: _, facts } = self;
        f.debug_struct("Known")
            .field("trust_domain", trust_domain)
            .field("facts", facts)
            .finish_non_exhaustive()
    }
}

/// A role file in Cedar.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The name of the role; of the file, if it is for everybody. All ids
    /// begin with it.
    pub name: String,
    /// Line of the name, from 1.
    pub line: u32,
    /// Column of the name, in characters, from 1.
    pub column: u32,
    /// Who is in the role; `None` if the file is for everybody, so that its
    /// policies name no principal.
    pub members: Option<Members>,
    /// The policies, in reading order; what opens the servers comes last.
    pub statements: Vec<Statement>,
    /// The IANA time zones whose local time the policies read.
    pub zones: Vec<String>,
}

/// One policy of a role file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its `@id`: `ROLE.RULE`, with `:TARGET` after it where the rule names
    /// several things; `ROLE.open:SERVER` for what lets a role open and list a
    /// server.
    pub id: String,
    /// The rule that it is a part of, `ROLE.RULE`: rates count by it. It is
    /// the annotation `@rule` where it differs from the id.
    pub rule: String,
    /// One policy in Cedar text.
    pub cedar: String,
    /// Line of its rule, from 1.
    pub line: u32,
    /// Column of its rule, in characters, from 1.
    pub column: u32,
    /// `server/tool`, if the policy compares arguments of a tool whose
    /// definition is not known. Its types are then guessed from the file's
    /// literals, its action is plain `tools/call`, which only calls of such
    /// tools are, and it must be compiled again once the tool is known.
    pub unseen: Option<String>,
}

/// Compiles one role file. `name` is what people know the file by.
///
/// # Errors
/// Every mistake of the file, in reading order.
pub fn compile(name: &str, text: &str, known: &Known<'_>) -> Result<Compiled, Vec<PolicyError>> {
    let report = Report::new(name, text);
    let compiled = read_file(text, known, &report);
    match compiled {
        Some(compiled) if report.is_clean() => Ok(compiled),
        _ => Err(report.into_errors()),
    }
}

fn read_file(text: &str, known: &Known<'_>, report: &Report<'_>) -> Option<Compiled> {
    if text.len() > FILE_BYTES_MAX {
        let what = format!("the file has {} bytes, the limit is {FILE_BYTES_MAX}", text.len());
        report.say(0, what, "split the role into several");
        return None;
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(text.len(), |span| span.start);
        let message: Vec<&str> = error.message().split_whitespace().collect();
        report.fault(Fault::Syntax, at, format!("not TOML: {}", message.join(" ")), SYNTAX_HINT);
    }
    let root = Section::new(table.get_ref(), 0, report);
    check_end(text, &root);
    if !errors.is_empty() {
        // What was recovered may say something else than what is written.
        return None;
    }
    root.refuse_others(&FILE_KEYS, "a role file");
    let (header, everyone) = read_header(&root)?;
    let known_keys: &[&str] = if everyone { &EVERYONE_KEYS } else { &ROLE_KEYS };
    header.refuse_others(known_keys, if everyone { "[everyone]" } else { "[role]" });
    let name = read_name(&header);
    let (line, column) = report.position(header.get("name").map_or(header.at, |entry| entry.at));
    header.text("description");
    // A wrong zone is one mistake, not one more for each rule with hours.
    let zone =
        header.text("zone").map(|zone| hours::read_zone(zone, &header).unwrap_or_else(|| "UTC".to_owned()));
    let shadow = header.choice("mode", &["shadow", "enforce"]) == Some("shadow");
    let agents = header.texts("agents").unwrap_or_default();
    let members = (!everyone).then(|| Members::read(&agents, known.trust_domain, report));
    let name = name?;
    let frame = Frame { name: &name, everyone, zone: zone.as_deref(), shadow, known };
    let (statements, zones) = read_rules(&root, &frame);
    Some(Compiled { name, line, column, members, statements, zones: zones.into_iter().collect() })
}

const SYNTAX_HINT: &str = "a text stands in quotes, a list in [brackets], each setting on a line of its own";

/// The last line is `[end]`.
fn check_end(text: &str, root: &Section<'_>) {
    let report = root.report;
    let Some(entry) = root.get("end") else {
        let what = "the file does not end with [end]: it is unfinished, or was cut off";
        report.fault(
            Fault::Unfinished,
            text.len(),
            what,
            "write the file to its end; its last line is [end]",
        );
        return;
    };
    let before = text.get(..entry.at).unwrap_or_default().lines().last().unwrap_or_default();
    let mut after = text.get(entry.at..).unwrap_or_default().lines();
    let own = after.next().unwrap_or_default().trim_end();
    let own = own.split_once('#').map_or(own, |(own, _comment)| own.trim_end());
    let nothing_more = after.all(|line| line.trim().is_empty() || line.trim().starts_with('#'));
    if before.trim() != "[" || own != "end]" || !nothing_more {
        report.say(
            entry.at,
            "`end` is not the last line",
            "write [end] once, after everything else, and nothing in it",
        );
    }
}

/// The table that says whose rules these are, and whether everybody's.
fn read_header<'a>(root: &Section<'a>) -> Option<(Section<'a>, bool)> {
    let report = root.report;
    match (root.get("role"), root.get("everyone")) {
        (Some(_), None) => Some((root.section("role")?, false)),
        (None, Some(_)) => Some((root.section("everyone")?, true)),
        (Some(_), Some(both)) => {
            let hint = "rules for everybody stand in a file of their own";
            report.say(both.at, "a file is for one role or for everyone, not for both", hint);
            None
        }
        (None, None) => {
            let hint = "begin with [role], name = \"…\" and agents = [\"agent/…\"]; \
                        or with [everyone] for what nobody may do";
            report.say(0, "the file does not say whose rules these are", hint);
            None
        }
    }
}

fn read_name(header: &Section<'_>) -> Option<String> {
    if header.get("name").is_none() {
        header.report.say(header.at, "the name is missing", "write name = \"retail-bot\"");
        return None;
    }
    let name = header.text("name")?;
    if !rule::is_name(name.value) {
        let what = format!("`{}` is no name of a role", shown(name.value));
        let hint = format!("use up to {} letters, digits, - and _", rule::NAME_BYTES_MAX);
        header.report.say(name.at, what, hint);
        return None;
    }
    Some(name.value.to_owned())
}

fn read_rules(root: &Section<'_>, frame: &Frame<'_>) -> (Vec<Statement>, BTreeSet<String>) {
    let report = root.report;
    let (allow, never) = (root.sections(Effect::Allow.key()), root.sections(Effect::Never.key()));
    if allow.len() + never.len() > RULES_MAX {
        let what = format!("the file has {} rules, the limit is {RULES_MAX}", allow.len() + never.len());
        report.say(0, what, "split the role into several");
        return Default::default();
    }
    if let Some(first) = allow.first().filter(|_| frame.everyone) {
        let hint = "give it to a role: agents = [\"**\", \"local-user\"] is every agent of this trust domain";
        report.say(first.at, "an [everyone] file allows nothing", hint);
    }
    let mut rules = numbered(allow, Effect::Allow, frame);
    let doors = doors(&rules, frame, report);
    rules.extend(numbered(never, Effect::Never, frame));
    rules.sort_by_key(|(rule, _)| rule.at);
    let mut ids: BTreeSet<&str> = BTreeSet::new();
    let mut statements = Vec::new();
    let mut zones = BTreeSet::new();
    for (rule, section) in &rules {
        if !ids.insert(&rule.id) {
            let at = section.get("id").map_or(section.at, |entry| entry.at);
            report.fault(
                Fault::Id,
                at,
                format!("two rules have the id `{}`", rule.id),
                "give each rule its own id",
            );
        }
        zones.extend(rule.zone().map(str::to_owned));
        statements.extend(rule.statements(frame, section));
    }
    statements.extend(doors);
    if statements.len() > STATEMENTS_MAX {
        let what = format!("the rules become {} policies, the limit is {STATEMENTS_MAX}", statements.len());
        report.say(0, what, "use patterns or groups of servers");
    }
    (statements, zones)
}

/// The rules of one effect, counted from 1.
fn numbered<'a>(sections: Vec<Section<'a>>, effect: Effect, frame: &Frame<'_>) -> Vec<(Rule, Section<'a>)> {
    sections
        .into_iter()
        .zip(1..)
        .map(|(section, n)| (Rule::read(&section, effect, n, frame), section))
        .collect()
}

/// What it takes to reach what a role may use: a session with each server, and
/// its lists, which show only what the role could use.
fn doors(allow: &[(Rule, Section<'_>)], frame: &Frame<'_>, report: &Report<'_>) -> Vec<Statement> {
    struct Opened {
        door: Door,
        at: usize,
        lists: bool,
        shadow: bool,
    }
    let mut opened: Vec<Opened> = Vec::new();
    for (rule, _) in allow {
        for target in &rule.targets.all {
            let lists = !rule.targets.own_methods;
            match opened.iter_mut().find(|known| known.door == target.door && known.shadow == rule.shadow) {
                Some(known) => known.lists |= lists,
                None => {
                    opened.push(Opened {
                        door: target.door.clone(),
                        at: target.at,
                        lists,
                        shadow: rule.shadow,
                    });
                }
            }
        }
    }
    let statement = |opened: &Opened| {
        let (line, column) = report.position(opened.at);
        let shadow = if opened.shadow { " (shadow)" } else { "" };
        let rule = format!("{}.{}", frame.name, rule::OPEN);
        let id = format!("{rule}:{}{shadow}", opened.door.label());
        let mut annotations =
            vec![("id", id.clone()), ("rule", rule.clone()), ("source", format!("{}:{line}", report.file()))];
        if opened.shadow {
            annotations.push(("mode", "shadow".to_owned()));
        }
        let scope = Scope {
            principal: rule::principal(frame),
            action: rule::actions(if opened.lists { &["session", "list"] } else { &["session"] }),
            resource: opened.door.resource(),
        };
        let cedar = rule::write(&annotations, "permit", &scope, &[]);
        Statement { id, rule, cedar, line, column, unseen: None }
    };
    opened.iter().map(statement).collect()
}
