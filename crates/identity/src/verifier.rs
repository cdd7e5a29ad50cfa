//! What TLS asks about the other side's certificate.
//!
//! All verifiers accept only signature algorithms that the [`Suite`] permits, on certificates and
//! on handshakes, and refuse with the TLS alert that fits (RFC 9846, section 6.2).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lockgate_crypto::Suite;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, PeerIncompatible, RootCertStore,
    SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage};

use crate::facts::Facts;
use crate::{IdentityError, TrustBundle, file};

/// What a dialler expects of the server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// A node of our authority, whatever host name led to it: the SPIFFE id counts.
    Node,
    /// A certificate for the host name or address that was dialled.
    DnsName,
}

/// Roots of foreign servers, from outside of our authority.
#[derive(Clone, Debug)]
pub struct ForeignRoots(Arc<RootCertStore>);

/// Where distributions keep the roots of the web.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

impl ForeignRoots {
    /// Reads roots from PEM. Certificates that cannot serve as roots are passed over.
    ///
    /// # Errors
    /// [`IdentityError::Bundle`] if none is left.
    pub fn from_pem(pem: &[u8]) -> Result<Self, IdentityError> {
        let mut store = RootCertStore::empty();
        let readable = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
        let (added, _) = store.add_parsable_certificates(readable);
        if added == 0 {
            return Err(IdentityError::Bundle("there is no certificate of an authority in it".to_owned()));
        }
        Ok(Self(Arc::new(store)))
    }

    /// Reads roots from a PEM file.
    ///
    /// # Errors
    /// [`IdentityError::Io`] or [`IdentityError::File`], naming the file.
    pub fn from_pem_file(path: &Path) -> Result<Self, IdentityError> {
        let pem = file::existing(path, file::read_public(path)?)?;
        Self::from_pem(&pem).map_err(|error| error.in_file(path))
    }

    /// Whether every root of `others` is among these.
    pub fn covers(&self, others: &Self) -> bool {
        Arc::ptr_eq(&self.0, &others.0) || others.0.roots.iter().all(|root| self.0.roots.contains(root))
    }

    /// Reads the roots of this machine: the file that `SSL_CERT_FILE` names, else the first that
    /// is there of the places that distributions use.
    ///
    /// # Errors
    /// [`IdentityError::Bundle`] if there is none.
    pub fn system() -> Result<Self, IdentityError> {
        let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        let usual = SYSTEM_BUNDLES.into_iter().map(PathBuf::from).find(|path| path.exists());
        match named.or(usual) {
            Some(path) => Self::from_pem_file(&path),
            None => Err(IdentityError::Bundle(
                "this machine has no list of web roots; install ca-certificates, or name a PEM \
                 file with SSL_CERT_FILE"
                    .to_owned(),
            )),
        }
    }
}

/// Verifies servers that our own authority certified: chain, purpose, dates, trust domain and,
/// with [`Expect::Node`], that the id is a node's.
pub fn server(bundle: &TrustBundle, suite: &Suite, expect: Expect) -> Arc<dyn ServerCertVerifier> {
    Arc::new(Server {
        trust: Trust::Own(bundle.clone()),
        expect,
        algorithms: suite.verification_algorithms(),
    })
}

/// Verifies servers of others by the name that was dialled, under the given roots.
pub fn foreign_server(roots: &ForeignRoots, suite: &Suite) -> Arc<dyn ServerCertVerifier> {
    Arc::new(Server {
        trust: Trust::Foreign(Arc::clone(&roots.0)),
        expect: Expect::DnsName,
        algorithms: suite.verification_algorithms(),
    })
}

/// Verifies clients that our own authority certified. A client without a certificate may connect
/// and stays anonymous; a client with a wrong or expired one may not. No list of authorities is
/// sent, so that the server's flight stays small.
pub fn client(bundle: &TrustBundle, suite: &Suite) -> Arc<dyn ClientCertVerifier> {
    Arc::new(Client { bundle: bundle.clone(), algorithms: suite.verification_algorithms() })
}

/// Accepts any certificate, but not any handshake: the signature must still come from the key in
/// the certificate. Only for reading the public trust bundle, which is then compared with a pin;
/// nothing secret may be sent before that comparison.
pub fn any_for_pinning(suite: &Suite) -> Arc<dyn ServerCertVerifier> {
    Arc::new(AnyForPinning { algorithms: suite.verification_algorithms() })
}

#[derive(Debug)]
enum Trust {
    Own(TrustBundle),
    Foreign(Arc<RootCertStore>),
}

#[derive(Debug)]
struct Server {
    trust: Trust,
    expect: Expect,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
struct Client {
    bundle: TrustBundle,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
struct AnyForPinning {
    algorithms: WebPkiSupportedAlgorithms,
}

/// What a certificate is to be used for.
#[derive(Clone, Copy)]
enum Purpose {
    Server,
    Client,
}

impl Purpose {
    /// Our own certificates always state their purposes.
    fn required(self) -> KeyUsage {
        // The contents of the object identifiers 1.3.6.1.5.5.7.3.1 and .2.
        KeyUsage::required(match self {
            Purpose::Server => &[43, 6, 1, 5, 5, 7, 3, 1],
            Purpose::Client => &[43, 6, 1, 5, 5, 7, 3, 2],
        })
    }
}

/// Checks a leaf of our own authority in a handshake: webpki for chain and purpose, then what is
/// ours. Intermediates are not looked at: every root signs its leaves itself.
fn check_own(
    bundle: &TrustBundle,
    leaf_der: &CertificateDer<'_>,
    purpose: Purpose,
    algorithms: &WebPkiSupportedAlgorithms,
    now: UnixTime,
) -> Result<(), rustls::Error> {
    check_chain(leaf_der, (bundle.anchors(), &[]), purpose.required(), algorithms, now)?;
    let facts = Facts::read(leaf_der).map_err(refusal)?;
    let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
    bundle.check(&facts, moment).map_err(refusal)?;
    bundle.remember(leaf_der);
    Ok(())
}

fn check_chain(
    leaf_der: &CertificateDer<'_>,
    (anchors, intermediates): (&[TrustAnchor<'_>], &[CertificateDer<'_>]),
    usage: KeyUsage,
    algorithms: &WebPkiSupportedAlgorithms,
    now: UnixTime,
) -> Result<(), rustls::Error> {
    let leaf = EndEntityCert::try_from(leaf_der).map_err(webpki_refusal)?;
    leaf.verify_for_usage(algorithms.all, anchors, intermediates, now, usage, None, None)
        .map(drop)
        .map_err(webpki_refusal)
}

fn check_name(leaf_der: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), rustls::Error> {
    EndEntityCert::try_from(leaf_der)
        .and_then(|leaf| leaf.verify_is_valid_for_subject_name(name))
        .map_err(webpki_refusal)
}

/// The part that every verifier has: the handshake's signature is by the key in the certificate,
/// with an algorithm that the suite permits. TLS 1.2 is never spoken.
macro_rules! handshake_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            verify_tls13_signature(message, cert, dss, &self.algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for Server {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.trust {
            Trust::Own(bundle) => {
                let (server, algorithms) = (Purpose::Server, &self.algorithms);
                check_own(bundle, end_entity, server, algorithms, now)?;
            }
            Trust::Foreign(roots) => check_chain(
                end_entity,
                (&roots.roots, intermediates),
                KeyUsage::server_auth(),
                &self.algorithms,
                now,
            )?,
        }
        if self.expect == Expect::DnsName {
            check_name(end_entity, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    handshake_signatures!();
}

impl ClientCertVerifier for Client {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let (client, algorithms) = (Purpose::Client, &self.algorithms);
        check_own(&self.bundle, end_entity, client, algorithms, now)?;
        Ok(ClientCertVerified::assertion())
    }

    handshake_signatures!();
}

impl ServerCertVerifier for AnyForPinning {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        EndEntityCert::try_from(end_entity).map_err(webpki_refusal)?;
        Ok(ServerCertVerified::assertion())
    }

    handshake_signatures!();
}

/// One of our errors as TLS tells it: the variants that have an alert of their own get it, all
/// others keep our text for the log and become `certificate_unknown`.
fn refusal(error: IdentityError) -> rustls::Error {
    match error {
        IdentityError::Malformed { .. } | IdentityError::SpiffeId { .. } => CertificateError::BadEncoding,
        IdentityError::Expired { .. } => CertificateError::Expired,
        IdentityError::NotYetValid { .. } => CertificateError::NotValidYet,
        IdentityError::UnknownAuthority { .. } => CertificateError::UnknownIssuer,
        IdentityError::Purpose { .. } => CertificateError::InvalidPurpose,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    }
    .into()
}

/// One of webpki's errors as TLS tells it.
fn webpki_refusal(error: webpki::Error) -> rustls::Error {
    use webpki::Error as Cause;
    match error {
        Cause::BadDer | Cause::BadDerTime | Cause::TrailingData(_) => CertificateError::BadEncoding,
        Cause::CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after },
        Cause::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        Cause::InvalidCertValidity => CertificateError::Expired,
        Cause::UnknownIssuer => CertificateError::UnknownIssuer,
        Cause::CertNotValidForName(context) => CertificateError::NotValidForNameContext {
            expected: context.expected,
            presented: context.presented,
        },
        Cause::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        Cause::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        Cause::UnsupportedSignatureAlgorithmContext(context) => {
            CertificateError::UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id: context.signature_algorithm_id,
                supported_algorithms: context.supported_algorithms,
            }
        }
        other => CertificateError::Other(OtherError(Arc::new(other))),
    }
    .into()
}
