//! The facts of a node: made from its settings, kept in its store, shown to whoever administers it.

use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwap;
use http::StatusCode;
use lockgate_admin::{FactAnswer, FactQuestion, FactReceipt, FactUsed, FactView, Facts as FactsShown, Fault};
use lockgate_audit::{Durability, Kind, Outcome, Record};
use lockgate_facts::push::{PushError, Signed};
use lockgate_facts::{Absence, Facts, From, Keep, Spec, Template};
use lockgate_identity::SpiffeId;
use lockgate_identity::verifier::ForeignRoots;
use lockgate_proxy::Node;
use lockgate_proxy::own::{OwnTool, OwnTools, Unpermitted};
use lockgate_store::Store;
use lockgate_transport::http::{Limits, Pool, Target};
use lockgate_transport::{Dialer, Trust, dialer};

use super::agility::{Compiled, Dialled};
use super::control::Control;
use crate::config::{FactPlan, FactSource, Settings};
use crate::diagnostic::Diagnostic;
use crate::trouble;

/// What the names of connections to providers begin with.
const PLACE: &str = "fact:";

/// The space of the store that holds pushed statements.
const SPACE: &str = "facts";

/// The facts in force, which a reload replaces.
pub(super) struct InForce {
    facts: ArcSwap<Facts>,
    /// Calls the tools that facts come from, once there is a node.
    tools: OnceLock<Arc<OwnTools>>,
}

impl InForce {
    pub(super) fn new(facts: Facts) -> Self {
        Self { facts: ArcSwap::from_pointee(facts), tools: OnceLock::new() }
    }

    /// Has the tools that facts come from called by `node`, in its own name.
    ///
    /// # Errors
    /// Names that no policy can be made for.
    pub(super) fn call_tools(
        &self,
        node: &Arc<Node>,
        id: SpiffeId,
        settings: &Settings,
    ) -> Result<(), Diagnostic> {
        let tools = OwnTools::new(node, id, &tools(&settings.facts)).map_err(|error| unpermitted(&error))?;
        let held: Weak<OwnTools> = Arc::downgrade(self.tools.get_or_init(|| tools));
        self.load().tools().fill(held);
        Ok(())
    }

    pub(super) fn load(&self) -> Arc<Facts> {
        self.facts.load_full()
    }

    pub(super) fn store(&self, facts: Facts) {
        self.facts.store(Arc::new(facts));
    }
}

/// The tools that facts come from.
fn tools(plans: &[FactPlan]) -> Vec<OwnTool> {
    let tool = |plan: &FactPlan| match &plan.from {
        FactSource::Mcp { server, tool } => {
            Some(OwnTool { fact: plan.shape.name.clone(), server: server.clone(), tool: tool.clone() })
        }
        _ => None,
    };
    plans.iter().filter_map(tool).collect()
}

fn unpermitted(error: &Unpermitted) -> Diagnostic {
    Diagnostic::new("LG-C007", "a tool that a fact comes from cannot be called")
        .because(error)
        .hint("write mcp:SERVER/TOOL, like mcp:calendar/appointments")
}

/// Connections to one provider: a fact is one small answer, and what fails rests soon.
const LINKS_MAX: usize = 16;

/// Pushed statements in the store.
struct Shelf(Store);

impl Keep for Shelf {
    fn keep(&self, fact: &str, key: Option<&str>, signed: &Signed) -> Result<(), String> {
        self.0.put_json(SPACE, &place(fact, key), signed).map_err(|error| error.to_string())
    }

    fn forget(&self, fact: &str, key: Option<&str>) {
        if let Err(error) = self.0.delete(SPACE, &place(fact, key)) {
            tracing::warn!(%error, fact, "an old statement stays in the store");
        }
    }
}

fn place(fact: &str, key: Option<&str>) -> String {
    key.map_or_else(|| fact.to_owned(), |key| format!("{fact}/{key}"))
}

/// The facts of a node that starts, with what was pushed to it before.
///
/// # Errors
/// A file of roots that cannot be used, or a store that cannot be read.
pub(super) fn open(
    settings: &Settings,
    store: &Store,
    in_force: &Compiled,
    dialled: &mut Vec<Dialled>,
    now_ms: u64,
) -> Result<Facts, Diagnostic> {
    let specs = specs(settings, in_force, dialled, &|_| None)?;
    let facts = Facts::new(specs, Some(Arc::new(Shelf(store.clone()))));
    let kept = store.list_json::<Signed>(SPACE, "").map_err(|error| {
        Diagnostic::new("LG-S005", "the facts that were pushed cannot be read")
            .because(&error)
            .hint("without them an older statement could be pushed again, so the node does not start")
    })?;
    for problem in facts.restore(kept.into_iter().map(|(_, signed)| signed), now_ms) {
        tracing::warn!(%problem, "a statement that was pushed before does not hold any more");
    }
    Ok(facts)
}

/// What the settings say, with connections for those that are reached by HTTP; `known` gives what is there already.
///
/// # Errors
/// A file of roots that cannot be used.
pub(super) fn specs(
    settings: &Settings,
    in_force: &Compiled,
    dialled: &mut Vec<Dialled>,
    known: &dyn Fn(&FactPlan) -> Option<From>,
) -> Result<Vec<Spec>, Diagnostic> {
    let mut specs = Vec::new();
    for plan in &settings.facts {
        let from = match &plan.from {
            _ if let Some(known) = known(plan) => known,
            FactSource::File(path) => From::File(path.clone()),
            FactSource::Mcp { server, tool } => From::Mcp { server: server.clone(), tool: tool.clone() },
            FactSource::Push { spki, .. } => From::Push { signer_spki: spki.clone() },
            FactSource::Http { url, .. } => {
                From::Http { url: url.clone(), pool: pool(plan, url, in_force, dialled)? }
            }
        };
        let FactPlan { shape, max_age_ms, deadline_ms, .. } = plan.clone();
        specs.push(Spec { shape, from, max_age_ms, deadline_ms });
    }
    Ok(specs)
}

fn pool(
    plan: &FactPlan,
    url: &Template,
    in_force: &Compiled,
    dialled: &mut Vec<Dialled>,
) -> Result<Pool, Diagnostic> {
    let dialer = match in_force.upstream(&plan.place()) {
        None => Arc::new(Dialer::plain(dialer::Limits::default())),
        Some(suite) => {
            let roots = roots(plan)?;
            let dialer = Dialer::new(suite.clone(), None, Trust::foreign(&roots), dialer::Limits::default());
            let dialer = Arc::new(dialer.map_err(|error| trouble::tls(&error))?);
            dialled.push(Dialled { name: plan.place(), dialer: Arc::clone(&dialer), roots, own: None });
            dialer
        }
    };
    let target = Target::new(url.origin(), dialer).map_err(|error| {
        Diagnostic::new("LG-C007", format!("the fact \"{}\" cannot come from {url}", plan.shape.name))
            .because(&error)
    })?;
    Ok(Pool::new(target, Limits { links_max: LINKS_MAX, idle_max: LINKS_MAX, ..Limits::default() }))
}

/// Whom the connections of a fact trust.
fn roots(plan: &FactPlan) -> Result<ForeignRoots, Diagnostic> {
    let roots = match &plan.from {
        FactSource::Http { roots: Some(path), .. } => ForeignRoots::from_pem_file(path),
        _ => ForeignRoots::system(),
    };
    roots.map_err(|error| {
        Diagnostic::new("LG-C009", format!("no roots for the fact \"{}\"", plan.shape.name))
            .because(&error)
            .hint("name a PEM file with the provider's authority: roots = \"FILE\" in its [[fact]]")
    })
}

/// Finds what could fail when the facts of other settings are made.
///
/// # Errors
/// A file of roots that cannot be used.
pub(super) fn check(settings: &Settings) -> Result<(), Diagnostic> {
    let mut https = settings.facts.iter().filter(|plan| plan.profile().is_some());
    https.try_for_each(|plan| roots(plan).map(drop))
}

impl Control {
    /// Puts the facts of the settings in force; what did not change keeps all that is known of it. Says what changed.
    /// The algorithms of its connections are in force already.
    ///
    /// # Errors
    /// As [`specs`]; the old facts stay.
    pub(super) fn renew_facts(&self, old: &[FactPlan], new: &Settings) -> Result<Option<String>, Diagnostic> {
        if old == new.facts {
            return Ok(None);
        }
        let facts = self.facts().load();
        let same = |plan: &FactPlan| old.contains(plan);
        let mut changing = self.changing().lock();
        let in_force = Arc::clone(&changing.in_force);
        changing.dialled.retain(|dialled| {
            !dialled.name.starts_with(PLACE)
                || new.facts.iter().any(|plan| plan.place() == dialled.name && same(plan))
        });
        let known = |plan: &FactPlan| facts.from(&plan.shape.name).filter(|_| same(plan));
        let specs = specs(new, &in_force, &mut changing.dialled, &known)?;
        drop(changing);
        if let Some(calling) = self.facts().tools.get() {
            calling.allow(&tools(&new.facts)).map_err(|error| unpermitted(&error))?;
        }
        self.facts().store(facts.renewed(specs));
        Ok(Some(format!("{} facts", new.facts.len())))
    }

    /// Every fact and how it stands.
    pub(super) fn facts_shown(&self) -> FactsShown {
        let views = self.facts().load().states().into_iter().map(|state| FactView {
            name: state.name,
            from: state.from,
            key: state.key,
            max_age_ms: state.max_age_ms,
            deadline_ms: state.deadline_ms,
            known: u64::try_from(state.known).unwrap_or(u64::MAX),
            failures: state.failures,
            resting: state.resting,
            last: state.last.map(|last| used(last.at_ms, last.key, last.age_ms, &last.outcome)),
        });
        FactsShown { facts: views.collect() }
    }

    /// Asks for a fact now, for a person. Called where it may block.
    pub(super) fn fact_now(&self, question: &FactQuestion) -> Result<FactAnswer, Fault> {
        let facts = self.facts().load();
        let now_ms = self.moment_ms();
        let asked = facts.probe(&question.name, question.key.as_deref(), now_ms);
        let found = tokio::runtime::Handle::current().block_on(asked).map_err(|why| match why {
            Absence::Unknown => {
                let names: Vec<String> = facts.states().into_iter().map(|state| state.name).collect();
                let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                let what = format!("there is no fact \"{}\"", question.name.escape_debug());
                Fault::new(StatusCode::NOT_FOUND, "LG-F007", what, format!("the facts of this node: {names}"))
            }
            why => Fault::new(StatusCode::BAD_REQUEST, why.code(), why.to_string(), "name it: --key VALUE"),
        })?;
        Ok(FactAnswer {
            name: question.name.clone(),
            used: used(now_ms, question.key.clone(), found.age_ms, &found.outcome),
            record: found.record.map(|record| serde_json::Map::clone(&record)),
        })
    }

    /// Takes a signed statement; what cannot be recorded is not taken.
    pub(super) fn take_statement(&self, signed: &str) -> Result<FactReceipt, Fault> {
        let facts = self.facts().load();
        let in_force = Arc::clone(&self.changing().lock().in_force);
        let may = |algorithm| match in_force.conditions.refusal_of(algorithm) {
            Some(why) => Err(why),
            None => Ok(()),
        };
        let taken = facts.push(signed.as_bytes(), self.moment_ms(), &may);
        let (outcome, reason, name) = match &taken {
            Ok(receipt) => (Outcome::Ok, None, place(&receipt.fact, receipt.key.as_deref())),
            Err(error) => (Outcome::Failed, Some(error.to_string()), "a statement".to_owned()),
        };
        let record = Record {
            method: Some("facts/push".into()),
            name: Some(name.into()),
            reason: reason.map(Into::into),
            ..Record::new(Kind::Policy, outcome)
        };
        self.node().append(&record, Durability::Grouped).map_err(|error| {
            Fault::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "LG-A002",
                error.to_string(),
                "free space for the audit log",
            )
        })?;
        let receipt = taken.map_err(|error| refused(&error))?;
        Ok(FactReceipt {
            fact: receipt.fact,
            key: receipt.key,
            issued_ms: receipt.issued_ms,
            until_ms: receipt.until_ms,
            withdrawn: receipt.withdrawn,
        })
    }
}

fn used(at_ms: u64, key: Option<String>, age_ms: Option<u64>, outcome: &lockgate_facts::Outcome) -> FactUsed {
    let code = match outcome {
        lockgate_facts::Outcome::Absent(why) => Some(why.code().to_owned()),
        _ => None,
    };
    FactUsed { at_ms, key, age_ms, present: outcome.is_present(), outcome: outcome.to_string(), code }
}

fn refused(error: &PushError) -> Fault {
    let (status, hint) = match error {
        PushError::Signature { .. } | PushError::Algorithm(_) => {
            (StatusCode::FORBIDDEN, "sign it with the key whose .pub file the fact names as its signer")
        }
        PushError::Replayed => {
            (StatusCode::CONFLICT, "a statement is taken once; push again to issue a new one")
        }
        PushError::NoSuchFact(_) => (StatusCode::NOT_FOUND, "list them: lockgate facts list"),
        PushError::Unkept(_) => (StatusCode::SERVICE_UNAVAILABLE, "see what is wrong: lockgate doctor"),
        _ => (StatusCode::BAD_REQUEST, ""),
    };
    Fault::new(status, error.code(), error.to_string(), hint)
}
