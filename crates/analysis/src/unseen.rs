//! Tools whose definitions nobody has shown, as proofs see them.
//!
//! What a policy says of the arguments of such a tool holds at run time, where arguments are taken as they come. In the
//! schema they have no types, and to a prover a rule that reads them could never match: it would call proved what is not
//! so. So such a tool gets an action with the arguments that policies speak of, each with the type that they compare it
//! with, and each of them optional. A call whose argument is of another type makes the comparison fail, which denies,
//! so that no call is forgotten; only where two policies compare one argument as two types nothing is claimed.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Policy, ResourceConstraint, Schema};
use lockgate_policy::Policies;
use serde_json::Value;

use crate::clause::cedar_string;
use crate::error::AnalysisError;
use crate::world::World;

/// Deepest expression that is looked into; the parser of policies has a limit of its own.
const DEPTH_MAX: usize = 256;

/// Operators of Cedar that compare decimals.
const DECIMAL: [&str; 4] = ["lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"];

/// What a question is asked against.
pub(crate) struct Ground {
    pub(crate) schema: Schema,
    pub(crate) world: World,
    /// What keeps anything from being claimed.
    pub(crate) unclear: Vec<String>,
    /// Tools whose arguments are taken to have the types that policies compare them with.
    pub(crate) assumed: Vec<String>,
}

impl Ground {
    /// The schema of one or two sets with the tools that only their policies know.
    ///
    /// # Errors
    /// A mistake of ours.
    pub(crate) fn of(sets: &[&Policies], world: &World) -> Result<Self, AnalysisError> {
        let mut text = sets.first().map(|set| set.schema()).unwrap_or_default();
        for other in sets.iter().skip(1) {
            text = with_zones(&text, &other.schema());
        }
        let rules: Vec<&Policy> = sets.iter().flat_map(|set| set.cedar()).collect();
        let mut ground_world = world.clone();
        // A definition that cannot be read gives no action of its own, and its tool is then one of all the others.
        ground_world.tools.retain(|(server, tool), _| has_action(&text, &joined(server, tool)));
        let (mut unclear, mut assumed) = (Vec::new(), Vec::new());
        let (mut actions, call) = (String::new(), call_type(&text)?);
        for (tool, types) in unseen(&rules, &text) {
            let Some((server, name)) = tool.split_once('/') else { continue };
            let server = server.replace("%2F", "/").replace("%25", "%");
            match types.record() {
                Ok(input) => {
                    actions.push_str(&format!(
                        "action {} in [\"tools/call\"] appliesTo {{ principal: [Agent, LocalUser, Anonymous], \
                         resource: [Tool], context: {{ {call} input: {input} }} }};\n",
                        cedar_string(&format!("tools/call:{tool}"))
                    ));
                    ground_world.tools.insert((server, name.to_owned()), types.names());
                    assumed.push(tool);
                }
                Err(argument) => unclear.push(format!(
                    "policies compare the argument {argument} of {tool} as two types, and its definition is not known; \
                     name it with --tools"
                )),
            }
        }
        let end = text.rfind('}').ok_or_else(|| AnalysisError::Bug("the schema has no end".to_owned()))?;
        text.insert_str(end, &actions);
        let (schema, _warnings) = Schema::from_cedarschema_str(&text)
            .map_err(|error| AnalysisError::Bug(format!("the schema cannot be read back: {error}")))?;
        Ok(Ground { schema, world: ground_world, unclear, assumed })
    }
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

/// The tools whose arguments policies read and whose definitions the schema lacks, by id.
fn unseen(rules: &[&Policy], schema: &str) -> BTreeMap<String, Types> {
    let mut tools: BTreeMap<String, Types> = BTreeMap::new();
    for policy in rules {
        let Ok(json) = policy.to_json() else { continue };
        for tool in named_tools(policy) {
            if has_action(schema, &tool) {
                continue;
            }
            let mut types = Types::default();
            for condition in json["conditions"].as_array().into_iter().flatten() {
                types.read(&condition["body"], Some("Bool"), 0);
            }
            if types.reads_input {
                tools.entry(tool).or_default().merge(types);
            }
        }
    }
    tools
}

/// Whether the schema has an action for the tool of this id.
fn has_action(schema: &str, tool: &str) -> bool {
    schema.contains(&format!("action {} in", cedar_string(&format!("tools/call:{tool}"))))
}

/// The id of a tool: a slash in the server's name is escaped, so that the first one ends it.
fn joined(server: &str, tool: &str) -> String {
    format!("{}/{tool}", server.replace('%', "%25").replace('/', "%2F"))
}

/// The tools in a policy's scope.
fn named_tools(policy: &Policy) -> Vec<String> {
    let mut tools = Vec::new();
    if let ResourceConstraint::Eq(id) = policy.resource_constraint()
        && id.type_name().basename() == "Tool"
    {
        tools.push(id.id().unescaped().to_owned());
    }
    let actions = match policy.action_constraint() {
        cedar_policy::ActionConstraint::Any => Vec::new(),
        cedar_policy::ActionConstraint::In(ids) => ids,
        cedar_policy::ActionConstraint::Eq(id) => vec![id],
    };
    tools.extend(
        actions.iter().filter_map(|id| id.id().unescaped().strip_prefix("tools/call:").map(str::to_owned)),
    );
    tools
}

/// The arguments that policies speak of, by path, with the types that they compare them with.
#[derive(Debug, Default)]
struct Types {
    reads_input: bool,
    types: BTreeMap<Vec<String>, BTreeSet<String>>,
}

impl Types {
    fn merge(&mut self, other: Types) {
        self.reads_input |= other.reads_input;
        for (path, types) in other.types {
            self.types.entry(path).or_default().extend(types);
        }
    }

    /// The names of the arguments.
    fn names(&self) -> Vec<String> {
        let names: BTreeSet<&String> = self.types.keys().filter_map(|path| path.first()).collect();
        names.into_iter().cloned().collect()
    }

    /// The record type of all arguments; an argument of two types is the error.
    fn record(&self) -> Result<String, String> {
        self.record_below(&[])
    }

    fn record_below(&self, prefix: &[String]) -> Result<String, String> {
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
                (false, [one]) => (*one).clone(),
                _ => return Err(path.join(".")),
            };
            fields.push(format!("{}?: {kind}", cedar_string(name)));
        }
        Ok(format!("{{ {} }}", fields.join(", ")))
    }

    /// Looks for arguments in an expression of which a type is expected.
    fn read(&mut self, expression: &Value, expected: Option<&str>, depth: usize) {
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
        self.reads_input = true;
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

    fn types(conditions: &str) -> Result<String, String> {
        let text = format!(
            "permit(principal, action, resource == Lockgate::Tool::\"crm/get\") when {{ {conditions} }};"
        );
        let policy: Policy = text.parse().unwrap();
        unseen(&[&policy], "").remove("crm/get").map_or_else(|| Ok(String::new()), |types| types.record())
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
    fn an_argument_of_two_types_is_told() {
        assert_eq!(types("context.input.a == 1 || context.input.a like \"x\""), Err("a".to_owned()));
        assert_eq!(types("context.input.a == 1 || context.input.a.b == 1"), Err("a".to_owned()));
    }

    #[test]
    fn a_tool_is_known_only_if_its_definition_could_be_read() {
        let policies = Policies::parse(&[], &lockgate_policy::Options::bare(1)).unwrap();
        let mut world = World::default();
        world.tools.insert(("crm".to_owned(), "broken".to_owned()), Vec::new());
        assert!(Ground::of(&[&policies], &world).unwrap().world.tools.is_empty());
        assert_eq!(joined("a/b%", "c/d"), "a%2Fb%25/c/d");
    }

    #[test]
    fn zones_of_both_schemas_are_there() {
        let (a, b) = ("x type Local = { \"UTC\": T, \"A\": T }; y", "type Local = { \"B\": T, \"UTC\": T };");
        assert_eq!(with_zones(a, b), "x type Local = { \"A\": T, \"B\": T, \"UTC\": T }; y");
    }
}
