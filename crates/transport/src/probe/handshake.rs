//! Real handshakes that offer exactly what is asked about.
//!
//! Any certificate is accepted, since the question is what is presented; but the server's signature over the
//! handshake is verified, so that a "yes" means that it can really sign. No application data is sent.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use lockgate_crypto::{Algorithm, Kind, probe_provider};
use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, ResolvesClientCert, Resumption, Tls12ClientSessionValue,
    Tls12Resumption, Tls13ClientSessionValue,
};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, HandshakeKind, NamedGroup, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::ProbeError;
use super::report::{Answer, Chain, ClientCertificate, Handshake};
use super::target::Target;
use super::{catalogued, chain, wire};
use crate::io::Counted;
use crate::link::Alpn;

/// A client that offers one choice of algorithms. Its handshakes share a store of sessions if it resumes.
pub(super) struct Client {
    config: Arc<ClientConfig>,
    verifier: Arc<AnyCertificate>,
    own: Arc<NoCertificate>,
    sessions: Arc<Sessions>,
}

/// How a handshake ended.
pub(super) enum Outcome {
    Done(Box<Done>),
    /// The server refused, with the name of its alert or without one.
    Refused(Option<String>),
    /// It failed on our side, or in a way that says nothing about what was offered.
    Failed(String),
}

/// A finished handshake.
pub(super) struct Done {
    pub(super) handshake: Handshake,
    pub(super) chain: Option<Chain>,
    pub(super) alpn: Option<Alpn>,
    pub(super) resumed: bool,
    /// Known only after [`Client::settle`].
    pub(super) client_certificate: ClientCertificate,
    pub(super) tickets: u32,
}

impl Outcome {
    /// The handshake as an answer to what was offered.
    pub(super) fn answer(&self) -> Answer {
        match self {
            Self::Done(_) => Answer::Yes,
            Self::Refused(alert) => Answer::No { alert: alert.clone() },
            Self::Failed(why) => Answer::unclear(why),
        }
    }
}

impl Client {
    /// A client that offers these groups and signatures only, in this order.
    ///
    /// # Errors
    /// What of it this build does not have.
    pub(super) fn new(
        groups: &[&'static Algorithm],
        signatures: &[&'static Algorithm],
        protocols: &[Alpn],
        resumes: bool,
    ) -> Result<Self, String> {
        let provider = probe_provider(groups, signatures);
        let algorithms = provider.signature_verification_algorithms;
        if provider.kx_groups.is_empty() {
            return Err("this build has none of the groups that the server supports".to_owned());
        }
        if algorithms.all.is_empty() {
            return Err("this build cannot verify this algorithm".to_owned());
        }
        let verifier = Arc::new(AnyCertificate { algorithms, seen: Mutex::default() });
        let own = Arc::new(NoCertificate { asked: AtomicBool::new(false) });
        let sessions = Arc::new(Sessions::new());
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| error.to_string())?
            .dangerous() // rustls's word for any verifier but its own
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _)
            .with_client_cert_resolver(Arc::clone(&own) as _);
        config.alpn_protocols = Alpn::names(protocols);
        config.resumption = if resumes {
            Resumption::store(Arc::clone(&sessions) as _).tls12_resumption(Tls12Resumption::Disabled)
        } else {
            Resumption::disabled()
        };
        Ok(Self { config: Arc::new(config), verifier, own, sessions })
    }

    /// One handshake, closed at once.
    pub(super) async fn handshake(&self, target: &mut Target<'_>) -> Result<Outcome, ProbeError> {
        self.run(target, false).await
    }

    /// One handshake, after which tickets and alerts are waited for.
    pub(super) async fn settle(&self, target: &mut Target<'_>) -> Result<Outcome, ProbeError> {
        self.run(target, true).await
    }

    async fn run(&self, target: &mut Target<'_>, settle: bool) -> Result<Outcome, ProbeError> {
        let (stream, connect) = target.open().await?;
        let begun = Instant::now();
        *self.verifier.seen.lock() = None;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let socket = Counted::new(stream, None);
        let limit = Duration::from_millis(target.limits.answer_ms_max);
        let mut stream = match timeout(limit, connector.connect(target.name.clone(), socket)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Ok(explain(&error)),
            Err(_) => return Ok(Outcome::Failed(format!("no handshake within {} ms", limit.as_millis()))),
        };
        let mut done = self.read(&stream, connect, begun.elapsed());
        if settle {
            let limit = Duration::from_millis(target.limits.settle_ms_max);
            let refused = self.sessions.settled(&mut stream, limit).await;
            let asked = self.own.asked.load(Ordering::Relaxed);
            done.client_certificate = match (asked, refused) {
                (true, true) => ClientCertificate::Required,
                (true, false) => ClientCertificate::Asked,
                (false, _) => ClientCertificate::NotAsked,
            };
            done.tickets = self.sessions.tickets.load(Ordering::Relaxed);
        }
        // A closing alert is good manners and no data; whether it arrives is of no interest.
        let _ = timeout(limit, stream.shutdown()).await;
        Ok(Outcome::Done(Box::new(done)))
    }

    fn read(&self, stream: &TlsStream<Counted>, connect: Duration, handshake: Duration) -> Done {
        let (socket, connection) = stream.get_ref();
        let group = connection.negotiated_key_exchange_group().map(|group| u16::from(group.name()));
        let cipher = connection.negotiated_cipher_suite().map(|suite| u16::from(suite.suite()));
        let name = |kind, point: Option<u16>| {
            point.map_or_else(|| "none".to_owned(), |point| catalogued::name(kind, point))
        };
        let kind = connection.handshake_kind();
        let scheme = *self.verifier.seen.lock();
        Done {
            handshake: Handshake {
                group: name(Kind::Group, group),
                cipher: name(Kind::Cipher, cipher),
                signature: scheme.map(|scheme| catalogued::name(Kind::Signature, scheme)),
                hello_retry: kind == Some(HandshakeKind::FullWithHelloRetryRequest),
                connect_us: micros(connect),
                handshake_us: micros(handshake),
                bytes_in: socket.bytes_in(),
                bytes_out: socket.bytes_out(),
            },
            chain: connection.peer_certificates().and_then(chain::read),
            alpn: connection.alpn_protocol().and_then(Alpn::parse),
            resumed: kind == Some(HandshakeKind::Resumed),
            client_certificate: ClientCertificate::NotAsked,
            tickets: 0,
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn explain(error: &io::Error) -> Outcome {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::AlertReceived(alert)) => Outcome::Refused(Some(wire::name_of_alert(*alert))),
        Some(other) => Outcome::Failed(other.to_string()),
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Outcome::Refused(None),
            _ => Outcome::Failed(error.to_string()),
        },
    }
}

/// Accepts any certificate, verifies the handshake's signature, and notes its scheme.
#[derive(Debug)]
struct AnyCertificate {
    algorithms: WebPkiSupportedAlgorithms,
    seen: Mutex<Option<u16>>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    /// Unreachable: TLS 1.2 is never offered.
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 was not offered".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let valid = verify_tls13_signature(message, cert, dss, &self.algorithms)?;
        *self.seen.lock() = Some(dss.scheme.into());
        Ok(valid)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Has no certificate, and notes whether it was asked for one.
#[derive(Debug)]
struct NoCertificate {
    asked: AtomicBool,
}

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _roots: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// A store that counts tickets and tells when one has come.
#[derive(Debug)]
struct Sessions {
    store: ClientSessionMemoryCache,
    tickets: AtomicU32,
    came: Notify,
}

impl Sessions {
    fn new() -> Self {
        Self { store: ClientSessionMemoryCache::new(1), tickets: AtomicU32::new(0), came: Notify::new() }
    }

    /// Waits for a ticket, an alert, the end, or the limit; `true` if the server ended the link by an alert.
    async fn settled(&self, stream: &mut TlsStream<Counted>, limit: Duration) -> bool {
        let mut buffer = [0; 1];
        let ended = timeout(limit, async {
            tokio::select! {
                read = stream.read(&mut buffer) => read.err(),
                () = self.came.notified() => None,
            }
        });
        let ended = ended.await.ok().flatten();
        ended.is_some_and(|error| matches!(explain(&error), Outcome::Refused(Some(_))))
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.store.set_kx_hint(server_name, group);
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.store.kx_hint(server_name)
    }

    fn set_tls12_session(&self, _server_name: ServerName<'static>, _value: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _server_name: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, server_name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.tickets.fetch_add(1, Ordering::Relaxed);
        self.store.insert_tls13_ticket(server_name, value);
        self.came.notify_one();
    }

    fn take_tls13_ticket(&self, server_name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.store.take_tls13_ticket(server_name)
    }
}
