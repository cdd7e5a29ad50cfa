//! The test vectors of draft-ietf-lamps-pq-composite-sigs-19.
//!
//! They are not ours to copy, so they are read from beside the repository when they are
//! there, and skipped aloud when they are not. `differential.rs` always runs.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::{AnyRef, Decode, Reader, SliceReader};
use serde_json::Value;

use crate::composite::{Composite, CompositeKey};
use crate::{PrivateKey, catalog, verify};

struct Vectors(Value);

impl Vectors {
    fn load() -> Option<Self> {
        let path =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/composite_vectors.json");
        let Ok(text) = std::fs::read(&path) else {
            eprintln!("skipped: vectors not present");
            return None;
        };
        Some(Self(serde_json::from_slice(&text).unwrap()))
    }

    fn message(&self) -> Vec<u8> {
        bytes(&self.0, "m")
    }

    fn context(&self) -> Vec<u8> {
        bytes(&self.0, "ctx")
    }

    /// The vectors of algorithms that this crate has, each with its catalog id.
    fn cases(&self) -> Vec<(&'static str, &Value)> {
        let tests = self.0["tests"].as_array().unwrap();
        let cases: Vec<_> = tests
            .iter()
            .filter_map(|case| {
                let id = case["tcId"].as_str().unwrap().strip_prefix("id-").unwrap();
                Some((catalog::find(id)?.id, case))
            })
            .collect();
        assert_eq!(cases.len(), 7, "four composites and three of ML-DSA");
        cases
    }

    fn composites(&self) -> Vec<(&'static Composite, &Value)> {
        let cases = self.cases().into_iter();
        let composites: Vec<_> = cases.filter_map(|(id, case)| Some((super::composite(id)?, case))).collect();
        assert_eq!(composites.len(), 4);
        composites
    }
}

fn bytes(value: &Value, key: &str) -> Vec<u8> {
    STANDARD.decode(value[key].as_str().unwrap()).unwrap()
}

#[test]
fn signatures_verify_with_their_context_and_no_other() {
    let Some(vectors) = Vectors::load() else { return };
    let (message, context) = (vectors.message(), vectors.context());
    for (composite, case) in vectors.composites() {
        let key = bytes(case, "pk");
        let plain = bytes(case, "s");
        let with_context = bytes(case, "sWithContext");
        assert!(composite.verify(&key, b"", &message, &plain), "{composite:?}");
        assert!(composite.verify(&key, &context, &message, &with_context), "{composite:?}");
        for (wrong, signature) in
            [(&context[..], &plain), (b"", &with_context), (b"another", &with_context), (&[0; 256], &plain)]
        {
            assert!(!composite.verify(&key, wrong, &message, signature), "{composite:?}");
        }
        assert!(!composite.verify(&key, b"", b"another message", &plain));
    }
}

#[test]
fn tampering_with_either_half_is_noticed() {
    let Some(vectors) = Vectors::load() else { return };
    let message = vectors.message();
    for (composite, case) in vectors.composites() {
        let key = bytes(case, "pk");
        let signature = bytes(case, "s");
        // Length of an ML-DSA signature, FIPS 204 table 2.
        let ml_dsa = if composite.id.starts_with("MLDSA65") { 3309 } else { 2420 };
        for at in [0, ml_dsa / 2, ml_dsa - 1, ml_dsa + 8, signature.len() - 1] {
            let mut tampered = signature.clone();
            tampered[at] ^= 1;
            assert!(!composite.verify(&key, b"", &message, &tampered), "{composite:?}: byte {at}");
        }
        for length in [0, ml_dsa, signature.len() - 1] {
            assert!(!composite.verify(&key, b"", &message, &signature[..length]));
        }
        for at in [0, key.len() - 1] {
            let mut tampered = key.clone();
            tampered[at] ^= 1;
            assert!(!composite.verify(&tampered, b"", &message, &signature));
        }
    }
}

#[test]
fn private_keys_give_the_public_keys_and_sign_for_them() {
    let Some(vectors) = Vectors::load() else { return };
    let (message, context) = (vectors.message(), vectors.context());
    for (composite, case) in vectors.composites() {
        let key = CompositeKey::from_raw(composite, &bytes(case, "sk")).unwrap();
        let public_key = bytes(case, "pk");
        assert_eq!(key.public_key().unwrap(), public_key, "{composite:?}");
        for context in [&b""[..], &context] {
            let signature = key.sign(context, &message).unwrap();
            assert!(composite.verify(&public_key, context, &message, &signature));
        }
    }
}

#[test]
fn pkcs8_round_trips_byte_for_byte() {
    let Some(vectors) = Vectors::load() else { return };
    let message = vectors.message();
    for (id, case) in vectors.cases() {
        let pkcs8 = bytes(case, "sk_pkcs8");
        let key = PrivateKey::from_pkcs8_der(&pkcs8).unwrap();
        assert_eq!(key.algorithm().id, id);
        assert_eq!(*key.to_pkcs8_der(), pkcs8);
        assert!(key.spki_der().ends_with(&bytes(case, "pk")), "{id}");
        let row = verify(&key.spki_der(), &message, &bytes(case, "s")).unwrap();
        assert_eq!(row.id, id);
        // What we write ourselves has the same shape.
        let made = PrivateKey::generate_algorithm(id).unwrap().to_pkcs8_der();
        let raw = bytes(case, "sk").len();
        assert_eq!(made.len(), pkcs8.len(), "{id}");
        assert_eq!(made[..made.len() - raw], pkcs8[..pkcs8.len() - raw], "{id}");
    }
}

#[test]
fn certificates_carry_the_same_keys_and_verify() {
    let Some(vectors) = Vectors::load() else { return };
    for (id, case) in vectors.cases() {
        let certificate = bytes(case, "x5c");
        let key = PrivateKey::from_pkcs8_der(&bytes(case, "sk_pkcs8")).unwrap();
        let mut outer = SliceReader::new(&certificate).unwrap();
        let (signed, identifier, signature) = outer
            .sequence(|reader| -> der::Result<_> {
                let signed = reader.tlv_bytes()?;
                let identifier = reader.tlv_bytes()?;
                Ok((signed, identifier, AnyRef::decode(reader)?.value()))
            })
            .unwrap();
        assert_eq!(identifier, key.algorithm_identifier_der(), "{id}");
        let spki = key.spki_der();
        assert!(signed.windows(spki.len()).any(|window| window == spki), "{id}");
        // The first byte of a BIT STRING counts unused bits.
        assert_eq!(signature[0], 0);
        assert_eq!(verify(&spki, signed, &signature[1..]).unwrap().id, id);
    }
}
