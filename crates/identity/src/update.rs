//! How peers learn of new roots and of the end of old ones: a bundle that the authority's roots have signed.
//!
//! The document is JSON: a body, as the very text that was signed, and one signature by each root of which the
//! authority has the key. A peer takes it if a root that it trusts already, of an algorithm that its crypto profile
//! permits, is among the signers. So a broken algorithm cannot bring in roots, and a change of one root is vouched for
//! by the old one as well as by all others. Whoever replays an old document is found out by its sequence.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lockgate_crypto::{Algorithm, PrivateKey, digest};
use serde::{Deserialize, Serialize};

use crate::bundle::ROOTS_MAX;
use crate::preamble::Preamble;
use crate::{IdentityError, TrustBundle};

/// Largest update that is read, in bytes: 32 roots of the algorithm with the largest signatures take 1.5 MB.
pub const SIGNED_BUNDLE_BYTES_MAX: usize = 2 << 20;

const SCHEMA: &str = "lockgate.bundle/1";
const WHAT: &str = "the signed trust bundle";

#[derive(Serialize, Deserialize)]
struct Document {
    schema: String,
    /// [`Body`] as JSON.
    body: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
struct Body {
    trust_domain: String,
    #[serde(flatten)]
    preamble: Preamble,
    /// The roots in PEM.
    certificates: String,
}

#[derive(Serialize, Deserialize)]
struct Signature {
    /// SHA-256 of the signer's subject public key info, lower-case hexadecimal.
    key: String,
    /// Base64.
    signature: String,
}

/// What a root signs. No certificate begins like this, so neither can stand for the other.
fn message(body: &str) -> Vec<u8> {
    [SCHEMA.as_bytes(), &[0], body.as_bytes()].concat()
}

/// The document for a bundle, signed by these keys.
pub(crate) fn sign(bundle: &TrustBundle, keys: &[&PrivateKey]) -> Result<String, IdentityError> {
    let body = Body {
        trust_domain: bundle.trust_domain().to_owned(),
        preamble: bundle.preamble(),
        certificates: bundle.to_pem(),
    };
    let body = serde_json::to_string(&body).expect("texts and numbers are JSON");
    let message = message(&body);
    let mut signatures = Vec::with_capacity(keys.len());
    for key in keys {
        let signature = STANDARD.encode(key.sign(&message)?);
        signatures.push(Signature { key: digest::hex(&digest::sha256(&key.spki_der())), signature });
    }
    let document = Document { schema: SCHEMA.to_owned(), body, signatures };
    Ok(serde_json::to_string(&document).expect("texts and numbers are JSON"))
}

impl TrustBundle {
    /// Reads a newer bundle of the same authority, as [`crate::Authority::signed_bundle`] made it, and answers it with
    /// its sequence.
    ///
    /// Somebody must vouch for it whom this bundle trusts at `now`: one signature by a root whose algorithm is
    /// `permitted`. The sequence must be higher than `last_sequence` and than [`TrustBundle::sequence`].
    ///
    /// # Errors
    /// [`IdentityError::Malformed`], [`IdentityError::BundleUnsigned`], [`IdentityError::BundleOutdated`],
    /// [`IdentityError::ForeignTrustDomain`] or [`IdentityError::Bundle`]; the old bundle is to stay in force then.
    pub fn accept_update(
        &self,
        text: &str,
        permitted: impl Fn(&Algorithm) -> bool,
        last_sequence: u64,
        now: SystemTime,
    ) -> Result<(Self, u64), IdentityError> {
        let malformed = |cause: String| IdentityError::Malformed { what: WHAT, cause };
        if text.len() > SIGNED_BUNDLE_BYTES_MAX {
            return Err(malformed(format!("it is larger than {SIGNED_BUNDLE_BYTES_MAX} bytes")));
        }
        let document: Document = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
        if document.schema != SCHEMA {
            return Err(malformed("it was made by another version of Lockgate; update this end".to_owned()));
        }
        if document.signatures.len() > ROOTS_MAX {
            return Err(malformed(format!("it has more than {ROOTS_MAX} signatures")));
        }
        let message = message(&document.body);
        if !document.signatures.iter().any(|one| self.vouches(one, &message, &permitted, now)) {
            return Err(IdentityError::BundleUnsigned);
        }
        let body: Body =
            serde_json::from_str(&document.body).map_err(|error| malformed(error.to_string()))?;
        body.preamble.check().map_err(|cause| malformed(cause.to_owned()))?;
        let (found, last) = (body.preamble.sequence, last_sequence.max(self.sequence()));
        if found <= last {
            return Err(IdentityError::BundleOutdated { found, last });
        }
        let bundle = Self::from_dated_pem(&body.certificates, &body.preamble)?;
        if bundle.trust_domain() != self.trust_domain() || body.trust_domain != self.trust_domain() {
            return Err(IdentityError::ForeignTrustDomain {
                id: crate::error::quoted(bundle.trust_domain()),
                expected: self.trust_domain().to_owned(),
            });
        }
        Ok((bundle, found))
    }

    /// Whether a signature is by one of our roots that counts.
    fn vouches(
        &self,
        signature: &Signature,
        message: &[u8],
        permitted: &impl Fn(&Algorithm) -> bool,
        now: SystemTime,
    ) -> bool {
        let root = self.roots().iter().find(|root| root.fingerprint() == signature.key);
        let Some(root) = root.filter(|root| root.is_trusted_at(now) && permitted(root.algorithm())) else {
            return false;
        };
        let Ok(bytes) = STANDARD.decode(&signature.signature) else {
            return false;
        };
        lockgate_crypto::verify(&root.spki_der, message, &bytes).is_ok()
    }
}
