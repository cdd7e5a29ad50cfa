//! Whose tokens this node takes, and for what.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use lockgate_crypto::Algorithm;
use lockgate_identity::SpiffeId;
use lockgate_identity::token::{
    ForeignClaims, ForeignIssuer, KeyCache, Nonces, ReplayCache, Resource, Scope, TokenIssuer,
};

use crate::scopes::Scopes;

/// What a resource server has to know (RFC 9728, MCP authorization).
pub struct Rules {
    /// Where clients find this node, without a path: what tokens name as their audience begins with it. It is written
    /// down and never taken from a request, which could name any host.
    pub base: Resource,
    /// Where clients get tokens: issuer URLs (RFC 8414).
    pub authorization_servers: Vec<String>,
    /// Our own issuer.
    pub own: Option<Own>,
    /// Other issuers.
    pub foreign: Vec<Trusted>,
    /// What proofs of possession may be signed with ([`lockgate_crypto::jose::proof_algorithms`]).
    pub proof_algorithms: Vec<&'static Algorithm>,
    /// Whether such proofs need a nonce of ours.
    pub nonce_required: bool,
    /// What of scopes calls need.
    pub scopes: Scopes,
}

/// Finds what an agent is registered for.
pub type Registry = Box<dyn Fn(&SpiffeId) -> Registered + Send + Sync>;

/// Finds the agent that a foreign token speaks for; none for a stranger.
pub type AgentOf = Box<dyn Fn(&ForeignClaims) -> Option<Registered> + Send + Sync>;

/// Our own issuer, and what its agents are registered for.
pub struct Own {
    /// It issues and verifies.
    pub issuer: Arc<TokenIssuer>,
    /// What an agent's registration gives it.
    pub registered: Registry,
}

/// Another issuer whose tokens are taken.
pub struct Trusted {
    /// Which, and what of its tokens is checked. Its audiences are those that its tokens carry for this node.
    pub issuer: ForeignIssuer,
    /// Its keys.
    pub keys: Arc<dyn Keys>,
    /// The agent that a token speaks for, by registration; none for a stranger. What a token says of roles does not count.
    pub agent: AgentOf,
    /// Whether its tokens must be bound to a key.
    pub binding: Binding,
}

/// Whether tokens must be bound to something that their bearer proves (RFC 9449, RFC 8705).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Binding {
    /// They must.
    #[default]
    Required,
    /// One that is bound to nothing is taken, too: whoever sees it can use it until it ends.
    Waived,
}

/// An agent that is registered.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Its id.
    pub id: SpiffeId,
    /// Its roles.
    pub roles: Arc<[String]>,
    /// The most that its tokens may be used for; `None` sets no limit.
    pub scope: Option<Scope>,
}

/// The keys of another issuer, which somebody else fetches.
pub trait Keys: Send + Sync {
    /// As they were last fetched.
    fn current(&self) -> Arc<KeyCache>;
    /// Another number when other keys are there or none may be trusted any more: what was verified with those of before is
    /// verified again. Asked with each request, it also has keys that are getting old fetched beside.
    fn generation(&self) -> u64;
    /// Fetches them again, if that is not too soon. Has a deadline of its own, and says nothing of how it went: whoever
    /// asked looks at [`Keys::current`] once more.
    fn refetch<'a>(&'a self) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

/// The rules in force, and what outlives a change of them.
pub(crate) struct Bearers {
    pub(crate) rules: Rules,
    pub(crate) replays: Arc<ReplayCache>,
    pub(crate) nonces: Arc<Nonces>,
    /// Counts the rules: what was verified under others is verified again.
    pub(crate) generation: u64,
}

impl fmt::Debug for Bearers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bearers({}, {})", self.rules.base, self.generation)
    }
}

impl Bearers {
    /// Other rules. Proofs that were seen are remembered, and nonces stay good.
    pub(crate) fn next(rules: Rules, before: Option<&Self>) -> Self {
        Self {
            rules,
            replays: before.map_or_else(Arc::default, |before| before.replays.clone()),
            nonces: before.map_or_else(Arc::default, |before| before.nonces.clone()),
            generation: before.map_or(1, |before| before.generation + 1),
        }
    }

    /// What a request to `path` asks for; none if nothing can be there.
    pub(crate) fn resource(&self, path: &str) -> Option<Resource> {
        Resource::parse(&format!("{}{path}", self.rules.base)).ok()
    }

    /// The scope that everything at `path` needs.
    pub(crate) fn scope(&self, path: &str) -> Scope {
        self.rules.scopes.of_server(server_of(path))
    }
}

/// The server that a path names; none for all of them.
fn server_of(path: &str) -> Option<&str> {
    path.strip_prefix("/servers/")?.strip_suffix("/mcp")
}
