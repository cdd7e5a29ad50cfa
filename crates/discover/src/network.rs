//! Asking addresses whether an MCP server is there. Only what the user names is asked, slowly, and nothing is called.
//!
//! For each address: TCP, TLS, server cards and protected-resource metadata, `server/discover` (2026-07-28), `initialize`
//! (2025-11-25), and at last the HTTP of before with its own events. The first that answers as MCP does ends it. A session that
//! was opened is closed. No credential is sent, no redirect followed, no tool called; tools are listed only where that is asked for
//! and nobody had to log in.

use std::sync::Arc;
use std::time::Duration;

use lockgate_transport::probe::Prober;
use lockgate_transport::probe::report::{Moved, Report, Whose};
use lockgate_transport::{DialError, Dialer, Trust, dialer};
use tokio::time::Instant;

use crate::assemble::Seen;
use crate::map::{Authentication, Confidence, Tls, Transport};

pub mod answer;
mod exchange;
mod target;

pub use target::{Probe, TargetError, parse};

use answer::{Answer, Verdict};
use exchange::{Exchange, Place};

/// What a survey may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Addresses and ports, all together; a /24 at four ports.
    pub places_max: usize,
    /// Places that are begun in a second: a survey should not be taken for an attack.
    pub places_per_s_max: u32,
    /// Places that are asked at the same time.
    pub at_once_max: usize,
    /// Milliseconds for TCP and for TLS.
    pub connect_ms_max: u64,
    /// Milliseconds for one answer.
    pub answer_ms_max: u64,
    /// Bytes of one answer.
    pub answer_bytes_max: usize,
    /// Requests to one place.
    pub requests_max: usize,
    /// Tools of one server; what has more is no help to anybody.
    pub tools_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            places_max: 1_024,
            places_per_s_max: 50,
            at_once_max: 16,
            connect_ms_max: 1_500,
            answer_ms_max: 3_000,
            answer_bytes_max: 1 << 20,
            requests_max: 32,
            tools_max: 1_000,
        }
    }
}

/// How thoroughly a server is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// What it is.
    Presence,
    /// And which tools it has, if it tells strangers.
    Tools,
}

/// Why nothing can be asked.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The algorithms of the survey cannot be had.
    #[error("no TLS: {0}")]
    Tls(String),
}

/// Where cards are; three spellings are in use (SEP-1649, SEP-2127, both open).
const CARDS: &[&str] =
    &["/.well-known/mcp/server-card.json", "/.well-known/mcp-server-card", "/.well-known/mcp.json"];
/// Metadata of RFC 9728.
const METADATA: &str = "/.well-known/oauth-protected-resource";
/// Where servers are found.
const PATHS: &[&str] = &["/mcp", "/", "/api/mcp", "/v1/mcp", "/mcp/v1", "/api/v1/mcp", "/.well-known/mcp"];
/// Where the events of the earlier transport begin.
const EVENTS: &str = "/sse";

/// Asks addresses.
pub struct Surveyor {
    limits: Limits,
    plain: Arc<Dialer>,
    tls: Arc<Dialer>,
}

impl Surveyor {
    /// A surveyor within these limits. It takes whatever certificate it is shown: it says nothing that is secret.
    ///
    /// # Errors
    /// [`NetworkError`].
    pub fn new(limits: Limits) -> Result<Self, NetworkError> {
        let failed = |error: &dyn std::error::Error| NetworkError::Tls(error.to_string());
        let profile = lockgate_crypto::profile::find("pq-transition").map_err(|error| failed(&error))?;
        let suite = profile.compile(1).map_err(|error| failed(&error))?;
        let bounds = dialer::Limits {
            connect_ms_max: limits.connect_ms_max,
            handshake_ms_max: limits.connect_ms_max,
            ..dialer::Limits::default()
        };
        let tls = Dialer::new(suite, None, Trust::any_for_pinning(), bounds.clone())
            .map_err(|error| failed(&error))?;
        Ok(Self { limits, plain: Arc::new(Dialer::plain(bounds)), tls: Arc::new(tls.http1_only()) })
    }

    /// Asks all places; `progress` hears of each. What is no MCP server is left out.
    pub async fn survey(
        self: &Arc<Self>,
        places: &[Probe],
        depth: Depth,
        progress: &(dyn Fn(&str) + Sync),
    ) -> Vec<Seen> {
        let pause = Duration::from_secs(1) / self.limits.places_per_s_max.max(1);
        let (mut tasks, mut found) = (tokio::task::JoinSet::new(), Vec::new());
        let mut next = Instant::now();
        for place in places.iter().take(self.limits.places_max) {
            if tasks.len() >= self.limits.at_once_max
                && let Some(done) = tasks.join_next().await
            {
                found.extend(done.ok().flatten());
            }
            tokio::time::sleep_until(next).await;
            next = Instant::now() + pause;
            progress(&place.to_string());
            let (surveyor, place) = (Arc::clone(self), place.clone());
            tasks.spawn(async move { surveyor.one(&place, depth).await });
        }
        while let Some(done) = tasks.join_next().await {
            found.extend(done.ok().flatten());
        }
        found
    }

    /// Asks one place.
    pub async fn one(&self, place: &Probe, depth: Depth) -> Option<Seen> {
        // Plain first: what takes no TCP is asked nothing more.
        drop(self.plain.dial(&place.host, place.port).await.ok()?);
        let (scheme, dialer, tls) = match self.tls.dial(&place.host, place.port).await {
            Ok(link) => ("https", &self.tls, link.posture.as_deref().map(negotiated)),
            Err(error) if speaks_tls(&error) => return None,
            Err(_) => ("http", &self.plain, Some(Tls::plain())),
        };
        let base = Place { scheme, host: place.host.clone(), port: place.port };
        let mut exchange = Exchange::new(&base, Arc::clone(dialer), &self.limits).ok()?;
        let seen = ask(&mut exchange, place.path.as_deref(), depth).await;
        exchange.close().await;
        seen.map(|seen| Seen { tls: seen.tls.or(tls), ..seen })
    }

    /// The whole posture of an endpoint, by some dozens of handshakes.
    pub async fn posture(&self, host: &str, port: u16) -> Option<Tls> {
        let report = Prober::default().probe(host, port, None, |_| ()).await.ok()?;
        Some(surveyed(&report))
    }
}

/// Whether it is TLS that refused us, so that plain HTTP would not be understood either.
fn speaks_tls(error: &DialError) -> bool {
    let text = error.to_string();
    !matches!(error, DialError::HandshakeTimeout { .. }) && text.contains("alert")
}

/// The questions, in order.
async fn ask(exchange: &mut Exchange, path: Option<&str>, depth: Depth) -> Option<Seen> {
    let mut card = None;
    for path in CARDS {
        // The first request also tells whether it is HTTP at all.
        let answer = exchange.get(path, "application/json").await?;
        if let Some(found) = answer::card(&answer) {
            card = Some(found);
            break;
        }
    }
    let metadata = exchange
        .get(METADATA, "application/json")
        .await
        .is_some_and(|answer| answer::protected_resource(&answer));
    let paths = path.into_iter().chain(PATHS.iter().copied().filter(|known| Some(*known) != path));
    let mut refused = None;
    for path in paths {
        let Some(seen) = at_path(exchange, path, depth).await else { continue };
        if seen.confidence == Confidence::Confirmed {
            return Some(named(seen, card));
        }
        refused.get_or_insert(seen);
    }
    let answer = exchange.get(EVENTS, "text/event-stream").await;
    if answer.as_ref().is_some_and(answer::opens_events) {
        let url = exchange.url(EVENTS);
        return Some(named(seen(url, Transport::Sse, (Confidence::Confirmed, Authentication::None)), card));
    }
    if let Some(seen) = refused {
        // A 401 is anybody's; one with metadata or a card beside it is an MCP server's.
        let sure = metadata || card.is_some() || seen.authentication == Authentication::OAuth;
        return sure.then(|| named(seen, card));
    }
    let card = card?;
    let url = exchange.url(card.path.as_deref().unwrap_or("/mcp"));
    Some(named(seen(url, Transport::Http, (Confidence::Likely, Authentication::Unknown)), Some(card)))
}

async fn at_path(exchange: &mut Exchange, path: &str, depth: Depth) -> Option<Seen> {
    let url = exchange.url(path);
    let answer = exchange.discover(path).await?;
    let found = |verdict: Verdict| {
        let (name, version) = (verdict.name, verdict.version);
        Seen {
            name,
            version,
            ..seen(url.clone(), Transport::Http, (verdict.confidence, verdict.authentication))
        }
    };
    if let Some(verdict) = answer::modern(&answer) {
        let mut seen = found(verdict);
        if seen.authentication == Authentication::None && depth == Depth::Tools {
            seen.tools = exchange.tools(path, None).await;
        }
        return Some(seen);
    }
    if matches!(answer.status, 404 | 405) && !answer.is_json_rpc() {
        return None;
    }
    let (answer, session): (Answer, Option<String>) = exchange.initialize(path).await?;
    let mut seen = found(answer::legacy(&answer)?);
    if seen.authentication == Authentication::None && depth == Depth::Tools {
        seen.tools = exchange.tools(path, Some(session.as_deref())).await;
    }
    Some(seen)
}

fn seen(
    url: String,
    transport: Transport,
    (confidence, authentication): (Confidence, Authentication),
) -> Seen {
    Seen {
        url,
        transport,
        confidence,
        authentication,
        tls: None,
        name: None,
        version: None,
        tools: Vec::new(),
    }
}

fn named(seen: Seen, card: Option<answer::Card>) -> Seen {
    let card = card.unwrap_or_default();
    Seen { name: seen.name.or(card.name), version: seen.version.or(card.version), ..seen }
}

fn negotiated(posture: &lockgate_crypto::Posture) -> Tls {
    let safe = |id: &str| lockgate_crypto::catalog::find(id).map(lockgate_crypto::Algorithm::is_quantum_safe);
    Tls {
        protocol: Some(posture.protocol.clone()),
        quantum_safe_key_exchange: safe(&posture.group),
        quantum_safe_authentication: posture.peer_signature.as_deref().and_then(safe),
        group: Some(posture.group.clone()),
        signature: posture.peer_signature.clone(),
        cipher: Some(posture.cipher.clone()),
        ..Tls::plain()
    }
}

fn surveyed(report: &Report) -> Tls {
    let handshake = report.handshakes.first();
    let yes = |answer: &lockgate_transport::probe::report::Answer| answer.is_yes();
    let downgrade = report.traditional_share.as_ref().and_then(|share| {
        let weak =
            |moved: &Moved| if let Moved::Traditional { group } = moved { Some(group.clone()) } else { None };
        weak(&share.listed_last).or_else(|| weak(&share.listed_first))
    });
    let preference = match report.group_order.whose {
        Whose::Server => "server",
        Whose::Client => "client",
        Whose::QuantumSafeFirst => "quantum-safe first",
        Whose::Mixed => "mixed",
        Whose::Single => "single",
        Whose::Unclear => "unclear",
    };
    Tls {
        protocol: report
            .versions
            .iter()
            .find(|version| yes(&version.answer))
            .map(|version| version.version.clone()),
        group: handshake.map(|handshake| handshake.group.clone()),
        signature: handshake.and_then(|handshake| handshake.signature.clone()),
        cipher: None,
        quantum_safe_key_exchange: Some(report.quantum_safe.key_exchange),
        quantum_safe_authentication: Some(report.quantum_safe.authentication),
        groups: report
            .groups
            .iter()
            .filter(|group| yes(&group.offer.answer))
            .map(|group| group.offer.id.clone())
            .collect(),
        signatures: report
            .signatures
            .iter()
            .filter(|one| yes(&one.offer.answer))
            .map(|one| one.offer.id.clone())
            .collect(),
        preference: Some(preference.to_owned()),
        downgrade: downgrade.map(|group| format!("a client that shares {group} first stays with it")),
    }
}
