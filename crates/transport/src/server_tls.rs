//! What a listener presents and accepts, ready made for every kind of client.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use lockgate_crypto::catalog::Algorithm;
use lockgate_crypto::{CryptoRefused, Suite};
use lockgate_identity::{Leaf, NodeIdentity, TrustBundle, verifier};
use parking_lot::Mutex;
use rustls::crypto::CryptoProvider;
use rustls::server::ClientHello;
use rustls::sign::SingleCertAndKey;
use rustls::{ServerConfig, SignatureScheme};

use crate::link::Alpn;
use crate::session_cache::{LeafSessions, SESSIONS_MAX, SessionCache};

/// The TLS side of a listener: a profile, the leaves of a node and the roots that clients chain to.
///
/// All of it is one generation, published at once: a handshake sees the old one or the new one, never a
/// mixture.
#[derive(Debug)]
pub struct ServerTls {
    current: ArcSwap<Generation>,
    /// Whose turn it is to publish: what is kept is judged against what is in force.
    publishing: Mutex<()>,
}

/// TLS of a listener, built and not yet in force.
#[derive(Debug)]
pub struct Prepared(Generation);

/// Why TLS could not be set up from a profile and an identity.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate held is of a kind that the profile permits.
    #[error(
        "profile {profile} permits none of the certificates held ({held}); issue a leaf of one of {permitted}, or choose another profile"
    )]
    NoLeaf {
        /// The profile's dated name.
        profile: &'static str,
        /// Algorithms of the leaves held.
        held: String,
        /// Algorithms that the profile permits.
        permitted: String,
    },
    /// rustls does not accept the combination; the cause names what.
    #[error("profile {profile} cannot be used for TLS: {source}")]
    Config {
        /// The profile's dated name.
        profile: &'static str,
        /// What rustls said.
        source: rustls::Error,
    },
}

impl TlsError {
    pub(crate) fn no_leaf(suite: &Suite, leaves: &[&Leaf]) -> Self {
        Self::NoLeaf {
            profile: suite.profile().name,
            held: list(leaves.iter().map(|leaf| leaf.algorithm.id)),
            permitted: list(suite.signatures().iter().map(|algorithm| algorithm.id)),
        }
    }
}

/// What a swap did to the sessions that could be resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sessions {
    /// Nothing was taken away: they go on being resumed.
    Kept,
    /// An algorithm, a provider, a root or a kind of leaf is gone: the next handshake of each peer is a full one, so
    /// that nobody gets in by what held before.
    Dropped,
}

impl ServerTls {
    /// Builds the configurations for every group variant and every leaf of `node`, its own or one from
    /// outside.
    ///
    /// # Errors
    /// [`TlsError`]: nothing is substituted for what is missing.
    pub fn new(suite: Suite, node: &NodeIdentity, bundle: &TrustBundle) -> Result<Self, TlsError> {
        let Prepared(generation) = Self::prepare(suite, node, bundle)?;
        generation.keep_sessions_in(SessionCache::new(SESSIONS_MAX));
        Ok(Self { current: ArcSwap::from_pointee(generation), publishing: Mutex::default() })
    }

    /// Publishes another profile, renewed leaves or other roots to the handshakes that begin from now on.
    /// Links that are up stay up: their posture carries the epoch under which they were made. Sessions stay if
    /// nothing was taken away. On an error the old generation stays.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn swap(
        &self,
        suite: Suite,
        node: &NodeIdentity,
        bundle: &TrustBundle,
    ) -> Result<Sessions, TlsError> {
        Ok(self.publish(Self::prepare(suite, node, bundle)?))
    }

    /// Builds what [`ServerTls::publish`] puts in force, so that all that can fail has happened before the first of
    /// several listeners changes.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn prepare(suite: Suite, node: &NodeIdentity, bundle: &TrustBundle) -> Result<Prepared, TlsError> {
        Generation::build(suite, &node.leaves, bundle).map(Prepared)
    }

    /// Puts `prepared` in force, see [`ServerTls::swap`].
    pub fn publish(&self, Prepared(next): Prepared) -> Sessions {
        let _turn = self.publishing.lock();
        let now = self.current.load_full();
        // What a session was made under is admitted by each generation that its cache was handed on to.
        let kept = now.sessions.get().filter(|_| next.admits_sessions_of(&now)).cloned();
        let outcome = if kept.is_some() { Sessions::Kept } else { Sessions::Dropped };
        next.keep_sessions_in(kept.unwrap_or_else(|| SessionCache::new(SESSIONS_MAX)));
        self.current.store(Arc::new(next));
        outcome
    }

    /// The profile in force.
    pub fn suite(&self) -> Suite {
        self.current.load().suite.clone()
    }

    pub(crate) fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }
}

/// One published state of a listener's TLS.
#[derive(Debug)]
pub(crate) struct Generation {
    suite: Suite,
    bundle: TrustBundle,
    presented: Vec<&'static Algorithm>,
    /// Quantum-safe groups only: for clients that offer any of them.
    strict: Arc<CryptoProvider>,
    strict_configs: Vec<Arc<ServerConfig>>,
    /// Every permitted group; empty if the profile permits no other than the strict ones.
    open_configs: Vec<Arc<ServerConfig>>,
    /// Set when the generation is published.
    sessions: Arc<OnceLock<Arc<SessionCache>>>,
}

/// What one handshake goes by.
pub(crate) struct Choice {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) algorithm: &'static Algorithm,
}

impl Generation {
    fn build(suite: Suite, leaves: &[Leaf], bundle: &TrustBundle) -> Result<Self, TlsError> {
        let usable = usable_leaves(&suite, leaves)?;
        let every = suite.client_provider();
        let names: Vec<_> = every.kx_groups.iter().map(|group| group.name()).collect();
        let strict =
            suite.server_provider(&names).expect("a suite admits a client that offers all of its groups");

        let mut generation = Self {
            bundle: bundle.clone(),
            presented: usable.iter().map(|(algorithm, _)| *algorithm).collect(),
            strict_configs: Vec::new(),
            open_configs: Vec::new(),
            sessions: Arc::default(),
            strict,
            suite,
        };
        let configs = |provider: &Arc<CryptoProvider>| -> Result<Vec<_>, TlsError> {
            usable.iter().map(|(algorithm, leaf)| generation.config(provider, algorithm, leaf)).collect()
        };
        let strict_configs = configs(&generation.strict)?;
        let open_configs =
            if Arc::ptr_eq(&generation.strict, &every) { Vec::new() } else { configs(&every)? };
        generation.strict_configs = strict_configs;
        generation.open_configs = open_configs;
        Ok(generation)
    }

    fn config(
        &self,
        provider: &Arc<CryptoProvider>,
        algorithm: &'static Algorithm,
        leaf: &Leaf,
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|source| TlsError::Config { profile: self.suite.profile().name, source })?
            .with_client_cert_verifier(verifier::client(&self.bundle, &self.suite))
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(leaf.certified_key())));
        config.alpn_protocols = Alpn::names(Alpn::ALL);
        config.send_tls13_tickets = 1;
        // Early data may be replayed, and no MCP call is known to be safe to repeat.
        config.max_early_data_size = 0;
        config.session_storage = Arc::new(LeafSessions {
            cache: Arc::clone(&self.sessions),
            algorithm: algorithm.code_point.unwrap_or_default(),
        });
        Ok(Arc::new(config))
    }

    fn keep_sessions_in(&self, cache: Arc<SessionCache>) {
        // Once: a generation is published once.
        let _ = self.sessions.set(cache);
    }

    /// Whether sessions made under `old` would be made again today: of its algorithms and their providers, its
    /// roots and its leaves none is gone. Resumption skips all of these checks.
    fn admits_sessions_of(&self, old: &Self) -> bool {
        self.suite.admits_everything_of(&old.suite)
            && self.bundle.includes(&old.bundle)
            && old.presented.iter().all(|algorithm| self.presented.contains(algorithm))
    }

    /// The configuration for a client that sent `hello`: quantum-safe groups only if it offers any, and the
    /// strongest leaf that it can verify.
    pub(crate) fn choose(&self, hello: &ClientHello<'_>) -> Result<Choice, CryptoRefused> {
        let groups = hello.named_groups().unwrap_or_default();
        let provider = self.suite.server_provider(groups)?;
        let algorithm = self.suite.choose_signature(hello.signature_schemes(), &self.presented)?;
        let configs =
            if Arc::ptr_eq(&provider, &self.strict) { &self.strict_configs } else { &self.open_configs };
        let at = self.presented.iter().position(|held| *held == algorithm);
        let at = at.expect("the suite chooses among the algorithms that it was given");
        Ok(Choice { config: Arc::clone(&configs[at]), algorithm })
    }

    pub(crate) fn suite(&self) -> &Suite {
        &self.suite
    }
}

/// Pairs each leaf with the permitted algorithm that its key signs with.
fn usable_leaves<'a>(
    suite: &Suite,
    leaves: &'a [Leaf],
) -> Result<Vec<(&'static Algorithm, &'a Leaf)>, TlsError> {
    let usable: Vec<_> = leaves.iter().filter_map(|leaf| Some((signs_with(suite, leaf)?, leaf))).collect();
    if usable.is_empty() {
        return Err(TlsError::no_leaf(suite, &leaves.iter().collect::<Vec<_>>()));
    }
    Ok(usable)
}

/// The preferred permitted algorithm that the leaf's key signs with.
pub(crate) fn signs_with(suite: &Suite, leaf: &Leaf) -> Option<&'static Algorithm> {
    let key = leaf.certified_key();
    let signs = |algorithm: &&'static Algorithm| {
        let scheme = algorithm.code_point.map(SignatureScheme::from);
        scheme.is_some_and(|scheme| key.key.choose_scheme(&[scheme]).is_some())
    };
    suite.signatures().iter().copied().find(signs)
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}
