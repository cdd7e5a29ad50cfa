//! What is true of every real call, said to the solver.
//!
//! To the solver a request is any request that fits the schema: a tool of one server below another server, an argument
//! in `input` that is missing in `names`, minute 61 of hour 25. Without these axioms its counterexamples would be
//! calls that nobody can make. Each axiom is a `forbid` that is added to both sides of a question and can only match
//! what cannot happen, so that no proof rests on more than is true.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Policy, PolicyId, RequestEnv};
use lockgate_policy::Policies;
use serde_json::Value;

use crate::call::{CONNECT, caller};
use crate::clause::cedar_string;
use crate::error::AnalysisError;

/// What is known beside the policies.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Server groups.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Tools whose definitions are pinned, with the names of their arguments.
    pub tools: BTreeMap<(String, String), Vec<String>>,
    /// Our trust domain.
    pub trust_domain: String,
    /// All roles of the agents that a question names; an agent that is not here may have any roles. An answer says what
    /// it has taken from here.
    pub roles: BTreeMap<String, Vec<String>>,
}

/// Begins the id of an action of one pinned tool.
pub(crate) const TOOL_ACTION: &str = "tools/call:";

/// What the policies of a question speak of.
pub(crate) struct Mentions {
    servers: BTreeSet<String>,
    groups: BTreeSet<String>,
    tools: BTreeSet<String>,
    roles: BTreeSet<String>,
    /// Roles of callers without an identity.
    anonymous: BTreeSet<String>,
    needles: BTreeSet<String>,
    zones: BTreeSet<String>,
    text: String,
}

impl Mentions {
    pub(crate) fn of<'a>(policies: impl Iterator<Item = &'a Policy>, world: &World) -> Self {
        let mut mentions = Mentions {
            servers: world.groups.values().flatten().cloned().collect(),
            groups: world.groups.keys().cloned().collect(),
            tools: BTreeSet::new(),
            roles: BTreeSet::new(),
            anonymous: BTreeSet::new(),
            needles: BTreeSet::new(),
            zones: BTreeSet::new(),
            text: String::new(),
        };
        for policy in policies {
            mentions.text.push_str(&policy.to_string());
            if let Ok(json) = policy.to_json() {
                mentions.read(&json);
            }
        }
        let servers: Vec<String> =
            mentions.tools.iter().filter_map(|id| Some(decoded(id.split_once('/')?.0))).collect();
        mentions.servers.extend(servers);
        mentions
    }

    /// The same, where these sets say which roles callers without an identity have.
    pub(crate) fn in_sets(mut self, sets: &[&Policies]) -> Result<Self, AnalysisError> {
        for set in sets {
            self.anonymous.extend(set.roles(&caller("anonymous", &[], "")?));
        }
        Ok(self)
    }

    /// All zones that policies ask the local time of.
    pub(crate) fn zones(&self) -> impl Iterator<Item = &str> {
        self.zones.iter().map(String::as_str)
    }

    /// Recursion is as deep as the policies, which the parser has limited.
    fn read(&mut self, json: &Value) {
        match json {
            Value::Array(items) => items.iter().for_each(|item| self.read(item)),
            Value::Object(members) => {
                if let (Some(Value::String(kind)), Some(Value::String(id))) =
                    (members.get("type"), members.get("id"))
                {
                    match kind.strip_prefix("Lockgate::").unwrap_or(kind) {
                        "Server" => _ = self.servers.insert(id.clone()),
                        "ServerGroup" => _ = self.groups.insert(id.clone()),
                        "Tool" => _ = self.tools.insert(id.clone()),
                        "Role" => _ = self.roles.insert(id.clone()),
                        _ => {}
                    }
                }
                if let Some(access) = members.get(".").or_else(|| members.get("has"))
                    && (access["left"]["."]["attr"] == "local" || access["left"]["Var"] == "local")
                {
                    self.zones.extend(access["attr"].as_str().map(str::to_owned));
                }
                for operator in ["contains", "containsAny", "containsAll"] {
                    if members.get(operator).is_some_and(|call| call["left"]["."]["attr"] == "touched") {
                        strings(&members[operator]["right"], &mut self.needles);
                    }
                }
                members.values().for_each(|member| self.read(member));
            }
            _ => {}
        }
    }

    fn says(&self, word: &str) -> bool {
        self.text.contains(word)
    }
}

fn strings(json: &Value, into: &mut BTreeSet<String>) {
    match json {
        Value::String(text) => _ = into.insert(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| strings(item, into)),
        Value::Object(members) => members.values().for_each(|member| strings(member, into)),
        _ => {}
    }
}

impl World {
    /// The axioms for one kind of request.
    pub(crate) fn axioms(&self, env: &RequestEnv, mentions: &Mentions) -> Vec<Policy> {
        let mut impossible: Vec<String> = Vec::new();
        let action = env.action().id().unescaped().to_owned();
        let kind = env.resource().basename().to_owned();
        match action.strip_prefix(TOOL_ACTION) {
            Some(tool) => self.pinned_tool(tool, mentions, &mut impossible),
            None => self.named_by_attributes(&kind, mentions, &mut impossible),
        }
        link(mentions, &mut impossible);
        clocks(mentions, &mut impossible);
        method(&action, mentions, &mut impossible);
        if action != CONNECT {
            arguments(mentions, &mut impossible);
        }
        self.agents(env.principal().basename(), mentions, &mut impossible);
        impossible
            .iter()
            .enumerate()
            .filter_map(|(n, condition)| {
                let text = format!("forbid(principal, action, resource) when {{ {condition} }};");
                // An axiom about an attribute that this schema lacks does not type-check later on and is left out there.
                Policy::parse(Some(PolicyId::new(format!("world {n}"))), text).ok()
            })
            .collect()
    }

    /// All groups that are spoken of; in one that the configuration does not have is nothing.
    fn all_groups<'a>(&'a self, mentions: &'a Mentions) -> impl Iterator<Item = (&'a str, &'a [String])> {
        let members = |group: &str| self.groups.get(group).map(Vec::as_slice).unwrap_or_default();
        mentions.groups.iter().map(move |group| (group.as_str(), members(group)))
    }

    fn pinned_tool(&self, tool: &str, mentions: &Mentions, impossible: &mut Vec<String>) {
        impossible.push(format!("resource != Lockgate::Tool::{}", cedar_string(tool)));
        let (server, name) = tool.split_once('/').unwrap_or((tool, ""));
        let server = decoded(server);
        impossible.push(format!(
            "resource.server != {} || resource.name != {}",
            cedar_string(&server),
            cedar_string(name)
        ));
        for other in &mentions.servers {
            let inside = format!("resource in Lockgate::Server::{}", cedar_string(other));
            impossible.push(if *other == server { format!("!({inside})") } else { inside });
        }
        for (group, members) in self.all_groups(mentions) {
            let inside = format!("resource in Lockgate::ServerGroup::{}", cedar_string(group));
            impossible.push(if members.contains(&server) { format!("!({inside})") } else { inside });
        }
        if let Some(names) = self.tools.get(&(server, name.to_owned())) {
            for argument in names {
                let quoted = cedar_string(argument);
                if mentions.says("names") {
                    impossible.push(format!(
                        "context has input && context.input has {quoted} && !context.names.contains({quoted})"
                    ));
                }
            }
        }
    }

    fn named_by_attributes(&self, kind: &str, mentions: &Mentions, impossible: &mut Vec<String>) {
        let attribute = if kind == "Server" { "name" } else { "server" };
        for server in &mentions.servers {
            let quoted = cedar_string(server);
            impossible.push(format!(
                "(resource in Lockgate::Server::{quoted}) != (resource.{attribute} == {quoted})"
            ));
        }
        for (group, members) in self.all_groups(mentions) {
            let inside = format!("resource in Lockgate::ServerGroup::{}", cedar_string(group));
            let members: Vec<String> = members.iter().map(|member| cedar_string(member)).collect();
            impossible.push(match members.as_slice() {
                // An empty set has no type.
                [] => inside,
                members => format!("({inside}) != ([{}].contains(resource.{attribute}))", members.join(", ")),
            });
        }
        if kind != "Tool" {
            return;
        }
        for tool in &mentions.tools {
            let (server, name) = tool.split_once('/').unwrap_or((tool, ""));
            let id = cedar_string(tool);
            let (server, name) = (decoded(server), name.to_owned());
            impossible.push(format!(
                "(resource == Lockgate::Tool::{id}) != (resource.server == {} && resource.name == {})",
                cedar_string(&server),
                cedar_string(&name)
            ));
            if self.tools.contains_key(&(server, name)) {
                // It has an action of its own.
                impossible.push(format!("resource == Lockgate::Tool::{id}"));
            }
        }
    }

    fn agents(&self, kind: &str, mentions: &Mentions, impossible: &mut Vec<String>) {
        if kind == "Anonymous" {
            impossible.push("principal != Lockgate::Anonymous::\"anonymous\"".to_owned());
            // Registration gives no role to who has no identity; only role files do.
            for role in mentions.roles.difference(&mentions.anonymous) {
                impossible.push(format!("principal in Lockgate::Role::{}", cedar_string(role)));
            }
        }
        if kind != "Agent" {
            return;
        }
        for (agent, has) in &self.roles {
            for role in &mentions.roles {
                let inside = format!("principal in Lockgate::Role::{}", cedar_string(role));
                let wrong = if has.contains(role) { format!("!({inside})") } else { inside };
                impossible.push(format!("principal == Lockgate::Agent::{} && {wrong}", cedar_string(agent)));
            }
        }
    }
}

/// The server's part of an id of Cedar, as the configuration writes it.
pub(crate) fn decoded(server: &str) -> String {
    server.replace("%2F", "/").replace("%25", "%")
}

fn link(mentions: &Mentions, impossible: &mut Vec<String>) {
    if mentions.says("link") {
        impossible.push(
            "context.link.quantum_safe && !(context.link.encrypted && context.link.quantum_safe_group)"
                .to_owned(),
        );
        impossible.push("context.link.quantum_safe_group && !context.link.encrypted".to_owned());
    }
}

fn clocks(mentions: &Mentions, impossible: &mut Vec<String>) {
    for zone in &mentions.zones {
        let local = format!("context.local[{}]", cedar_string(zone));
        // The bounds stand first, so that the sum after them cannot overflow, which would be an error.
        impossible.push(format!(
            "!({local}.minute_of_day >= 0 && {local}.minute_of_day < 1440 && {local}.hour >= 0 && {local}.hour < 24 \
             && {local}.minute >= 0 && {local}.minute < 60 \
             && {local}.hour * 60 + {local}.minute == {local}.minute_of_day)"
        ));
        impossible.push(format!(
            "![\"mon\", \"tue\", \"wed\", \"thu\", \"fri\", \"sat\", \"sun\"].contains({local}.weekday)"
        ));
    }
}

fn arguments(mentions: &Mentions, impossible: &mut Vec<String>) {
    if mentions.says("touched") {
        // Nothing else is looked for.
        let needles: Vec<String> = mentions.needles.iter().map(|needle| cedar_string(needle)).collect();
        impossible.push(match needles.as_slice() {
            [] => "!context.touched.isEmpty()".to_owned(),
            needles => format!("!([{}].containsAll(context.touched))", needles.join(", ")),
        });
    }
    if mentions.says("names") {
        for needle in &mentions.needles {
            let needle = cedar_string(needle);
            impossible
                .push(format!("context.names.contains({needle}) && !context.touched.contains({needle})"));
        }
    }
}

fn method(action: &str, mentions: &Mentions, impossible: &mut Vec<String>) {
    let method = if action.starts_with(TOOL_ACTION) { "tools/call" } else { action };
    if mentions.says("method") && !matches!(method, "other" | "notifications/*" | "response") {
        impossible.push(format!("context.method != {}", cedar_string(method)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_policies_speak_of_is_found() {
        let policy: Policy =
            r#"forbid(principal in Lockgate::Role::"r", action, resource in Lockgate::Server::"s")
            when { context.touched.containsAny(["a", "b"]) || context.touched.contains("c")
                   || context.local["Europe/Berlin"].hour > 3 || resource == Lockgate::Tool::"t/x" };"#
                .parse()
                .unwrap();
        let found = Mentions::of([&policy].into_iter(), &World::default());
        let list = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(list(&found.roles), "r");
        assert_eq!(list(&found.servers), "s t");
        assert_eq!(list(&found.needles), "a b c");
        assert_eq!(list(&found.zones), "Europe/Berlin");
    }
}
