//! What a rule is about: tools, servers, groups of servers, resources, prompts.

use super::cedar;
use super::read::{Section, Text, shown};
use super::report::did_you_mean;
use crate::method;

/// The keys of a rule that name a target.
pub(super) const KEYS: [&str; 6] = ["tools", "servers", "groups", "resources", "prompts", "methods"];

/// One thing that a rule is about: the scope of one policy.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// What tells it from the other targets of the rule, as it stands in ids.
    pub(super) label: String,
    /// The action part of a Cedar scope.
    pub(super) action: Action,
    /// The resource part of a Cedar scope.
    pub(super) resource: String,
    /// Conditions that belong to the scope.
    pub(super) conditions: Vec<String>,
    /// One tool, by server and name.
    pub(super) tool: Option<(String, String)>,
    /// What must be open to reach it; `None` for a rule on anything.
    pub(super) door: Door,
    /// Byte offset where it stands.
    pub(super) at: usize,
}

/// Which actions a policy speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Any, also opening a session and methods that Lockgate does not know.
    Any,
    /// Those in these actions or groups of actions.
    In(Vec<&'static str>),
}

/// What is opened to reach a target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Door {
    Server(String),
    Group(String),
    Anywhere,
}

impl Door {
    /// The servers, as the resource part of a scope and for all their items.
    pub(super) fn resource(&self) -> String {
        match self {
            // The server's own name has its slashes; they are escaped only before the name of a thing.
            Door::Server(id) => {
                let name = id.replace("%2F", "/").replace("%25", "%");
                format!("resource in Lockgate::Server::{}", cedar::text(&name))
            }
            Door::Group(name) => format!("resource in Lockgate::ServerGroup::{}", cedar::text(name)),
            Door::Anywhere => "resource".to_owned(),
        }
    }

    /// As it stands in ids.
    pub(super) fn label(&self) -> String {
        match self {
            Door::Server(id) => id.clone(),
            Door::Group(name) => format!("group {name}"),
            Door::Anywhere => "*".to_owned(),
        }
    }
}

/// The targets of a rule and whether it names methods of its own.
#[derive(Debug)]
pub(super) struct Targets {
    pub(super) all: Vec<Target>,
    /// The rule says which methods; it then grants no lists beside them.
    pub(super) own_methods: bool,
}

/// Reads the targets of a rule. A [[never]] rule without any is about
/// everything; an [[allow]] rule must name some.
pub(super) fn read(rule: &Section<'_>, never: bool) -> Targets {
    let methods = rule.texts("methods").map(|texts| read_methods(&texts, rule));
    let own_methods = methods.is_some();
    let (actions, method_conditions) =
        methods.unwrap_or_else(|| (if never { Action::Any } else { Action::In(vec!["use"]) }, Vec::new()));
    let mut all = Vec::new();
    let doors = |key: &str| rule.texts(key).unwrap_or_default();
    for text in doors("servers") {
        all.extend(read_server(text, rule).map(|door| (door, text.at)));
    }
    for text in doors("groups") {
        all.extend(read_name(text, "group", rule).map(|name| (Door::Group(name), text.at)));
    }
    let mut all: Vec<Target> = all
        .into_iter()
        .map(|(door, at)| whole(door, at, actions.clone(), method_conditions.clone()))
        .collect();
    if own_methods && all.is_empty() && never {
        all.push(whole(Door::Anywhere, rule.at, actions, method_conditions));
    }
    for (key, kind) in [("tools", &TOOL), ("resources", &RESOURCE), ("prompts", &PROMPT)] {
        let texts = doors(key);
        all.extend(texts.into_iter().filter_map(|text| read_item(text, kind, never, rule)));
    }
    finish(&mut all, rule, never, own_methods);
    Targets { all, own_methods }
}

fn finish(all: &mut Vec<Target>, rule: &Section<'_>, never: bool, own_methods: bool) {
    let mut seen: Vec<String> = Vec::new();
    for target in all.iter() {
        if seen.contains(&target.label) {
            rule.report.say(
                target.at,
                format!("`{}` is named twice", shown(&target.label)),
                "remove one of the two",
            );
        }
        seen.push(target.label.clone());
    }
    let named: Vec<&str> = KEYS.into_iter().filter(|key| rule.get(key).is_some()).collect();
    let places = named.iter().any(|key| matches!(*key, "servers" | "groups"));
    let items = named.iter().any(|key| matches!(*key, "tools" | "resources" | "prompts"));
    if own_methods && items {
        let at = rule.get("methods").map_or(rule.at, |entry| entry.at);
        rule.report.say(
            at,
            "`methods` goes with servers and groups only",
            "a rule on tools, resources or prompts is about using them; write another rule for the methods",
        );
    }
    if !never && !places && !items {
        let what = "this rule allows nothing: it names no tool and no server";
        rule.report.say(
            rule.at,
            what,
            "add a line such as tools = [\"crm/get_customer\"] or servers = [\"crm\"]",
        );
    }
    if never && named.is_empty() {
        all.push(whole(Door::Anywhere, rule.at, Action::Any, Vec::new()));
    }
}

/// A target that is a whole server, a group, or everything.
fn whole(door: Door, at: usize, action: Action, conditions: Vec<String>) -> Target {
    let resource = door.resource();
    Target { label: door.label(), action, resource, conditions, tool: None, door, at }
}

/// A kind of thing that a server offers under a name.
struct Item {
    key: &'static str,
    entity: &'static str,
    actions: &'static [&'static str],
    example: &'static str,
    /// Names are paths, so that a pattern must not be left by `..`.
    paths: bool,
}

const TOOL: Item = Item {
    key: "tools",
    entity: "Tool",
    actions: &["tools/call"],
    example: "crm/get_customer, crm/get_* or crm/*",
    paths: false,
};
const RESOURCE: Item = Item {
    key: "resources",
    entity: "Resource",
    actions: &["resources/read", "resources/subscribe", "resources/unsubscribe"],
    example: "crm/file:///reports/*",
    paths: true,
};
const PROMPT: Item = Item {
    key: "prompts",
    entity: "Prompt",
    actions: &["prompts/get"],
    example: "crm/greeting or crm/*",
    paths: false,
};

fn read_item(text: Text<'_>, kind: &Item, never: bool, rule: &Section<'_>) -> Option<Target> {
    let hint = || format!("write server/name: {}", kind.example);
    let Some((server, name)) = text.value.split_once('/').filter(|(_, name)| !name.is_empty()) else {
        let what = format!("`{}` in `{}` names no server", shown(text.value), kind.key);
        rule.report.say(text.at, what, hint());
        return None;
    };
    let door = read_server(Text { value: server, at: text.at }, rule)?;
    let action = Action::In(kind.actions.to_vec());
    let label = match kind.entity {
        "Tool" => text.value.to_owned(),
        _ => format!("{} {}", kind.entity.to_lowercase(), text.value),
    };
    let mut target = Target {
        label,
        action,
        resource: door.resource(),
        conditions: Vec::new(),
        tool: None,
        door: door.clone(),
        at: text.at,
    };
    match (&door, name.contains('*')) {
        (Door::Server(id), false) => {
            target.resource = format!("resource == Lockgate::{}::{}", kind.entity, cedar::text(text.value));
            if kind.entity == TOOL.entity {
                target.tool = Some((id.replace("%2F", "/").replace("%25", "%"), name.to_owned()));
            }
        }
        _ if name == "*" => {}
        _ => {
            target.conditions.push(format!("resource.name like {}", cedar::pattern(name)));
            if kind.paths && !never {
                target.conditions.push(NO_DETOURS.to_owned());
            }
        }
    }
    Some(target)
}

/// A resource allowed by a pattern does not lead out of it by `..`, plain or
/// percent-encoded.
const NO_DETOURS: &str = "!(resource.name like \"*..*\" || resource.name like \"*%2e*\" || \
    resource.name like \"*%2E*\" || resource.name like \"*%25*\" || resource.name like \"*\\\\*\")";

/// A server by its id, or `*` for any.
fn read_server(text: Text<'_>, rule: &Section<'_>) -> Option<Door> {
    if text.value == "*" {
        return Some(Door::Anywhere);
    }
    let name = read_name(text, "server", rule)?;
    let mut rest = name.as_str();
    while let Some((_, after)) = rest.split_once('%') {
        if !(after.starts_with("2F") || after.starts_with("25")) {
            let what = format!("`{}` is no name of a server", shown(text.value));
            rule.report.say(
                text.at,
                what,
                "in a server's name, a slash is written %2F and a percent sign %25",
            );
            return None;
        }
        rest = &after[2..];
    }
    Some(Door::Server(name))
}

fn read_name(text: Text<'_>, kind: &str, rule: &Section<'_>) -> Option<String> {
    if text.value.is_empty() || text.value.contains(['*', '/']) {
        let what = format!("`{}` is no name of a {kind}", shown(text.value));
        let hint = "name it whole; `*` alone stands for every server, and several servers are a group";
        rule.report.say(text.at, what, hint);
        return None;
    }
    Some(text.value.to_owned())
}

/// The actions of a list of methods, and a condition if some have no action of
/// their own.
fn read_methods(texts: &[Text<'_>], rule: &Section<'_>) -> (Action, Vec<String>) {
    let mut actions: Vec<&'static str> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let mut unknown: Vec<&str> = Vec::new();
    let known: Vec<&'static str> = method::names().chain(["session", "list", "use"]).collect();
    for text in texts {
        let action = match known.iter().copied().find(|name| *name == text.value) {
            Some(name) => {
                names.push(format!("action in Lockgate::Action::{}", cedar::text(name)));
                name
            }
            None => {
                if let Some(meant) = super::report::meant(text.value, known.iter().copied()) {
                    let what = format!("`{}` is no method", shown(text.value));
                    rule.report.say(text.at, what, format!("did you mean `{meant}`?"));
                    continue;
                }
                if !text.value.contains('/') {
                    let hint = did_you_mean(text.value, known.iter().copied());
                    rule.report.say(text.at, format!("`{}` is no method", shown(text.value)), hint);
                    continue;
                }
                unknown.push(text.value);
                if text.value.starts_with("notifications/") { "notifications/*" } else { "other" }
            }
        };
        if !actions.contains(&action) {
            actions.push(action);
        }
    }
    let mut conditions = Vec::new();
    if !unknown.is_empty() {
        names.extend(unknown.iter().map(|name| format!("context.method == {}", cedar::text(name))));
        conditions.push(names.join(" || "));
    }
    (Action::In(actions), conditions)
}
