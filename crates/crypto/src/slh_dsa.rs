//! SLH-DSA (FIPS 205): signatures that rest on a hash function and nothing else.
//!
//! The spare for the day on which lattices fall: slow to sign and large, but broken only by
//! breaking SHA-256. This is the pure form with an empty context, as RFC 9909 has it in X.509:
//! no parameters in the identifier, the raw private key of 4n bytes in PKCS#8, the raw public
//! key of 2n bytes in a `SubjectPublicKeyInfo`.

use std::fmt;
use std::marker::PhantomData;

use ::slh_dsa::{ParameterSet, Sha2_128f, Sha2_128s, Signature, SigningKey, VerifyingKey};
use const_oid::ObjectIdentifier;
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};
use zeroize::Zeroizing;

use crate::code::{NewKey, SecretKey, SignatureCode, StoredKey, Verifier};
use crate::{CryptoError, random};

/// The security parameter n of the sets here, in bytes (FIPS 205 table 2).
const N_BYTES: usize = 16;
/// SK.seed, SK.prf and PK.seed, of which PK.root follows.
const SEEDS_BYTES: usize = 3 * N_BYTES;
/// Size of a raw private key: the seeds and PK.root (FIPS 205 section 9.1).
const PRIVATE_KEY_BYTES: usize = 4 * N_BYTES;

/// The application's context in TLS and X.509 (RFC 9909 section 4).
const NO_CONTEXT: &[u8] = b"";

/// One parameter set of FIPS 205.
pub(crate) struct SlhDsa<P> {
    identifier: AlgorithmIdentifier,
    /// Itself, as a list.
    verifiers: &'static [Verifier],
    set: PhantomData<fn() -> P>,
}

/// `id-slh-dsa-sha2-128f`: quick to sign, signatures of 17,088 bytes.
pub(crate) static SHA2_128F: SlhDsa<Sha2_128f> = SlhDsa {
    identifier: AlgorithmIdentifier::from_slice(&IDENTIFIER_21),
    verifiers: &[&SHA2_128F],
    set: PhantomData,
};

/// `id-slh-dsa-sha2-128s`: slow to sign, signatures of 7,856 bytes.
pub(crate) static SHA2_128S: SlhDsa<Sha2_128s> = SlhDsa {
    identifier: AlgorithmIdentifier::from_slice(&IDENTIFIER_20),
    verifiers: &[&SHA2_128S],
    set: PhantomData,
};

static IDENTIFIER_21: [u8; 11] = identifier("2.16.840.1.101.3.4.3.21");
static IDENTIFIER_20: [u8; 11] = identifier("2.16.840.1.101.3.4.3.20");

/// Body of an `AlgorithmIdentifier` without parameters: tag, length and arcs of the OID.
const fn identifier(oid: &str) -> [u8; 11] {
    let oid = ObjectIdentifier::new_unwrap(oid);
    let arcs = oid.as_bytes();
    assert!(arcs.len() == 9);
    let mut body = [0x06, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut at = 0;
    while at < arcs.len() {
        body[at + 2] = arcs[at];
        at += 1;
    }
    body
}

impl<P: ParameterSet> fmt::Debug for SlhDsa<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(P::NAME)
    }
}

/// What webpki asks for, so that certificate chains verify through it.
impl<P: ParameterSet> SignatureVerificationAlgorithm for SlhDsa<P> {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key = VerifyingKey::<P>::try_from(public_key).map_err(|_| InvalidSignature)?;
        let signature = Signature::<P>::try_from(signature).map_err(|_| InvalidSignature)?;
        key.try_verify_with_context(message, NO_CONTEXT, &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.identifier
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.identifier
    }
}

impl<P: ParameterSet + Send + Sync> SignatureCode for SlhDsa<P> {
    fn verifiers(&'static self) -> &'static [Verifier] {
        self.verifiers
    }

    fn generate(&self) -> Result<NewKey, CryptoError> {
        let mut seeds = Zeroizing::new([0; SEEDS_BYTES]);
        random::fill(seeds.as_mut_slice());
        Ok(NewKey::Raw(Zeroizing::new(expand::<P>(&seeds).to_vec())))
    }

    fn parse(&'static self, key: StoredKey<'_>) -> Result<Box<dyn SecretKey>, CryptoError> {
        Ok(Box::new(from_raw::<P>(key.raw)?))
    }
}

/// Wiped when it goes: the library's feature for that is on.
impl<P: ParameterSet + Send + Sync> SecretKey for SigningKey<P> {
    fn public_key(&self) -> Result<Vec<u8>, CryptoError> {
        let key: &VerifyingKey<P> = self.as_ref();
        Ok(key.to_vec())
    }

    /// Hedged with fresh randomness (FIPS 205 section 9.2).
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        const FAILED: CryptoError = CryptoError::Library { operation: "sign with an SLH-DSA key" };
        let mut randomness = Zeroizing::new([0; N_BYTES]);
        random::fill(randomness.as_mut_slice());
        let signature = self.try_sign_with_context(message, NO_CONTEXT, Some(randomness.as_slice()));
        Ok(signature.map_err(|_| FAILED)?.to_vec())
    }
}

/// The key that belongs to SK.seed, SK.prf and PK.seed (FIPS 205 algorithm 18).
fn expand<P: ParameterSet>(seeds: &[u8; SEEDS_BYTES]) -> SigningKey<P> {
    let (sk_seed, rest) = seeds.split_at(N_BYTES);
    let (sk_prf, pk_seed) = rest.split_at(N_BYTES);
    SigningKey::slh_keygen_internal(sk_seed, sk_prf, pk_seed)
}

/// Parses a raw private key.
///
/// The public half is computed again from the secret one, which takes as long as making the
/// key: a key whose halves do not belong together would sign what nobody can verify.
fn from_raw<P: ParameterSet>(raw: &[u8]) -> Result<SigningKey<P>, CryptoError> {
    const WHAT: &str = "SLH-DSA private key";
    let seeds = raw.first_chunk().filter(|_| raw.len() == PRIVATE_KEY_BYTES).ok_or_else(|| {
        CryptoError::malformed(WHAT, format!("{} bytes instead of {PRIVATE_KEY_BYTES}", raw.len()))
    })?;
    let key = expand::<P>(seeds);
    if Zeroizing::new(key.to_vec()).as_slice() != raw {
        return Err(CryptoError::malformed(WHAT, "its public half does not belong to its secret half"));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use fips205::traits::{SerDes as _, Signer as _, Verifier as _};
    use fips205::{slh_dsa_sha2_128f, slh_dsa_sha2_128s};

    use super::*;

    type Code = &'static dyn SignatureCode;

    /// Each set with the size of its signatures (FIPS 205 table 2).
    const SETS: [(Code, usize); 2] = [(&SHA2_128F, 17_088), (&SHA2_128S, 7_856)];

    fn made(code: Code) -> (Zeroizing<Vec<u8>>, Box<dyn SecretKey>) {
        let NewKey::Raw(raw) = code.generate().unwrap() else { panic!("a raw key") };
        let key = parsed(code, &raw).unwrap();
        (raw, key)
    }

    fn parsed(code: Code, raw: &[u8]) -> Result<Box<dyn SecretKey>, CryptoError> {
        code.parse(StoredKey { pkcs8: b"", raw })
    }

    fn verifies(code: Code, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        code.verifiers()[0].verify_signature(key, message, signature).is_ok()
    }

    #[test]
    fn signatures_verify_and_nothing_else_does() {
        for (code, signature_bytes) in SETS {
            let (raw, key) = made(code);
            assert_eq!(raw.len(), PRIVATE_KEY_BYTES);
            let public_key = key.public_key().unwrap();
            assert_eq!(public_key, raw[2 * N_BYTES..]);
            let signature = key.sign(b"message").unwrap();
            assert_eq!(signature.len(), signature_bytes);
            assert!(verifies(code, &public_key, b"message", &signature), "{code:?}");
            assert_ne!(key.sign(b"message").unwrap(), signature, "signing is hedged");
            assert!(!verifies(code, &public_key, b"massage", &signature));
            // The randomizer, the few-time signature, and the last layer of the hypertree.
            for at in [0, N_BYTES, signature_bytes / 2, signature_bytes - 1] {
                let mut tampered = signature.clone();
                tampered[at] ^= 1;
                assert!(!verifies(code, &public_key, b"message", &tampered), "{code:?}: byte {at}");
            }
            for at in [0, public_key.len() - 1] {
                let mut tampered = public_key.clone();
                tampered[at] ^= 1;
                assert!(!verifies(code, &tampered, b"message", &signature));
            }
        }
    }

    #[test]
    fn sizes_that_are_wrong_are_refused_without_a_panic() {
        for (code, signature_bytes) in SETS {
            let (_, key) = made(code);
            let public_key = key.public_key().unwrap();
            let signature = key.sign(b"message").unwrap();
            for length in [0, 1, N_BYTES, signature_bytes - 1] {
                assert!(!verifies(code, &public_key, b"message", &signature[..length]));
            }
            let longer = [&signature[..], &[0]].concat();
            assert!(!verifies(code, &public_key, b"message", &longer));
            for key in [&[][..], &public_key[..31], &[&public_key[..], &[0]].concat()] {
                assert!(!verifies(code, key, b"message", &signature));
            }
        }
    }

    #[test]
    fn private_keys_that_do_not_hold_together_are_refused() {
        for (code, _) in SETS {
            let (raw, _) = made(code);
            for length in [0, 1, SEEDS_BYTES, PRIVATE_KEY_BYTES - 1] {
                let error = parsed(code, &raw[..length]).err().unwrap().to_string();
                assert!(error.contains(&format!("{length} bytes instead of 64")), "{error}");
            }
            assert!(parsed(code, &[&raw[..], &[0]].concat()).is_err());
            // The other seed of the secret half, SK.prf, does not enter the public key.
            for at in [0, 2 * N_BYTES, PRIVATE_KEY_BYTES - 1] {
                let mut mixed = raw.clone();
                mixed[at] ^= 1;
                let error = parsed(code, &mixed).err().unwrap().to_string();
                assert!(error.contains("does not belong"), "{error}");
            }
        }
    }

    /// First case of each set in NIST's ACVP vectors for key generation (vector set 53).
    #[test]
    fn key_generation_matches_the_vectors_of_nist() {
        let cases: [(Code, &str); 2] = [
            (
                &SHA2_128S,
                "173D04C938C1C36BF289C3C022D04B1463AE23C41AA546DA589774AC20B745C4\
                 0D794777914C99766827F0F09CA972BE0162C10219D422ADBA1359E6AA65299C",
            ),
            (
                &SHA2_128F,
                "C42BCB3B5A6F331F5CCE899253C6D9E29FF2B7EAD7A04BAB1794DB8CC659C3B4\
                 A868F1BD5DEBC12D4C9FAD66AABD0A94B546DF247BE4C457F3D467CDFCFABD39",
            ),
        ];
        for (code, hex) in cases {
            let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let raw: Vec<u8> = (0..hex.len()).step_by(2).map(digits).collect();
            // Parsing computes PK.root again and refuses any other.
            let key = parsed(code, &raw).unwrap();
            assert_eq!(key.public_key().unwrap(), raw[2 * N_BYTES..]);
        }
    }

    /// `fips205` is an independent implementation: each verifies what the other one signed,
    /// and both make the same signature of the same randomness.
    #[test]
    fn an_independent_implementation_agrees() {
        let (raw, key) = made(&SHA2_128F);
        let other = slh_dsa_sha2_128f::PrivateKey::try_from_bytes(raw[..].try_into().unwrap()).unwrap();
        let other_public = other.get_public_key();
        assert_eq!(key.public_key().unwrap(), other_public.clone().into_bytes());
        let signature = key.sign(b"message").unwrap();
        assert!(other_public.verify(b"message", &signature[..].try_into().unwrap(), b""));
        let theirs = other.try_sign(b"message", b"", true).unwrap();
        assert!(verifies(&SHA2_128F, &key.public_key().unwrap(), b"message", &theirs));
        // A context is part of what is signed.
        let theirs = other.try_sign(b"message", b"context", true).unwrap();
        assert!(!verifies(&SHA2_128F, &key.public_key().unwrap(), b"message", &theirs));

        let (raw, key) = made(&SHA2_128S);
        let other = slh_dsa_sha2_128s::PrivateKey::try_from_bytes(raw[..].try_into().unwrap()).unwrap();
        let signature = key.sign(b"message").unwrap();
        assert!(other.get_public_key().verify(b"message", &signature[..].try_into().unwrap(), b""));
        let deterministic = other.try_sign(b"message", b"", false).unwrap();
        let ours = from_raw::<Sha2_128s>(&raw).unwrap();
        let ours = ours.try_sign_with_context(b"message", NO_CONTEXT, None).unwrap().to_vec();
        assert_eq!(ours, deterministic);
    }
}
