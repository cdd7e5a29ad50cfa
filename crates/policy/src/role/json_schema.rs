//! The shape of a role file as a JSON Schema, so that editors complete it and show what a key says.
//!
//! It is made of the lists that the reader itself goes by. It says what can stand where; what fits a tool, a fact or a
//! time zone, only the reader knows.

use serde_json::{Map, Value, json};

use super::condition;
use super::hours::DAYS;
use super::link;
use super::read::{LIST_MAX, TEXT_BYTES_MAX};
use super::rule::{Effect, NAME_BYTES_MAX};
use super::{EVERYONE_KEYS, FILE_KEYS, ROLE_KEYS, RULES_MAX};
use crate::method;

/// The JSON Schema (draft 2020-12) of role files.
pub fn json_schema() -> Value {
    let rules = |effect: Effect, what: &str| json!({"description": what, "type": "array", "maxItems": RULES_MAX, "items": rule(effect)});
    let file = |key: &str| match key {
        "role" => header(&ROLE_KEYS, "Whose rules these are."),
        "everyone" => {
            header(&EVERYONE_KEYS, "Rules for every caller, with or without identity: never rules alone.")
        }
        "allow" => rules(Effect::Allow, "What the role may do: a rule that fits permits."),
        "never" => {
            rules(Effect::Never, "What nobody in the role may do, whatever any rule of any role allows.")
        }
        _ => json!({
            "description": "The last line of the file: nothing stands in it or after it.",
            "type": "object", "additionalProperties": false
        }),
    };
    let properties: Map<String, Value> = FILE_KEYS.iter().map(|key| ((*key).to_owned(), file(key))).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Lockgate role file",
        "type": "object",
        "additionalProperties": false,
        "required": ["end"],
        "oneOf": [{"required": ["role"]}, {"required": ["everyone"]}],
        "properties": properties,
    })
}

fn header(keys: &[&str], what: &str) -> Value {
    let one = |key: &str| match key {
        "name" => json!({
            "description": "The name of the role; the id of each rule begins with it.",
            "type": "string", "maxLength": NAME_BYTES_MAX, "pattern": "^[A-Za-z0-9_-]+$"
        }),
        "agents" => texts("Who is in the role: agent/retail-*, a whole SPIFFE id, local-user, anonymous."),
        "zone" => text("The time zone of hours and days, an IANA name."),
        "mode" => mode("The whole role"),
        _ => text("For people."),
    };
    json!({
        "description": what,
        "type": "object",
        "additionalProperties": false,
        "required": ["name"],
        "properties": properties(keys, one),
    })
}

fn rule(effect: Effect) -> Value {
    let one = |key: &str| key_of_rule(key, effect);
    json!({"type": "object", "additionalProperties": false, "properties": properties(&effect.keys(), one)})
}

fn key_of_rule(key: &str, effect: Effect) -> Value {
    match key {
        "id" => json!({
            "description": "The rule is known as ROLE.ID.",
            "type": "string", "maxLength": NAME_BYTES_MAX, "pattern": "^[A-Za-z0-9_-]+$", "not": {"const": "open"}
        }),
        "tools" => texts("Tools as SERVER/TOOL; * is any text."),
        "resources" => texts("Resources as SERVER/URI; * is any text."),
        "prompts" => texts("Prompts as SERVER/PROMPT; * is any text."),
        "servers" => texts("Whole servers; * alone is every server."),
        "groups" => texts("Groups of servers, as the configuration names them."),
        "methods" => {
            let known: Vec<&str> = method::names().chain(["session", "list", "use"]).collect();
            one_or_many("Methods, or groups of methods.", &json!({"type": "string", "examples": known}))
        }
        "arguments" => json!({
            "description": "Conditions on arguments, by name, or \"record.name\" for what lies in a record.",
            "type": "object", "minProperties": 1, "additionalProperties": asked(condition::ARGUMENT),
        }),
        "others" => choice("Whether arguments that are not named may come along.", &["allow", "refuse"]),
        "hours" => {
            let window = json!({"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}$"});
            one_or_many("Hours of the wall clock: 08:00-18:00; the end is no longer part of it.", &window)
        }
        "days" => one_or_many(
            "Days of the week.",
            &json!({"type": "string", "examples": DAYS.iter().chain(&["mon-fri"]).collect::<Vec<_>>()}),
        ),
        "zone" => text("The time zone of hours and days, an IANA name."),
        "facts" => json!({
            "description": "Conditions on what the gateway asks others for: facts.NAME.FIELD.",
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "type": "object", "minProperties": 1, "additionalProperties": asked(condition::FACT)
            },
        }),
        "link" => of_link(),
        "touching" => texts("Words that occur nowhere in a call, at any depth, in any encoding."),
        "on_violation" => choice("What follows.", &["deny", "hold", "kill"]),
        "mode" => mode("The rule"),
        "reason" => text("Why, for whoever is denied."),
        "hint" => text("What to do instead, for whoever is denied."),
        "rate" => json!({
            "description": "How often one agent can use the rule.",
            "type": "string", "pattern": "^ *[0-9]{1,7} */ *(second|minute|hour|day) *$", "examples": ["30/minute"]
        }),
        "result" => json!({
            "description": "What of a result goes through.",
            "type": "object",
            "minProperties": 1,
            "additionalProperties": false,
            "properties": {"only": texts("These fields alone."), "hide": texts("All but these fields.")},
        }),
        "approval" => json!({"description": "A person says yes to each call.", "type": "boolean"}),
        "record_for" => json!({
            "description": "The purpose for which records keep what is said in these calls, encrypted for whom they are about.",
            "type": "string", "pattern": "^[a-z][a-z0-9-]{0,31}$", "examples": ["treatment"]
        }),
        key => unreachable!("{key} of {effect:?} has no shape"),
    }
}

/// What can be asked of a value.
fn asked(operators: &[&str]) -> Value {
    let literal = json!({"type": ["string", "number", "boolean"]});
    let literals = json!({"type": "array", "minItems": 1, "maxItems": LIST_MAX, "items": literal});
    let operator = |name: &str| match name {
        "is" => literal.clone(),
        "one_of" | "only" => literals.clone(),
        "includes" => json!({"anyOf": [literal.clone(), literals.clone()]}),
        "min" | "max" => json!({"type": "number"}),
        "required" | "optional" | "absent" | "any" => json!({"const": true}),
        "before" | "after" => json!({"const": "now"}),
        _ => json!({"type": "string", "maxLength": TEXT_BYTES_MAX}),
    };
    let table = json!({
        "type": "object",
        "minProperties": 1,
        "additionalProperties": false,
        "properties": properties(operators, operator),
    });
    json!({"anyOf": [literal, literals, table]})
}

fn of_link() -> Value {
    let flags = link::FLAGS.into_iter().map(|name| (name.to_owned(), json!({"type": "boolean"})));
    let names = link::NAMES.into_iter().map(|name| (name.to_owned(), texts("One of these.")));
    json!({
        "description": "Conditions on the link's own cryptography.",
        "type": "object",
        "minProperties": 1,
        "additionalProperties": false,
        "properties": flags.chain(names).collect::<Map<String, Value>>(),
    })
}

fn properties(keys: &[&str], one: impl Fn(&str) -> Value) -> Map<String, Value> {
    keys.iter().map(|key| ((*key).to_owned(), one(key))).collect()
}

fn text(what: &str) -> Value {
    json!({"description": what, "type": "string", "maxLength": TEXT_BYTES_MAX})
}

fn texts(what: &str) -> Value {
    one_or_many(what, &json!({"type": "string", "maxLength": TEXT_BYTES_MAX}))
}

fn one_or_many(what: &str, one: &Value) -> Value {
    let many = json!({"type": "array", "minItems": 1, "maxItems": LIST_MAX, "items": one});
    json!({"description": what, "anyOf": [one, many]})
}

fn choice(what: &str, words: &[&str]) -> Value {
    json!({"description": what, "enum": words})
}

fn mode(of: &str) -> Value {
    choice(&format!("{of} is tried out (shadow) or in force (enforce)."), &["shadow", "enforce"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::tests::{compiled, file};

    /// Run with UPDATE=1 to write it.
    #[test]
    fn the_schema_in_the_docs_is_that_of_the_reader() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/role-file.schema.json");
        let schema = format!("{}\n", serde_json::to_string_pretty(&json_schema()).expect("plain JSON"));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &schema).expect("the docs can be written");
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == schema, "{path} is old; run with UPDATE=1");
    }

    /// A key of the schema is one of the reader's, and a value that the schema refuses is refused.
    #[test]
    fn keys_of_the_schema_are_known() {
        let schema = json_schema();
        for effect in ["allow", "never"] {
            let keys = schema["properties"][effect]["items"]["properties"].as_object().expect("a table");
            assert!(keys.len() > 15, "{keys:#?}");
            for key in keys.keys() {
                let errors =
                    compiled(&file(&format!("[[{effect}]]\nservers = [\"crm\"]\n{key} = 1979-05-27\n")))
                        .expect_err("a date is nowhere");
                assert!(errors.iter().all(|error| !error.what.contains("has no `")), "{key}: {errors:#?}");
            }
        }
    }
}
