//! What a report means, and what to do about it.

use lockgate_crypto::Kind;
use serde::{Deserialize, Serialize};

use super::catalogued;
use super::report::{Certificate, ClientCertificate, Moved, Offer, Report, Whose};

/// How bad it is, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Links to this server are open to an attack, or will be.
    Bad,
    /// It holds, but not for all clients or not for long.
    Warning,
    /// Worth knowing.
    Note,
    /// As it should be.
    Good,
}

/// One thing that a report means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// How bad it is.
    pub level: Level,
    /// What it is about: `key exchange`, `authentication`, `versions`, `certificate`, `tolerance`, `clients`.
    pub about: String,
    /// What was found, in one sentence.
    pub found: String,
    /// What to do, if there is something.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub advice: Option<String>,
}

fn verdict(level: Level, about: &str, found: impl Into<String>) -> Verdict {
    Verdict { level, about: about.to_owned(), found: found.into(), advice: None }
}

impl Verdict {
    fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// A certificate that ends within so many milliseconds is worth a word: a week.
const EXPIRES_SOON_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// The verdicts of a report, the worst first.
pub(super) fn of(report: &Report) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    verdicts.extend(key_exchange(report));
    verdicts.extend(authentication(report));
    verdicts.extend(versions(report));
    verdicts.extend(certificates(report));
    verdicts.extend(tolerance(report));
    verdicts.extend(clients(report));
    // Stable: within a level the order above stays.
    verdicts.sort_by_key(|verdict| verdict.level);
    verdicts
}

fn key_exchange(report: &Report) -> Vec<Verdict> {
    const ABOUT: &str = "key exchange";
    let (safe, traditional): (Vec<_>, Vec<_>) = report
        .groups
        .iter()
        .map(|group| &group.offer)
        .filter(|offer| offer.answer.is_yes())
        .partition(|offer| offer.is_quantum_safe());
    let list =
        |offers: &[&Offer]| offers.iter().map(|offer| offer.id.as_str()).collect::<Vec<_>>().join(", ");
    if safe.is_empty() {
        let found =
            "no quantum-safe group: what is recorded today can be read once there is a quantum computer";
        let best = catalogued::recommended(Kind::Group).unwrap_or("a hybrid group");
        let advice = format!(
            "enable {best} at the server (its TLS library may have to be newer), or put a Lockgate gateway in front of it"
        );
        return vec![verdict(Level::Bad, ABOUT, found).advise(advice)];
    }
    let mut others: Vec<&str> = traditional.iter().map(|offer| offer.id.as_str()).collect();
    others.extend(report.groups_unknown.iter().map(String::as_str));
    let older = report.versions.iter().skip(1).any(|version| version.answer.is_yes());
    let with =
        if others.is_empty() && !older { "every client that gets in" } else { "clients that can do it" };
    let mut verdicts =
        vec![verdict(Level::Good, ABOUT, format!("quantum-safe with {with}: {}", list(&safe)))];
    if !others.is_empty() {
        let found = format!("clients that cannot do it get in too, with {}", others.join(", "));
        verdicts.push(
            verdict(Level::Note, ABOUT, found)
                .advise("once all clients can: take these groups out, so that nobody can be kept on them"),
        );
    }
    verdicts.extend(not_moved(report));
    verdicts
}

/// A client that could do better, and is left where it is.
fn not_moved(report: &Report) -> Option<Verdict> {
    let share = report.traditional_share.as_ref()?;
    let kept = |moved: &Moved| matches!(moved, Moved::Traditional { .. });
    let which = match (kept(&share.listed_first), kept(&share.listed_last)) {
        (true, true) => "a client that sends a share of",
        (true, false) => "a client that lists and shares first",
        (false, true) => "a client that lists last, but shares,",
        (false, false) => return None,
    };
    let found = format!("{which} {} stays on it, although both sides could do better", share.shared);
    let advice = match report.group_order.whose {
        Whose::Client | Whose::Mixed => {
            "let the server's order decide, quantum-safe groups first, and list those first at the clients"
        }
        _ => "have the server prefer quantum-safe groups even if that costs a HelloRetryRequest",
    };
    Some(verdict(Level::Warning, "key exchange", found).advise(advice))
}

fn authentication(report: &Report) -> Vec<Verdict> {
    const ABOUT: &str = "authentication";
    let accepted: Vec<_> = report
        .signatures
        .iter()
        .map(|signature| &signature.offer)
        .filter(|offer| offer.answer.is_yes())
        .collect();
    let names = |safe: bool| {
        let offers = accepted.iter().filter(|offer| offer.is_quantum_safe() == safe);
        offers.map(|offer| offer.id.as_str()).collect::<Vec<_>>().join(", ")
    };
    let (safe, traditional) = (names(true), names(false));
    match (safe.is_empty(), traditional.is_empty()) {
        (true, true) => vec![verdict(Level::Note, ABOUT, "no signature could be verified")],
        (true, false) => {
            let found =
                format!("traditional signatures only ({traditional}): no danger for what is recorded today");
            let best = catalogued::recommended(Kind::Signature).unwrap_or("a quantum-safe algorithm");
            let advice =
                format!("plan a certificate of {best} before quantum computers can forge signatures");
            vec![verdict(Level::Warning, ABOUT, found).advise(advice)]
        }
        (false, true) => vec![verdict(Level::Good, ABOUT, format!("quantum-safe: {safe}"))],
        (false, false) => vec![
            verdict(Level::Good, ABOUT, format!("quantum-safe with clients that ask for it: {safe}")),
            verdict(Level::Note, ABOUT, format!("other clients are served {traditional}")),
        ],
    }
}

fn versions(report: &Report) -> Vec<Verdict> {
    const ABOUT: &str = "versions";
    let spoken = |name: &str| {
        report.versions.iter().find(|version| version.version == name && version.answer.is_yes())
    };
    let mut verdicts = Vec::new();
    if spoken("TLSv1.3").is_none() {
        let found = "TLS 1.3 is not spoken, and there is no quantum-safe key exchange without it";
        verdicts.push(verdict(Level::Bad, ABOUT, found).advise("enable TLS 1.3 at the server"));
    } else if spoken("TLSv1.2").is_none() {
        verdicts.push(verdict(Level::Good, ABOUT, "TLS 1.3 and nothing older"));
    } else {
        let found = "TLS 1.2 is spoken too, which has no quantum-safe key exchange";
        verdicts.push(verdict(Level::Note, ABOUT, found).advise("turn it off when no client needs it"));
    }
    let old: Vec<_> = ["TLSv1.1", "TLSv1.0"].into_iter().filter(|name| spoken(name).is_some()).collect();
    if !old.is_empty() {
        let found = format!("{} is spoken, which RFC 8996 forbids", old.join(" and "));
        verdicts.push(verdict(Level::Bad, ABOUT, found).advise("turn it off at the server"));
    }
    if report.versions.iter().any(|version| version.sentinel == Some(false)) {
        let found = "an older version is agreed to without the sentinel of RFC 9846 section 4.1.3";
        let advice = "update the server's TLS library: clients cannot see a downgrade";
        verdicts.push(verdict(Level::Bad, ABOUT, found).advise(advice));
    }
    verdicts
}

fn certificates(report: &Report) -> Vec<Verdict> {
    let leaves = report.chains.iter().filter_map(|chain| chain.certificates.first());
    let ends = |leaf: &Certificate| {
        let name = leaf.names.first().unwrap_or(&leaf.subject);
        let (level, how) = match leaf.not_after_ms {
            0 => return None,
            end if end < report.at_ms => (Level::Bad, "expired"),
            // One that lives for hours or a day is renewed by a program.
            end if end - report.at_ms < EXPIRES_SOON_MS && !leaf.is_short_lived() => {
                (Level::Warning, "expires")
            }
            _ => return None,
        };
        let found = format!("the {} certificate of {name} {how} at {}", leaf.key, leaf.not_after);
        Some(verdict(level, "certificate", found).advise("renew it"))
    };
    leaves.filter_map(ends).collect()
}

fn tolerance(report: &Report) -> Vec<Verdict> {
    const ABOUT: &str = "tolerance";
    let tolerance = &report.tolerance;
    let mut verdicts = Vec::new();
    let modern = report.versions.first().is_some_and(|version| version.answer.is_yes());
    if modern && !tolerance.unknown_values.is_yes() {
        let places = match tolerance.intolerant_of.as_slice() {
            [] => "unknown values in several places at once".to_owned(),
            places => format!("unknown values among its {}", places.join(", ")),
        };
        let found =
            format!("the server refuses a client for {places}, so that new algorithms cannot be introduced");
        verdicts.push(verdict(Level::Bad, ABOUT, found).advise("update the server's TLS library (RFC 8701)"));
    }
    let bytes = tolerance.large_hello_bytes;
    // Zero: it was not sent. No answer is as bad as a refusal: other hellos did get one.
    let found = match (tolerance.large_hello.is_yes(), tolerance.split_hello.is_yes()) {
        (true, true) => return verdicts,
        _ if bytes == 0 => return verdicts,
        (true, false) => {
            format!("a ClientHello of {bytes} bytes is understood in one segment, and not in two")
        }
        (false, _) => format!("a ClientHello of {bytes} bytes with a post-quantum share is not understood"),
    };
    let advice = "clients with post-quantum key exchange cannot connect: update the server, or the middlebox before it";
    verdicts.push(verdict(Level::Bad, ABOUT, found).advise(advice));
    verdicts
}

fn clients(report: &Report) -> Vec<Verdict> {
    const ABOUT: &str = "clients";
    let mut verdicts = Vec::new();
    match report.client_certificate {
        Some(ClientCertificate::Required) => {
            verdicts.push(verdict(Level::Note, ABOUT, "a client certificate is required"));
        }
        Some(ClientCertificate::Asked) => {
            verdicts.push(verdict(Level::Note, ABOUT, "a client certificate is asked for, and not required"));
        }
        Some(ClientCertificate::NotAsked) | None => {}
    }
    if let Some(resumption) = &report.resumption
        && resumption.resumed == Some(false)
    {
        verdicts.push(verdict(
            Level::Note,
            ABOUT,
            "tickets are given out, and not accepted by the next link",
        ));
    }
    verdicts
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
