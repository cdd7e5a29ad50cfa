//! Policies, and what they are read against: the definitions of tools that detection trusts, groups of servers, facts.
//!
//! A tool that is seen for the first time brings types for its arguments. Policies are read again then, off the data path,
//! so that what they say of its arguments is checked and decided by type, without a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lockgate_audit::{Durability, Kind, Outcome, Record};
use lockgate_detect::Detector;
use lockgate_facts::Subject;
use lockgate_policy::{Definition, Definitions, FactShape, Options, Policies};
use lockgate_proxy::facts::{Gathering, Subject as Asked};

use super::control::Control;
use super::facts::InForce;
use crate::config::Settings;
use crate::diagnostic::Failure;
use crate::verbs::policy;

/// How long further definitions are waited for before policies are read again, in milliseconds: a server shows its tools
/// page by page, and all servers show theirs at once.
const SETTLE_MS: u64 = 500;

/// The definitions that detection trusts.
fn definitions(detector: &Detector) -> Definitions {
    Definitions::new(detector.pins().into_iter().map(|pin| Definition {
        server: pin.server,
        tool: pin.tool,
        json: pin.definition,
        sha256: pin.sha256,
    }))
}

/// Server group → servers, as the servers name their groups.
pub(crate) fn groups(settings: &Settings) -> BTreeMap<String, Vec<String>> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for plan in &settings.servers {
        for group in &plan.groups {
            groups.entry(group.clone()).or_default().push(plan.name.clone());
        }
    }
    groups
}

/// The names of all servers.
pub(crate) fn servers(settings: &Settings) -> Vec<String> {
    settings.servers.iter().map(|plan| plan.name.clone()).collect()
}

/// The roles that registrations give.
pub(crate) fn roles(settings: &Settings) -> Vec<String> {
    let all: BTreeSet<&String> =
        settings.attest.registrations.iter().flat_map(|given| &given.roles).collect();
    all.into_iter().cloned().collect()
}

/// Reads policies against what is known. `before` is the set in force, whose counts go on.
pub(super) fn parse(
    files: &[policy::File],
    (settings, facts): (&Settings, &[FactShape]),
    detector: &Detector,
    generation: u64,
    before: Option<&Policies>,
) -> Result<Policies, Failure> {
    let (definitions, groups) = (definitions(detector), groups(settings));
    let (servers, roles) = (servers(settings), roles(settings));
    let trust_domain = settings.trust_domain.as_str();
    let options = Options {
        definitions: &definitions,
        facts,
        groups: &groups,
        servers: &servers,
        roles: Some(&roles),
        trust_domain,
        generation,
    };
    let policies = policy::parse_with(files, &options, before)?;
    for warning in policies.warnings() {
        tracing::warn!("policy: {warning}");
    }
    Ok(policies)
}

/// Whether two configurations have policies read against other things.
pub(super) fn differ(old: &Settings, new: &Settings) -> bool {
    groups(old) != groups(new) || roles(old) != roles(new) || old.trust_domain != new.trust_domain
}

/// Reads policies again whenever detection has come to trust another definition, until the node drains.
pub(super) async fn keep_definitions(control: Arc<Control>) {
    let node = Arc::clone(control.node());
    loop {
        tokio::select! {
            () = node.definitions_changed.notified() => {}
            () = node.draining.cancelled() => return,
        }
        tokio::time::sleep(Duration::from_millis(SETTLE_MS)).await;
        let control = Arc::clone(&control);
        let read = tokio::task::spawn_blocking(move || read_again(&control)).await;
        read.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    }
}

/// Reads the policies in force against the definitions of now. If they do not fit those, the old set stays: it judges such
/// arguments without types, and what it cannot judge it denies.
fn read_again(control: &Control) {
    let _turn = control.turn();
    let (files, settings) = {
        let changing = control.changing().lock();
        (changing.policy_files.clone(), changing.settings.clone())
    };
    let node = control.node();
    let before = node.policies.load_full();
    let generation = before.generation() + 1;
    let read = parse(&files, (&settings, &control.fact_shapes()), &node.detector, generation, Some(&before));
    let record = match read {
        Ok(policies) => {
            node.put_policies(policies);
            let reason = format!("policies are read against other tool definitions, generation {generation}");
            Record { reason: Some(reason.into()), ..Record::new(Kind::Policy, Outcome::Ok) }
        }
        Err(failure) => {
            tracing::error!(
                "the policies do not fit the tools as they are now; the set in force stays:\n{}",
                failure.human()
            );
            let what: Vec<String> = failure.0.iter().map(|problem| problem.what.clone()).collect();
            Record { reason: Some(what.join("; ").into()), ..Record::new(Kind::Policy, Outcome::Failed) }
        }
    };
    if let Err(error) = node.append(&record, Durability::Grouped) {
        tracing::error!(%error, "that policies were read again could not be recorded");
    }
}

impl Control {
    /// The shapes of the facts that policies may read.
    pub(super) fn fact_shapes(&self) -> Vec<FactShape> {
        self.facts().load().shapes()
    }
}

impl lockgate_proxy::facts::Facts for InForce {
    fn gather<'a>(&'a self, needed: &'a [Arc<FactShape>], subject: Asked<'a>, now_ms: u64) -> Gathering<'a> {
        let facts = self.load();
        Box::pin(async move {
            let Asked { agent, server, arguments_raw } = subject;
            let gathered = facts.gather(needed, &Subject { agent, server, arguments_raw }, now_ms).await;
            for used in gathered.used.iter().filter(|used| !used.outcome.is_present()) {
                tracing::debug!(target: "lockgate::permit", fact = %used.name, outcome = %used.outcome, "fact");
            }
            gathered.values
        })
    }
}
