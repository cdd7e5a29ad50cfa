//! Enrolment: how a key on another machine gets its certificate.
//!
//! The agent makes its key, which never leaves it, and asks with a PKCS#10 request (RFC 2986)
//! whose signature proves possession of the key. Renewal is the same with a fresh key, asked for
//! over a link that the old certificate authenticates.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::time::SystemTime;

use der::asn1::{Any, SetOfVec};
use der::{Decode, Encode, Sequence};
use lockgate_crypto::{Algorithm, PrivateKey, digest};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_cert::name::Name;
use zeroize::Zeroizing;

use crate::facts::Facts;
use crate::file::{self, Secrecy};
use crate::preamble::Preamble;
use crate::signed::Signed;
use crate::{IdentityError, Leaf, SpiffeId, TrustBundle};

/// Largest request that is read, in bytes of PEM. The largest of ours (SLH-DSA) has 23.5 kB.
pub const REQUEST_BYTES_MAX: usize = 32 * 1024;

/// Private key, certificate and roots of the agent, one file so that they always belong together.
const IDENTITY_FILE: &str = "identity.pem";
/// The roots that the agent trusts, once more for other programs.
const BUNDLE_FILE: &str = "authority.pem";
/// What stands between the certificate of an identity and its roots. Readers of PEM pass over it.
const ROOTS_MARK: &str = "# the roots that it trusts\n";

const WHAT: &str = "the certification request";
const PEM_LABEL: &str = "CERTIFICATE REQUEST";

/// `CertificationRequestInfo` (RFC 2986, section 4.1). The id is not asked for: the side that
/// issues knows from the invite, or from the old certificate, whose key this is.
#[derive(Sequence)]
struct Body {
    version: u8,
    subject: Name,
    subject_public_key_info: Any,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    attributes: SetOfVec<Any>,
}

/// A public key whose holder has proven that it has the private one.
#[derive(Clone, PartialEq, Eq)]
pub struct ProvenKey {
    spki_der: Vec<u8>,
    algorithm: &'static Algorithm,
}

impl ProvenKey {
    /// Reads a PKCS#10 request in PEM and verifies its signature with the key in it.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`] if it cannot be read, [`IdentityError::BadSignature`] if
    /// whoever asks does not have the private key.
    pub fn from_request_pem(pem: &str) -> Result<Self, IdentityError> {
        let unreadable = |cause: &str| IdentityError::Malformed { what: WHAT, cause: cause.to_owned() };
        if pem.len() > REQUEST_BYTES_MAX {
            return Err(unreadable("it is larger than 32 KiB"));
        }
        let der = rustls::pki_types::CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| unreadable("it is not a PEM block CERTIFICATE REQUEST"))?;
        let signed = Signed::open(WHAT, &der)?;
        let malformed = IdentityError::malformed(WHAT);
        let body = Body::from_der(&signed.body_der(WHAT)?).map_err(&malformed)?;
        let spki_der = body.subject_public_key_info.to_der().map_err(malformed)?;
        let algorithm = signed.verify(WHAT, &spki_der)?;
        Ok(Self { spki_der, algorithm })
    }

    /// The public half of a key that we hold.
    pub fn own(key: &PrivateKey) -> Self {
        Self { spki_der: key.spki_der(), algorithm: key.algorithm() }
    }

    /// The algorithm of the key.
    pub fn algorithm(&self) -> &'static Algorithm {
        self.algorithm
    }

    /// The subject public key info in DER.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// SHA-256 of the subject public key info, lower-case hexadecimal.
    pub fn fingerprint(&self) -> String {
        digest::hex(&digest::sha256(&self.spki_der))
    }
}

impl fmt::Debug for ProvenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProvenKey")
            .field("algorithm", &self.algorithm.id)
            .field("fingerprint", &self.fingerprint())
            .finish()
    }
}

/// An enrolment or renewal under way: a fresh key that waits for its certificate.
pub struct Enrolment {
    key: PrivateKey,
    request_pem: String,
}

impl Enrolment {
    /// Makes a fresh key of an algorithm, and the request for its certificate.
    ///
    /// # Errors
    /// [`IdentityError::Crypto`] if keys of this algorithm cannot be made.
    pub fn begin(algorithm: &'static Algorithm) -> Result<Self, IdentityError> {
        Self::of(PrivateKey::generate(algorithm)?)
    }

    /// Prepares the request for a key that there is already.
    fn of(key: PrivateKey) -> Result<Self, IdentityError> {
        let encode = IdentityError::encode(WHAT);
        let body = Body {
            version: 0,
            subject: Name::default(),
            subject_public_key_info: Any::from_der(&key.spki_der()).map_err(&encode)?,
            attributes: SetOfVec::new(),
        };
        let der = Signed::seal(WHAT, &body.to_der().map_err(&encode)?, &key)?;
        let request_pem = der::pem::encode_string(PEM_LABEL, der::pem::LineEnding::LF, &der)
            .expect("a request is far below the size limit of PEM");
        Ok(Self { key, request_pem })
    }

    /// The PKCS#10 request to send.
    pub fn request_pem(&self) -> &str {
        &self.request_pem
    }

    /// Takes the certificate that was issued, after checking that it belongs to the key and comes
    /// from the trusted authority. The bundle is the one to trust from now on: the old one, or what
    /// [`TrustBundle::accept_update`] made of it.
    ///
    /// # Errors
    /// [`IdentityError::KeyMismatch`] if it is for another key, else as a verifier would refuse it.
    pub fn finish(
        self,
        certificate_pem: &str,
        bundle: TrustBundle,
        now: SystemTime,
    ) -> Result<AgentIdentity, IdentityError> {
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(|error| {
            IdentityError::Malformed { what: "the issued certificate", cause: error.to_string() }
        })?;
        let facts = Facts::read(&certificate)?;
        bundle.prove(&facts, &certificate, now)?;
        let leaf = Leaf::new(vec![certificate], self.key)?;
        Ok(AgentIdentity { id: facts.id, leaf, bundle })
    }
}

/// Key and certificate of an identity's file, and its roots.
fn parts(pem: &[u8]) -> (&[u8], Option<Cow<'_, str>>) {
    let mark = ROOTS_MARK.as_bytes();
    match pem.windows(mark.len()).position(|window| window == mark) {
        Some(at) => (&pem[..at], Some(String::from_utf8_lossy(&pem[at + mark.len()..]))),
        None => (pem, None),
    }
}

impl fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Enrolment { key: [redacted], .. }")
    }
}

/// An enrolled agent: its id, its leaf and the roots that it trusts.
#[derive(Clone, Debug)]
pub struct AgentIdentity {
    /// The id in the leaf.
    pub id: SpiffeId,
    /// The certificate and its private key.
    pub leaf: Leaf,
    /// The roots that the agent trusts: pinned when it enrolled, updated by the authority since.
    pub bundle: TrustBundle,
}

impl AgentIdentity {
    /// Reads the identity that [`AgentIdentity::save`] wrote. `None` if there is none. One whose
    /// time is over is answered too: whether it can still be renewed is for the gateway to say.
    ///
    /// # Errors
    /// [`IdentityError::Permissions`] if others may read the key, [`IdentityError::File`] or
    /// [`IdentityError::Io`] if the files cannot be used.
    pub fn load(dir: &Path) -> Result<Option<Self>, IdentityError> {
        let path = dir.join(IDENTITY_FILE);
        let Some(pem) = file::read_private(&path)? else {
            return Ok(None);
        };
        let (leaf_pem, roots) = parts(&pem);
        // An earlier version kept the roots in the other file alone.
        let beside = || TrustBundle::from_pem_file(&dir.join(BUNDLE_FILE));
        let kept = roots.map(|roots| {
            let preamble = Preamble::read(&roots)?.unwrap_or_default();
            TrustBundle::from_dated_pem(&roots, &preamble)
        });
        let bundle = match kept {
            Some(bundle) => bundle.map_err(|error| error.in_file(&path))?,
            None => beside()?,
        };
        let read = || -> Result<_, IdentityError> {
            let leaf = Leaf::from_pem(leaf_pem)?;
            let facts = Facts::read(leaf.certificate())?;
            bundle.prove(&facts, leaf.certificate(), leaf.not_before())?;
            Ok((facts.id, leaf))
        };
        let (id, leaf) = read().map_err(|error| error.in_file(&path))?;
        Ok(Some(Self { id, leaf, bundle }))
    }

    /// Writes the identity into a directory (0700): `identity.pem` (0600) with key, certificate and roots, which so are
    /// of one moment wherever it stops, and then `authority.pem`, the roots again, for other programs.
    ///
    /// # Errors
    /// [`IdentityError::Io`] if a file cannot be written; if it is the first, an earlier identity is untouched.
    pub fn save(&self, dir: &Path) -> Result<(), IdentityError> {
        file::private_directory(dir)?;
        let (secret, roots) = (self.leaf.to_pem(), self.bundle.to_dated_pem());
        // Room for all at once: a growing text would leave a copy of the key behind.
        let mut whole = Zeroizing::new(String::with_capacity(secret.len() + ROOTS_MARK.len() + roots.len()));
        whole.push_str(&secret);
        whole.push_str(ROOTS_MARK);
        whole.push_str(&roots);
        file::write_whole(&dir.join(IDENTITY_FILE), whole.as_bytes(), Secrecy::OwnerOnly)?;
        file::write_whole(&dir.join(BUNDLE_FILE), roots.as_bytes(), Secrecy::Public)
    }

    /// How new the bundle is that the agent trusts; 0 until the first update.
    pub fn bundle_sequence(&self) -> u64 {
        self.bundle.sequence()
    }

    /// Trusts another bundle from now on, if the agent's own certificate is still good under it. If it is not, renew
    /// first and give the new bundle to [`Enrolment::finish`].
    ///
    /// # Errors
    /// As a verifier with that bundle would refuse the certificate; the old bundle stays.
    pub fn adopt(&mut self, bundle: TrustBundle) -> Result<(), IdentityError> {
        let facts = Facts::read(self.leaf.certificate())?;
        bundle.prove(&facts, self.leaf.certificate(), self.leaf.not_before())?;
        self.bundle = bundle;
        Ok(())
    }

    /// Begins an enrolment with the key that this identity has: to come again with the invite that it was bound to.
    ///
    /// # Errors
    /// [`IdentityError::Crypto`] if the key cannot sign.
    pub fn come_again(&self) -> Result<Enrolment, IdentityError> {
        Enrolment::of(self.leaf.private_key())
    }

    /// Begins a renewal: a fresh key of the same algorithm, or of another one that the crypto profile now asks for.
    ///
    /// # Errors
    /// As [`Enrolment::begin`].
    pub fn renew(&self, algorithm: &'static Algorithm) -> Result<Enrolment, IdentityError> {
        Enrolment::begin(algorithm)
    }
}
