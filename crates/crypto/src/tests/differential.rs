//! Composites against independent implementations: `fips204` for ML-DSA with a context,
//! `ed25519-dalek` and `p256` for the traditional halves, `sha2` for the pre-hash.
//!
//! Here the construction of the draft is written a second time, from its text.

use ed25519_dalek::{Signer as _, Verifier as _};
use fips204::traits::{KeyGen, SerDes, Signer, Verifier};
use fips204::{ml_dsa_44, ml_dsa_65};
use p256::ecdsa;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256, Sha512};

use crate::composite::CompositeKey;

/// Which independent halves make up a composite, and how it hashes.
#[derive(Clone, Copy, Debug)]
struct Reference {
    id: &'static str,
    strong: bool,
    ed25519: bool,
    sha512: bool,
}

const REFERENCES: [Reference; 4] = [
    Reference { id: "MLDSA65-Ed25519-SHA512", strong: true, ed25519: true, sha512: true },
    Reference { id: "MLDSA65-ECDSA-P256-SHA512", strong: true, ed25519: false, sha512: true },
    Reference { id: "MLDSA44-Ed25519-SHA512", strong: false, ed25519: true, sha512: true },
    Reference { id: "MLDSA44-ECDSA-P256-SHA256", strong: false, ed25519: false, sha512: false },
];

impl Reference {
    fn label(self) -> Vec<u8> {
        format!("COMPSIG-{}", self.id).into_bytes()
    }

    fn message(self, context: &[u8], message: &[u8]) -> Vec<u8> {
        let mut out = b"CompositeAlgorithmSignatures2025".to_vec();
        out.extend(self.label());
        out.push(u8::try_from(context.len()).unwrap());
        out.extend(context);
        if self.sha512 {
            out.extend(Sha512::digest(message));
        } else {
            out.extend(Sha256::digest(message));
        }
        out
    }

    fn ml_dsa_public_key(self, seed: &[u8; 32]) -> Vec<u8> {
        if self.strong {
            ml_dsa_65::KG::keygen_from_seed(seed).0.into_bytes().to_vec()
        } else {
            ml_dsa_44::KG::keygen_from_seed(seed).0.into_bytes().to_vec()
        }
    }

    fn traditional_public_key(self, secret: &[u8; 32]) -> Vec<u8> {
        if self.ed25519 {
            let key = ed25519_dalek::SigningKey::from_bytes(secret);
            key.verifying_key().to_bytes().to_vec()
        } else {
            let key = ecdsa::SigningKey::from_slice(secret).unwrap();
            key.verifying_key().to_sec1_point(false).as_bytes().to_vec()
        }
    }

    fn sign(self, seed: &[u8; 32], secret: &[u8; 32], signed: &[u8]) -> Vec<u8> {
        let label = self.label();
        let mut out = if self.strong {
            let key = ml_dsa_65::KG::keygen_from_seed(seed).1;
            key.try_sign_with_seed(&[1; 32], signed, &label).unwrap().to_vec()
        } else {
            let key = ml_dsa_44::KG::keygen_from_seed(seed).1;
            key.try_sign_with_seed(&[1; 32], signed, &label).unwrap().to_vec()
        };
        if self.ed25519 {
            let key = ed25519_dalek::SigningKey::from_bytes(secret);
            out.extend(key.sign(signed).to_bytes());
        } else {
            let key = ecdsa::SigningKey::from_slice(secret).unwrap();
            let signature: ecdsa::Signature = key.sign(signed);
            out.extend(signature.to_der().as_bytes());
        }
        out
    }

    fn verify(self, key: &[u8], signed: &[u8], signature: &[u8]) -> bool {
        let label = self.label();
        let (ml_dsa, key, signature) = if self.strong {
            let (ml_dsa_key, key) = key.split_first_chunk().unwrap();
            let (ml_dsa_signature, signature) = signature.split_first_chunk().unwrap();
            let ml_dsa_key = ml_dsa_65::PublicKey::try_from_bytes(*ml_dsa_key).unwrap();
            let valid = ml_dsa_key.verify(signed, ml_dsa_signature, &label);
            (valid, key, signature)
        } else {
            let (ml_dsa_key, key) = key.split_first_chunk().unwrap();
            let (ml_dsa_signature, signature) = signature.split_first_chunk().unwrap();
            let ml_dsa_key = ml_dsa_44::PublicKey::try_from_bytes(*ml_dsa_key).unwrap();
            let valid = ml_dsa_key.verify(signed, ml_dsa_signature, &label);
            (valid, key, signature)
        };
        let traditional = if self.ed25519 {
            let key = ed25519_dalek::VerifyingKey::try_from(key).unwrap();
            let signature = ed25519_dalek::Signature::from_slice(signature).unwrap();
            key.verify(signed, &signature).is_ok()
        } else {
            let key = ecdsa::VerifyingKey::from_sec1_bytes(key).unwrap();
            let signature = ecdsa::Signature::from_der(signature).unwrap();
            key.verify(signed, &signature).is_ok()
        };
        ml_dsa && traditional
    }
}

/// The raw private key of the draft, of these secrets.
fn raw_private_key(reference: Reference, seed: &[u8; 32], secret: &[u8; 32]) -> Vec<u8> {
    if reference.ed25519 {
        return [&seed[..], secret].concat();
    }
    let head = [0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20];
    let curve = [0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    [&seed[..], &head, secret, &curve].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Same keys, and each side accepts what the other signs.
    #[test]
    fn agrees_with_independent_implementations(
        seed: [u8; 32],
        // Below the order of P-256 and not zero, whatever the rest.
        mut secret: [u8; 32],
        context in proptest::collection::vec(any::<u8>(), 0..=255),
        message in proptest::collection::vec(any::<u8>(), 0..2000),
    ) {
        secret[0] = 0x7f;
        for reference in REFERENCES {
            let composite = super::composite(reference.id).unwrap();
            let raw = raw_private_key(reference, &seed, &secret);
            let ours = CompositeKey::from_raw(composite, &raw).unwrap();
            let public_key = [
                reference.ml_dsa_public_key(&seed),
                reference.traditional_public_key(&secret),
            ].concat();
            prop_assert_eq!(&ours.public_key().unwrap(), &public_key);

            let signed = reference.message(&context, &message);
            let signature = ours.sign(&context, &message).unwrap();
            prop_assert!(reference.verify(&public_key, &signed, &signature));
            let signature = reference.sign(&seed, &secret, &signed);
            prop_assert!(composite.verify(&public_key, &context, &message, &signature));
        }
    }

    /// One flipped bit anywhere in key, message or signature, and it is no signature.
    #[test]
    fn one_flipped_bit_is_noticed(which in 0..4usize, at: prop::sample::Index, bit in 0..8u8) {
        let reference = REFERENCES[which];
        let composite = super::composite(reference.id).unwrap();
        let (seed, secret) = ([3; 32], [5; 32]);
        let key = [
            reference.ml_dsa_public_key(&seed),
            reference.traditional_public_key(&secret),
        ].concat();
        let message = b"The gate is open".to_vec();
        let signature = reference.sign(&seed, &secret, &reference.message(b"", &message));
        prop_assert!(composite.verify(&key, b"", &message, &signature));

        let lengths = [key.len(), message.len(), signature.len()];
        let mut all = [key, message, signature].concat();
        let at = at.index(all.len());
        all[at] ^= 1 << bit;
        let (key, rest) = all.split_at(lengths[0]);
        let (message, signature) = rest.split_at(lengths[1]);
        prop_assert!(!composite.verify(key, b"", message, signature), "byte {at} bit {bit}");
    }

    /// A damaged key is refused or is another key, and never a crash.
    #[test]
    fn damaged_keys_never_crash(which in 0..4usize, at: prop::sample::Index, value: u8) {
        let key = crate::PrivateKey::generate_algorithm(REFERENCES[which].id).unwrap();
        let signature = key.sign(b"message").unwrap();
        let (mut pkcs8, mut spki) = (key.to_pkcs8_der(), key.spki_der());
        let at_key = at.index(pkcs8.len());
        pkcs8[at_key] = value;
        if let Ok(read) = crate::PrivateKey::from_pkcs8_der(&pkcs8) {
            let signature = read.sign(b"message").unwrap();
            prop_assert!(crate::verify(&read.spki_der(), b"message", &signature).is_ok());
        }
        let at_key = at.index(spki.len());
        let same = spki[at_key] == value;
        spki[at_key] = value;
        prop_assert_eq!(crate::verify(&spki, b"message", &signature).is_ok(), same);
    }

    /// Whatever arrives as key or signature is refused without a crash.
    #[test]
    fn noise_is_refused(
        key in proptest::collection::vec(any::<u8>(), 0..2100),
        signature in proptest::collection::vec(any::<u8>(), 0..3500),
    ) {
        for reference in REFERENCES {
            let composite = super::composite(reference.id).unwrap();
            prop_assert!(!composite.verify(&key, b"", b"message", &signature));
        }
        prop_assert!(crate::verify(&key, b"message", &signature).is_err());
        prop_assert!(crate::PrivateKey::from_pkcs8_der(&key).is_err());
    }
}

/// A half cannot be lifted out: the ML-DSA half is no ML-DSA signature of M' without the
/// label as context, and halves of two composites do not combine.
#[test]
fn halves_do_not_stand_alone_or_mix() {
    let (seed, secret) = ([3; 32], [5; 32]);
    let [reference, with_ecdsa, ..] = REFERENCES;
    let composite = super::composite(reference.id).unwrap();
    let message = reference.message(b"", b"message");
    let signature = reference.sign(&seed, &secret, &message);
    let half = signature.first_chunk().unwrap();
    let key = ml_dsa_65::KG::keygen_from_seed(&seed).0;
    assert!(key.verify(&message, half, &reference.label()));
    assert!(!key.verify(&message, half, b""));

    let other = with_ecdsa.sign(&seed, &secret, &with_ecdsa.message(b"", b"message"));
    let mixed = [&other[..3309], &signature[3309..]].concat();
    let public_key = [reference.ml_dsa_public_key(&seed), reference.traditional_public_key(&secret)].concat();
    assert!(composite.verify(&public_key, b"", b"message", &signature));
    assert!(!composite.verify(&public_key, b"", b"message", &mixed));
}
