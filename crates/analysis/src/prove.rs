//! Can anything ever …? Answered for all calls at once, by a solver.
//!
//! For each kind of request (who × action × what) the solver looks for one that the policies permit and the invariant
//! rules out. What it is given permits no less than Lockgate does: Cedar skips a rule that fails, Lockgate denies;
//! connecting needs a permit on anything there (see [`Slice::new`]), and a hold in a permit lets a person pass what its
//! conditions do not. So where the solver finds nothing, there is nothing; and what it finds is decided for real before
//! it is shown.

use std::collections::BTreeMap;

use cedar_policy::{Authorizer, Decision, Policy, PolicySet, RequestEnv, Schema};
use cedar_policy_symcc::Env;
use lockgate_policy::Policies;
use serde::Serialize;

use crate::call::{Call, Decided, Outcome};
use crate::envs::{Actions, Humans, Slice, axioms, compile, is_of_unknown_tools, name};
use crate::error::AnalysisError;
use crate::example;
use crate::forms;
use crate::invariant::Invariant;
use crate::solver::{Said, Solver};
use crate::unseen::{Assumed, Ground};
use crate::world::{Mentions, World};

/// What is known of an invariant.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// No call of any kind breaks it.
    Proved,
    /// Only what a person has approved can break it.
    UnlessApproved {
        /// Such a call.
        example: Example,
    },
    /// It can be broken.
    Violated {
        /// By this call.
        example: Example,
    },
    /// Neither was shown.
    Undecided {
        /// Why.
        why: Vec<String>,
    },
}

/// A call that shows something.
#[derive(Clone, Debug, Serialize)]
pub struct Example {
    /// The agent's whole id.
    pub agent: String,
    /// Roles that the agent is taken to have by registration.
    pub roles: Vec<String>,
    /// What is called.
    pub what: String,
    /// With these arguments.
    pub arguments: serde_json::Map<String, serde_json::Value>,
    /// When, RFC 3339.
    pub at: String,
    /// Over which link.
    pub link: &'static str,
    /// How it is decided.
    #[serde(flatten)]
    pub decided: Decided,
    /// The command that explains it.
    pub explain: String,
}

impl Example {
    pub(crate) fn new(call: &Call, decided: Decided) -> Self {
        Example {
            agent: call.agent.clone(),
            roles: call.roles.clone(),
            what: call.what(),
            arguments: call.arguments.clone(),
            at: crate::moment::text(call.at_ms),
            link: call.link.name(),
            decided,
            explain: call.command(),
        }
    }
}

/// An answer and what it cost.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// What was asked.
    pub invariant: String,
    /// The answer.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Kinds of requests that were looked at.
    pub kinds: usize,
    /// Tools whose definitions are not known: their arguments are taken to be of the types that policies compare them
    /// with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assumed: Vec<Assumed>,
    /// Agents that the invariant names, with the roles that they are taken to have, and no others.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, Vec<String>>,
}

/// What one kind of request gave.
enum Found {
    Nothing,
    Call(Box<(Call, Decided)>),
    Unclear(String),
}

/// Proves an invariant, or finds a call that breaks it.
///
/// # Errors
/// [`AnalysisError::NoSolver`] if none is installed; [`AnalysisError::Invariant`] if the invariant does not fit the
/// schema.
pub async fn prove(
    invariant: &Invariant,
    policies: &Policies,
    world: &World,
) -> Result<Proof, AnalysisError> {
    let ground = Ground::of(&[policies], Some(&invariant.probe), world)?;
    let (schema, world) = (&ground.schema, &ground.world);
    check(&invariant.probe, schema)?;
    let roles = world.roles.clone();
    let rules: Vec<&Policy> = policies.cedar().collect();
    let actions = Actions::of(schema)?;
    let mentions =
        Mentions::of(rules.iter().copied().chain([&invariant.probe]), world).in_sets(&[policies])?;
    let mut question =
        Question { policies, invariant, schema, rules, actions, mentions, world, solver: Solver::find()? };
    let envs: Vec<RequestEnv> = schema.request_envs().collect();
    let mut envs: Vec<RequestEnv> =
        envs.into_iter().filter(|env| question.actions.can_fit(&invariant.probe, env)).collect();
    // The same question gets the same example.
    envs.sort_by_cached_key(name);
    let kinds = envs.len();
    if kinds == 0 {
        return Err(AnalysisError::invariant(
            "the invariant fits no kind of request, so that it says nothing",
        ));
    }
    let mut why = ground.unclear.clone();
    for humans in [Humans::SayNo, Humans::SayYes] {
        for env in &envs {
            match question.one(env, humans).await? {
                Found::Nothing => {}
                Found::Unclear(reason) => why.push(format!("{}: {reason}", name(env))),
                Found::Call(found) => {
                    let (call, decided) = *found;
                    let example = Example::new(&call, decided);
                    let verdict = match (humans, example.decided.outcome) {
                        (Humans::SayNo, _) => Verdict::Violated { example },
                        (Humans::SayYes, _) => Verdict::UnlessApproved { example },
                    };
                    return Ok(Proof {
                        invariant: invariant.text.clone(),
                        verdict,
                        kinds,
                        assumed: ground.assumed,
                        roles,
                    });
                }
            }
        }
    }
    why.dedup();
    let verdict = if why.is_empty() { Verdict::Proved } else { Verdict::Undecided { why } };
    Ok(Proof { invariant: invariant.text.clone(), verdict, kinds, assumed: ground.assumed, roles })
}

/// Whether the invariant names things that exist; a misspelt one would be proved of anything.
fn check(probe: &Policy, schema: &Schema) -> Result<(), AnalysisError> {
    let set = PolicySet::from_policies([probe.clone()]).expect("one policy has one id");
    let result =
        cedar_policy::Validator::new(schema.clone()).validate(&set, cedar_policy::ValidationMode::Strict);
    let errors: Vec<String> = result.validation_errors().map(ToString::to_string).collect();
    if errors.is_empty() {
        return Ok(());
    }
    Err(AnalysisError::invariant(format!("the invariant does not fit the schema: {}", errors.join("; "))))
}

struct Question<'a> {
    policies: &'a Policies,
    invariant: &'a Invariant,
    schema: &'a Schema,
    rules: Vec<&'a Policy>,
    actions: Actions,
    mentions: Mentions,
    world: &'a World,
    solver: Solver,
}

impl Question<'_> {
    async fn one(&mut self, env: &RequestEnv, humans: Humans) -> Result<Found, AnalysisError> {
        let slice = Slice::new(&self.rules, &self.actions, env, humans)?;
        if !slice.permits() {
            return Ok(Found::Nothing);
        }
        // Where no rule waits for a person, the first round has answered.
        if humans == Humans::SayYes && !slice.waits(&self.rules, &self.actions, env)? {
            return Ok(Found::Nothing);
        }
        let asks_arguments = forms::reads(&self.invariant.probe)?.contains("input");
        if is_of_unknown_tools(env)
            && let Some(why) = untyped(&slice, asks_arguments)?
        {
            return Ok(Found::Unclear(why));
        }
        let axioms = axioms(self.world, env, self.schema, &self.mentions);
        let set = slice.set(&axioms)?;
        let probe = PolicySet::from_policies([self.invariant.probe.clone()]).expect("one policy has one id");
        let compiled =
            compile(&set, env, self.schema).and_then(|set| Ok((set, compile(&probe, env, self.schema)?)));
        let (compiled, probe) = match compiled {
            Ok(both) => both,
            Err(why) => return Ok(Found::Unclear(why)),
        };
        let said = self
            .solver
            .ask(async |compiler| compiler.check_disjoint_with_counterexample_opt(&compiled, &probe).await)
            .await?;
        Ok(match said {
            Said::Answer(None) if asks_arguments && slice.reader_of("input")?.is_none() => Found::Unclear(
                "no rule reads the arguments, so that others than those of the definition pass, too"
                    .to_owned(),
            ),
            Said::Answer(None) => Found::Nothing,
            Said::Nothing(why) => Found::Unclear(why),
            Said::Answer(Some(found)) => self.confirm(&found, &set, humans),
        })
    }

    /// Decides a counterexample for real: under Cedar with failures denying, and then as a call.
    fn confirm(&self, found: &Env, set: &PolicySet, humans: Humans) -> Found {
        if let Some(rule) = failing(found, set) {
            return Found::Unclear(format!(
                "only where the rule {rule} fails, which denies: guard the attribute that it reads"
            ));
        }
        let mut unclear = Found::Unclear("the solver's example is no call".to_owned());
        for call in example::calls(found, self.world, &self.mentions) {
            match call.decide(self.policies, &self.world.trust_domain) {
                Ok(decided) => {
                    let is_real = match humans {
                        Humans::SayNo => decided.outcome == Outcome::Allow,
                        Humans::SayYes => matches!(decided.outcome, Outcome::Allow | Outcome::Hold),
                    };
                    if is_real {
                        return Found::Call(Box::new((call, decided)));
                    }
                    unclear = Found::Unclear(format!(
                        "the solver's example is not confirmed: {} is decided {}; try {}",
                        call.what(),
                        decided.outcome,
                        call.command()
                    ));
                }
                Err(error) => {
                    unclear = Found::Unclear(format!("the solver's example is no call: {error}"));
                }
            }
        }
        unclear
    }
}

/// Why nothing can be said of tools that nobody has shown and no policy names: their arguments have no types.
pub(crate) fn untyped(slice: &Slice, asks_arguments: bool) -> Result<Option<String>, AnalysisError> {
    let reader = slice.reader_of("input")?;
    Ok(match reader {
        Some(rule) => Some(format!("the rule {} reads arguments of tools that nobody has shown", rule.id())),
        None if asks_arguments => Some(
            "the invariant asks for arguments, and a rule permits tools that nobody has shown".to_owned(),
        ),
        None => None,
    })
}

/// A rule that fails on a request, which denies it.
pub(crate) fn failing(found: &Env, set: &PolicySet) -> Option<String> {
    let response = Authorizer::new().is_authorized(&found.request, set, &found.entities);
    response.diagnostics().errors().next().map(|error| {
        let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
        error.policy_id().to_string()
    })
}

/// Whether Cedar permits a request and nothing fails.
pub(crate) fn permits(found: &Env, set: &PolicySet) -> bool {
    let response = Authorizer::new().is_authorized(&found.request, set, &found.entities);
    response.decision() == Decision::Allow && response.diagnostics().errors().next().is_none()
}
