//! What the configuration contributes to a report.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use lockgate_crypto::{Profile, catalog};
use lockgate_report::{Background, Ending, Listener, Reached, Server, moment};

use crate::config::{self, ExceptionTarget, Flags, ServerPlan, Settings, Target};
use crate::diagnostic::Failure;
use crate::state::State;
use crate::verbs::config::variables;
use crate::verbs::policy::set::reasons;

/// Reads configuration and policies. A configuration that is named must be valid; policies that cannot be read have no
/// reasons, which the report then says of each.
pub(super) async fn gather(state: &State, config: Option<&Path>) -> Result<Background, Failure> {
    let flags = Flags { config: config.map(Path::to_owned), ..Flags::default() };
    let (settings, ..) = config::load(&flags, variables())?;
    let (purposes, policies_unread) = match reasons(state, config).await {
        Ok(reasons) => (reasons, None),
        Err(failure) => (Default::default(), failure.0.first().map(|problem| problem.what.clone())),
    };
    let listeners = settings.listeners().map(|plan| Listener {
        name: plan.name.clone(),
        profile: plan.profile.name.to_owned(),
        classical: classical(plan.profile),
        identity_required: plan.identity_required,
    });
    Ok(Background {
        node: settings.name.clone(),
        trust_domain: settings.trust_domain.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        config: config.map(|path| path.display().to_string()),
        listeners: listeners.collect(),
        servers: settings.servers.iter().map(server).collect(),
        dates: dates(&settings),
        durable: settings.audit.durable.clone(),
        records_arguments: settings.record_arguments,
        policies_unread,
        purposes,
    })
}

/// What of a profile a quantum adversary breaks.
fn classical(profile: &Profile) -> Vec<String> {
    let named = profile.groups.iter().chain(profile.signatures);
    let weak = named.filter(|id| catalog::find(id).is_none_or(|row| !row.is_quantum_safe()));
    weak.map(|id| (*id).to_owned()).collect()
}

fn server(plan: &ServerPlan) -> Server {
    let (host, reached) = match &plan.target {
        Target::Stdio { .. } => (None, Reached::Process),
        Target::Http(_) | Target::Api(_) => {
            let uri = plan.target.uri().expect("it is reached by HTTP");
            let host = uri.host().unwrap_or_default();
            let reached = match (is_here(host), plan.is_https()) {
                (true, _) => Reached::Loopback,
                (false, false) => Reached::Plain,
                (false, true) => {
                    Reached::Tls { profile: plan.profile.name.to_owned(), classical: classical(plan.profile) }
                }
            };
            (Some(host.to_owned()), reached)
        }
    };
    Server {
        name: plan.name.clone(),
        host,
        reached,
        groups: plan.groups.clone(),
        country: plan.country.clone(),
    }
}

/// Whether a host is this machine.
fn is_here(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What ends by itself: algorithms and profiles that listeners and servers use, sunsets of the signed document, exceptions.
fn dates(settings: &Settings) -> Vec<Ending> {
    let profiles: Vec<&Profile> = settings
        .listeners()
        .map(|plan| plan.profile)
        .chain(settings.https().map(|(_, profile)| profile))
        .collect();
    let mut dates = BTreeSet::new();
    for profile in &profiles {
        for id in profile.groups.iter().chain(profile.signatures).chain(profile.ciphers) {
            if let Some(row) = catalog::find(id) {
                ending(&mut dates, row.id, (row.warn_after, row.not_after), "catalog");
            }
        }
        if let Some(day) = profile.not_after {
            dates.insert(Ending {
                day: day.to_owned(),
                what: format!("profile {}", profile.name),
                source: "catalog".to_owned(),
                then: "it can no longer be chosen".to_owned(),
            });
        }
    }
    for sunset in settings.crypto.document.iter().flat_map(|signed| &signed.document.sunsets) {
        let days = (sunset.warn_after.as_deref(), sunset.not_after.as_deref());
        ending(&mut dates, &sunset.algorithm, days, "signed document");
    }
    for exception in &settings.crypto.exceptions {
        let (kind, name) = match &exception.target {
            ExceptionTarget::Peer(name) => ("peer", name),
            ExceptionTarget::Listener(name) => ("listener", name),
            ExceptionTarget::Upstream(name) => ("server", name),
        };
        dates.insert(Ending {
            day: last_day(exception.until_ms),
            what: format!(
                "exception for the {kind} {name}: {}, {}",
                exception.profile.name, exception.reason
            ),
            source: "configuration".to_owned(),
            then: "it is held to the profile of its listener again".to_owned(),
        });
    }
    dates.into_iter().collect()
}

/// The last day of what ends at midnight, else the moment at which it ends.
fn last_day(until_ms: u64) -> String {
    let until = i64::try_from(until_ms).unwrap_or(i64::MAX);
    let text = moment(until);
    match text.strip_suffix(" 00:00:00") {
        Some(_) => moment(until - 1).get(..10).unwrap_or_default().to_owned(),
        None => text,
    }
}

fn ending(dates: &mut BTreeSet<Ending>, id: &str, (warn, end): (Option<&str>, Option<&str>), source: &str) {
    for (day, then) in
        [(warn, "each use is worth a warning from the day after"), (end, "it leaves every profile by itself")]
    {
        if let Some(day) = day {
            dates.insert(Ending {
                day: day.to_owned(),
                what: id.to_owned(),
                source: source.to_owned(),
                then: then.to_owned(),
            });
        }
    }
}
