//! Taking up changed files while the node runs.
//!
//! Policies, the log level, the profiles of listeners and certificates from outside can change; everything else is
//! named as needing a restart. All that can fail is done before anything is published, so that on any error the old
//! generation stays whole.

use std::sync::Arc;

use lockgate_admin::Reloaded;
use lockgate_audit::{Durability, Kind, Outcome, Record};
use lockgate_crypto::Suite;
use lockgate_identity::NodeIdentity;
use lockgate_transport::ServerTls;

use super::control::{Changing, Control};
use super::{faces, parts};
use crate::config::{self, ListenerPlan, Settings};
use crate::diagnostic::{Diagnostic, Failure};
use crate::logging;
use crate::trouble;
use crate::verbs::config::variables;
use crate::verbs::policy;

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
        Err(failure) => (
            Outcome::Failed,
            failure.0.iter().map(|problem| problem.what.clone()).collect::<Vec<_>>().join("; "),
        ),
    };
    let record = Record { reason: Some(reason.into()), ..Record::new(Kind::Policy, outcome) };
    if let Err(error) = control.node().audit.append(&record, Durability::Grouped) {
        tracing::error!(%error, "a reload could not be recorded");
    }
    result
}

fn prepare_and_publish(control: &Control) -> Result<Reloaded, Failure> {
    let (settings, ..) = config::load(control.flags(), variables())?;
    logging::check(&settings.log_level)?;
    let mut changing = control.changing().lock();
    let files = parts::policy_files(&settings, control.state())?;
    let generation = control.node().policies.load().generation() + 1;
    let policies =
        if files == changing.policy_files { None } else { Some(policy::parse(&files, generation)?) };
    let swaps = swaps(control, &changing, &settings)?;

    let mut changed = Vec::new();
    if let Some(policies) = policies {
        changed.push(format!("{} policies, generation {generation}", policies.len()));
        control.node().policies.store(Arc::new(policies));
        changing.policy_files = files;
    }
    if settings.log_level != changing.settings.log_level {
        logging::change(&settings.log_level)?;
        changed.push(format!("log level {}", settings.log_level));
        changing.settings.log_level.clone_from(&settings.log_level);
    }
    for swap in swaps {
        changed.push(publish(control, &mut changing, swap)?);
    }
    Ok(Reloaded {
        policy_generation: control.node().policies.load().generation(),
        policies: u64::try_from(control.node().policies.load().len()).unwrap_or(u64::MAX),
        epoch: changing.epoch,
        changed,
        restart_needed: restart_needed(&changing.settings, &settings),
    })
}

/// A listener's next generation, built and tested, not yet published.
struct Swap {
    index: usize,
    plan: ListenerPlan,
    suite: Suite,
    own: Option<NodeIdentity>,
}

/// The listeners whose profile or own certificate is another now. A listener is known by its place and address; one
/// that comes, goes or moves needs a restart.
fn swaps(control: &Control, changing: &Changing, settings: &Settings) -> Result<Vec<Swap>, Diagnostic> {
    let mut swaps = Vec::new();
    for (index, (served, (_, plan))) in changing.served.iter().zip(faces::named(settings)).enumerate() {
        if served.plan.address != plan.address {
            continue;
        }
        let own = plan.tls.as_ref().map(|files| faces::own(files, &changing.identity)).transpose()?;
        let same_profile = served.plan.profile == plan.profile;
        if same_profile && served.own == own.as_ref().map(faces::fingerprint) {
            continue;
        }
        let suite = if same_profile {
            served.tls.suite()
        } else {
            trouble::compile(plan.profile, changing.epoch + 1)?
        };
        let presented = own.as_ref().unwrap_or(&changing.identity);
        // Built once for the proof that it can be built; the swap then builds it with the sessions that stay valid.
        ServerTls::new(suite.clone(), presented, control.registrar().bundle())
            .map_err(|error| trouble::tls(&error))?;
        swaps.push(Swap { index, plan: plan.clone(), suite, own });
    }
    Ok(swaps)
}

fn publish(control: &Control, changing: &mut Changing, swap: Swap) -> Result<String, Diagnostic> {
    let Swap { index, plan, suite, own } = swap;
    let presented = own.as_ref().unwrap_or(&changing.identity);
    let epoch = suite.epoch();
    let served = &changing.served[index];
    served.tls.swap(suite, presented, control.registrar().bundle()).map_err(|error| trouble::tls(&error))?;
    let change = format!("listener {} on {}: {}", served.name, served.local, plan.profile.name);
    let served = &mut changing.served[index];
    served.own = own.as_ref().map(faces::fingerprint);
    served.plan = plan;
    changing.epoch = changing.epoch.max(epoch);
    Ok(change)
}

/// What the configuration says now that cannot be taken up without a restart.
fn restart_needed(old: &Settings, new: &Settings) -> Vec<String> {
    let addresses = |settings: &Settings| settings.listeners().map(|plan| plan.address).collect::<Vec<_>>();
    [
        (
            "node.name, node.trust_domain or node.names",
            (&old.name, &old.trust_domain, &old.names) != (&new.name, &new.trust_domain, &new.names),
        ),
        (
            "node.origins or node.agent_lifetime_s",
            (&old.origins, old.agent_lifetime) != (&new.origins, new.agent_lifetime),
        ),
        ("the addresses of listeners", addresses(old) != addresses(new)),
        ("servers", old.servers != new.servers),
        ("limits", old.limits != new.limits),
        ("audit", old.audit != new.audit),
        ("admin.listen", old.admin != new.admin),
        ("log.format", old.log_format != new.log_format),
    ]
    .into_iter()
    .filter(|(_, differs)| *differs)
    .map(|(what, _)| what.to_owned())
    .collect()
}
