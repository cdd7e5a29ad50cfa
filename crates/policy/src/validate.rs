//! Strict validation, of no more than what changed.
//!
//! Policies that need the same slice of the schema are checked together, and
//! what was found is remembered under the policy's text and the hash of the
//! slice's text, which holds the definitions of its tools.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use cedar_policy::{Policy, PolicyId, PolicySet, ValidationMode, ValidationWarning, Validator};
use lockgate_crypto::digest::sha256;
use serde_json::{Value, json};

use crate::{
    entity,
    error::Fault,
    known::{Known, Needs},
    nearest,
    reads::Reads,
    schema::{self, Actions, Tool, Vocabulary},
    shapes::Shapes,
    source::Finding,
};

/// A policy and its number.
type Numbered<'k> = (usize, &'k Arc<Known>);

/// Stands for the action of a tool whose name does not matter.
const ANY_TOOL: &str = "tools/call:any/tool";

/// The hash of the slices of the schema that a policy was checked against.
pub(crate) type Print = [u8; 32];

/// How policies that need one slice of the schema are checked.
#[derive(Clone)]
struct Slice {
    /// Schema against which the policies are checked as they are.
    text: Option<String>,
    /// Schema of the named tools that nobody has shown yet, against which they
    /// are checked without what they say of arguments.
    unseen: Option<String>,
    print: Print,
}

/// Checks policies against slices of one vocabulary.
pub(crate) struct Checker<'a> {
    vocabulary: &'a Vocabulary,
    shapes: &'a Shapes,
}

/// What was found out about one policy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checked {
    pub(crate) print: Print,
    pub(crate) errors: Vec<Finding>,
    pub(crate) warnings: Vec<Finding>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(vocabulary: &'a Vocabulary, shapes: &'a Shapes) -> Self {
        Checker { vocabulary, shapes }
    }

    /// Checks all policies. `before` gives what is remembered of a policy,
    /// which counts if its print is still the same.
    pub(crate) fn check(
        &self,
        policies: &[Arc<Known>],
        before: impl Fn(usize) -> Option<Arc<Checked>>,
    ) -> Vec<Arc<Checked>> {
        let mut groups: HashMap<&Needs, Vec<usize>> = HashMap::new();
        for (n, known) in policies.iter().enumerate() {
            groups.entry(&known.needs).or_default().push(n);
        }
        let mut all = vec![Arc::default(); policies.len()];
        let mut fresh: HashMap<Print, (Slice, Vec<Numbered<'_>>)> = HashMap::new();
        for (needs, members) in groups {
            let slice = self.slice(needs);
            let (_, of_slice) = fresh.entry(slice.print).or_insert_with(|| (slice.clone(), Vec::new()));
            for n in members {
                match before(n).filter(|checked| checked.print == slice.print) {
                    Some(checked) => all[n] = checked,
                    None => of_slice.push((n, &policies[n])),
                }
            }
        }
        for (slice, members) in fresh.into_values() {
            for (n, checked) in self.check_slice(&slice, &members) {
                all[n] = Arc::new(checked);
            }
        }
        all
    }

    fn slice(&self, needs: &Needs) -> Slice {
        let tool = |(server, tool): &(String, String)| Tool {
            action: entity::tool_action(server, tool).id().unescaped().to_owned(),
            input: self.shapes.get(server, tool).map(|shape| shape.cedar_type().to_owned()),
        };
        // The action of a tool that is named as the resource only does not
        // occur in the policy: tools of one shape can share a slice.
        let resource = needs.tool.iter().map(tool).map(|tool| Tool { action: ANY_TOOL.to_owned(), ..tool });
        let (known, unknown): (Vec<Tool>, Vec<Tool>) =
            needs.tools.iter().map(tool).chain(resource).partition(|tool| tool.input.is_some());
        let text = (!known.is_empty() || !needs.methods.is_empty() || needs.whole)
            .then(|| self.text(needs, known, true));
        let unseen = (!unknown.is_empty()).then(|| self.text(needs, unknown, text.is_none()));
        let whole = format!("{}\0{}", text.as_deref().unwrap_or(""), unseen.as_deref().unwrap_or(""));
        Slice { text, unseen, print: sha256(whole.as_bytes()) }
    }

    fn text(&self, needs: &Needs, tools: Vec<Tool>, with_methods: bool) -> String {
        let actions = if needs.whole {
            Actions::all(tools)
        } else {
            let methods = if with_methods { needs.methods.clone() } else { Default::default() };
            let mut named = needs.named.clone();
            named.extend(&needs.methods);
            Actions { principals: needs.principals, methods, named, tools }
        };
        self.vocabulary.with_actions(&actions)
    }

    fn check_slice(&self, slice: &Slice, fresh: &[Numbered<'_>]) -> HashMap<usize, Checked> {
        let mut found: HashMap<usize, Checked> =
            fresh.iter().map(|(n, _)| (*n, Checked { print: slice.print, ..Checked::default() })).collect();
        if fresh.is_empty() {
            return found;
        }
        let whole = |known: &Known| Some(known.policy.clone());
        if let Some(text) = &slice.text {
            run(text, fresh, whole, &mut found);
        }
        if let Some(text) = &slice.unseen {
            run(text, fresh, without_input, &mut found);
            for (n, known) in fresh {
                let checked = found.get_mut(n).expect("every fresh policy is there");
                checked.warnings.extend(not_seen(known, self.shapes));
            }
        }
        for (n, known) in fresh {
            let checked = found.get_mut(n).expect("every fresh policy is there");
            advise(known, checked);
        }
        found
    }
}

fn not_seen(known: &Known, shapes: &Shapes) -> Option<Finding> {
    if !known.reads.input && shapes.is_empty() {
        return None;
    }
    let Needs { tools, tool, .. } = &known.needs;
    let named = tools.iter().chain(tool).filter(|(server, tool)| shapes.get(server, tool).is_none());
    let named: Vec<String> = named.map(|(server, tool)| format!("{server}/{tool}")).collect();
    let arguments = if known.reads.input { ", so what it says of arguments is not checked" } else { "" };
    let what = format!("no definition of {} has been seen yet{arguments}", named.join(", "));
    Some(Finding::new(Fault::NotSeen, what, None))
}

/// Better advice than Cedar's on an argument that is not there.
fn advise(known: &Known, checked: &mut Checked) {
    if known.reads.input && !known.needs.names_tools() {
        for error in &mut checked.errors {
            error.hint = Some(
                "context.input is there for policies that name their tools: \
                 resource == Lockgate::Tool::\"server/tool\""
                    .to_owned(),
            );
        }
    }
}

/// Validates policies against one schema.
fn run(
    text: &str,
    fresh: &[Numbered<'_>],
    form: impl Fn(&Known) -> Option<Policy>,
    found: &mut HashMap<usize, Checked>,
) {
    let schema = match schema::read(text) {
        Ok(schema) => schema,
        Err(error) => {
            let what = format!("the schema of its tools cannot be read: {error}");
            for (n, _) in fresh {
                let checked = found.entry(*n).or_default();
                checked.errors.push(Finding::new(Fault::Schema, what.clone(), None));
            }
            return;
        }
    };
    let mut set = PolicySet::new();
    for (n, known) in fresh {
        let added = form(known).map(|policy| set.add(policy.new_id(PolicyId::new(n.to_string()))));
        if !matches!(added, Some(Ok(()))) {
            let what = "it cannot be checked without its arguments";
            found.entry(*n).or_default().errors.push(Finding::new(Fault::Schema, what, None));
        }
    }
    let result = Validator::new(schema).validate(&set, ValidationMode::Strict);
    let number = |id: &PolicyId| AsRef::<str>::as_ref(id).parse::<usize>().ok();
    let mut wrong: HashSet<usize> = HashSet::new();
    for error in result.validation_errors() {
        let Some(n) = number(error.policy_id()) else { continue };
        wrong.insert(n);
        let mut finding = Finding::of_cedar(Fault::Schema, error);
        finding.hint = nearest::advice(error).or(finding.hint);
        found.entry(n).or_default().errors.push(finding);
    }
    for warning in result.validation_warnings() {
        let Some(n) = number(warning.policy_id()) else { continue };
        // No wonder that it never applies if it names what is not there.
        if let (Some(fault), false) = (fault_of(warning), wrong.contains(&n)) {
            found.entry(n).or_default().errors.push(Finding::of_cedar(fault, warning));
        }
    }
}

fn fault_of(warning: &ValidationWarning) -> Option<Fault> {
    match warning {
        ValidationWarning::ImpossiblePolicy(_) | ValidationWarning::InvalidActionApplication(_) => {
            Some(Fault::NeverApplies)
        }
        ValidationWarning::BidiCharsInString(_) | ValidationWarning::BidiCharsInIdentifier(_) => {
            Some(Fault::Deceptive)
        }
        // Names in mixed or rare scripts exist; refusing them would make them
        // impossible to permit.
        _ => None,
    }
}

/// The policy without what it says of arguments, whose types nobody knows.
fn without_input(known: &Known) -> Option<Policy> {
    if !(known.reads.input || known.reads.all) {
        return Some(known.policy.clone());
    }
    let mut json = known.policy.to_json().ok()?;
    for condition in json.get_mut("conditions")?.as_array_mut()? {
        let kept = condition.get("kind").and_then(Value::as_str) != Some("unless");
        let body = condition.get_mut("body")?;
        strip(body, kept);
    }
    Policy::from_json(None, json).ok()
}

/// Replaces the parts of a conjunction that read arguments by `neutral`; any
/// other expression that reads them is replaced whole.
fn strip(expr: &mut Value, neutral: bool) {
    let mut reads = Reads::default();
    reads.walk(expr);
    if !(reads.input || reads.all) {
        return;
    }
    let sides = match neutral {
        true => expr.get_mut("&&"),
        false => expr.get_mut("||"),
    };
    match sides.and_then(Value::as_object_mut) {
        Some(sides) => sides.values_mut().for_each(|side| strip(side, neutral)),
        None => *expr = json!({ "Value": neutral }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reads;

    #[test]
    fn what_reads_arguments_is_left_out() {
        for (condition, left) in [
            (
                "when { context has input && context.input.a == 1 && context.link.resumed }",
                "context.link.resumed",
            ),
            ("when { context.input.a == 1 || context.link.resumed }", "true"),
            ("unless { context.input.a == 1 || context.link.resumed }", "context.link.resumed"),
            ("unless { context.input.a == 1 && context.link.resumed }", "false"),
        ] {
            let text = format!("permit(principal, action, resource) {condition};");
            let stripped = without_input(&Known::parse(&text).expect("valid")).expect("stripped");
            let json = stripped.to_json().expect("JSON");
            let mut read = Reads::default();
            reads::conditions(&json).for_each(|condition| read.walk(condition));
            assert!(!read.input, "{condition}: {stripped}");
            assert_eq!(read.link, left.contains("link"), "{condition}: {stripped}");
        }
    }
}
