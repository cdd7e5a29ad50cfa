//! The trust bundle: the roots of one authority, one per signature family.
//!
//! Links present a leaf only; the root that issued it is the anchor. A bundle is public, is handed
//! out as PEM, and is pinned by its fingerprint, which does not depend on the order of the roots
//! nor on their dates.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::SystemTime;

use lockgate_crypto::{Family, digest};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor};

use crate::error::quoted;
use crate::facts::Facts;
use crate::signed::Signed;
use crate::{IdentityError, file};

/// Most roots in a bundle: three families, old and new during a change of roots, and as many again
/// for a second change before the first has ended.
pub const ROOTS_MAX: usize = 12;

/// A root certificate of an authority.
#[derive(Clone, Debug)]
pub struct Root {
    family: Family,
    certificate: CertificateDer<'static>,
    spki_der: Vec<u8>,
    key_id: Vec<u8>,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Root {
    /// The signature family of the root and of all leaves that it issues.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The self-signed certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The end of the root's validity.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }
}

/// The roots of one trust domain. Cheap to clone.
#[derive(Clone)]
pub struct TrustBundle(Arc<Inner>);

struct Inner {
    trust_domain: String,
    roots: Vec<Root>,
    anchors: Vec<TrustAnchor<'static>>,
    fingerprint: String,
    proven: Proven,
}

impl TrustBundle {
    /// Makes a bundle out of root certificates, each checked: self-signed, an authority, and of
    /// the same trust domain as the others.
    ///
    /// # Errors
    /// [`IdentityError::Bundle`] with the first thing that is wrong.
    pub fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Self, IdentityError> {
        let bundle = |cause: &str| IdentityError::Bundle(cause.to_owned());
        if certificates.is_empty() {
            return Err(bundle("there is no certificate in it"));
        }
        if certificates.len() > ROOTS_MAX {
            return Err(bundle("there are more than 12 certificates in it"));
        }
        let mut trust_domain = None;
        let mut roots = Vec::with_capacity(certificates.len());
        for certificate in certificates {
            let (root, domain) =
                read_root(certificate).map_err(|cause| IdentityError::Bundle(cause.to_string()))?;
            if *trust_domain.get_or_insert_with(|| domain.clone()) != domain {
                return Err(bundle("its roots belong to different trust domains"));
            }
            roots.push(root);
        }
        roots.sort_by(|a, b| a.spki_der.cmp(&b.spki_der));
        roots.dedup_by(|a, b| a.spki_der == b.spki_der);
        let anchors = roots.iter().map(anchor).collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Inner {
            trust_domain: trust_domain.expect("at least one root was read"),
            fingerprint: fingerprint(&roots),
            roots,
            anchors,
            proven: Proven::default(),
        })))
    }

    /// Reads a bundle from PEM; blocks other than `CERTIFICATE` are passed over.
    ///
    /// # Errors
    /// [`IdentityError::Bundle`] with the first thing that is wrong.
    pub fn from_pem(pem: &str) -> Result<Self, IdentityError> {
        if pem.len() as u64 > file::FILE_BYTES_MAX {
            return Err(IdentityError::Bundle("it is larger than 1 MiB".to_owned()));
        }
        let mut certificates = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate =
                certificate.map_err(|error| IdentityError::Bundle(format!("it is not PEM: {error}")))?;
            certificates.push(certificate);
            if certificates.len() > ROOTS_MAX {
                break;
            }
        }
        Self::new(certificates)
    }

    /// Reads a bundle from PEM and compares it with a pinned fingerprint.
    ///
    /// # Errors
    /// As [`TrustBundle::from_pem`]; [`IdentityError::PinMismatch`] if it is another authority's.
    pub fn from_pem_pinned(pem: &str, fingerprint: &str) -> Result<Self, IdentityError> {
        let bundle = Self::from_pem(pem)?;
        if !bundle.fingerprint().eq_ignore_ascii_case(fingerprint) {
            return Err(IdentityError::PinMismatch {
                expected: quoted(fingerprint),
                found: bundle.fingerprint().to_owned(),
            });
        }
        Ok(bundle)
    }

    /// Reads a bundle from a PEM file.
    ///
    /// # Errors
    /// [`IdentityError::Io`] or [`IdentityError::File`], naming the file.
    pub fn from_pem_file(path: &Path) -> Result<Self, IdentityError> {
        let bytes = file::existing(path, file::read_public(path)?)?;
        Self::from_pem(&String::from_utf8_lossy(&bytes)).map_err(|error| error.in_file(path))
    }

    /// All roots as PEM, in a stable order.
    pub fn to_pem(&self) -> String {
        let roots = self.0.roots.iter();
        roots.map(|root| certificate_pem(&root.certificate)).collect()
    }

    /// SHA-256 over the sorted subject public key infos of the roots, lower-case hexadecimal.
    pub fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }

    /// The trust domain of every id that the bundle vouches for.
    pub fn trust_domain(&self) -> &str {
        &self.0.trust_domain
    }

    /// The roots, in a stable order.
    pub fn roots(&self) -> &[Root] {
        &self.0.roots
    }

    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.0.anchors
    }

    /// Whether one of the roots has this key.
    pub(crate) fn has_key(&self, spki_der: &[u8]) -> bool {
        self.0.roots.iter().any(|root| root.spki_der == spki_der)
    }

    /// Checks everything about a leaf that can change after a handshake: dates of leaf and root,
    /// that its root is still in the bundle, family, trust domain, role.
    pub(crate) fn check(&self, leaf: &Facts, now: SystemTime) -> Result<&Root, IdentityError> {
        let id = || leaf.id.to_string();
        if leaf.id.trust_domain() != self.trust_domain() {
            return Err(IdentityError::ForeignTrustDomain {
                id: id(),
                expected: self.trust_domain().to_owned(),
            });
        }
        leaf.check_time(now)?;
        let issuer = leaf.authority_key_id.as_deref();
        let root = self.0.roots.iter();
        let root = root
            .filter(|root| root.not_before <= now && now <= root.not_after)
            .find(|root| Some(root.key_id.as_slice()) == issuer)
            .ok_or_else(|| IdentityError::UnknownAuthority { id: id() })?;
        if leaf.family != root.family || leaf.signed_by != Some(root.family) {
            return Err(IdentityError::MixedFamilies { id: id() });
        }
        if leaf.authority || leaf.may_issue || !leaf.may_sign {
            return Err(IdentityError::Purpose {
                id: id(),
                needed: "a TLS handshake (keyUsage digitalSignature, not an authority)",
            });
        }
        leaf.role()?;
        Ok(root)
    }

    /// [`TrustBundle::check`], and the root's signature on the leaf.
    pub(crate) fn prove(&self, leaf: &Facts, leaf_der: &[u8], now: SystemTime) -> Result<(), IdentityError> {
        let root = self.check(leaf, now)?;
        if self.0.proven.contains(leaf_der) {
            return Ok(());
        }
        Signed::open("the certificate", leaf_der)?.verify("the certificate", &root.spki_der)?;
        self.0.proven.insert(leaf_der);
        Ok(())
    }

    /// Remembers that a root of this bundle signed exactly these bytes.
    pub(crate) fn remember(&self, leaf_der: &[u8]) {
        self.0.proven.insert(leaf_der);
    }
}

impl fmt::Debug for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustBundle")
            .field("trust_domain", &self.0.trust_domain)
            .field("fingerprint", &self.0.fingerprint)
            .finish_non_exhaustive()
    }
}

impl PartialEq for TrustBundle {
    /// Two bundles are equal if they hold the same root keys for the same trust domain.
    fn eq(&self, other: &Self) -> bool {
        self.0.trust_domain == other.0.trust_domain && self.0.fingerprint == other.0.fingerprint
    }
}

impl Eq for TrustBundle {}

fn read_root(certificate: CertificateDer<'static>) -> Result<(Root, String), IdentityError> {
    const WHAT: &str = "a root certificate";
    let facts = Facts::read(&certificate)?;
    let refuse = |cause: &str| IdentityError::Malformed { what: WHAT, cause: cause.to_owned() };
    if !(facts.authority && facts.may_issue) {
        return Err(refuse("it is not a certificate of an authority"));
    }
    if !facts.id.path().is_empty() {
        return Err(refuse("its SPIFFE id has a path; a root names its trust domain only"));
    }
    if facts.signed_by != Some(facts.family) {
        return Err(refuse("it is not signed by itself"));
    }
    Signed::open(WHAT, &certificate)?.verify(WHAT, &facts.spki_der)?;
    let root = Root {
        family: facts.family,
        certificate,
        spki_der: facts.spki_der,
        key_id: facts.subject_key_id.ok_or_else(|| refuse("it has no subject key identifier"))?,
        not_before: facts.not_before,
        not_after: facts.not_after,
    };
    Ok((root, facts.id.trust_domain().to_owned()))
}

fn anchor(root: &Root) -> Result<TrustAnchor<'static>, IdentityError> {
    webpki::anchor_from_trusted_cert(&root.certificate)
        .map(|anchor| anchor.to_owned())
        .map_err(|error| IdentityError::Bundle(error.to_string()))
}

fn fingerprint(sorted_roots: &[Root]) -> String {
    let mut keys = Vec::new();
    for root in sorted_roots {
        keys.extend_from_slice(&root.spki_der);
    }
    digest::hex(&digest::sha256(&keys))
}

/// A certificate as a PEM block.
pub(crate) fn certificate_pem(certificate: &CertificateDer<'_>) -> String {
    der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, certificate)
        .expect("a certificate is far below the size limit of PEM")
}

/// Leaves of which the root's signature was verified. A signature on the same bytes by the same
/// root stays valid, so the second link of a peer, resumed or not, costs a hash and no signature
/// verification. It holds only what a root signed, so a stranger cannot fill it.
#[derive(Default)]
struct Proven(Mutex<HashSet<[u8; 32]>>);

impl Proven {
    /// Most leaves that are remembered, 128 KiB of hashes; then it starts anew.
    const LEAVES_MAX: usize = 4096;

    fn contains(&self, leaf_der: &[u8]) -> bool {
        self.lock().contains(&digest::sha256(leaf_der))
    }

    fn insert(&self, leaf_der: &[u8]) {
        let mut proven = self.lock();
        if proven.len() >= Self::LEAVES_MAX {
            proven.clear();
        }
        proven.insert(digest::sha256(leaf_der));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<[u8; 32]>> {
        // A set of hashes is whole at any moment, so a panic elsewhere cannot have spoilt it.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
