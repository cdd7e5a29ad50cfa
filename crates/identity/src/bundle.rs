//! The trust bundle: the roots of one authority, one for each signature algorithm in use, and two while a root is
//! being changed.
//!
//! Links present a leaf only; the root that issued it is the anchor. A bundle is public, is handed
//! out as PEM, and is pinned by its fingerprint, which does not depend on the order of the roots
//! nor on their dates. A peer that has one hears of the next by a signed update (`update.rs`).

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use lockgate_crypto::{Algorithm, digest};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor};

use crate::error::{quoted, unix_seconds};
use crate::facts::Facts;
use crate::preamble::{Preamble, RootDates};
use crate::proven::Proven;
use crate::signed::Signed;
use crate::stranger::Stranger;
use crate::{IdentityError, file};

/// Most roots in a bundle: one for each of the dozen signatures for which keys can be made, all of them twice during
/// a change of roots, and eight for changes that overlap.
pub const ROOTS_MAX: usize = 32;

/// A root certificate of an authority.
#[derive(Clone, Debug)]
pub struct Root {
    algorithm: &'static Algorithm,
    certificate: CertificateDer<'static>,
    pub(crate) spki_der: Vec<u8>,
    fingerprint: String,
    key_id: Vec<u8>,
    pub(crate) not_before: SystemTime,
    not_after: SystemTime,
    pub(crate) retire_at: Option<SystemTime>,
}

impl Root {
    /// Reads a self-signed certificate, and the trust domain that it names.
    pub(crate) fn read(certificate: CertificateDer<'static>) -> Result<(Self, String), IdentityError> {
        const WHAT: &str = "a root certificate";
        let facts = Facts::read(&certificate)?;
        let refuse = |cause: &str| IdentityError::Malformed { what: WHAT, cause: cause.to_owned() };
        if !(facts.authority && facts.may_issue) {
            return Err(refuse("it is not a certificate of an authority"));
        }
        if !facts.id.path().is_empty() {
            return Err(refuse("its SPIFFE id has a path; a root names its trust domain only"));
        }
        if facts.signed_by != Some(facts.algorithm) {
            return Err(refuse("it is not signed by itself"));
        }
        Signed::open(WHAT, &certificate)?.verify(WHAT, &facts.spki_der)?;
        let root = Self {
            algorithm: facts.algorithm,
            certificate,
            fingerprint: digest::hex(&digest::sha256(&facts.spki_der)),
            spki_der: facts.spki_der,
            key_id: facts.subject_key_id.ok_or_else(|| refuse("it has no subject key identifier"))?,
            not_before: facts.not_before,
            not_after: facts.not_after,
            retire_at: None,
        };
        Ok((root, facts.id.trust_domain().to_owned()))
    }

    /// The signature algorithm of the root, and of all leaves that it issues.
    pub fn algorithm(&self) -> &'static Algorithm {
        self.algorithm
    }

    /// The self-signed certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// SHA-256 of the root's subject public key info, lower-case hexadecimal.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The end of the root's validity.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// From when on the root is not trusted any more, because another takes its place.
    pub fn retire_at(&self) -> Option<SystemTime> {
        self.retire_at
    }

    /// Whether the root vouches for anything at a moment.
    pub(crate) fn is_trusted_at(&self, now: SystemTime) -> bool {
        self.not_before <= now && now <= self.not_after && self.retire_at.is_none_or(|end| now < end)
    }
}

/// The roots of one trust domain. Cheap to clone.
#[derive(Clone)]
pub struct TrustBundle(Arc<Inner>);

struct Inner {
    trust_domain: String,
    sequence: u64,
    roots: Vec<Root>,
    strangers: Vec<Stranger>,
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
        Self::dated(certificates, &Preamble::default())
    }

    /// [`TrustBundle::new`] with a sequence, and with dates for the roots that have some.
    pub(crate) fn dated(
        certificates: Vec<CertificateDer<'static>>,
        preamble: &Preamble,
    ) -> Result<Self, IdentityError> {
        if certificates.len() > ROOTS_MAX {
            return Err(too_many());
        }
        let mut trust_domain = None;
        let (mut roots, mut strangers) = (Vec::with_capacity(certificates.len()), Vec::new());
        for certificate in certificates {
            if let Some(stranger) = Stranger::read(&certificate) {
                strangers.push(stranger);
                continue;
            }
            let (mut root, domain) =
                Root::read(certificate).map_err(|cause| IdentityError::Bundle(cause.to_string()))?;
            if *trust_domain.get_or_insert_with(|| domain.clone()) != domain {
                return Err(IdentityError::Bundle("its roots belong to different trust domains".to_owned()));
            }
            root.retire_at = preamble.retire_at(root.fingerprint());
            roots.push(root);
        }
        Self::of_roots(&trust_domain.unwrap_or_default(), preamble.sequence, roots, strangers)
    }

    /// A bundle of roots that were read before, all of one trust domain, and of those that cannot be.
    pub(crate) fn of_roots(
        trust_domain: &str,
        sequence: u64,
        mut roots: Vec<Root>,
        mut strangers: Vec<Stranger>,
    ) -> Result<Self, IdentityError> {
        if roots.is_empty() {
            return Err(IdentityError::Bundle(match strangers.is_empty() {
                true => "there is no certificate in it".to_owned(),
                false => "it has no root of an algorithm that this version knows; update this end".to_owned(),
            }));
        }
        if roots.len() + strangers.len() > ROOTS_MAX {
            return Err(too_many());
        }
        roots.sort_by(|a, b| a.spki_der.cmp(&b.spki_der));
        roots.dedup_by(|a, b| a.spki_der == b.spki_der);
        strangers.sort_by(|a, b| a.spki_der.cmp(&b.spki_der));
        strangers.dedup_by(|a, b| a.spki_der == b.spki_der);
        let anchors = roots.iter().map(anchor).collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Inner {
            trust_domain: trust_domain.to_owned(),
            sequence,
            fingerprint: fingerprint(&roots, &strangers),
            roots,
            strangers,
            anchors,
            proven: Proven::default(),
        })))
    }

    /// Reads a bundle from PEM; blocks other than `CERTIFICATE` are passed over.
    ///
    /// # Errors
    /// [`IdentityError::Bundle`] with the first thing that is wrong.
    pub fn from_pem(pem: &str) -> Result<Self, IdentityError> {
        Self::from_dated_pem(pem, &Preamble::default())
    }

    pub(crate) fn from_dated_pem(pem: &str, preamble: &Preamble) -> Result<Self, IdentityError> {
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
        Self::dated(certificates, preamble)
    }

    /// Reads a bundle from PEM and compares it with a pinned fingerprint.
    ///
    /// An authority that made further roots since the pin was taken still fits: then the bundle has the roots of that
    /// time and no other, and the further ones come with a signed update ([`TrustBundle::accept_update`]).
    ///
    /// # Errors
    /// As [`TrustBundle::from_pem`]; [`IdentityError::PinMismatch`] if it is another authority's.
    pub fn from_pem_pinned(pem: &str, fingerprint: &str) -> Result<Self, IdentityError> {
        let bundle = Self::from_pem(pem)?;
        let fits = |bundle: &Self| bundle.fingerprint().eq_ignore_ascii_case(fingerprint);
        if fits(&bundle) {
            return Ok(bundle);
        }
        let strangers = &bundle.0.strangers;
        let mut starts: Vec<SystemTime> = bundle.roots().iter().map(|root| root.not_before).collect();
        starts.extend(strangers.iter().map(|stranger| stranger.not_before));
        starts.sort_unstable();
        starts.dedup();
        for start in starts {
            let roots = bundle.roots().iter().filter(|root| root.not_before <= start).cloned().collect();
            let strangers = strangers.iter().filter(|one| one.not_before <= start).cloned().collect();
            // A moment when there were strangers only is none that this version can be pinned to.
            let Ok(then) = Self::of_roots(bundle.trust_domain(), 0, roots, strangers) else { continue };
            if fits(&then) {
                return Ok(then);
            }
        }
        Err(IdentityError::PinMismatch {
            expected: quoted(fingerprint),
            found: bundle.fingerprint().to_owned(),
        })
    }

    /// Reads a bundle from a PEM file, with the sequence and the dates that [`crate::Authority`] and
    /// [`crate::enrol::AgentIdentity`] write into its first line.
    ///
    /// # Errors
    /// [`IdentityError::Io`] or [`IdentityError::File`], naming the file.
    pub fn from_pem_file(path: &Path) -> Result<Self, IdentityError> {
        let bytes = file::existing(path, file::read_public(path)?)?;
        let text = String::from_utf8_lossy(&bytes);
        let read = || Self::from_dated_pem(&text, &Preamble::read(&text)?.unwrap_or_default());
        read().map_err(|error| error.in_file(path))
    }

    /// All roots as PEM, in a stable order, those of unknown algorithms too.
    pub fn to_pem(&self) -> String {
        let roots = self.0.roots.iter().map(|root| &root.certificate);
        let strangers = self.0.strangers.iter().map(|stranger| &stranger.certificate);
        roots.chain(strangers).map(certificate_pem).collect()
    }

    /// [`TrustBundle::to_pem`] after a line with sequence and dates, for files of our own.
    pub(crate) fn to_dated_pem(&self) -> String {
        [self.preamble().line(), self.to_pem()].concat()
    }

    /// Sequence, and the dates on which roots retire.
    pub(crate) fn preamble(&self) -> Preamble {
        let retiring = |root: &Root| {
            let retire_at_s = Some(unix_seconds(root.retire_at?));
            Some(RootDates { key: root.fingerprint.clone(), issues_from_s: None, retire_at_s })
        };
        Preamble { sequence: self.0.sequence, dates: self.0.roots.iter().filter_map(retiring).collect() }
    }

    /// SHA-256 over the sorted subject public key infos of the roots, lower-case hexadecimal.
    pub fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }

    /// The trust domain of every id that the bundle vouches for.
    pub fn trust_domain(&self) -> &str {
        &self.0.trust_domain
    }

    /// How new the bundle is: grows with every change that its authority makes. 0 if it is not known, as after
    /// [`TrustBundle::from_pem`].
    pub fn sequence(&self) -> u64 {
        self.0.sequence
    }

    /// Whether every root of another bundle is in this one as well, so that it trusts whatever the other trusts.
    pub fn includes(&self, other: &Self) -> bool {
        self.trust_domain() == other.trust_domain()
            && other.roots().iter().all(|root| self.has_key(&root.spki_der))
    }

    /// The roots, in a stable order.
    pub fn roots(&self) -> &[Root] {
        &self.0.roots
    }

    /// How many roots it has beside [`TrustBundle::roots`] that nothing is trusted to here, because this version does not
    /// know their algorithm.
    pub fn unknown_roots(&self) -> usize {
        self.0.strangers.len()
    }

    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.0.anchors
    }

    /// Whether one of the roots has this key.
    pub(crate) fn has_key(&self, spki_der: &[u8]) -> bool {
        self.0.roots.iter().any(|root| root.spki_der == spki_der)
    }

    /// Checks everything about a leaf that can change after a handshake: dates of leaf and root,
    /// that its root is still in the bundle, algorithm, trust domain, role.
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
            .filter(|root| root.is_trusted_at(now))
            .find(|root| Some(root.key_id.as_slice()) == issuer)
            .ok_or_else(|| IdentityError::UnknownAuthority { id: id() })?;
        if leaf.algorithm != root.algorithm || leaf.signed_by != Some(root.algorithm) {
            return Err(IdentityError::MixedAlgorithms { id: id() });
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
            .field("sequence", &self.0.sequence)
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

fn too_many() -> IdentityError {
    IdentityError::Bundle(format!("there are more than {ROOTS_MAX} certificates in it"))
}

fn anchor(root: &Root) -> Result<TrustAnchor<'static>, IdentityError> {
    webpki::anchor_from_trusted_cert(&root.certificate)
        .map(|anchor| anchor.to_owned())
        .map_err(|error| IdentityError::Bundle(error.to_string()))
}

fn fingerprint(roots: &[Root], strangers: &[Stranger]) -> String {
    let mut keys: Vec<&[u8]> = roots.iter().map(|root| root.spki_der.as_slice()).collect();
    keys.extend(strangers.iter().map(|stranger| stranger.spki_der.as_slice()));
    keys.sort_unstable();
    digest::hex(&digest::sha256(&keys.concat()))
}

/// A certificate as a PEM block.
pub(crate) fn certificate_pem(certificate: &CertificateDer<'_>) -> String {
    der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, certificate)
        .expect("a certificate is far below the size limit of PEM")
}
