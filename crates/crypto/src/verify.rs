//! Signature verification: catalog rows to webpki's algorithms, and public keys to rows.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use der::asn1::{AnyRef, BitStringRef};
use der::{Encode, Tag};
use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;
use spki::SubjectPublicKeyInfoRef;

use crate::CryptoError;
use crate::catalog::{self, Algorithm, Kind};
use crate::code::Verifier;

/// The implementations of a catalog row; empty if it has no code behind it.
pub(crate) fn implementations(row: &Algorithm) -> &'static [Verifier] {
    row.signature().map_or(&[], |code| code.verifiers())
}

/// The tables that rustls and webpki want for these rows, in this order of preference.
///
/// Rustls keeps the tables as `&'static`, so they are leaked, once for each distinct list;
/// there are as many lists as profiles, times the days on which an algorithm ends.
pub(crate) fn tables(rows: &[&'static Algorithm]) -> WebPkiSupportedAlgorithms {
    static TABLES: Mutex<BTreeMap<Vec<&'static str>, WebPkiSupportedAlgorithms>> =
        Mutex::new(BTreeMap::new());
    let key: Vec<&'static str> = rows.iter().map(|row| row.id).collect();
    let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
    *tables.entry(key).or_insert_with(|| {
        let mapping: Vec<(SignatureScheme, &'static [Verifier])> = rows
            .iter()
            .filter_map(|row| Some((SignatureScheme::from(row.code_point?), implementations(row))))
            .collect();
        let all: Vec<Verifier> = mapping.iter().flat_map(|entry| entry.1).copied().collect();
        WebPkiSupportedAlgorithms { all: all.leak(), mapping: mapping.leak() }
    })
}

/// Verifies `signature` over `message` with the public key in `spki_der`, a
/// `SubjectPublicKeyInfo` (RFC 5280), and tells which algorithm it was.
///
/// The key decides the algorithm; nothing in the signature can. Whether that algorithm is
/// *permitted* is a question for a profile.
///
/// # Errors
/// [`CryptoError::MalformedKey`], [`CryptoError::UnsupportedKey`] or
/// [`CryptoError::BadSignature`].
pub fn verify(spki_der: &[u8], message: &[u8], signature: &[u8]) -> Result<&'static Algorithm, CryptoError> {
    let (row, public_key) = read_spki(spki_der)?;
    let verifier = implementations(row)[0];
    verifier
        .verify_signature(public_key, message, signature)
        .map_err(|_| CryptoError::BadSignature { algorithm: row.id })?;
    Ok(row)
}

/// The algorithm of the public key in `spki_der`, a `SubjectPublicKeyInfo` (RFC 5280).
///
/// An RSA key does not say which hash it is used with and is named `RSA-PSS-SHA256`.
///
/// # Errors
/// [`CryptoError::MalformedKey`] or [`CryptoError::UnsupportedKey`].
pub fn algorithm_of_spki(spki_der: &[u8]) -> Result<&'static Algorithm, CryptoError> {
    read_spki(spki_der).map(|(row, _)| row)
}

const SPKI: &str = "SubjectPublicKeyInfo";

pub(crate) fn read_spki(spki_der: &[u8]) -> Result<(&'static Algorithm, &[u8]), CryptoError> {
    let spki =
        SubjectPublicKeyInfoRef::try_from(spki_der).map_err(|error| CryptoError::malformed(SPKI, error))?;
    let identifier = spki.algorithm.to_der().map_err(|error| CryptoError::malformed(SPKI, error))?;
    let row = row_of_identifier(&identifier)?;
    let key = spki
        .subject_public_key
        .as_bytes()
        .ok_or_else(|| CryptoError::malformed(SPKI, "the key is not a whole number of bytes"))?;
    Ok((row, key))
}

/// The row whose public keys carry this DER `AlgorithmIdentifier`.
pub(crate) fn row_of_identifier(identifier_der: &[u8]) -> Result<&'static Algorithm, CryptoError> {
    supported()
        .find(|row| identifier(implementations(row)[0].public_key_alg_id().as_ref()) == identifier_der)
        .ok_or_else(|| {
            let parsed = spki::AlgorithmIdentifierRef::try_from(identifier_der);
            CryptoError::UnsupportedKey {
                oid: parsed.map_or_else(|_| "unreadable".to_owned(), |id| id.oid.to_string()),
                supported: supported().map(|row| row.id).collect::<Vec<_>>().join(", "),
            }
        })
}

/// Signature rows with code behind them.
fn supported() -> impl Iterator<Item = &'static Algorithm> {
    catalog::all()
        .iter()
        .filter(|row| row.kind == Kind::Signature && row.is_usable())
        .filter(|row| !implementations(row).is_empty())
}

/// A DER `AlgorithmIdentifier` out of its body.
pub(crate) fn identifier(body: &[u8]) -> Vec<u8> {
    AnyRef::new(Tag::Sequence, body)
        .and_then(|any| any.to_der())
        .expect("identifiers are a few dozen bytes, far below DER's limits")
}

/// A DER `SubjectPublicKeyInfo` for a key of this row.
pub(crate) fn write_spki(row: &Algorithm, public_key: &[u8]) -> Vec<u8> {
    let body = implementations(row)[0].public_key_alg_id();
    let spki = BitStringRef::from_bytes(public_key)
        .and_then(|bits| bits.to_der())
        .map(|bits| [identifier(body.as_ref()), bits].concat());
    spki.and_then(|body| AnyRef::new(Tag::Sequence, &body)?.to_der())
        .expect("public keys are a few thousand bytes, far below DER's limits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_catalog_agree_on_object_identifiers() {
        let mut checked = 0;
        for row in supported() {
            for verifier in implementations(row) {
                let der = identifier(verifier.signature_alg_id().as_ref());
                let oid = spki::AlgorithmIdentifierRef::try_from(der.as_slice()).unwrap().oid;
                // One OID stands for RSA-PSS with any hash; its first row holds it.
                let holder = catalog::by_oid(&oid.to_string()).unwrap();
                assert_eq!(holder.id.get(..7), row.id.get(..7));
                if let Some(expected) = row.oid {
                    assert_eq!(oid.to_string(), expected, "{}", row.id);
                    checked += 1;
                }
            }
        }
        assert_eq!(checked, 19, "16 rows with an identifier, 3 of them in two forms");
    }

    #[test]
    fn every_usable_signature_has_code_and_no_other_row_has() {
        for row in catalog::all() {
            let expected = row.kind == Kind::Signature && row.is_usable();
            assert_eq!(!implementations(row).is_empty(), expected, "{}", row.id);
        }
    }

    #[test]
    fn a_key_names_its_row() {
        for row in supported().filter(|row| !row.id.starts_with("RSA")) {
            let spki = write_spki(row, b"any bits");
            assert_eq!(algorithm_of_spki(&spki).unwrap(), row);
        }
        let rsa = catalog::find("RSA-PKCS1-SHA384").unwrap();
        assert_eq!(algorithm_of_spki(&write_spki(rsa, b"bits")).unwrap().id, "RSA-PSS-SHA256");
    }

    #[test]
    fn foreign_keys_are_named_by_their_oid() {
        // id-X25519 is a key exchange, so it is no key to verify with.
        let spki = [0x30, 0x0a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x03, 0x01, 0x00];
        let error = verify(&spki, b"", b"").unwrap_err();
        let CryptoError::UnsupportedKey { oid, supported } = &error else {
            panic!("{error}");
        };
        assert_eq!(oid, "1.3.101.110");
        assert!(supported.starts_with("MLDSA65-Ed25519-SHA512, "));
        assert!(matches!(verify(b"noise", b"", b""), Err(CryptoError::MalformedKey { .. })));
    }
}
