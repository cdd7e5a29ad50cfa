//! Taking up changed files while the node runs.
//!
//! Policies, the log level, profiles, exceptions, the signed crypto document and certificates from outside can change;
//! everything else is named as needing a restart. All that can fail is done before anything is published, so that on
//! any error the old generation stays whole.

use std::sync::Arc;

use lockgate_admin::Reloaded;
use lockgate_audit::{Durability, Kind, Outcome, Record};
use lockgate_authority::Registrations;
use lockgate_crypto::profile;
use lockgate_policy::Lost;

use super::control::Control;
use super::{agility, faces, facts, parts, policies, threats, tokens};
use crate::config::{self, AttestPlan, Audit, RetentionMonths, ServerPlan, Settings};
use crate::diagnostic::{Diagnostic, Failure};
use crate::logging;
use crate::subjects;
use crate::verbs::config::variables;

/// Most prohibitions that are shown as gone. The record of each reload names its own.
const LOST_MAX: usize = 100;

/// A prohibition that is gone, in words.
pub(super) fn named(lost: &Lost) -> String {
    format!("{} ({})", lost.id, lost.place)
}

/// Reloads and logs what came of it.
pub(super) async fn run(control: &Arc<Control>) -> Result<Reloaded, Failure> {
    let reloading = Arc::clone(control);
    let applied = tokio::task::spawn_blocking(move || apply(&reloading)).await;
    let applied = applied.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    match &applied {
        Ok(reloaded) => {
            for change in &reloaded.changed {
                tracing::info!("reloaded: {change}");
            }
            for change in &reloaded.restart_needed {
                tracing::warn!("changed, but needs a restart: {change}");
            }
        }
        Err(failure) => {
            tracing::error!("not reloaded, the old generation stays in force:\n{}", failure.human())
        }
    }
    applied
}

/// Reads everything again and publishes it, or nothing.
pub(super) fn apply(control: &Control) -> Result<Reloaded, Failure> {
    let result = prepare_and_publish(control);
    let (outcome, reason) = match &result {
        Ok(reloaded) if reloaded.changed.is_empty() => return result,
        Ok(reloaded) => (Outcome::Ok, reloaded.changed.join("; ")),
        Err(failure) => (Outcome::Failed, failure.0.iter().map(in_one_line).collect::<Vec<_>>().join("; ")),
    };
    let record = Record { reason: Some(reason.into()), ..Record::new(Kind::Policy, outcome) };
    if let Err(error) = control.node().append(&record, Durability::Grouped) {
        tracing::error!(%error, "a reload could not be recorded");
    }
    result
}

/// What happened and why.
fn in_one_line(problem: &Diagnostic) -> String {
    let causes = problem.causes.iter().map(|cause| format!(": {cause}"));
    std::iter::once(problem.what.clone()).chain(causes).collect()
}

fn prepare_and_publish(control: &Control) -> Result<Reloaded, Failure> {
    let (settings, ..) = config::load(control.flags(), variables())?;
    logging::check(&settings.log_level)?;
    let _turn = control.turn();
    let old = control.changing().lock().settings.clone();
    let old_files = control.changing().lock().policy_files.clone();
    let files = parts::policy_files(&settings, control.state())?;
    let generation = control.node().policies.load().generation() + 1;
    facts::check(&settings)?;
    tokens::check(&settings)?;
    let shapes = settings.fact_shapes();
    // Policies are read against the shapes of facts and the groups of servers.
    let same = files == old_files && shapes == old.fact_shapes() && !policies::differ(&old, &settings);
    let policies = match same {
        true => None,
        false => {
            let (detector, before) = (&control.node().detector, control.node().policies.load_full());
            Some(policies::parse(&files, (&settings, &shapes), detector, generation, Some(&before))?)
        }
    };

    let mut changed = algorithms(control, &old, &settings)?;
    changed.extend(control.renew_facts(&old.facts, &settings)?);
    changed.extend(control.put_exports(&settings)?);
    changed.extend(control.put_telemetry(&settings)?);
    if let Some(policies) = policies {
        changed.push(format!("{} policies, generation {generation}", policies.len()));
        let lost = control.node().policies.load().lost_in(&policies);
        changed.extend(lost.iter().map(|lost| format!("no longer in force: {}", named(lost))));
        for lost in &lost {
            tracing::warn!(
                code = "LG-P016",
                "policy: a prohibition is gone: {}. If this was not meant, put its file back",
                named(lost)
            );
        }
        let mut changing = control.changing().lock();
        changing.lost.retain(|lost| !policies.has_again(lost));
        changing.lost.extend(lost);
        changing.lost.truncate(LOST_MAX);
        changing.policy_files = files;
        drop(changing);
        control.node().put_policies(policies);
    }
    if (settings.record_arguments, &settings.subjects) != (old.record_arguments, &old.subjects) {
        let describer = control.node().describer();
        if let Some(vault) = describer.vault() {
            control.node().set_describer(subjects::describer(&settings, vault));
        }
        let mut changing = control.changing().lock();
        changing.settings.record_arguments = settings.record_arguments;
        changing.settings.subjects.clone_from(&settings.subjects);
        changing.settings.audit.subject.clone_from(&settings.audit.subject);
        drop(changing);
        changed.push(format!("policy.record_arguments {}, audit.subject", settings.record_arguments));
    }
    if settings.detect != old.detect {
        threats::set(&control.node().detector, &settings);
        control.changing().lock().settings.detect.clone_from(&settings.detect);
        changed.push(format!("{} rules of detection", settings.detect.rules.len()));
    }
    if settings.audit.retention != old.audit.retention {
        control.changing().lock().settings.audit.retention.clone_from(&settings.audit.retention);
        changed.push("audit.retention".to_owned());
    }
    let issuers = control.renew_issuers(&old.attest.tokens, &settings)?;
    let registered = match settings.attest.registrations != old.attest.registrations {
        true => Some(control.register(settings.attest.registrations.clone())?),
        false => None,
    };
    let scopes = (settings.scopes != old.scopes).then(|| "other scopes".to_owned());
    if issuers.is_some() || registered.is_some() || scopes.is_some() {
        control.changing().lock().settings.scopes.clone_from(&settings.scopes);
        control.take_tokens_anew()?;
    }
    changed.extend(issuers);
    changed.extend(registered);
    changed.extend(scopes);
    if settings.log_level != old.log_level {
        logging::change(&settings.log_level)?;
        changed.push(format!("log level {}", settings.log_level));
    }
    Ok(Reloaded {
        policy_generation: control.node().policies.load().generation(),
        policies: u64::try_from(control.node().policies.load().len()).unwrap_or(u64::MAX),
        epoch: control.node().epoch(),
        changed,
        restart_needed: restart_needed(&old, &settings),
    })
}

/// Profiles, exceptions, the signed document and certificates from outside: in a new epoch, if anything differs.
fn algorithms(control: &Control, old: &Settings, new: &Settings) -> Result<Vec<String>, Diagnostic> {
    let merged = merged(old, new);
    let (node, held, state, day, in_force) = {
        let changing = control.changing().lock();
        let held: Vec<Option<String>> =
            changing.served.iter().map(|served| served.own.as_ref().map(faces::fingerprint)).collect();
        let in_force = Arc::clone(&changing.in_force);
        (changing.identity.clone(), held, changing.state.clone(), changing.day, in_force)
    };
    let mut own = Vec::new();
    for plan in merged.listeners() {
        own.push(plan.tls.as_ref().map(|files| faces::own(files, &node)).transpose()?);
    }
    let certificates: Vec<String> = merged
        .listeners()
        .zip(own.iter().zip(&held))
        .filter(|(_, (own, held))| own.as_ref().map(faces::fingerprint) != **held)
        .map(|(plan, _)| format!("listener {}: another certificate", plan.name))
        .collect();
    let seen = state.document.clone();
    let next = control.swept(&merged, &state).unwrap_or_else(|| state.next());
    let drain = agility::Drain::Usual(merged.crypto.drain);
    let draft =
        control.draft_under(merged.clone(), next, day, Some(own)).map_err(|problem| problem.diagnostic())?;
    let (before, after) = in_force.differences(&draft.compiled);
    let mut changed = certificates;
    if draft.state.document != seen {
        let epoch = draft.state.document.as_ref().map_or(0, |seen| seen.epoch);
        changed.push(format!("crypto document of epoch {epoch}"));
    }
    changed.extend(after.clone());
    if changed.is_empty() && before.is_empty() {
        // What decides nothing by itself: pace, continuity, files to watch.
        control.node().link_watch().set_continuity(merged.crypto.continuity);
        let mut changing = control.changing().lock();
        changing.settings = merged;
        // A choice that the configuration now agrees with is over, though nothing in force changes by it.
        changing.state = draft.state.at(state.epoch);
        drop(changing);
        control.woken().notify_one();
        return Ok(Vec::new());
    }
    if changed.is_empty() {
        changed.extend(before.iter().map(|line| format!("no more: {line}")));
    }
    let change = agility::Change {
        method: "crypto/reload",
        name: "configuration",
        what: format!("the configuration changed: {}", changed.join("; ")),
        by: "configuration",
        reason: "",
        drain,
        fresh: false,
    };
    control.commit(draft, &change).map_err(|problem| problem.diagnostic())?;
    Ok(changed)
}

/// What runs, with what of the new settings can be taken up: listeners and servers that come, go or move need a restart.
fn merged(old: &Settings, new: &Settings) -> Settings {
    let mut merged = old.clone();
    let running = std::iter::once(&mut merged.tunnel).chain(&mut merged.foreign).chain(&mut merged.further);
    for plan in running {
        let now = new.listeners().find(|now| now.name == plan.name && now.address == plan.address);
        if let Some(now) = now {
            plan.clone_from(now);
        }
    }
    for plan in &mut merged.servers {
        let now = new.servers.iter().find(|now| now.name == plan.name && now.target == plan.target);
        if let Some(now) = now {
            plan.profile = now.profile;
            plan.groups.clone_from(&now.groups);
        }
    }
    merged.crypto.clone_from(&new.crypto);
    merged.facts.clone_from(&new.facts);
    merged.exports.clone_from(&new.exports);
    merged.telemetry.clone_from(&new.telemetry);
    merged.attest.registrations.clone_from(&new.attest.registrations);
    merged.attest.tokens.clone_from(&new.attest.tokens);
    merged.policy_files.clone_from(&new.policy_files);
    merged.log_level.clone_from(&new.log_level);
    merged
}

/// What the configuration says now that cannot be taken up without a restart.
fn restart_needed(old: &Settings, new: &Settings) -> Vec<String> {
    let addresses = |settings: &Settings| {
        settings.listeners().map(|plan| (plan.name.clone(), plan.address)).collect::<Vec<_>>()
    };
    let servers = |settings: &Settings| {
        let plans = settings.servers.iter().cloned();
        // Another profile or group needs no restart.
        plans
            .map(|plan| ServerPlan { profile: profile::default(), groups: Vec::new(), country: None, ..plan })
            .collect::<Vec<_>>()
    };
    // Whom calls are about, and how long what is kept, is taken up.
    let audit = |settings: &Settings| Audit {
        subject: Vec::new(),
        retention: RetentionMonths::default(),
        ..settings.audit.clone()
    };
    let attestors = |settings: &Settings| {
        let (registrations, tokens) = (Registrations::default(), Vec::new());
        AttestPlan { registrations, tokens, ..settings.attest.clone() }
    };
    [
        (
            "node.name, node.trust_domain or node.names",
            (&old.name, &old.trust_domain, &old.names) != (&new.name, &new.trust_domain, &new.names),
        ),
        (
            "node.origins or node.agent_lifetime_s",
            (&old.origins, old.agent_lifetime) != (&new.origins, new.agent_lifetime),
        ),
        ("the names or addresses of listeners", addresses(old) != addresses(new)),
        ("servers", servers(old) != servers(new)),
        ("the socket of attest", attestors(old) != attestors(new)),
        ("limits", old.limits != new.limits),
        ("audit", audit(old) != audit(new)),
        ("witness", old.witnessed != new.witnessed),
        ("admin.listen", old.admin != new.admin),
        ("log.format", old.log_format != new.log_format),
    ]
    .into_iter()
    .filter(|(_, differs)| *differs)
    .map(|(what, _)| what.to_owned())
    .collect()
}
