//! Tools whose definitions nobody has shown, as proofs see them.
//!
//! What a policy says of the arguments of such a tool holds at run time, where arguments are taken as they come. In the
//! schema they have no types, and to a prover a rule that reads them could never match: it would call proved what is not
//! so. So such a tool gets an action with the arguments that policies speak of, each with the type that they compare it
//! with, and each of them optional.
//!
//! Nothing is forgotten by that. A value of another type makes every comparison fail, which denies, but for equality,
//! where it is simply equal to nothing; and there is always a text or a number that is equal to nothing that policies
//! name, too. There is no such flag: a rule against `true` and a rule against `false` together let "yes" pass. So where
//! a flag is compared with both, and where two policies compare one argument as two types, nothing is claimed.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use cedar_policy::{Policy, Schema};
use lockgate_policy::Policies;
use serde::Serialize;

use crate::clause::cedar_string;
use crate::error::AnalysisError;
use crate::explain::is_shadow;
use crate::forms;
use crate::types::Types;
use crate::world::{TOOL_ACTION, World, decoded};

/// A tool whose definition nobody has shown, and what an answer takes its arguments to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Assumed {
    /// `SERVER/TOOL`.
    pub tool: String,
    /// Dotted path of an argument, and its type in the words of role files.
    pub arguments: BTreeMap<String, String>,
}

/// What a question is asked against.
pub(crate) struct Ground {
    pub(crate) schema: Schema,
    pub(crate) world: World,
    /// What keeps anything from being claimed.
    pub(crate) unclear: Vec<String>,
    /// Tools whose arguments are taken to have the types that policies compare them with.
    pub(crate) assumed: Vec<Assumed>,
}

impl Ground {
    /// The schema of one or two sets with the tools that only their policies, or the question, know.
    ///
    /// # Errors
    /// A mistake of ours.
    pub(crate) fn of(
        sets: &[&Policies],
        probe: Option<&Policy>,
        world: &World,
    ) -> Result<Self, AnalysisError> {
        let mut text = sets.first().map(|set| set.schema()).unwrap_or_default();
        for other in sets.iter().skip(1) {
            text = with_zones(&text, &other.schema());
        }
        let shown = shown(&read(&text)?);
        let live = sets.iter().flat_map(|set| set.cedar()).filter(|policy| !is_shadow(policy));
        let rules: Vec<&Policy> = live.chain(probe).collect();
        let mut ground_world = world.clone();
        // A definition that cannot be read gives no action of its own, and its tool is then one of all the others.
        ground_world.tools.retain(|(server, tool), _| shown.contains(&joined(server, tool)));
        let (mut unclear, mut assumed) = (Vec::new(), Vec::new());
        let (mut actions, call) = (String::new(), call_type(&text)?);
        for (tool, types) in unseen(&rules, &shown)? {
            let Some((server, name)) = tool.split_once('/') else { continue };
            match types.record() {
                Ok(input) => {
                    actions.push_str(&format!(
                        "action {} in [\"tools/call\"] appliesTo {{ principal: [Agent, LocalUser, Anonymous], \
                         resource: [Tool], context: {{ {call} input: {input} }} }};\n",
                        cedar_string(&format!("{TOOL_ACTION}{tool}"))
                    ));
                    ground_world.tools.insert((decoded(server), name.to_owned()), types.names());
                    assumed.push(Assumed { arguments: types.in_words(), tool });
                }
                Err(doubt) => unclear
                    .push(format!("{doubt}, of {tool}, whose definition is not known; name it with --tools")),
            }
        }
        // Where no argument is read, nothing of them is assumed.
        assumed.retain(|tool| !tool.arguments.is_empty());
        let end = text.rfind('}').ok_or_else(|| AnalysisError::Bug("the schema has no end".to_owned()))?;
        text.insert_str(end, &actions);
        Ok(Ground { schema: read(&text)?, world: ground_world, unclear, assumed })
    }
}

fn read(text: &str) -> Result<Schema, AnalysisError> {
    let (schema, _warnings) = Schema::from_cedarschema_str(text)
        .map_err(|error| AnalysisError::Bug(format!("the schema cannot be read back: {error}")))?;
    Ok(schema)
}

/// The ids of the tools that have an action of their own.
fn shown(schema: &Schema) -> HashSet<String> {
    let tool = |action: &cedar_policy::EntityUid| {
        let id: &str = action.id().unescaped();
        id.strip_prefix(TOOL_ACTION).map(str::to_owned)
    };
    schema.actions().filter_map(tool).collect()
}

/// The attributes of a call's context, as the schema says them.
fn call_type(schema: &str) -> Result<&str, AnalysisError> {
    schema
        .split_once("type Call = {")
        .and_then(|(_, rest)| rest.split_once("};"))
        .map(|(call, _)| call)
        .ok_or_else(|| AnalysisError::Bug("the schema has no type Call".to_owned()))
}

/// The first schema with the zones of both.
fn with_zones(schema: &str, other: &str) -> String {
    const BEGIN: &str = "type Local = {";
    let zones = |text: &str| -> BTreeSet<String> {
        let inside = text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once('}'));
        let inside = inside.map(|(inside, _)| inside).unwrap_or_default();
        inside.split(',').map(|zone| zone.trim().to_owned()).filter(|zone| !zone.is_empty()).collect()
    };
    let all: Vec<String> = zones(schema).union(&zones(other)).cloned().collect();
    match schema.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once('}')?.1))) {
        Some((before, after)) => format!("{before}{BEGIN} {} }}{after}", all.join(", ")),
        None => schema.to_owned(),
    }
}

/// The tools that policies name and the schema lacks, by id, where an action of their own makes a difference: policies
/// read their arguments, or name them by their action.
fn unseen(rules: &[&Policy], shown: &HashSet<String>) -> Result<BTreeMap<String, Types>, AnalysisError> {
    let mut tools: BTreeMap<String, Types> = BTreeMap::new();
    let mut of_any = Types::default();
    for policy in rules {
        let reads_input = forms::reads(policy)?.iter().any(|name| name == "input" || name == forms::ALL);
        let mut types = Types::default();
        if reads_input {
            for condition in forms::to_json(policy)?["conditions"].as_array().into_iter().flatten() {
                types.read(&condition["body"], Some("Bool"), 0);
            }
        }
        let mut names_one = false;
        for (kind, id) in forms::named(policy)? {
            let by_action = id.strip_prefix(TOOL_ACTION).filter(|_| kind == "Action");
            let Some(tool) = by_action.or((kind == "Tool").then_some(id.as_str())) else { continue };
            names_one = true;
            if !shown.contains(tool) && (reads_input || by_action.is_some()) {
                tools.entry(tool.to_owned()).or_default().merge(&types);
            }
        }
        if !names_one {
            of_any.merge(&types);
        }
    }
    tools.values_mut().for_each(|types| types.merge(&of_any));
    Ok(tools)
}

/// The id of a tool: a slash in the server's name is escaped, so that the first one ends it.
fn joined(server: &str, tool: &str) -> String {
    format!("{}/{tool}", server.replace('%', "%25").replace('/', "%2F"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Doubt;

    fn types(conditions: &str) -> Result<String, Doubt> {
        let text = format!(
            "permit(principal, action, resource == Lockgate::Tool::\"crm/get\") when {{ {conditions} }};"
        );
        let policy: Policy = text.parse().unwrap();
        let mut tools = unseen(&[&policy], &HashSet::new()).unwrap();
        tools.remove("crm/get").map_or_else(|| Ok(String::new()), |types| types.record())
    }

    #[test]
    fn arguments_have_the_types_that_they_are_compared_with() {
        for (conditions, expected) in [
            ("context.names.contains(\"a\")", ""),
            ("context has input && context.input has a && context.input.a like \"p-*\"", "\"a\"?: String"),
            ("context.input.a == 7", "\"a\"?: Long"),
            ("context.input.a <= 7 && 3 < context.input.b", "\"a\"?: Long, \"b\"?: Long"),
            ("context.input.a", "\"a\"?: Bool"),
            ("!(context.input has a)", "\"a\"?: String"),
            ("[\"x\"].containsAll(context.input.a)", "\"a\"?: Set<String>"),
            ("[1, 2].contains(context.input.a)", "\"a\"?: Long"),
            ("context.input.a.contains(\"x\")", "\"a\"?: Set<String>"),
            ("context.input.a.lessThan(decimal(\"1.5\"))", "\"a\"?: decimal"),
            (
                "context.input.a.b == \"x\" && context.input.a.c > 1",
                "\"a\"?: { \"b\"?: String, \"c\"?: Long }",
            ),
            ("context.facts.x.y == context.input[\"a b\"]", "\"a b\"?: String"),
        ] {
            let found = types(conditions).unwrap();
            let inside = found.trim_start_matches("{ ").trim_end_matches(" }");
            let wanted = expected.trim_end_matches(" }");
            assert_eq!(inside, wanted, "{conditions}");
        }
    }

    #[test]
    fn what_cannot_be_taken_for_granted_is_told() {
        let (two, both) = (|| Doubt::TwoTypes("a".to_owned()), || Doubt::BothFlags("a".to_owned()));
        for (conditions, doubt) in [
            ("context.input.a == 1 || context.input.a like \"x\"", Some(two())),
            ("context.input.a == 1 || context.input.a.b == 1", Some(two())),
            // Neither true nor false is equal to "yes".
            ("context.input.a == true || context.input.a == false", Some(both())),
            ("context.input.a != true || false == context.input.a", Some(both())),
            ("[true, false].contains(context.input.a)", Some(both())),
            ("context.input.a.contains(true)", Some(both())),
            ("(if context.input.a then true else false) == true || context.input.a == true", Some(both())),
            // A value of another type is denied, or as good as false.
            ("context.input.a || !context.input.a", None),
            ("context.input.a == true && !(context.input.a == true)", None),
        ] {
            assert_eq!(types(conditions).err(), doubt, "{conditions}");
        }
    }

    #[test]
    fn tools_are_found_however_they_are_named() {
        for (scope, found) in [
            ("action, resource == Lockgate::Tool::\"crm/get\"", true),
            ("action, resource in Lockgate::Tool::\"crm/get\"", true),
            ("action, resource is Lockgate::Tool in Lockgate::Tool::\"crm/get\"", true),
            ("action == Lockgate::Action::\"tools/call:crm/get\", resource", true),
            ("action in [Lockgate::Action::\"tools/call:crm/get\"], resource", true),
            ("action, resource in Lockgate::Server::\"crm\"", false),
        ] {
            let text =
                format!("permit(principal, {scope}) when {{ context has input && context.input.a == 1 }};");
            let policy: Policy = text.parse().unwrap();
            let tools = unseen(&[&policy], &HashSet::new()).unwrap();
            assert_eq!(tools.contains_key("crm/get"), found, "{scope}");
        }
        // By its action, though nothing of its arguments is read.
        let policy: Policy =
            "permit(principal, action == Lockgate::Action::\"tools/call:crm/get\", resource);"
                .parse()
                .unwrap();
        assert!(unseen(&[&policy], &HashSet::new()).unwrap().contains_key("crm/get"));
    }

    #[test]
    fn a_tool_is_known_only_if_its_definition_could_be_read() {
        let policies = Policies::parse(&[], &lockgate_policy::Options::bare(1)).unwrap();
        let mut world = World::default();
        world.tools.insert(("crm".to_owned(), "broken".to_owned()), Vec::new());
        assert!(Ground::of(&[&policies], None, &world).unwrap().world.tools.is_empty());
        assert_eq!(joined("a/b%", "c/d"), "a%2Fb%25/c/d");
    }

    #[test]
    fn zones_of_both_schemas_are_there() {
        let (a, b) = ("x type Local = { \"UTC\": T, \"A\": T }; y", "type Local = { \"B\": T, \"UTC\": T };");
        assert_eq!(with_zones(a, b), "x type Local = { \"A\": T, \"B\": T, \"UTC\": T }; y");
    }
}
