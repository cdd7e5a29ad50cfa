//! The schema that policies are checked against, and its slices.
//!
//! Checking costs policies × actions, so a policy is checked against the
//! actions that its scope can cover and no others: thirty thousand checks
//! become a few for each policy, with the same findings.

use std::{collections::BTreeSet, fmt::Write, sync::LazyLock};

use cedar_policy::Schema;

use crate::{
    facts::{FactShape, FactType},
    method::{self, Group, Subject},
};

/// The vocabulary that every policy is checked against, in Cedar schema
/// syntax: the part of it that does not depend on tools, facts and zones.
pub const SCHEMA_TEXT: &str = include_str!("schema.cedarschema");

/// [`SCHEMA_TEXT`], read once.
pub(crate) static SCHEMA: LazyLock<Schema> =
    LazyLock::new(|| read(SCHEMA_TEXT).expect("schema.cedarschema is part of this crate and tested"));

/// Reads a schema.
///
/// # Errors
/// What Cedar says.
pub(crate) fn read(text: &str) -> Result<Schema, String> {
    let (schema, _warnings) = Schema::from_cedarschema_str(text).map_err(|error| error.to_string())?;
    Ok(schema)
}

const LOCAL: &str = "type Local = { \"UTC\": LocalTime };";
const FACTS: &str = "type Facts = {};";
const ACTIONS: &str = "  // ---- what is done";

/// The kinds of principal.
const PRINCIPALS: [&str; 3] = ["Agent", "LocalUser", "Anonymous"];

/// One tool with an action of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tool {
    /// The id of its action.
    pub(crate) action: String,
    /// The Cedar type of its arguments; `None` while its definition is not
    /// known.
    pub(crate) input: Option<String>,
}

/// The part of a schema that depends on facts and zones.
#[derive(Clone, Debug)]
pub(crate) struct Vocabulary {
    /// Entity types and types of the context, with a `namespace` left open.
    types: String,
    /// The attributes of a call's context.
    call: String,
}

impl Vocabulary {
    /// The vocabulary with these facts and zones (beside UTC).
    pub(crate) fn new<'a>(facts: &[FactShape], zones: impl IntoIterator<Item = &'a str>) -> Self {
        let (types, _actions) = SCHEMA_TEXT.split_once(ACTIONS).expect("the heading is there");
        let plain: String = types
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .map(|line| line.split_once("  //").map_or(line, |(code, _)| code).trim().to_owned() + "\n")
            .collect();
        let zones: BTreeSet<&str> = zones.into_iter().chain(["UTC"]).collect();
        let zones: Vec<String> = zones.iter().map(|zone| format!("{}: LocalTime", quoted(zone))).collect();
        let facts: Vec<String> = facts.iter().map(fact).collect();
        let plain = plain
            .replace(LOCAL, &format!("type Local = {{ {} }};", zones.join(", ")))
            .replace(FACTS, &format!("type Facts = {{ {} }};", facts.join(", ")));
        let call = plain.split_once("type Call = {").and_then(|(_, rest)| rest.split_once("};"));
        let call = call.expect("the type is there").0.to_owned();
        Vocabulary { types: plain, call }
    }

    /// A schema of these actions.
    pub(crate) fn with_actions(&self, actions: &Actions) -> String {
        let mut text = self.types.clone();
        let principals: Vec<&str> = PRINCIPALS
            .iter()
            .zip(actions.principals)
            .filter_map(|(name, there)| there.then_some(*name))
            .collect();
        let principals = principals.join(", ");
        for group in [Group::Session, Group::List, Group::Use] {
            writeln!(text, "action {};", group.name()).expect("a String takes all");
        }
        for (name, group, subject) in method::rows() {
            let applies = actions.methods.contains(name);
            if !applies && !actions.named.contains(name) {
                continue;
            }
            let parent = group.map_or(String::new(), |group| format!(" in [{}]", group.name()));
            write!(text, "action {}{parent}", quoted(name)).expect("a String takes all");
            text.push_str(&if applies { self.applies(&principals, subject, None) } else { ";\n".to_owned() });
        }
        for tool in &actions.tools {
            write!(text, "action {} in [\"tools/call\"]", quoted(&tool.action)).expect("a String takes all");
            text.push_str(&self.applies(&principals, Subject::Tool, tool.input.as_deref()));
        }
        text.push('}');
        text
    }

    fn applies(&self, principals: &str, subject: Subject, input: Option<&str>) -> String {
        let context = match input {
            None => "Call".to_owned(),
            Some(input) => format!("{{ {} input: {input} }}", self.call),
        };
        let resource = subject.type_name();
        format!(" appliesTo {{ principal: [{principals}], resource: [{resource}], context: {context} }};\n")
    }
}

/// Which actions a schema is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Actions {
    /// Which kinds of principal: agents, the local user, anonymous callers.
    pub(crate) principals: [bool; 3],
    /// Methods that apply to something.
    pub(crate) methods: BTreeSet<&'static str>,
    /// Methods whose names occur.
    pub(crate) named: BTreeSet<&'static str>,
    /// Tools with an action of their own.
    pub(crate) tools: Vec<Tool>,
}

impl Actions {
    /// All methods, and these tools.
    pub(crate) fn all(tools: Vec<Tool>) -> Self {
        let methods = method::rows().map(|(name, ..)| name).collect();
        Actions { principals: [true; 3], methods, named: BTreeSet::new(), tools }
    }
}

fn fact(shape: &FactShape) -> String {
    let fields: Vec<String> =
        shape.fields.iter().map(|(name, kind)| format!("{}: {}", quoted(name), cedar_type(*kind))).collect();
    format!("{}?: {{ {} }}", quoted(&shape.name), fields.join(", "))
}

fn cedar_type(kind: FactType) -> &'static str {
    match kind {
        FactType::Text => "String",
        FactType::Integer => "Long",
        FactType::Flag => "Bool",
        FactType::Time => "datetime",
        FactType::Texts => "Set<String>",
    }
}

/// A name in quotes, whatever it holds.
fn quoted(name: &str) -> String {
    format!("\"{}\"", cedar_policy::EntityId::new(name).escaped())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn slices_say_what_the_whole_says() {
        let vocabulary = Vocabulary::new(&[], []);
        let all = read(&vocabulary.with_actions(&Actions::all(Vec::new()))).expect("sound");
        let actions = |schema: &Schema| schema.actions().map(ToString::to_string).collect::<BTreeSet<_>>();
        assert_eq!(actions(&all), actions(&SCHEMA));
        let environments = |schema: &Schema| {
            let of = |env: cedar_policy::RequestEnv| {
                format!("{} {} {}", env.principal(), env.action(), env.resource())
            };
            schema.request_envs().map(of).collect::<BTreeSet<_>>()
        };
        assert_eq!(environments(&all), environments(&SCHEMA));
    }

    #[test]
    fn names_cannot_break_out() {
        let hostile = "x\" }; action evil; //\n\u{202e}";
        let fields = BTreeMap::from([(hostile.to_owned(), FactType::Time)]);
        let fact = FactShape { name: hostile.to_owned(), fields, key: None };
        let tool = Tool { action: format!("tools/call:{hostile}"), input: Some("{\"a\"?: Long}".to_owned()) };
        let text = Vocabulary::new(&[fact], [hostile]).with_actions(&Actions::all(vec![tool]));
        let schema = read(&text).expect("sound");
        assert_eq!(schema.actions().count(), SCHEMA.actions().count() + 1);
    }
}
