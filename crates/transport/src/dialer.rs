//! Dialling: TCP, and TLS above it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use lockgate_crypto::{Algorithm, Observed, Posture, Suite};
use lockgate_identity::{Evidence, Leaf};
use parking_lot::Mutex;
use rustls::client::{ResolvesClientCert, Resumption, Tls12Resumption};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::client_sessions::ClientSessions;
use crate::dial_error::{self, DialError};
use crate::io::{Counted, Io};
use crate::link::{self, Alpn, Link};
use crate::reach::Reach;
use crate::server_tls::{Sessions, TlsError, signs_with};
use crate::trust::{Judge, Trust};

/// What a [`Dialer`] allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Milliseconds for name resolution and TCP, all addresses of the host together.
    pub connect_ms_max: u64,
    /// Milliseconds for the TLS handshake.
    pub handshake_ms_max: u64,
    /// Servers of which a session is kept for resumption.
    pub sessions_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect_ms_max: 5_000, handshake_ms_max: 10_000, sessions_max: 64 }
    }
}

/// Opens links to servers, plain or with TLS.
pub struct Dialer {
    limits: Limits,
    protocols: &'static [Alpn],
    tls: Option<ArcSwap<ClientTls>>,
    /// Where it may connect to; anywhere, if nothing is said.
    reach: Option<Reach>,
    /// Whose turn it is to publish: what is kept is judged against what is in force.
    publishing: Mutex<()>,
}

/// TLS of a dialer, built for one of its states and not yet in force.
#[derive(Debug)]
pub struct Prepared(Option<ClientTls>);

/// One published state of a dialer's TLS.
#[derive(Clone, Debug)]
struct ClientTls {
    suite: Suite,
    trust: Trust,
    config: Arc<ClientConfig>,
    judge: Arc<Judge>,
    own: Option<Arc<Own>>,
    sessions: Arc<ClientSessions>,
}

impl Dialer {
    /// A dialer for plain TCP. Its links have no posture.
    pub fn plain(limits: Limits) -> Self {
        Self { limits, protocols: &[], tls: None, reach: None, publishing: Mutex::default() }
    }

    /// A dialer for TLS 1.3 that offers the groups of `suite`, the quantum-safe first, presents `identity` to
    /// servers that ask, and trusts whom `trust` says.
    ///
    /// # Errors
    /// [`TlsError::NoLeaf`] if the profile does not permit the identity's algorithm.
    pub fn new(
        suite: Suite,
        identity: Option<&Leaf>,
        trust: impl Into<Trust>,
        limits: Limits,
    ) -> Result<Self, TlsError> {
        let mut dialer = Self { protocols: Alpn::ALL, ..Self::plain(limits) };
        let tls = dialer.build(suite, identity, trust.into())?;
        dialer.tls = Some(ArcSwap::from_pointee(tls));
        Ok(dialer)
    }

    /// Offers HTTP/1.1 alone. An idle HTTP/1.1 link costs the server about 20 KiB less than one of HTTP/2;
    /// HTTP/2 pays off where a link carries several exchanges at once.
    #[must_use]
    pub fn http1_only(mut self) -> Self {
        self.protocols = &[Alpn::Http11];
        if let Some(tls) = &self.tls {
            tls.rcu(|tls| {
                let mut config = ClientConfig::clone(&tls.config);
                config.alpn_protocols = Alpn::names(self.protocols);
                ClientTls { config: Arc::new(config), ..ClientTls::clone(tls) }
            });
        }
        self
    }

    /// Connects to addresses within `reach` only, whatever a name means. For places that somebody else may have chosen.
    #[must_use]
    pub fn within(mut self, reach: Reach) -> Self {
        self.reach = Some(reach);
        self
    }

    /// Whether the links have TLS.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The profile dialled by; none on a plain dialer.
    pub fn suite(&self) -> Option<Suite> {
        self.tls.as_ref().map(|tls| tls.load().suite.clone())
    }

    /// Presents a renewed `identity` on the links dialled from now on. Another certificate drops the sessions: the
    /// server knows a resumed client by the certificate of its full handshake, and that one is about to expire.
    ///
    /// # Errors
    /// [`TlsError::NoLeaf`]; the old identity stays. A plain dialer has none to renew and returns `Ok`.
    pub fn renew(&self, identity: &Leaf) -> Result<Sessions, TlsError> {
        let Some(tls) = &self.tls else {
            return Ok(Sessions::Kept);
        };
        let now = tls.load_full();
        self.swap(now.suite.clone(), Some(identity), now.trust.clone())
    }

    /// Dials by another profile, identity or trust from now on. Sessions stay if nothing was taken away: the
    /// profile admits all that the old one did, everybody who was trusted is trusted still, and the identity is
    /// the same. Else they are dropped, so that nothing is resumed that the new state would not accept.
    ///
    /// # Errors
    /// [`TlsError::NoLeaf`]; the old state stays. On a plain dialer it does nothing.
    pub fn swap(
        &self,
        suite: Suite,
        identity: Option<&Leaf>,
        trust: impl Into<Trust>,
    ) -> Result<Sessions, TlsError> {
        Ok(self.publish(self.prepare(suite, identity, trust)?))
    }

    /// Builds what [`Dialer::publish`] puts in force, so that all that can fail has happened before the first of
    /// several dialers and listeners changes.
    ///
    /// # Errors
    /// [`TlsError::NoLeaf`].
    pub fn prepare(
        &self,
        suite: Suite,
        identity: Option<&Leaf>,
        trust: impl Into<Trust>,
    ) -> Result<Prepared, TlsError> {
        let tls = self.tls.as_ref().map(|_| self.build(suite, identity, trust.into()));
        Ok(Prepared(tls.transpose()?))
    }

    /// Dials by `prepared` from now on; it was prepared by this dialer. See [`Dialer::swap`].
    pub fn publish(&self, prepared: Prepared) -> Sessions {
        let (Some(tls), Prepared(Some(mut next))) = (&self.tls, prepared) else {
            return Sessions::Kept;
        };
        let _turn = self.publishing.lock();
        let now = tls.load_full();
        let kept = next.admits_sessions_of(&now);
        if kept {
            next.inherit(&now);
        }
        tls.store(Arc::new(next));
        if kept { Sessions::Kept } else { Sessions::Dropped }
    }

    /// Connects to `host` (a name, or an address without brackets) and performs the handshake for that name.
    ///
    /// # Errors
    /// [`DialError`], which tells a name that does not resolve from a port that is closed, a certificate that
    /// does not hold, and a refusal by crypto policy.
    pub async fn dial(&self, host: &str, port: u16) -> Result<Link, DialError> {
        let (stream, peer) = self.connect(host, port).await?;
        let evidence = Evidence {
            peer_certificates: Vec::new(),
            peer: Some(peer),
            local: stream.local_addr().ok(),
            same_user: false,
        };
        let socket = Counted::new(stream, None);
        match &self.tls {
            None => {
                let io = Io::Plain(socket);
                Ok(Link { io, evidence, posture: None, alpn: None, offered: None, exporter: None })
            }
            // Boxed: see `secure`.
            Some(tls) => Box::pin(self.handshake(&tls.load_full(), socket, evidence, (host, port))).await,
        }
    }

    async fn connect(&self, host: &str, port: u16) -> Result<(TcpStream, SocketAddr), DialError> {
        let limit = Duration::from_millis(self.limits.connect_ms_max);
        let deadline = Instant::now() + limit;
        let late = || DialError::ConnectTimeout {
            host: host.to_owned(),
            port,
            connect_ms_max: self.limits.connect_ms_max,
        };
        let explain = |source| dial_error::explain_connect(host, port, source);
        let addresses = tokio::time::timeout_at(deadline, tokio::net::lookup_host((host, port)));
        let addresses: Vec<_> = addresses
            .await
            .map_err(|_| late())?
            .map_err(|source| DialError::Resolve { host: host.to_owned(), source })?
            .collect();
        let addresses = self.within_reach(host, port, addresses)?;
        let mut last = explain(io::ErrorKind::AddrNotAvailable.into());
        for (at, address) in addresses.iter().enumerate() {
            // Each address gets an equal part of what is left, so that one that swallows packets leaves time
            // for the rest.
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(addresses.len() - at).unwrap_or(u32::MAX);
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok((stream, *address)),
                Ok(Err(source)) => last = explain(source),
                Err(_) => last = late(),
            }
        }
        Err(last)
    }

    /// Those that may be connected to. What is judged here is what is connected to: the name is not asked again.
    fn within_reach(
        &self,
        host: &str,
        port: u16,
        mut addresses: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, DialError> {
        let Some(reach) = &self.reach else { return Ok(addresses) };
        let outside = addresses.iter().copied().find(|address| !reach.permits(address.ip()));
        addresses.retain(|address| reach.permits(address.ip()));
        match outside {
            Some(address) if addresses.is_empty() => {
                Err(DialError::OutOfReach { host: host.to_owned(), port, address: address.ip() })
            }
            _ => Ok(addresses),
        }
    }

    async fn handshake(
        &self,
        tls: &ClientTls,
        socket: Counted,
        mut evidence: Evidence,
        (host, port): (&str, u16),
    ) -> Result<Link, DialError> {
        let begun = Instant::now();
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| DialError::Name { host: host.to_owned() })?;
        let connect = TlsConnector::from(Arc::clone(&tls.config)).connect(name, socket);
        let limit = Duration::from_millis(self.limits.handshake_ms_max);
        let stream = timeout(limit, connect)
            .await
            .map_err(|_| DialError::HandshakeTimeout {
                host: host.to_owned(),
                port,
                handshake_ms_max: self.limits.handshake_ms_max,
            })?
            .map_err(|error| dial_error::explain_handshake(host, port, &tls.suite, error))?;

        let (socket, connection) = stream.get_ref();
        let observed = Observed {
            own_signature: tls.own.as_ref().and_then(|own| own.presented()),
            handshake: begun.elapsed(),
            bytes_in: socket.bytes_in(),
            bytes_out: socket.bytes_out(),
            suite: &tls.suite,
        };
        let posture = Posture::from_rustls(connection, observed);
        let exporter = link::exported(connection);
        evidence.peer_certificates = connection.peer_certificates().unwrap_or_default().to_vec();
        Ok(Link {
            alpn: connection.alpn_protocol().and_then(Alpn::parse),
            io: Io::Tls(Box::new(stream.into())),
            evidence,
            posture: Some(Arc::new(posture)),
            offered: None,
            exporter,
        })
    }

    fn build(&self, suite: Suite, identity: Option<&Leaf>, trust: Trust) -> Result<ClientTls, TlsError> {
        let profile = suite.profile().name;
        let own = identity.map(|leaf| Own::new(&suite, leaf)).transpose()?;
        let judge = Judge::new(trust.verifier(&suite));
        let builder = ClientConfig::builder_with_provider(suite.client_provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|source| TlsError::Config { profile, source })?
            .dangerous() // rustls's word for any verifier but its own
            .with_custom_certificate_verifier(Arc::clone(&judge) as _);
        let mut config = match &own {
            Some(own) => builder.with_client_cert_resolver(Arc::clone(own) as _),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = Alpn::names(self.protocols);
        let sessions = ClientSessions::new(&suite, self.limits.sessions_max);
        config.resumption = resumption(&sessions);
        Ok(ClientTls { suite, trust, config: Arc::new(config), judge, own, sessions })
    }
}

fn resumption(sessions: &Arc<ClientSessions>) -> Resumption {
    Resumption::store(Arc::clone(sessions) as _).tls12_resumption(Tls12Resumption::Disabled)
}

impl ClientTls {
    /// Whether a server of a session made under `old` would be accepted today, and would accept us as the same
    /// client. Resumption skips all of these checks.
    fn admits_sessions_of(&self, old: &Self) -> bool {
        let same_identity = match (&self.own, &old.own) {
            (Some(own), Some(old)) => own.algorithm == old.algorithm && own.certificate == old.certificate,
            (None, None) => true,
            _ => false,
        };
        same_identity && self.suite.admits_everything_of(&old.suite) && self.trust.covers(&old.trust)
    }

    /// Takes over the sessions of `old`, and with them what rustls compares by address: the verifier, widened to
    /// the new rules, and the resolver of our certificate.
    fn inherit(&mut self, old: &Self) {
        old.judge.widen(self.trust.verifier(&self.suite));
        self.judge = Arc::clone(&old.judge);
        self.own.clone_from(&old.own);
        let same_groups = self.suite.groups() == old.suite.groups();
        self.sessions = old.sessions.carried_to(&self.suite, same_groups);
        let mut config = ClientConfig::clone(&self.config);
        config.dangerous().set_certificate_verifier(Arc::clone(&self.judge) as _);
        config.client_auth_cert_resolver = Arc::clone(&old.config.client_auth_cert_resolver);
        config.resumption = resumption(&self.sessions);
        self.config = Arc::new(config);
    }
}

/// Our certificate, and whether a server was shown it.
#[derive(Debug)]
struct Own {
    leaf: SingleCertAndKey,
    certificate: CertificateDer<'static>,
    algorithm: &'static Algorithm,
    /// Set when a handshake presents the certificate. A resumed link inherits it with the session, so that
    /// the flag belongs to the dialer, not to the link.
    asked: AtomicBool,
}

impl Own {
    fn new(suite: &Suite, leaf: &Leaf) -> Result<Arc<Self>, TlsError> {
        let algorithm = signs_with(suite, leaf).ok_or_else(|| TlsError::no_leaf(suite, &[leaf]))?;
        Ok(Arc::new(Self {
            leaf: SingleCertAndKey::from(leaf.certified_key()),
            certificate: leaf.certificate().clone(),
            algorithm,
            asked: AtomicBool::new(false),
        }))
    }

    fn presented(&self) -> Option<&'static Algorithm> {
        self.asked.load(Ordering::Relaxed).then_some(self.algorithm)
    }
}

impl ResolvesClientCert for Own {
    /// Nothing is presented to a server that could not verify it: then we stay anonymous, and say so.
    fn resolve(&self, root_hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let certified = ResolvesClientCert::resolve(&self.leaf, root_hints, schemes)
            .filter(|certified| certified.key.choose_scheme(schemes).is_some());
        self.asked.store(certified.is_some(), Ordering::Relaxed);
        certified
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let profile = self.tls.as_ref().map(|tls| tls.load().suite.profile().name);
        f.debug_struct("Dialer").field("profile", &profile).field("limits", &self.limits).finish()
    }
}
