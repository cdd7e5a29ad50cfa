//! The parts together: chains, handshakes, files.
#![allow(clippy::unwrap_used)]

mod chains;
mod files;
mod handshakes;
mod issuing;
mod rotation;
mod sizes;
mod updates;

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use lockgate_crypto::{Algorithm, PrivateKey, Suite, catalog, profile};

use crate::enrol::{AgentIdentity, Enrolment, ProvenKey};
use crate::{AGENT_LIFETIME, Authority, NODE_LIFETIME, NodeIdentity, Request, Role, SpiffeId, TrustBundle};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// 2026-11-22T12:00:00Z, the moment at which tests happen.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_348_800)
}

/// The authority that tests trust.
pub(crate) fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::generate("example.org", &all(), now()).unwrap())
}

/// An authority of the same name that nobody trusts.
pub(crate) fn impostor() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::generate("example.org", &all(), now()).unwrap())
}

/// What it hands out.
pub(crate) fn ours() -> &'static TrustBundle {
    static BUNDLE: OnceLock<TrustBundle> = OnceLock::new();
    BUNDLE.get_or_init(|| authority().bundle())
}

/// What the impostor hands out.
pub(crate) fn theirs() -> &'static TrustBundle {
    static BUNDLE: OnceLock<TrustBundle> = OnceLock::new();
    BUNDLE.get_or_init(|| impostor().bundle())
}

pub(crate) fn row(id: &str) -> &'static Algorithm {
    catalog::find(id).unwrap()
}

pub(crate) fn composite() -> &'static Algorithm {
    row("MLDSA65-Ed25519-SHA512")
}

pub(crate) fn ml_dsa() -> &'static Algorithm {
    row("ML-DSA-65")
}

pub(crate) fn ecdsa() -> &'static Algorithm {
    row("ECDSA-P256-SHA256")
}

/// The algorithms of which most tests take one of each nature.
pub(crate) fn all() -> [&'static Algorithm; 3] {
    [composite(), ml_dsa(), ecdsa()]
}

/// The profile that permits every algorithm.
pub(crate) fn any_suite() -> &'static Suite {
    static SUITE: OnceLock<Suite> = OnceLock::new();
    SUITE.get_or_init(|| profile::find("pq-kex").unwrap().compile(1).unwrap())
}

/// The default profile: nothing traditional alone.
pub(crate) fn hybrid() -> &'static Suite {
    static SUITE: OnceLock<Suite> = OnceLock::new();
    SUITE.get_or_init(|| profile::find("pq-hybrid").unwrap().compile(1).unwrap())
}

pub(crate) fn id(path: &str) -> SpiffeId {
    SpiffeId::parse(&format!("spiffe://example.org{path}")).unwrap()
}

pub(crate) fn node(authority: &Authority) -> NodeIdentity {
    let names = ["gateway.example.org".to_owned(), "localhost".to_owned()];
    let ips = ["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
    authority.issue_node(&id("/node/gateway"), &names, &ips, &all(), NODE_LIFETIME, now()).unwrap()
}

pub(crate) fn agent(authority: &Authority, algorithm: &'static Algorithm) -> AgentIdentity {
    let enrolment = Enrolment::begin(algorithm).unwrap();
    let key = ProvenKey::from_request_pem(enrolment.request_pem()).unwrap();
    let issued = authority.issue(&agent_request(key), now()).unwrap();
    enrolment.finish(&issued.to_pem(), authority.bundle(), now()).unwrap()
}

pub(crate) fn agent_request(key: ProvenKey) -> Request {
    Request {
        key,
        id: id("/agent/claude"),
        role: Role::Agent,
        dns_names: Vec::new(),
        ips: Vec::new(),
        lifetime: AGENT_LIFETIME,
    }
}

pub(crate) fn key(algorithm: &'static Algorithm) -> PrivateKey {
    PrivateKey::generate(algorithm).unwrap()
}
