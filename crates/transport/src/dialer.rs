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
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ClientSessionMemoryCache, ResolvesClientCert, Resumption, Tls12Resumption};
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::dial_error::{self, DialError};
use crate::io::{Counted, Io};
use crate::link::{Alpn, Link};
use crate::server_tls::{TlsError, signs_with};

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
}

/// One published state of a dialer's TLS.
#[derive(Clone)]
struct ClientTls {
    suite: Suite,
    config: Arc<ClientConfig>,
    verifier: Arc<dyn ServerCertVerifier>,
    own: Option<Arc<Own>>,
}

impl Dialer {
    /// A dialer for plain TCP. Its links have no posture.
    pub fn plain(limits: Limits) -> Self {
        Self { limits, protocols: &[], tls: None }
    }

    /// A dialer for TLS 1.3 that offers the groups of `suite`, the quantum-safe first, presents `identity` to
    /// servers that ask, and trusts whom `verifier` trusts.
    ///
    /// # Errors
    /// [`TlsError::NoLeaf`] if the profile does not permit the identity's algorithm.
    pub fn new(
        suite: Suite,
        identity: Option<&Leaf>,
        verifier: Arc<dyn ServerCertVerifier>,
        limits: Limits,
    ) -> Result<Self, TlsError> {
        let mut dialer = Self { limits, protocols: Alpn::ALL, tls: None };
        let tls = dialer.build(suite, identity, verifier)?;
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

    /// Whether the links have TLS.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Presents a renewed `identity` on the links dialled from now on. Sessions are dropped: the server knows
    /// a resumed client by the certificate of its full handshake, and that one is about to expire.
    ///
    /// # Errors
    /// [`TlsError::NoLeaf`]; the old identity stays. A plain dialer has none to renew and returns `Ok`.
    pub fn renew(&self, identity: &Leaf) -> Result<(), TlsError> {
        let Some(tls) = &self.tls else {
            return Ok(());
        };
        let now = tls.load_full();
        let verifier = Arc::clone(&now.verifier);
        self.swap(now.suite.clone(), Some(identity), verifier)
    }

    /// Dials by another profile, identity or trust from now on. Sessions are dropped, so that nothing is
    /// resumed that the new state would not accept.
    ///
    /// # Errors
    /// [`TlsError::NoLeaf`]; the old state stays. On a plain dialer it does nothing.
    pub fn swap(
        &self,
        suite: Suite,
        identity: Option<&Leaf>,
        verifier: Arc<dyn ServerCertVerifier>,
    ) -> Result<(), TlsError> {
        if let Some(tls) = &self.tls {
            tls.store(Arc::new(self.build(suite, identity, verifier)?));
        }
        Ok(())
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
            None => Ok(Link { io: Io::Plain(socket), evidence, posture: None, alpn: None }),
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
        evidence.peer_certificates = connection.peer_certificates().unwrap_or_default().to_vec();
        Ok(Link {
            alpn: connection.alpn_protocol().and_then(Alpn::parse),
            io: Io::Tls(Box::new(stream.into())),
            evidence,
            posture: Some(Arc::new(posture)),
        })
    }

    fn build(
        &self,
        suite: Suite,
        identity: Option<&Leaf>,
        verifier: Arc<dyn ServerCertVerifier>,
    ) -> Result<ClientTls, TlsError> {
        let profile = suite.profile().name;
        let own = identity.map(|leaf| Own::new(&suite, leaf)).transpose()?;
        let builder = ClientConfig::builder_with_provider(suite.client_provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|source| TlsError::Config { profile, source })?
            .dangerous() // rustls's word for any verifier but its own
            .with_custom_certificate_verifier(Arc::clone(&verifier));
        let mut config = match &own {
            Some(own) => builder.with_client_cert_resolver(Arc::clone(own) as _),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = Alpn::names(self.protocols);
        let sessions = ClientSessionMemoryCache::new(self.limits.sessions_max);
        config.resumption = Resumption::store(Arc::new(sessions)).tls12_resumption(Tls12Resumption::Disabled);
        Ok(ClientTls { suite, config: Arc::new(config), verifier, own })
    }
}

/// Our certificate, and whether a server has asked for it.
#[derive(Debug)]
struct Own {
    leaf: SingleCertAndKey,
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
            algorithm,
            asked: AtomicBool::new(false),
        }))
    }

    fn presented(&self) -> Option<&'static Algorithm> {
        self.asked.load(Ordering::Relaxed).then_some(self.algorithm)
    }
}

impl ResolvesClientCert for Own {
    fn resolve(&self, root_hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        ResolvesClientCert::resolve(&self.leaf, root_hints, schemes)
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
