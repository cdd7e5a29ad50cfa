//! Whom a dialer trusts.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use lockgate_crypto::Suite;
use lockgate_identity::TrustBundle;
use lockgate_identity::verifier::{self, Expect, ForeignRoots};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

/// Whom a [`Dialer`](crate::Dialer) trusts, apart from the algorithms, which are the profile's. Cheap to clone.
///
/// It is a value rather than a verifier so that two of them can be compared: sessions outlive a swap only if
/// everybody who was trusted is trusted still.
#[derive(Clone)]
pub struct Trust(Whom);

#[derive(Clone)]
enum Whom {
    Own(TrustBundle, Expect),
    Foreign(ForeignRoots),
    AnyForPinning,
    Judged(Arc<dyn ServerCertVerifier>),
}

impl Trust {
    /// Servers that our own authority certified, see [`verifier::server`].
    pub fn own(bundle: &TrustBundle, expect: Expect) -> Self {
        Self(Whom::Own(bundle.clone(), expect))
    }

    /// Servers of others, by the name that was dialled, see [`verifier::foreign_server`].
    pub fn foreign(roots: &ForeignRoots) -> Self {
        Self(Whom::Foreign(roots.clone()))
    }

    /// Any certificate, see [`verifier::any_for_pinning`]: only for reading what is public.
    pub fn any_for_pinning() -> Self {
        Self(Whom::AnyForPinning)
    }

    pub(crate) fn verifier(&self, suite: &Suite) -> Arc<dyn ServerCertVerifier> {
        match &self.0 {
            Whom::Own(bundle, expect) => verifier::server(bundle, suite, *expect),
            Whom::Foreign(roots) => verifier::foreign_server(roots, suite),
            Whom::AnyForPinning => verifier::any_for_pinning(suite),
            Whom::Judged(verifier) => Arc::clone(verifier),
        }
    }

    /// Whether everybody whom `old` trusts is trusted still.
    pub(crate) fn covers(&self, old: &Self) -> bool {
        match (&self.0, &old.0) {
            (Whom::Own(bundle, expect), Whom::Own(old, expected)) => {
                expect == expected && bundle.includes(old)
            }
            (Whom::Foreign(roots), Whom::Foreign(old)) => roots.covers(old),
            (Whom::AnyForPinning, Whom::AnyForPinning) => true,
            (Whom::Judged(verifier), Whom::Judged(old)) => Arc::ptr_eq(verifier, old),
            _ => false,
        }
    }
}

impl From<Arc<dyn ServerCertVerifier>> for Trust {
    /// A verifier that was made elsewhere. Two of them can be compared by their address only, so that a swap to
    /// another one drops the sessions.
    fn from(verifier: Arc<dyn ServerCertVerifier>) -> Self {
        Self(Whom::Judged(verifier))
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Whom::Own(bundle, expect) => write!(f, "Trust({expect:?} of {bundle:?})"),
            Whom::Foreign(_) => f.write_str("Trust(foreign roots)"),
            Whom::AnyForPinning => f.write_str("Trust(any, for pinning)"),
            Whom::Judged(verifier) => write!(f, "Trust({verifier:?})"),
        }
    }
}

/// A verifier whose rules can be widened while its identity stays.
///
/// A rustls client resumes a session only under the very verifier that judged the server (compared by address).
/// With this one a swap that takes nothing away replaces what is inside, and sessions survive; a swap that takes
/// something away makes another one, and they do not.
#[derive(Debug)]
pub(crate) struct Judge(ArcSwap<Arc<dyn ServerCertVerifier>>);

impl Judge {
    pub(crate) fn new(verifier: Arc<dyn ServerCertVerifier>) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(verifier)))
    }

    /// A handshake that is under way is judged by the wider rules, which admit all that the old ones did.
    pub(crate) fn widen(&self, verifier: Arc<dyn ServerCertVerifier>) {
        self.0.store(Arc::new(verifier));
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let inner = self.0.load();
        inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.load().verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.load().verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.load().supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.0.load().requires_raw_public_keys()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None // a borrow from what may be swapped; hints are of no use to our servers
    }
}
