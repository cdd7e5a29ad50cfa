//! The parts together: chains, handshakes, files.
#![allow(clippy::unwrap_used)]

mod chains;
mod files;
mod handshakes;
mod issuing;

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use lockgate_crypto::{Family, PrivateKey, Suite, profile};

use crate::enrol::{AgentIdentity, Enrolment, ProvenKey};
use crate::{AGENT_LIFETIME, Authority, NODE_LIFETIME, NodeIdentity, Request, Role, SpiffeId};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// 2026-11-22T12:00:00Z, the moment at which tests happen.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_348_800)
}

/// The authority that tests trust.
pub(crate) fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::generate("example.org", now()).unwrap())
}

/// An authority of the same name that nobody trusts.
pub(crate) fn impostor() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::generate("example.org", now()).unwrap())
}

/// The profile that permits every family.
pub(crate) fn any_family() -> &'static Suite {
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
    authority.issue_node(&id("/node/gateway"), &names, &ips, NODE_LIFETIME, now()).unwrap()
}

pub(crate) fn agent(authority: &Authority, family: Family) -> AgentIdentity {
    let enrolment = Enrolment::begin(family).unwrap();
    let key = ProvenKey::from_request_pem(enrolment.request_pem()).unwrap();
    let issued = authority.issue(&agent_request(key), now()).unwrap();
    enrolment.finish(&issued.to_pem(), authority.bundle().clone(), now()).unwrap()
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

pub(crate) fn key(family: Family) -> PrivateKey {
    PrivateKey::generate(family).unwrap()
}
