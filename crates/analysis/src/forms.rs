//! Policies in other forms: without conditions, as what lets a caller connect, and what of the context they read.

use std::collections::BTreeSet;

use cedar_policy::{EntityUid, Policy, PolicyId, ResourceConstraint};
use serde_json::{Value, json};

use crate::call::CONNECT;
use crate::error::AnalysisError;
use crate::world::decoded;

/// Stands for the whole context.
pub(crate) const ALL: &str = "*";

/// The policy with its scope alone, under another id.
pub(crate) fn unconditional(policy: &Policy, why: &str) -> Result<Policy, AnalysisError> {
    let mut json = to_json(policy)?;
    json["conditions"] = json!([]);
    from_json(json, &format!("{} ({why})", policy.id()))
}

/// What a permit on anything lets its caller connect with; `None` for a scope that names no server.
pub(crate) fn door(permit: &Policy) -> Result<Option<Policy>, AnalysisError> {
    let entity = |kind: &str, id: &str| json!({"type": format!("Lockgate::{kind}"), "id": id});
    let resource = match permit.resource_constraint() {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => json!({"op": "All"}),
        ResourceConstraint::Eq(id) | ResourceConstraint::In(id) | ResourceConstraint::IsIn(_, id) => {
            let name: &str = id.id().unescaped();
            match id.type_name().basename() {
                kind @ ("Server" | "ServerGroup") => json!({"op": "in", "entity": entity(kind, name)}),
                "Tool" | "Resource" | "Prompt" | "Task" => {
                    let Some((server, _)) = name.split_once('/') else { return Ok(None) };
                    json!({"op": "==", "entity": entity("Server", &decoded(server))})
                }
                _ => return Ok(None),
            }
        }
    };
    let mut json = to_json(permit)?;
    json["conditions"] = json!([]);
    json["annotations"] = json!({});
    json["action"] = json!({"op": "==", "entity": entity("Action", CONNECT)});
    json["resource"] = resource;
    from_json(json, &format!("{} (connecting)", permit.id())).map(Some)
}

/// A policy's text without its annotations.
pub(crate) fn bare(text: &str) -> String {
    let start =
        ["permit(", "permit (", "forbid(", "forbid ("].iter().filter_map(|word| text.find(word)).min();
    text[start.unwrap_or(0)..].to_owned()
}

/// The attributes of the context that the conditions read, or [`ALL`].
pub(crate) fn reads(policy: &Policy) -> Result<BTreeSet<String>, AnalysisError> {
    let mut read = BTreeSet::new();
    // No other word reads the context, and a word of Cedar has no escapes.
    if policy.has_non_scope_constraint() && policy.to_string().contains("context") {
        read_below(&to_json(policy)?["conditions"], &mut read);
    }
    Ok(read)
}

fn read_below(json: &Value, read: &mut BTreeSet<String>) {
    match json {
        Value::Array(items) => items.iter().for_each(|item| read_below(item, read)),
        Value::Object(members) => {
            let access = members.get(".").or_else(|| members.get("has"));
            let attribute = access.filter(|access| access["left"]["Var"] == "context").map(|access| {
                let attribute = &access["attr"];
                attribute.as_str().or_else(|| attribute[0].as_str()).unwrap_or(ALL)
            });
            match attribute {
                Some(attribute) => _ = read.insert(attribute.to_owned()),
                None if members.get("Var").is_some_and(|name| name == "context") => {
                    read.insert(ALL.to_owned());
                }
                None => members.values().for_each(|member| read_below(member, read)),
            }
        }
        _ => {}
    }
}

/// The entities that a policy names, in its scope and its conditions.
pub(crate) fn named(policy: &Policy) -> Result<Vec<(String, String)>, AnalysisError> {
    fn below(json: &Value, into: &mut Vec<(String, String)>) {
        match json {
            Value::Array(items) => items.iter().for_each(|item| below(item, into)),
            Value::Object(members) => {
                if let (Some(Value::String(kind)), Some(Value::String(id))) =
                    (members.get("type"), members.get("id"))
                {
                    let kind = kind.strip_prefix("Lockgate::").unwrap_or(kind);
                    into.push((kind.to_owned(), id.clone()));
                }
                members.values().for_each(|member| below(member, into));
            }
            _ => {}
        }
    }
    let mut named = Vec::new();
    below(&to_json(policy)?, &mut named);
    Ok(named)
}

/// Whether a policy names this entity anywhere but to the right of an `in`.
pub(crate) fn compares(policy: &Policy, id: &EntityUid) -> Result<bool, AnalysisError> {
    fn below(json: &Value, id: &EntityUid, allowed: bool) -> bool {
        match json {
            Value::Array(items) => items.iter().any(|item| below(item, id, allowed)),
            Value::Object(members) => {
                let kind = members.get("type").and_then(Value::as_str);
                if kind.is_some_and(|kind| kind == id.type_name().to_string())
                    && members.get("id").and_then(Value::as_str) == Some(id.id().unescaped())
                {
                    return !allowed;
                }
                let is_in = members.get("op").is_some_and(|op| op == "in");
                members.iter().any(|(name, part)| match (name.as_str(), part) {
                    ("in", Value::Object(sides)) if sides.contains_key("right") => {
                        sides.iter().any(|(side, part)| below(part, id, side == "right"))
                    }
                    ("entity" | "entities", part) => below(part, id, is_in),
                    (_, part) => below(part, id, allowed),
                })
            }
            _ => false,
        }
    }
    Ok(below(&to_json(policy)?, id, false))
}

pub(crate) fn to_json(policy: &Policy) -> Result<Value, AnalysisError> {
    policy.to_json().map_err(|error| AnalysisError::Bug(format!("a policy has no JSON form: {error}")))
}

fn from_json(json: Value, id: &str) -> Result<Policy, AnalysisError> {
    Policy::from_json(Some(PolicyId::new(id)), json)
        .map_err(|error| AnalysisError::Bug(format!("a policy cannot be read back: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Policy {
        Policy::parse(Some(PolicyId::new("p")), text).unwrap()
    }

    #[test]
    fn what_is_read_is_found() {
        for (condition, expected) in [
            ("true", ""),
            ("context.link.resumed", "link"),
            ("context has input && context.input.a == context.facts.x", "facts input"),
            ("context has input.a.b", "input"),
            ("context == {}", "*"),
            (r#"principal in Lockgate::Role::"context""#, ""),
        ] {
            let text = format!("permit(principal, action, resource) when {{ {condition} }};");
            let found: Vec<String> = reads(&policy(&text)).unwrap().into_iter().collect();
            assert_eq!(found.join(" "), expected, "{condition}");
        }
    }

    #[test]
    fn doors() {
        for (resource, expected) in [
            ("resource", Some("resource")),
            (r#"resource == Lockgate::Tool::"a%2Fb/x""#, Some(r#"resource == Lockgate::Server::"a/b""#)),
            (
                r#"resource is Lockgate::Tool in Lockgate::Server::"s""#,
                Some(r#"resource in Lockgate::Server::"s""#),
            ),
            (r#"resource in Lockgate::ServerGroup::"g""#, Some(r#"resource in Lockgate::ServerGroup::"g""#)),
            (r#"resource == Lockgate::Other::"g""#, None),
        ] {
            let text = format!(
                r#"@rate("1/day") permit(principal, action, {resource}) when {{ context.link.resumed }};"#
            );
            let found = door(&policy(&text)).unwrap().map(|door| door.to_string());
            assert_eq!(found.is_some(), expected.is_some(), "{resource}");
            let (Some(found), Some(expected)) = (found, expected) else { continue };
            assert!(
                found.contains(expected) && !found.contains("when") && !found.contains("rate"),
                "{found}"
            );
            assert!(found.contains(r#"action == Lockgate::Action::"connect""#), "{found}");
        }
    }

    #[test]
    fn an_action_that_is_compared_is_told_from_one_that_is_a_group() {
        let call: EntityUid = r#"Lockgate::Action::"tools/call""#.parse().unwrap();
        for (scope, condition, expected) in [
            (r#"action in Lockgate::Action::"tools/call""#, "true", false),
            (r#"action in [Lockgate::Action::"tools/call"]"#, "true", false),
            (r#"action == Lockgate::Action::"tools/call""#, "true", true),
            ("action", r#"action == Lockgate::Action::"tools/call""#, true),
            ("action", r#"action in Lockgate::Action::"tools/call""#, false),
            ("action", r#"[Lockgate::Action::"tools/call"].contains(action)"#, true),
        ] {
            let text = format!("permit(principal, {scope}, resource) when {{ {condition} }};");
            assert_eq!(compares(&policy(&text), &call).unwrap(), expected, "{text}");
        }
    }
}
