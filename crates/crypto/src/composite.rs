//! Composite signatures: ML-DSA and a traditional algorithm as one
//! (draft-ietf-lamps-pq-composite-sigs-19).
//!
//! One key, one certificate, one signature, two halves; a verifier accepts only if both
//! halves verify, so a forger must break both. What the halves sign is
//!
//! ```text
//! M' = "CompositeAlgorithmSignatures2025" || label || len(ctx) || ctx || PH(M)
//! ```
//!
//! and the ML-DSA half gets the label once more as its FIPS 204 context. Keys and
//! signatures are plain concatenations, ML-DSA first: its sizes are fixed, so there is one
//! way only to cut them.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, UnparsedPublicKey,
    VerificationAlgorithm,
};
use const_oid::ObjectIdentifier;
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};
use zeroize::Zeroizing;

use crate::code::{NewKey, SecretKey, SignatureCode, StoredKey, Verifier};
use crate::ml_dsa_context::{self, ParameterSet, SEED_BYTES};
use crate::{CryptoError, random};

/// First part of every message representative, fixed by the draft.
const PREFIX: &[u8] = b"CompositeAlgorithmSignatures2025";

/// The application's context in TLS and X.509, which is not the label.
pub(crate) const NO_CONTEXT: &[u8] = b"";

/// One algorithm of the draft.
pub(crate) struct Composite {
    /// Catalog id.
    pub(crate) id: &'static str,
    label: &'static [u8],
    ml_dsa: ParameterSet,
    traditional: Traditional,
    pre_hash: &'static digest::Algorithm,
    identifier: AlgorithmIdentifier,
    /// Itself, as a list.
    verifiers: &'static [Verifier],
}

/// The traditional half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Traditional {
    Ed25519,
    /// With SHA-256, whatever the pre-hash is.
    EcdsaP256,
}

/// `id-MLDSA65-Ed25519-SHA512`.
pub(crate) static MLDSA65_ED25519_SHA512: Composite = Composite {
    id: "MLDSA65-Ed25519-SHA512",
    label: b"COMPSIG-MLDSA65-Ed25519-SHA512",
    ml_dsa: ParameterSet::MlDsa65,
    traditional: Traditional::Ed25519,
    pre_hash: &digest::SHA512,
    identifier: AlgorithmIdentifier::from_slice(&IDENTIFIER_48),
    verifiers: &[&MLDSA65_ED25519_SHA512],
};

/// `id-MLDSA65-ECDSA-P256-SHA512`. The label has `ECDSA` in it; the shorter form in the
/// draft's repository does not verify the draft's own vectors.
pub(crate) static MLDSA65_ECDSA_P256_SHA512: Composite = Composite {
    id: "MLDSA65-ECDSA-P256-SHA512",
    label: b"COMPSIG-MLDSA65-ECDSA-P256-SHA512",
    ml_dsa: ParameterSet::MlDsa65,
    traditional: Traditional::EcdsaP256,
    pre_hash: &digest::SHA512,
    identifier: AlgorithmIdentifier::from_slice(&IDENTIFIER_45),
    verifiers: &[&MLDSA65_ECDSA_P256_SHA512],
};

/// `id-MLDSA44-Ed25519-SHA512`.
pub(crate) static MLDSA44_ED25519_SHA512: Composite = Composite {
    id: "MLDSA44-Ed25519-SHA512",
    label: b"COMPSIG-MLDSA44-Ed25519-SHA512",
    ml_dsa: ParameterSet::MlDsa44,
    traditional: Traditional::Ed25519,
    pre_hash: &digest::SHA512,
    identifier: AlgorithmIdentifier::from_slice(&IDENTIFIER_39),
    verifiers: &[&MLDSA44_ED25519_SHA512],
};

/// `id-MLDSA44-ECDSA-P256-SHA256`.
pub(crate) static MLDSA44_ECDSA_P256_SHA256: Composite = Composite {
    id: "MLDSA44-ECDSA-P256-SHA256",
    label: b"COMPSIG-MLDSA44-ECDSA-P256-SHA256",
    ml_dsa: ParameterSet::MlDsa44,
    traditional: Traditional::EcdsaP256,
    pre_hash: &digest::SHA256,
    identifier: AlgorithmIdentifier::from_slice(&IDENTIFIER_40),
    verifiers: &[&MLDSA44_ECDSA_P256_SHA256],
};

static IDENTIFIER_48: [u8; 10] = identifier("1.3.6.1.5.5.7.6.48");
static IDENTIFIER_45: [u8; 10] = identifier("1.3.6.1.5.5.7.6.45");
static IDENTIFIER_39: [u8; 10] = identifier("1.3.6.1.5.5.7.6.39");
static IDENTIFIER_40: [u8; 10] = identifier("1.3.6.1.5.5.7.6.40");

/// Body of an `AlgorithmIdentifier` without parameters: tag, length and arcs of the OID.
const fn identifier(oid: &str) -> [u8; 10] {
    let oid = ObjectIdentifier::new_unwrap(oid);
    let arcs = oid.as_bytes();
    assert!(arcs.len() == 8);
    let mut body = [0x06, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut at = 0;
    while at < arcs.len() {
        body[at + 2] = arcs[at];
        at += 1;
    }
    body
}

impl Composite {
    /// M', which both halves sign. `None` if the context is too long to encode.
    fn representative(&self, context: &[u8], message: &[u8]) -> Option<Vec<u8>> {
        let context_bytes = u8::try_from(context.len()).ok()?;
        let hash = digest::digest(self.pre_hash, message);
        let length_byte = [context_bytes];
        let parts: [&[u8]; 5] = [PREFIX, self.label, &length_byte, context, hash.as_ref()];
        Some(parts.concat())
    }

    /// Whether both halves of `signature` are good.
    pub(crate) fn verify(&self, public_key: &[u8], context: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let Some(message) = self.representative(context, message) else {
            return false;
        };
        let Some((ml_dsa_key, traditional_key)) = public_key.split_at_checked(self.ml_dsa.public_key_bytes())
        else {
            return false;
        };
        let Some((ml_dsa_signature, traditional_signature)) =
            signature.split_at_checked(self.ml_dsa.signature_bytes())
        else {
            return false;
        };
        ml_dsa_context::verify(self.ml_dsa, ml_dsa_key, self.label, &message, ml_dsa_signature)
            && self.traditional.verify(traditional_key, &message, traditional_signature)
    }

    /// Makes the raw private key of the draft: an ML-DSA seed, then the traditional key.
    pub(crate) fn generate_raw(&self) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let traditional = self.traditional.generate_raw()?;
        let mut raw = Zeroizing::new(vec![0; SEED_BYTES + traditional.len()]);
        let (seed, rest) = raw.split_at_mut(SEED_BYTES);
        random::fill(seed);
        rest.copy_from_slice(&traditional);
        Ok(raw)
    }
}

impl fmt::Debug for Composite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

/// What webpki asks for, so that certificate chains verify through it.
impl SignatureVerificationAlgorithm for Composite {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        self.verify(public_key, NO_CONTEXT, message, signature).then_some(()).ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.identifier
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.identifier
    }
}

impl SignatureCode for Composite {
    fn verifiers(&'static self) -> &'static [Verifier] {
        self.verifiers
    }

    fn generate(&self) -> Result<NewKey, CryptoError> {
        self.generate_raw().map(NewKey::Raw)
    }

    fn parse(&'static self, key: StoredKey<'_>) -> Result<Box<dyn SecretKey>, CryptoError> {
        Ok(Box::new(CompositeKey::from_raw(self, key.raw)?))
    }
}

impl SecretKey for CompositeKey {
    fn public_key(&self) -> Result<Vec<u8>, CryptoError> {
        CompositeKey::public_key(self)
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        CompositeKey::sign(self, NO_CONTEXT, message)
    }
}

/// `ECPrivateKey` (RFC 5915) for P-256 as the draft encodes it, up to and after the 32
/// bytes of the scalar: version 1, named curve, no public key.
const EC_KEY_HEAD: [u8; 7] = [0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20];
const EC_KEY_TAIL: [u8; 12] = [0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

impl Traditional {
    fn verify(self, public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &'static dyn VerificationAlgorithm = match self {
            Self::Ed25519 => &signature::ED25519,
            // The draft has the uncompressed point only.
            Self::EcdsaP256 if public_key.len() == 65 && public_key[0] == 4 => {
                &signature::ECDSA_P256_SHA256_ASN1
            }
            Self::EcdsaP256 => return false,
        };
        UnparsedPublicKey::new(algorithm, public_key).verify(message, signature).is_ok()
    }

    fn generate_raw(self) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        use aws_lc_rs::encoding::{AsBigEndian, Curve25519SeedBin, EcPrivateKeyBin};
        const OPERATION: CryptoError =
            CryptoError::Library { operation: "generate the traditional half of a composite key" };
        match self {
            Self::Ed25519 => {
                let key = Ed25519KeyPair::generate().map_err(|_| OPERATION)?;
                let seed = key.seed().map_err(|_| OPERATION)?;
                let seed: Curve25519SeedBin<'_> = seed.as_be_bytes().map_err(|_| OPERATION)?;
                Ok(Zeroizing::new(seed.as_ref().to_vec()))
            }
            Self::EcdsaP256 => {
                let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| OPERATION)?;
                let scalar: EcPrivateKeyBin<'_> = key.private_key().as_be_bytes().map_err(|_| OPERATION)?;
                let parts: [&[u8]; 3] = [&EC_KEY_HEAD, scalar.as_ref(), &EC_KEY_TAIL];
                Ok(Zeroizing::new(parts.concat()))
            }
        }
    }
}

/// A composite private key, both halves parsed and ready.
pub(crate) struct CompositeKey {
    composite: &'static Composite,
    ml_dsa: ml_dsa_context::SigningKey,
    traditional: TraditionalKey,
}

enum TraditionalKey {
    Ed25519(Ed25519KeyPair),
    EcdsaP256(EcdsaKeyPair),
}

impl CompositeKey {
    /// Parses the raw private key that [`Composite::generate_raw`] describes.
    pub(crate) fn from_raw(composite: &'static Composite, raw: &[u8]) -> Result<Self, CryptoError> {
        const WHAT: &str = "composite private key";
        let (seed, traditional) = raw
            .split_first_chunk()
            .ok_or_else(|| CryptoError::malformed(WHAT, "shorter than the 32-byte ML-DSA seed"))?;
        let traditional = match composite.traditional {
            Traditional::Ed25519 => {
                Ed25519KeyPair::from_seed_unchecked(traditional).map(TraditionalKey::Ed25519)
            }
            Traditional::EcdsaP256 => {
                EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, traditional)
                    .map(TraditionalKey::EcdsaP256)
            }
        };
        Ok(Self {
            composite,
            ml_dsa: ml_dsa_context::SigningKey::from_seed(composite.ml_dsa, seed)?,
            traditional: traditional
                .map_err(|rejected| CryptoError::malformed(WHAT, format!("traditional half: {rejected}")))?,
        })
    }

    /// The raw public key: ML-DSA's, then the traditional one.
    pub(crate) fn public_key(&self) -> Result<Vec<u8>, CryptoError> {
        let mut key = self.ml_dsa.public_key()?;
        key.extend_from_slice(match &self.traditional {
            TraditionalKey::Ed25519(pair) => KeyPair::public_key(pair).as_ref(),
            TraditionalKey::EcdsaP256(pair) => KeyPair::public_key(pair).as_ref(),
        });
        Ok(key)
    }

    /// Signs with both halves.
    pub(crate) fn sign(&self, context: &[u8], message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        const FAILED: CryptoError = CryptoError::Library { operation: "sign with a composite key" };
        let message = self.composite.representative(context, message).ok_or(FAILED)?;
        let mut signature = self.ml_dsa.sign(self.composite.label, &message)?;
        match &self.traditional {
            TraditionalKey::Ed25519(pair) => {
                let half = pair.try_sign(&message).map_err(|_| FAILED)?;
                signature.extend_from_slice(half.as_ref());
            }
            TraditionalKey::EcdsaP256(pair) => {
                let half = pair.sign(&SystemRandom::new(), &message).map_err(|_| FAILED)?;
                signature.extend_from_slice(half.as_ref());
            }
        }
        Ok(signature)
    }
}
