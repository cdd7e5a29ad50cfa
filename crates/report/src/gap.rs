//! What is missing, as far as log and configuration show it.

use serde::Serialize;

use crate::background::{Background, Reached};
use crate::collect::Collector;
use crate::framework::Ask;
use crate::integrity::{Integrity, Verdict};
use crate::period::DAY_MS;
use crate::text::{listed, number, visible};

/// Something that is missing, and what would close it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Gap {
    /// What is missing.
    pub what: String,
    /// What to do, often a command.
    pub fix: String,
}

fn gap(what: impl Into<String>, fix: impl Into<String>) -> Option<Gap> {
    Some(Gap { what: what.into(), fix: fix.into() })
}

/// The answer to a question; none if nothing is missing.
pub(crate) fn answer(
    ask: Ask,
    log: &Collector,
    background: &Background,
    integrity: &Integrity,
) -> Option<Gap> {
    match ask {
        Ask::Some(signal) if log.count(signal) == 0 => gap(
            format!("No {} in the period.", signal.says()),
            "if there should have been some, ask why none was recorded",
        ),
        Ask::Identity => {
            let open: Vec<&str> = background
                .listeners
                .iter()
                .filter(|one| !one.identity_required)
                .map(|one| one.name.as_str())
                .collect();
            let names = open.join(", ");
            (!open.is_empty())
                .then(|| gap(format!("Listeners that take calls without a proven identity: {names}. Policy alone decides on those."),
                    "identity_required = true in its [[listener]], or no policy that permits anonymous callers"))
                .flatten()
        }
        Ask::ClassicalListener => classical_listeners(background),
        Ask::Upstream => upstreams(background),
        Ask::Durable if background.durable.is_empty() => gap(
            "Answers leave when their record survives a crash of the process, before it survives a power cut.",
            "durable = [\"tools/call\"] in [audit]",
        ),
        Ask::Arguments if background.records_arguments => gap(
            "What is said in every call is kept, encrypted, until its keys expire or are destroyed.",
            "record_arguments = false in [policy], unless replaying calls is worth it; a rule keeps what it needs by record_for",
        ),
        Ask::Country => countries(log, background),
        Ask::Purpose => purposes(log, background),
        Ask::Anchor if integrity.verdict == Verdict::Whole && integrity.anchors.is_empty() => gap(
            "Nothing of the log is signed: whoever can write its folder could have written it anew.",
            "keep the head hash of `lockgate audit verify` elsewhere, from time to time",
        ),
        Ask::Anchor if integrity.verdict == Verdict::Whole && !integrity.is_signed() => gap(
            "The log's checkpoints were not held against the log's public keys, which are not with this copy.",
            "lockgate audit verify DIR --key KEYS, with the keys from the log's owner",
        ),
        Ask::Retention(days) => retention(days, log),
        Ask::Some(_) | Ask::Durable | Ask::Arguments | Ask::Anchor => None,
    }
}

fn classical_listeners(background: &Background) -> Option<Gap> {
    let weak: Vec<String> = background
        .listeners
        .iter()
        .filter(|one| !one.classical.is_empty())
        .map(|one| format!("{} ({}: {})", one.name, one.profile, listed(&one.classical)))
        .collect();
    let first = background.listeners.iter().find(|one| !one.classical.is_empty())?;
    gap(
        format!("Listeners whose profile permits what a quantum adversary breaks: {}.", weak.join("; ")),
        format!("lockgate crypto plan pq-hybrid --listener {}", first.name),
    )
}

fn upstreams(background: &Background) -> Option<Gap> {
    let mut weak = Vec::new();
    for server in &background.servers {
        let name = visible(&server.name, 60);
        match &server.reached {
            Reached::Plain => weak.push(format!("{name} (http through a network, nothing protects it)")),
            Reached::Tls { profile, classical } if !classical.is_empty() => {
                weak.push(format!("{name} ({profile}: {})", listed(classical)));
            }
            _ => {}
        }
    }
    (!weak.is_empty()).then(|| {
        gap(
            format!("Servers on a way that is not quantum-safe: {}.", weak.join("; ")),
            "reach them by https:// with profile = \"pq-hybrid\" in their [[server]], or through a node beside them",
        )
    })
    .flatten()
}

fn countries(log: &Collector, background: &Background) -> Option<Gap> {
    let unknown = log
        .flows
        .iter()
        .filter(|(_, flow)| flow.calls > 0)
        .filter(|(name, _)| {
            let server = background.servers.iter().find(|server| server.name == *name);
            server.is_none_or(|server| server.country.is_none() && leaves(&server.reached))
        })
        .count();
    (unknown > 0)
        .then(|| {
            gap(
                format!("Recipients whose country is unknown: {}.", number(unknown as u64)),
                "name the configuration with --config; country = \"DE\" in the [[server]] of each recipient",
            )
        })
        .flatten()
}

/// Whether what is sent there leaves this machine.
pub(crate) fn leaves(reached: &Reached) -> bool {
    matches!(reached, Reached::Plain | Reached::Tls { .. })
}

fn purposes(log: &Collector, background: &Background) -> Option<Gap> {
    if let Some(problem) = &background.policies_unread {
        let what = format!(
            "The policies could not be read, so that the reasons in them are unknown: {}.",
            visible(problem, 200)
        );
        return gap(what, "make the report where they are, with --state and --config");
    }
    let used = log.flows.iter().flat_map(|(_, flow)| &flow.policies.listed);
    let without: std::collections::BTreeSet<&String> =
        used.filter(|policy| !background.purposes.contains_key(*policy)).collect();
    let names: Vec<String> = without.iter().take(5).map(|name| visible(name, 60)).collect();
    let more = if without.len() > names.len() { " and more" } else { "" };
    (!without.is_empty())
        .then(|| {
            gap(
                format!("Policies that permitted calls and say no reason: {}{more}.", names.join(", ")),
                "reason = \"…\" in the rule, or @reason(\"…\") before the Cedar policy",
            )
        })
        .flatten()
}

fn retention(days: u16, log: &Collector) -> Option<Gap> {
    let reaches_back = log.first.map_or(0, |first| (log.period.to_ms() - first.time_ms).max(0) / DAY_MS);
    (reaches_back < i64::from(days)).then(|| {
        gap(
            format!("The log reaches back {reaches_back} days at the end of the period; the control asks for {days}."),
            "keep the log's older files, or say where older evidence is",
        )
    })
    .flatten()
}
