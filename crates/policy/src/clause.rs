//! Which part of a permit's condition was false, in words.
//!
//! A condition is taken apart at its `&&`s, and each clause is evaluated by
//! itself. Values are repeated only if they are the caller's own and short.

use cedar_policy::{Entities, EvalResult, Expression, Policy, Request, eval_expression};
use serde_json::{Value, json};

use crate::reads::{conditions, context_path, has_path, only};

/// Longest value of the caller's own that a denial repeats, in characters.
const VALUE_CHARS_MAX: usize = 40;

/// Longest text of a clause in a denial, in characters.
const CLAUSE_CHARS_MAX: usize = 160;

/// Clauses of one policy that are looked at: more is no help to a reader.
const CLAUSES_MAX: usize = 64;

/// One clause of a condition.
#[derive(Debug)]
pub(crate) struct Clause {
    tree: Value,
    text: String,
    expression: Option<Expression>,
    /// The operands of an operator with two.
    left: Option<Operand>,
    right: Option<Operand>,
}

/// One side of an operator, read once: a denial is not to parse Cedar.
#[derive(Debug)]
struct Operand {
    tree: Value,
    /// As Cedar text, cut to a readable length.
    text: Option<String>,
    expression: Option<Expression>,
}

impl Operand {
    fn of(tree: &Value, side: &str) -> Option<Self> {
        let (_, operands) = only(tree.as_object()?)?;
        let tree = operands.get(side)?.clone();
        let text = cedar(&tree);
        let expression = text.as_ref().and_then(|text| text.parse().ok());
        Some(Operand { tree, text: text.map(|text| cut(&text, CLAUSE_CHARS_MAX)), expression })
    }
}

/// What is known of a policy's clauses for one call.
#[derive(Debug, Default)]
pub(crate) struct Fit {
    /// How many are not true.
    pub(crate) missed: usize,
    /// The first of those, in words.
    pub(crate) first: Option<String>,
}

/// Takes a policy's condition apart.
pub(crate) fn clauses(policy: &Policy) -> Vec<Clause> {
    let Ok(json) = policy.to_json() else { return Vec::new() };
    let kinds = json.get("conditions").and_then(Value::as_array);
    let kinds = kinds.into_iter().flatten().map(|c| c.get("kind").and_then(Value::as_str) == Some("when"));
    let mut trees = Vec::new();
    for (body, when) in conditions(&json).zip(kinds) {
        take_apart(body, when, &mut trees);
    }
    trees.truncate(CLAUSES_MAX);
    trees.into_iter().map(Clause::new).collect()
}

fn take_apart(body: &Value, when: bool, trees: &mut Vec<Value>) {
    let joint = if when { "&&" } else { "||" };
    match body.get(joint) {
        Some(sides) => {
            for side in ["left", "right"] {
                take_apart(&sides[side], when, trees);
            }
        }
        None if when => trees.push(body.clone()),
        None => trees.push(json!({ "!": { "arg": body } })),
    }
}

impl Clause {
    fn new(tree: Value) -> Self {
        let text = cedar(&tree).unwrap_or_default();
        let expression = text.parse().ok();
        let (left, right) = (Operand::of(&tree, "left"), Operand::of(&tree, "right"));
        Clause { tree, text, expression, left, right }
    }

    /// Whether it is true; what fails is not.
    fn holds(&self, request: &Request, entities: &Entities) -> bool {
        let value = self.expression.as_ref().map(|own| eval_expression(request, entities, own));
        matches!(value, Some(Ok(EvalResult::Bool(true))))
    }

    fn in_words(&self, request: &Request, entities: &Entities) -> String {
        let evaluate = |operand: &Operand| -> Option<EvalResult> {
            eval_expression(request, entities, operand.expression.as_ref()?).ok()
        };
        self.explained(&evaluate).unwrap_or_else(|| format!("not {}", cut(&self.text, CLAUSE_CHARS_MAX)))
    }

    /// The clauses that people write most, said as people say them.
    fn explained(&self, evaluate: &dyn Fn(&Operand) -> Option<EvalResult>) -> Option<String> {
        let (operator, operand) = only(self.tree.as_object()?)?;
        let (left, right) = (self.left.as_ref(), self.right.as_ref());
        match operator {
            "." | "Var" => Some(format!("{} is false", name(&context_path(&self.tree)?))),
            "!" => Some(format!("{} is true", name(&context_path(operand.get("arg")?)?))),
            "has" => Some(missing(&has_path(operand)?)),
            "containsAll" => extra(left?, right?, evaluate),
            "contains" => {
                let path = context_path(&right?.tree)?;
                let is = value(&path, &evaluate(right?)?)?;
                Some(format!("{} is {is}, which is not in {}", name(&path), left?.text.as_ref()?))
            }
            "like" => {
                let path = context_path(&left?.tree)?;
                let (_, pattern) = self.text.rsplit_once(" like ")?;
                let is = value(&path, &evaluate(left?)?);
                let is = is.map_or_else(String::new, |is| format!(" is {is}, which"));
                Some(format!("{}{is} is not like {}", name(&path), cut(pattern, VALUE_CHARS_MAX)))
            }
            "==" | "!=" | "<" | "<=" | ">" | ">=" => compared(operator, (left?, right?), evaluate),
            _ => None,
        }
    }
}

/// How far a policy is from matching a call.
pub(crate) fn fit(clauses: &[Clause], request: &Request, entities: &Entities) -> Fit {
    let mut missed = clauses.iter().filter(|clause| !clause.holds(request, entities)).peekable();
    let first = missed.peek().map(|clause| clause.in_words(request, entities));
    Fit { missed: missed.count(), first }
}

fn compared(
    operator: &str,
    (left, right): (&Operand, &Operand),
    evaluate: &dyn Fn(&Operand) -> Option<EvalResult>,
) -> Option<String> {
    let path = context_path(&left.tree)?;
    let wanted = right.text.as_ref()?;
    match value(&path, &evaluate(left)?) {
        Some(is) => Some(format!("{} is {is}, and must be {operator} {wanted}", name(&path))),
        None => Some(format!("{} is not {operator} {wanted}", name(&path))),
    }
}

/// `[…].containsAll(path)`: what is too much.
fn extra(list: &Operand, of: &Operand, evaluate: &dyn Fn(&Operand) -> Option<EvalResult>) -> Option<String> {
    let path = context_path(&of.tree)?;
    let (EvalResult::Set(allowed), EvalResult::Set(given)) = (evaluate(list)?, evaluate(of)?) else {
        return None;
    };
    let extra = given.iter().find(|item| !allowed.contains(item))?;
    let is = value(&path, extra);
    let has = is.map_or_else(|| "more than is".to_owned(), |is| format!("{is}, which is not"));
    Some(format!("{} has {has} in {}", name(&path), list.text.as_ref()?))
}

fn missing(path: &[&str]) -> String {
    match path {
        ["facts", ..] => format!("{} is not known, or its last news are too old", name(path)),
        ["input"] => "there are no arguments to weigh".to_owned(),
        ["input", ..] => format!("the argument {} is missing", name(path)),
        _ => format!("{} is not there", name(path)),
    }
}

/// What people call it: arguments by their own name.
fn name(path: &[&str]) -> String {
    match path {
        [] => "the context".to_owned(),
        ["input", rest @ ..] if !rest.is_empty() => rest.join("."),
        all => all.join("."),
    }
}

/// A value, if the caller knows it anyway and it is short.
fn value(path: &[&str], value: &EvalResult) -> Option<String> {
    let own = matches!(path.first(), Some(&("input" | "link" | "method" | "now" | "local" | "names")));
    let text = match value {
        EvalResult::Bool(flag) => flag.to_string(),
        EvalResult::Long(number) => number.to_string(),
        EvalResult::String(text) => format!("{text:?}"),
        EvalResult::ExtensionValue(text) => text.clone(),
        _ => return None,
    };
    (own && text.chars().count() <= VALUE_CHARS_MAX).then_some(text)
}

fn cut(text: &str, chars_max: usize) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// An expression as Cedar text.
fn cedar(tree: &Value) -> Option<String> {
    let any = json!({ "op": "All" });
    let policy = json!({
        "effect": "permit", "principal": any, "action": any, "resource": any,
        "conditions": [{ "kind": "when", "body": tree }],
    });
    let text = Policy::from_json(None, policy).ok()?.to_cedar()?;
    let (_, body) = text.split_once("when {")?;
    Some(body.rsplit_once('}')?.0.trim().to_owned())
}
