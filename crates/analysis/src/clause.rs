//! A policy taken apart: each thing that it asks for, and whether one call has it.
//!
//! Cedar says of a policy that it matched, did not or failed. A person wants to know which of its conditions was the
//! false one, and what the value was. So the condition is cut at its `&&`, each piece is evaluated by itself, and the
//! values of the attributes in it are read from the very same request.

use std::collections::BTreeMap;

use cedar_policy::{
    Authorizer, Decision, Entities, EvalResult, Expression, Policy, PolicySet, Request, eval_expression,
};
use serde::Serialize;
use serde_json::{Value, json};

/// Longest value shown, in characters: arguments may be megabytes.
const VALUE_CHARS_MAX: usize = 120;

/// Deepest condition that is taken apart; below it a piece stays whole. Parsers of policies have a limit of their own.
const DEPTH_MAX: usize = 256;

/// Whether a call has what a clause asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "holds", content = "why")]
pub enum Held {
    /// It has.
    Yes,
    /// It has not.
    No,
    /// It was not asked, since a clause before it is false.
    NotAsked,
    /// It cannot be evaluated, which denies.
    Failed(String),
}

/// One thing that a policy asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Clause {
    /// In Cedar's words.
    pub text: String,
    /// Whether the call has it.
    #[serde(flatten)]
    pub held: Held,
    /// The attributes in it and their values in this call.
    pub values: BTreeMap<String, String>,
}

/// The request and entities that a policy is evaluated against.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) request: &'a Request,
    pub(crate) entities: &'a Entities,
}

/// The three parts of a policy's scope that name something.
pub(crate) fn scope(policy: &Policy, scene: Scene<'_>) -> Vec<Clause> {
    let Ok(whole) = policy.to_json() else { return Vec::new() };
    ["principal", "action", "resource"]
        .into_iter()
        .filter(|part| whole[part]["op"] != "All")
        .map(|part| {
            let mut alone = bare(&json!({"Value": true}));
            alone[part] = whole[part].clone();
            let held = evaluate(&alone, scene);
            let text = scope_text(part, &whole[part]);
            let is = scene_value(part, scene);
            let values = [(part.to_owned(), is)].into_iter().filter(|_| held != Held::Yes).collect();
            Clause { text, held, values }
        })
        .collect()
}

/// The clauses of a policy's conditions, evaluated one by one.
pub(crate) fn conditions(policy: &Policy, scene: Scene<'_>) -> Vec<Clause> {
    let mut all_hold = true;
    pieces(policy)
        .into_iter()
        .map(|piece| {
            let mut held = evaluate(&bare(&piece), scene);
            // After a false guard a failure is no news: Cedar would not have come this far.
            if matches!(held, Held::Failed(_)) && !all_hold {
                held = Held::NotAsked;
            }
            all_hold &= held == Held::Yes;
            let values = if held == Held::NotAsked { BTreeMap::new() } else { values(&piece, scene) };
            Clause { text: text(&piece), held, values }
        })
        .collect()
}

/// The clauses of a policy's conditions in Cedar's words, without a call.
pub(crate) fn condition_texts(policy: &Policy) -> Vec<String> {
    pieces(policy).iter().map(text).collect()
}

/// The conditions cut at `&&`, negations pushed inwards, as JSON expressions.
fn pieces(policy: &Policy) -> Vec<Value> {
    let Ok(whole) = policy.to_json() else { return Vec::new() };
    let mut pieces = Vec::new();
    for condition in whole["conditions"].as_array().into_iter().flatten() {
        let is_unless = condition["kind"] == "unless";
        cut(&condition["body"], is_unless, &mut pieces, 0);
    }
    pieces
}

fn cut(expression: &Value, negated: bool, pieces: &mut Vec<Value>, depth: usize) {
    let joined = if negated { "||" } else { "&&" };
    if depth < DEPTH_MAX {
        if let Some(both) = expression.get(joined) {
            cut(&both["left"], negated, pieces, depth + 1);
            cut(&both["right"], negated, pieces, depth + 1);
            return;
        }
        if let Some(inner) = expression.get("!") {
            cut(&inner["arg"], !negated, pieces, depth + 1);
            return;
        }
    }
    pieces.push(if negated { json!({"!": {"arg": expression}}) } else { expression.clone() });
}

/// A permit for everything under one condition.
fn bare(condition: &Value) -> Value {
    json!({
        "effect": "permit",
        "principal": {"op": "All"},
        "action": {"op": "All"},
        "resource": {"op": "All"},
        "conditions": [{"kind": "when", "body": condition}],
    })
}

fn evaluate(policy: &Value, scene: Scene<'_>) -> Held {
    let policy = match Policy::from_json(None, policy.clone()) {
        Ok(policy) => policy,
        Err(error) => return Held::Failed(error.to_string()),
    };
    let set = PolicySet::from_policies([policy]).expect("one policy has one id");
    let response = Authorizer::new().is_authorized(scene.request, &set, scene.entities);
    match (response.diagnostics().errors().next(), response.decision()) {
        (Some(cedar_policy::AuthorizationError::PolicyEvaluationError(error)), _) => {
            Held::Failed(error.inner().to_string())
        }
        (None, Decision::Allow) => Held::Yes,
        (None, Decision::Deny) => Held::No,
    }
}

/// A JSON expression in Cedar's words.
fn text(expression: &Value) -> String {
    let Ok(policy) = Policy::from_json(None, bare(expression)) else { return expression.to_string() };
    let written = policy.to_string();
    let inside = written
        .split_once("when")
        .and_then(|(_, rest)| rest.trim().strip_suffix(';'))
        .and_then(|rest| rest.trim().strip_prefix('{')?.trim().strip_suffix('}'));
    let inside = inside.unwrap_or(&written).trim();
    let inside: Vec<&str> = inside.split_whitespace().collect();
    without_brackets(&inside.join(" ")).to_owned()
}

/// The same text without the pair of brackets that encloses all of it.
fn without_brackets(text: &str) -> &str {
    let Some(inside) = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) else { return text };
    let mut depth = 0_i32;
    let mut quoted = false;
    let mut escaped = false;
    for c in inside.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return text;
        }
    }
    inside
}

fn scope_text(part: &str, constraint: &Value) -> String {
    let id = |entity: &Value| {
        let kind = entity["type"].as_str().unwrap_or_default();
        short(&format!("{kind}::{}", cedar_string(entity["id"].as_str().unwrap_or_default())))
    };
    let op = constraint["op"].as_str().unwrap_or_default();
    let several = constraint["entities"].as_array().map(|all| all.iter().map(id).collect::<Vec<_>>());
    match (op, several) {
        ("is", _) => {
            let kind = short(constraint["entity_type"].as_str().unwrap_or_default());
            match constraint.get("in") {
                Some(group) => format!("{part} is {kind} in {}", id(&group["entity"])),
                None => format!("{part} is {kind}"),
            }
        }
        (op, Some(several)) => format!("{part} {op} [{}]", several.join(", ")),
        (op, None) => format!("{part} {op} {}", id(&constraint["entity"])),
    }
}

/// An id without our namespace, which all of them share.
fn short(id: &str) -> String {
    id.strip_prefix("Lockgate::").unwrap_or(id).to_owned()
}

fn scene_value(part: &str, scene: Scene<'_>) -> String {
    let id = match part {
        "principal" => scene.request.principal(),
        "action" => scene.request.action(),
        _ => scene.request.resource(),
    };
    id.map_or_else(|| "unknown".to_owned(), |id| short(&id.to_string()))
}

/// The attributes that an expression reads, and their values.
fn values(expression: &Value, scene: Scene<'_>) -> BTreeMap<String, String> {
    let mut chains = BTreeMap::new();
    attribute_chains(expression, &mut chains, 0);
    chains
        .into_iter()
        .filter_map(|(path, chain)| {
            let value = match path.parse::<Expression>() {
                Ok(read) => eval_expression(scene.request, scene.entities, &read),
                Err(_) => return None,
            };
            let shown = match value {
                Ok(value) => shown(&chain, &value),
                Err(_) => "absent".to_owned(),
            };
            Some((path, shown))
        })
        .collect()
}

/// Every chain of attributes on a variable, by its Cedar text; `has` counts as reading the attribute.
fn attribute_chains(expression: &Value, chains: &mut BTreeMap<String, Vec<String>>, depth: usize) {
    if depth >= DEPTH_MAX {
        return;
    }
    if let Some(chain) = chain(expression, depth) {
        if chain.len() > 1 {
            chains.insert(path(&chain), chain);
        }
        return;
    }
    match expression {
        Value::Object(members) => {
            members.values().for_each(|member| attribute_chains(member, chains, depth + 1));
        }
        Value::Array(items) => items.iter().for_each(|item| attribute_chains(item, chains, depth + 1)),
        _ => {}
    }
}

fn chain(expression: &Value, depth: usize) -> Option<Vec<String>> {
    if depth >= DEPTH_MAX {
        return None;
    }
    if let Some(variable) = expression.get("Var") {
        return Some(vec![variable.as_str()?.to_owned()]);
    }
    let access = expression.get(".").or_else(|| expression.get("has"))?;
    let mut chain = chain(&access["left"], depth + 1)?;
    match &access["attr"] {
        Value::String(attribute) => chain.push(attribute.clone()),
        Value::Array(attributes) => {
            chain.extend(attributes.iter().filter_map(Value::as_str).map(str::to_owned));
        }
        _ => return None,
    }
    Some(chain)
}

fn path(chain: &[String]) -> String {
    let mut path = String::new();
    for (n, part) in chain.iter().enumerate() {
        let is_name = part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        match (n, is_name) {
            (0, _) => path.push_str(part),
            (_, true) => path.push_str(&format!(".{part}")),
            (_, false) => path.push_str(&format!("[{}]", cedar_string(part))),
        }
    }
    path
}

/// A Cedar string literal.
pub(crate) fn cedar_string(text: &str) -> String {
    format!("\"{}\"", cedar_policy::EntityId::new(text).escaped())
}

fn shown(chain: &[String], value: &EvalResult) -> String {
    if let (Some("minute_of_day"), EvalResult::Long(minutes)) = (chain.last().map(String::as_str), value) {
        return format!("{minutes} ({:02}:{:02})", minutes / 60, minutes % 60);
    }
    let text = value.to_string().replace("Lockgate::", "");
    if text.chars().count() <= VALUE_CHARS_MAX {
        return text;
    }
    let cut: String = text.chars().take(VALUE_CHARS_MAX).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use cedar_policy::{Context, EntityUid};

    use super::*;

    fn policy(text: &str) -> Policy {
        text.parse().unwrap()
    }

    fn request(context: Value) -> Request {
        let id = |text: &str| text.parse::<EntityUid>().unwrap();
        let context = Context::from_json_value(context, None).unwrap();
        Request::new(
            id("Agent::\"a, action\""),
            id("Action::\"tools/call\""),
            id("Tool::\"crm/get\""),
            context,
            None,
        )
        .unwrap()
    }

    fn held(text: &str, context: Value) -> Vec<(String, Held)> {
        let request = request(context);
        let entities = Entities::empty();
        let scene = Scene { request: &request, entities: &entities };
        conditions(&policy(text), scene).into_iter().map(|clause| (clause.text, clause.held)).collect()
    }

    #[test]
    fn each_condition_is_judged_alone_and_a_guard_keeps_its_ward_quiet() {
        let text = r#"permit(principal, action, resource) when {
            context has input && context.input has fields && ["name"].containsAll(context.input.fields)
            && context.minute >= 480 } unless { context.minute == 600 || context.closed };"#;
        let (yes, no) = (Held::Yes, Held::No);
        assert_eq!(
            held(text, json!({"input": {"fields": ["ssn"]}, "minute": 600, "closed": false}))
                .into_iter()
                .map(|(_, held)| held)
                .collect::<Vec<_>>(),
            [yes.clone(), yes.clone(), no.clone(), yes.clone(), no.clone(), yes.clone()]
        );
        assert_eq!(
            held(text, json!({"input": {}, "minute": 1, "closed": false}))
                .into_iter()
                .map(|(_, held)| held)
                .collect::<Vec<_>>(),
            [yes.clone(), no.clone(), Held::NotAsked, no, yes.clone(), yes]
        );
    }

    #[test]
    fn values_and_texts_are_for_reading() {
        let request = request(json!({"local": {"Europe/Berlin": {"minute_of_day": 120}}, "names": ["a"]}));
        let entities = Entities::empty();
        let scene = Scene { request: &request, entities: &entities };
        let found = conditions(
            &policy(
                r#"permit(principal, action, resource) when {
                context.local["Europe/Berlin"].minute_of_day >= 480 && context.facts.staff.on_duty > 0 };"#,
            ),
            scene,
        );
        assert_eq!(found[0].text, r#"context.local["Europe/Berlin"].minute_of_day >= 480"#);
        assert_eq!(
            found[0].values.iter().collect::<Vec<_>>(),
            [(&r#"context.local["Europe/Berlin"].minute_of_day"#.to_owned(), &"120 (02:00)".to_owned())]
        );
        assert_eq!((&found[1].held, found[1].values.len()), (&Held::NotAsked, 0));
    }

    #[test]
    fn the_scope_is_judged_part_by_part() {
        let request = request(json!({}));
        let entities = Entities::empty();
        let scene = Scene { request: &request, entities: &entities };
        let parts = scope(
            &policy(
                r#"permit(principal == Agent::"a, action", action == Action::"x", resource is Tool)
                when { true };"#,
            ),
            scene,
        );
        let parts: Vec<_> = parts.iter().map(|part| (part.text.as_str(), part.held == Held::Yes)).collect();
        assert_eq!(
            parts,
            [
                (r#"principal == Agent::"a, action""#, true),
                (r#"action == Action::"x""#, false),
                ("resource is Tool", true)
            ]
        );
    }

    #[test]
    fn brackets_go_only_when_they_enclose_all() {
        for (text, expected) in
            [("(a)", "a"), ("(a) && (b)", "(a) && (b)"), (r#"(a == ")")"#, r#"a == ")""#), ("a", "a")]
        {
            assert_eq!(without_brackets(text), expected);
        }
    }
}
