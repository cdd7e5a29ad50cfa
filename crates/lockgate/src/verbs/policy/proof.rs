//! `lockgate policy prove` and `diff`.

use std::collections::BTreeMap;
use std::path::Path;

use lockgate_analysis::diff::{Change, Difference, Ground, Terms, by_proof, by_samples};
use lockgate_analysis::{AnalysisError, Assumed, Call, Example, Invariant, Proof, Verdict, prove as ask};
use serde::Serialize;
use serde_json::Value;

use super::set::{self, Background, Set};
use super::{log, unanswered};
use crate::cli::{BackgroundArgs, Output, ProveArgs};
use crate::diagnostic::Failure;
use crate::exit::Exit;
use crate::output::{fold, print, print_document, print_line, visible};
use crate::state::State;

/// Proves invariants.
pub(super) async fn prove(state: &State, args: &ProveArgs) -> Result<Exit, Failure> {
    let (background, set) = set::of_flags(state, &args.set).await?;
    let mut invariants = Vec::new();
    for text in &args.invariants {
        invariants
            .push(Invariant::short(text, &background.trust_domain).map_err(|error| unanswered(&error))?);
    }
    for text in &args.never {
        invariants.push(Invariant::cedar(text).map_err(|error| unanswered(&error))?);
    }
    let mut proofs = Vec::new();
    for invariant in &invariants {
        let mut world = background.world();
        if let Some(agent) = &invariant.agent {
            let roles = Call::tool(agent, "", "", 0)
                .roles_under(&set.policies, &background.trust_domain)
                .map_err(|error| unanswered(&error))?;
            world.roles.insert(agent.clone(), roles);
        }
        proofs.push(ask(invariant, &set.policies, &world).await.map_err(|error| unanswered(&error))?);
    }
    match args.output.output {
        Output::Human => proofs.iter().for_each(|proof| print(&proof_text(proof))),
        Output::Jsonl => proofs.iter().for_each(print_line),
        Output::Json => {
            #[derive(Serialize)]
            struct Document<'a> {
                schema: &'static str,
                proofs: &'a [Proof],
            }
            print_document(&Document { schema: "lockgate.policy-proofs/1", proofs: &proofs });
        }
    }
    let all = proofs.iter().all(|proof| matches!(proof.verdict, Verdict::Proved));
    Ok(if all { Exit::Ok } else { Exit::Negative })
}

/// What an answer takes for granted about tools that nobody has shown.
fn assumed_text(tools: &[Assumed]) -> String {
    let mut text = String::new();
    for Assumed { tool, arguments } in tools {
        let types: Vec<String> = arguments.iter().map(|(path, kind)| format!("{path} {kind}")).collect();
        let line = format!(
            "assumed: {tool} takes {}. No server has shown its definition; --tools names one",
            types.join(", ")
        );
        text.push_str(&fold(&visible(&line), 2, 100));
    }
    text
}

/// What an answer takes for granted about the agents that it names.
fn roles_text(agents: &BTreeMap<String, Vec<String>>) -> String {
    let mut text = String::new();
    for (agent, roles) in agents {
        let roles =
            if roles.is_empty() { "no role".to_owned() } else { format!("the roles {}", roles.join(", ")) };
        let line = format!("assumed: {agent} has {roles} by role files, and none by registration");
        text.push_str(&fold(&visible(&line), 2, 100));
    }
    text
}

fn proof_text(proof: &Proof) -> String {
    format!("{}{}{}", verdict_text(proof), assumed_text(&proof.assumed), roles_text(&proof.roles))
}

fn verdict_text(proof: &Proof) -> String {
    let name = visible(&proof.invariant);
    match &proof.verdict {
        Verdict::Proved => {
            format!(
                "proved     {name}\n  no call of any kind breaks it ({} kinds of requests)\n",
                proof.kinds
            )
        }
        Verdict::Violated { example } => format!("VIOLATED   {name}\n{}", example_text(example)),
        Verdict::UnlessApproved { example } => {
            format!("VIOLATED   {name}\n  only by what a person has approved\n{}", example_text(example))
        }
        Verdict::Undecided { why } => {
            let mut text = format!("UNDECIDED  {name}\n");
            for why in why {
                text.push_str(&fold(&visible(why), 2, 100));
            }
            text
        }
    }
}

fn example_text(example: &Example) -> String {
    let roles =
        if example.roles.is_empty() { String::new() } else { format!(" in {}", example.roles.join(", ")) };
    let by = if example.decided.by.is_empty() {
        String::new()
    } else {
        format!(" by {}", example.decided.by.join(", "))
    };
    let mut text = format!("  {} calls {}{roles}\n", example.agent, example.what);
    if !example.arguments.is_empty() {
        text.push_str(&format!("  with {}\n", Value::Object(example.arguments.clone())));
    }
    text.push_str(&format!(
        "  at {} over a {} link: {}{by}\n  {}\n",
        example.at, example.link, example.decided.outcome, example.explain
    ));
    text.lines().map(|line| format!("{}\n", visible(line))).collect()
}

/// Compares two sets.
pub(super) async fn diff(
    state: &State,
    (old, new): (&Path, Option<&Path>),
    args: &BackgroundArgs,
    output: Output,
) -> Result<Exit, Failure> {
    let background = Background::load(state, args).await?;
    let old = background.set(state, &[old.to_owned()])?;
    let new: Vec<_> = new.map(Path::to_owned).into_iter().collect();
    let new = background.set(state, &new)?;
    let difference = compare(state, &background, &old, &new).await?;
    match output {
        Output::Human => print(&difference_text(&difference)),
        Output::Json | Output::Jsonl => {
            #[derive(Serialize)]
            struct Document<'a> {
                schema: &'static str,
                #[serde(flatten)]
                difference: &'a Difference,
            }
            print_document(&Document { schema: "lockgate.policy-diff/1", difference: &difference });
        }
    }
    Ok(if difference.is_nothing_known_new() { Exit::Ok } else { Exit::Negative })
}

/// By proof where there is a solver, else by the calls of the audit log.
pub(super) async fn compare(
    state: &State,
    background: &Background,
    old: &Set,
    new: &Set,
) -> Result<Difference, Failure> {
    match by_proof(&old.policies, &new.policies, &background.world()).await {
        Err(AnalysisError::NoSolver { .. }) => {
            let calls: Vec<Call> = log::all(state).into_iter().map(|recorded| recorded.call).collect();
            by_samples(&old.policies, &new.policies, &calls, &background.trust_domain)
                .map_err(|error| unanswered(&error).into())
        }
        other => other.map_err(|error| unanswered(&error).into()),
    }
}

fn difference_text(difference: &Difference) -> String {
    let mut text = match difference.ground {
        Ground::Proof => String::new(),
        Ground::Samples => format!(
            "This is no proof: there is no solver (Debian: apt install cvc5), so only the {} calls of the audit\n\
             log were decided under both sets, without facts. Other calls may differ, too.\n\n",
            difference.looked_at
        ),
    };
    text.push_str(&changes_text("Newly possible", &difference.gained));
    text.push_str(&changes_text("No longer possible", &difference.lost));
    if !difference.unclear.is_empty() {
        text.push_str("Not decided\n");
        for why in &difference.unclear {
            text.push_str(&fold(&visible(why), 2, 100));
        }
    }
    text.push_str(&terms_text(&difference.terms));
    text.push_str(&assumed_text(&difference.assumed));
    if difference.ground == Ground::Proof && difference.unclear.is_empty() {
        text.push_str(&format!(
            "Proved over all calls of {} kinds whose arguments fit the definitions of their tools; what needs\n\
             a person's approval counts as not possible.\n",
            difference.looked_at
        ));
    }
    text
}

/// What the same rules now say beside their conditions.
fn terms_text(terms: &[Terms]) -> String {
    if terms.is_empty() {
        return String::new();
    }
    let mut text = "Other terms, which are not compared\n".to_owned();
    for Terms { id, term, before, after } in terms {
        let was = before.as_deref().unwrap_or("none");
        let is = after.as_deref().unwrap_or("none");
        text.push_str(&visible(&format!("  {id}: {term} was {was}, is {is}")));
        text.push('\n');
    }
    text
}

fn changes_text(heading: &str, changes: &[Change]) -> String {
    if changes.is_empty() {
        return format!("{heading}: nothing\n");
    }
    let mut text = format!("{heading}\n");
    for change in changes {
        text.push_str(&format!(
            "  {}: {} before, {} now; for example\n",
            visible(&change.kind),
            change.before,
            change.example.decided.outcome
        ));
        for line in example_text(&change.example).lines() {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text
}
