//! What the tests of links share: an authority, nodes, agents, and a listener on loopback.
#![allow(dead_code)] // each test binary uses a part

use std::time::{Duration, SystemTime};

use lockgate_crypto::{Algorithm, Suite, catalog, profile};
use lockgate_identity::enrol::Enrolment;
use lockgate_identity::verifier::Expect;
use lockgate_identity::{
    AGENT_LIFETIME, Authority, Leaf, NODE_LIFETIME, NodeIdentity, Request, Role, SpiffeId,
};
use lockgate_transport::{Dialer, Limits, Link, Listener, SecureError, ServerTls, Trust, dialer, secure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Of each nature the algorithm of which `pq-kex` makes its leaves.
pub(crate) const COMPOSITE: &str = "MLDSA65-Ed25519-SHA512";
pub(crate) const ML_DSA: &str = "ML-DSA-65";
pub(crate) const ECDSA: &str = "ECDSA-P256-SHA256";

/// Far beyond what any step takes: a test that hangs fails.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, future).await.expect("the step hangs")
}

pub(crate) fn suite(name: &str) -> Suite {
    profile::find(name).unwrap().compile(7).unwrap()
}

pub(crate) fn algorithm(id: &str) -> &'static Algorithm {
    catalog::find(id).unwrap()
}

pub(crate) struct World {
    pub(crate) authority: Authority,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::since(SystemTime::now())
    }

    /// An authority that was made at `then`.
    pub(crate) fn since(then: SystemTime) -> Self {
        let algorithms = [COMPOSITE, ML_DSA, ECDSA].map(algorithm);
        Self { authority: Authority::generate("example.org", &algorithms, then).unwrap() }
    }

    /// An authority with roots for all that these suites present.
    pub(crate) fn for_suites(suites: &[Suite]) -> Self {
        let mut algorithms: Vec<_> = suites.iter().flat_map(Suite::identities).copied().collect();
        algorithms.sort_by_key(|row| row.id);
        algorithms.dedup();
        Self { authority: Authority::generate("example.org", &algorithms, SystemTime::now()).unwrap() }
    }

    pub(crate) fn node(&self) -> NodeIdentity {
        self.node_of(&[COMPOSITE, ML_DSA, ECDSA].map(algorithm))
    }

    /// A node that holds leaves of these algorithms.
    pub(crate) fn node_of(&self, algorithms: &[&'static Algorithm]) -> NodeIdentity {
        let id = SpiffeId::node("example.org", "gateway").unwrap();
        let now = SystemTime::now();
        let ips = ["127.0.0.1".parse().unwrap()];
        let names = ["localhost".to_owned()];
        self.authority.issue_node(&id, &names, &ips, algorithms, NODE_LIFETIME, now).unwrap()
    }

    pub(crate) fn agent(&self, id: &str) -> Leaf {
        self.agent_at(id, SystemTime::now())
    }

    /// An agent's leaf that was issued at `now`.
    pub(crate) fn agent_at(&self, id: &str, now: SystemTime) -> Leaf {
        let enrolment = Enrolment::begin(algorithm(id)).unwrap();
        let request = Request {
            key: lockgate_identity::enrol::ProvenKey::from_request_pem(enrolment.request_pem()).unwrap(),
            id: SpiffeId::agent("example.org", "claude").unwrap(),
            role: Role::Agent,
            dns_names: Vec::new(),
            ips: Vec::new(),
            lifetime: AGENT_LIFETIME,
        };
        let issued = self.authority.issue(&request, now).unwrap();
        enrolment.finish(&issued.to_pem(), self.authority.bundle(), now).unwrap().leaf
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::own(&self.authority.bundle(), Expect::Node)
    }

    pub(crate) fn tls(&self, profile: &str, node: &NodeIdentity) -> ServerTls {
        ServerTls::new(suite(profile), node, &self.authority.bundle()).unwrap()
    }

    pub(crate) fn dialer(&self, profile: &str, identity: Option<&Leaf>) -> Dialer {
        Dialer::new(suite(profile), identity, self.trust(), dialer::Limits::default()).unwrap()
    }
}

pub(crate) async fn listener() -> Listener {
    Listener::bind("127.0.0.1:0".parse().unwrap(), Limits::default()).await.unwrap()
}

/// Accepts one connection and secures it.
pub(crate) async fn accept(listener: &Listener, tls: &ServerTls) -> Result<Link, SecureError> {
    within(async {
        let accepted = listener.accept().await.unwrap();
        secure(accepted, tls, &Limits::default()).await
    })
    .await
}

/// A handshake between `dialer` and `tls`: the client's link, then the server's.
pub(crate) async fn pair(dialer: &Dialer, listener: &Listener, tls: &ServerTls) -> (Link, Link) {
    let port = listener.local().port();
    let (client, server) = tokio::join!(within(dialer.dial("127.0.0.1", port)), accept(listener, tls));
    (client.unwrap(), server.unwrap())
}

/// Sends one byte from the server, so that the client reads the ticket that precedes it.
pub(crate) async fn settle(client: &mut Link, server: &mut Link) {
    within(async {
        server.io.write_all(b"!").await.unwrap();
        server.io.flush().await.unwrap();
        let mut byte = [0];
        client.io.read_exact(&mut byte).await.unwrap();
    })
    .await;
}

/// A handshake, and whether it resumed: both ends must agree.
pub(crate) async fn resumes(dialer: &Dialer, listener: &Listener, tls: &ServerTls) -> bool {
    let (mut client, mut server) = pair(dialer, listener, tls).await;
    settle(&mut client, &mut server).await;
    let (client, server) = (client.posture.unwrap(), server.posture.unwrap());
    assert_eq!(client.resumed, server.resumed);
    client.resumed
}
