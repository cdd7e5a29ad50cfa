//! The crypto document: profiles, sunsets and bans that an operator writes down and signs.
//!
//! A TOML file of schema [`SCHEMA`] and, beside it, a detached signature ([`SIGNATURE_SCHEMA`])
//! by a key that is kept offline. Whoever can write to the node's disk can therefore not choose
//! weaker cryptography, and who can replay an older file cannot either: each document has an
//! `epoch`, and a node takes only a higher one than it has seen ([`Document::follows`]).
//!
//! ```toml
//! schema = "lockgate.crypto/1"
//! epoch = 3
//! issued = 2026-11-22
//!
//! [[profile]]
//! name = "plant@20261122"
//! purpose = "the controllers in hall 4"
//! groups = ["X25519MLKEM768"]
//! signatures = ["MLDSA65-Ed25519-SHA512"]
//! ciphers = ["TLS_AES_256_GCM_SHA384"]
//! providers = { X25519MLKEM768 = "graviola" }
//! not_after = 2029-12-31
//!
//! [[sunset]]
//! algorithm = "ECDSA-P256-SHA256"
//! warn_after = 2027-06-30
//! not_after = 2027-12-31
//!
//! [[ban]]
//! algorithm = "secp256r1"
//! reason = "hall 4 has no use for it"
//! keep_hybrids = true
//! ```
//!
//! Parsing finds every problem at once, each with its line and column.

mod fields;
mod read;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::catalog::Algorithm;
use crate::digest::{hex, sha256};
use crate::{Ban, CryptoError, Definition, PrivateKey, Profile, Profiles, Sunset, algorithm_of_spki};

/// Value of `schema` in a document.
pub const SCHEMA: &str = "lockgate.crypto/1";
/// Value of `schema` in a signature file.
pub const SIGNATURE_SCHEMA: &str = "lockgate.crypto-signature/1";
/// Largest document, bytes: a thousand times a usual one.
pub const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// Largest signature file, bytes: the largest signature is 17,088 bytes, 22,784 in base64.
pub const SIGNATURE_FILE_BYTES_MAX: usize = 64 * 1024;
/// Most profiles in a document. A process keeps each that it ever saw.
pub const PROFILES_MAX: usize = 32;
/// Most sunsets in a document, and most bans.
pub const ENTRIES_MAX: usize = 128;

/// What is signed begins with this, so that no signature for another purpose fits.
const DOMAIN: &[u8] = b"lockgate.crypto/1 document signature\0";

/// A crypto document that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Number of the document, from 1; a later document has a higher one.
    pub epoch: u64,
    /// Day on which it was issued.
    pub issued: Date,
    /// Profiles beside those that are shipped.
    pub profiles: Vec<Definition>,
    /// Dates that come before those of the catalog.
    pub sunsets: Vec<Sunset>,
    /// What must not be used.
    pub bans: Vec<Ban>,
    /// SHA-256 of the exact bytes, lower-case hexadecimal.
    pub sha256: String,
}

/// The last document that a node took, which it must remember.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its epoch.
    pub epoch: u64,
    /// Its hash.
    pub sha256: String,
}

/// Whose signature a document carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// [`fingerprint`] of the key.
    pub fingerprint: String,
    /// Its algorithm. Whether that may be used today is for the caller to ask.
    pub algorithm: &'static Algorithm,
}

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// Everything that is wrong with a document, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentErrors(pub Vec<Problem>);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl fmt::Display for DocumentErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for DocumentErrors {}

/// Why a document that parses is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The signature file is no signature file.
    #[error("the signature file cannot be read: {reason}; make it again with `lockgate crypto sign`")]
    SignatureFile {
        /// What is wrong with it.
        reason: String,
    },
    /// Signed by a key that is not trusted.
    #[error(
        "the document is signed by the key {signer}, which is not trusted; trusted are {trusted}; \
         sign it with one of these, or add the key to `trust`"
    )]
    NotTrusted {
        /// Fingerprint that the signature names.
        signer: String,
        /// Fingerprints that are trusted, comma separated.
        trusted: String,
    },
    /// The document is not what was signed.
    #[error(
        "the signature by {signer} does not match the document: one of the two was changed after \
         signing; take the document back as it was, or sign it again"
    )]
    BadSignature {
        /// Fingerprint of the trusted key that the signature names.
        signer: String,
    },
    /// Older than one that was in force.
    #[error(
        "the document has epoch {epoch}, but epoch {last} was in force already; give it an epoch \
         above {last} and sign it again"
    )]
    RolledBack {
        /// Of this document.
        epoch: u64,
        /// Of the last one.
        last: u64,
    },
    /// Two different documents with one epoch.
    #[error(
        "the document was changed, but its epoch is still {epoch}; give it an epoch above {epoch} \
         and sign it again"
    )]
    SameEpoch {
        /// Of both.
        epoch: u64,
    },
}

impl Document {
    /// Reads a document and checks all that can be checked without a node.
    ///
    /// Verify its signature first: only then is it worth reading.
    ///
    /// # Errors
    /// All problems at once: what is no TOML, unknown keys and algorithms, empty lists, dates
    /// that contradict each other or the catalog, names that are taken.
    pub fn parse(text: &str) -> Result<Self, DocumentErrors> {
        read::document(text)
    }

    /// The shipped profiles and those of the document.
    ///
    /// # Errors
    /// As [`Profile::define`]; a document that was parsed fails only when a process has taken
    /// in too many profiles.
    pub fn profiles(&self) -> Result<Profiles, CryptoError> {
        let defined: Result<Vec<_>, _> = self.profiles.iter().cloned().map(Profile::define).collect();
        defined.map(Profiles::with)
    }

    /// What a node must remember when it takes this document.
    #[must_use]
    pub fn seen(&self) -> Seen {
        Seen { epoch: self.epoch, sha256: self.sha256.clone() }
    }

    /// Whether the document may come after the last one that was taken. The very same document
    /// may always come again.
    ///
    /// # Errors
    /// [`DocumentError::RolledBack`] or [`DocumentError::SameEpoch`].
    pub fn follows(&self, last: Option<&Seen>) -> Result<(), DocumentError> {
        match last {
            Some(last) if self.epoch < last.epoch => {
                Err(DocumentError::RolledBack { epoch: self.epoch, last: last.epoch })
            }
            Some(last) if self.epoch == last.epoch && self.sha256 != last.sha256 => {
                Err(DocumentError::SameEpoch { epoch: self.epoch })
            }
            _ => Ok(()),
        }
    }
}

/// The signature file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureFile {
    schema: String,
    /// Fingerprint of the key.
    signer: String,
    /// Catalog id, for people: the key itself decides.
    algorithm: String,
    /// Base64 (RFC 4648 section 4).
    signature: String,
}

/// Signs the exact bytes of a document; the result is the text of its signature file.
///
/// # Errors
/// [`CryptoError::Library`].
pub fn sign(document: &[u8], key: &PrivateKey) -> Result<String, CryptoError> {
    let file = SignatureFile {
        schema: SIGNATURE_SCHEMA.to_owned(),
        signer: fingerprint(&key.spki_der()),
        algorithm: key.algorithm().id.to_owned(),
        signature: STANDARD.encode(key.sign(&signed(document))?),
    };
    let text = serde_json::to_string_pretty(&file);
    let text = text.map_err(|_| CryptoError::Library { operation: "write a signature file" })?;
    Ok(text + "\n")
}

/// Verifies the signature file of a document against the keys that are trusted, each a DER
/// `SubjectPublicKeyInfo` (RFC 5280).
///
/// # Errors
/// [`DocumentError::SignatureFile`], [`DocumentError::NotTrusted`] or
/// [`DocumentError::BadSignature`].
pub fn verify(
    document: &[u8],
    signature_file: &str,
    trusted_spkis: &[Vec<u8>],
) -> Result<Signer, DocumentError> {
    let refused = |reason: String| DocumentError::SignatureFile { reason };
    if signature_file.len() > SIGNATURE_FILE_BYTES_MAX {
        return Err(refused(format!("it has more than {SIGNATURE_FILE_BYTES_MAX} bytes")));
    }
    let file: SignatureFile =
        serde_json::from_str(signature_file).map_err(|error| refused(error.to_string()))?;
    if file.schema != SIGNATURE_SCHEMA {
        return Err(refused(format!("its schema is {:?}, not {SIGNATURE_SCHEMA:?}", file.schema)));
    }
    let signature = STANDARD
        .decode(&file.signature)
        .map_err(|error| refused(format!("its signature is no base64: {error}")))?;
    let trusted: Vec<_> = trusted_spkis.iter().map(|spki| (fingerprint(spki), spki)).collect();
    let Some((signer, spki)) = trusted.iter().find(|(fingerprint, _)| *fingerprint == file.signer) else {
        let trusted: Vec<_> = trusted.into_iter().map(|(fingerprint, _)| fingerprint).collect();
        let trusted = if trusted.is_empty() { "none".to_owned() } else { trusted.join(", ") };
        return Err(DocumentError::NotTrusted { signer: shown(&file.signer), trusted });
    };
    match crate::verify(spki, &signed(document), &signature) {
        Ok(algorithm) => Ok(Signer { fingerprint: signer.clone(), algorithm }),
        Err(_) => Err(DocumentError::BadSignature { signer: signer.clone() }),
    }
}

/// What names a public key: SHA-256 of its DER `SubjectPublicKeyInfo`, lower-case hexadecimal.
#[must_use]
pub fn fingerprint(spki: &[u8]) -> String {
    hex(&sha256(spki))
}

/// A public key as PEM (RFC 7468), for `trust`.
///
/// # Errors
/// [`CryptoError::MalformedKey`] if `spki` is no DER.
pub fn public_key_pem(spki: &[u8]) -> Result<String, CryptoError> {
    let document = der::Document::try_from(spki);
    document
        .and_then(|document| document.to_pem(PEM_LABEL, der::pem::LineEnding::LF))
        .map_err(|error| CryptoError::malformed("public key", error))
}

/// The DER `SubjectPublicKeyInfo` in a PEM text, of an algorithm that this build can verify.
///
/// # Errors
/// [`CryptoError::MalformedKey`] or [`CryptoError::UnsupportedKey`].
pub fn public_key_from_pem(pem: &str) -> Result<Vec<u8>, CryptoError> {
    const WHAT: &str = "public key";
    let (label, document) =
        der::Document::from_pem(pem.trim()).map_err(|error| CryptoError::malformed(WHAT, error))?;
    if label != PEM_LABEL {
        let reason = format!("the PEM holds a {} and not a {PEM_LABEL}", shown(label));
        return Err(CryptoError::malformed(WHAT, reason));
    }
    algorithm_of_spki(document.as_bytes())?;
    Ok(document.into_vec())
}

const PEM_LABEL: &str = "PUBLIC KEY";

fn signed(document: &[u8]) -> Vec<u8> {
    [DOMAIN, document].concat()
}

/// Foreign text as it may stand in a message: short, and without control characters.
fn shown(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 80;
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;
