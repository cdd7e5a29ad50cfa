//! What the tests of links share: an authority, nodes, agents, and a listener on loopback.
#![allow(dead_code)] // each test binary uses a part

use std::time::{Duration, SystemTime};

use lockgate_crypto::{Family, Suite, profile};
use lockgate_identity::enrol::Enrolment;
use lockgate_identity::verifier::{self, Expect};
use lockgate_identity::{
    AGENT_LIFETIME, Authority, Leaf, NODE_LIFETIME, NodeIdentity, Request, Role, SpiffeId,
};
use lockgate_transport::{Dialer, Limits, Link, Listener, SecureError, ServerTls, dialer, secure};

/// Far beyond what any step takes: a test that hangs fails.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, future).await.expect("the step hangs")
}

pub(crate) fn suite(name: &str) -> Suite {
    profile::find(name).unwrap().compile(7).unwrap()
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
        let authority = Authority::generate("example.org", then).unwrap();
        Self { authority }
    }

    pub(crate) fn node(&self) -> NodeIdentity {
        let id = SpiffeId::node("example.org", "gateway").unwrap();
        let now = SystemTime::now();
        let ips = ["127.0.0.1".parse().unwrap()];
        let names = ["localhost".to_owned()];
        self.authority.issue_node(&id, &names, &ips, NODE_LIFETIME, now).unwrap()
    }

    /// A node that holds leaves of these families only.
    pub(crate) fn node_of(&self, families: &[Family]) -> NodeIdentity {
        let mut node = self.node();
        node.leaves.retain(|leaf| families.contains(&leaf.family));
        node
    }

    pub(crate) fn agent(&self, family: Family) -> Leaf {
        self.agent_at(family, SystemTime::now())
    }

    /// An agent's leaf that was issued at `now`.
    pub(crate) fn agent_at(&self, family: Family, now: SystemTime) -> Leaf {
        let enrolment = Enrolment::begin(family).unwrap();
        let request = Request {
            key: lockgate_identity::enrol::ProvenKey::from_request_pem(enrolment.request_pem()).unwrap(),
            id: SpiffeId::agent("example.org", "claude").unwrap(),
            role: Role::Agent,
            dns_names: Vec::new(),
            ips: Vec::new(),
            lifetime: AGENT_LIFETIME,
        };
        let issued = self.authority.issue(&request, now).unwrap();
        let bundle = self.authority.bundle().clone();
        enrolment.finish(&issued.to_pem(), bundle, now).unwrap().leaf
    }

    pub(crate) fn tls(&self, profile: &str, node: &NodeIdentity) -> ServerTls {
        ServerTls::new(suite(profile), node, self.authority.bundle()).unwrap()
    }

    pub(crate) fn dialer(&self, profile: &str, identity: Option<&Leaf>) -> Dialer {
        let suite = suite(profile);
        let verifier = verifier::server(self.authority.bundle(), &suite, Expect::Node);
        Dialer::new(suite, identity, verifier, dialer::Limits::default()).unwrap()
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
