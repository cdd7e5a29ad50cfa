//! X.509 chains with every signature algorithm, verified by webpki through our tables.

use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use super::{Chain, NAME, suite};
use crate::catalog;
use crate::{PrivateKey, Suite};

fn verifies(suite: &Suite, chain: &Chain, leaf: &CertificateDer<'_>) -> Result<(), webpki::Error> {
    let anchor = webpki::anchor_from_trusted_cert(&chain.root).unwrap();
    let leaf = EndEntityCert::try_from(leaf)?;
    leaf.verify_for_usage(
        suite.verification_algorithms().all,
        &[anchor],
        &[],
        UnixTime::now(),
        KeyUsage::server_auth(),
        None,
        None,
    )?;
    leaf.verify_is_valid_for_subject_name(&ServerName::try_from(NAME).unwrap())
}

#[test]
fn chains_of_every_algorithm_verify() {
    let mut chained = std::collections::BTreeSet::new();
    for alias in ["pq-kex", "lattice-broken"] {
        let suite = suite(alias);
        let made = suite.signatures().iter().filter(|row| PrivateKey::can_make(row));
        for row in made.filter(|row| chained.insert(row.id)) {
            let chain = Chain::new(row.id, row.id);
            verifies(&suite, &chain, &chain.leaf).unwrap_or_else(|error| panic!("{}: {error}", row.id));
        }
    }
    let made = catalog::all().iter().filter(|row| PrivateKey::can_make(row)).count();
    assert_eq!((chained.len(), made), (12, 12), "each algorithm in which keys are made");
}

#[test]
fn chains_may_mix_algorithms() {
    let suite = suite("pq-hybrid");
    let chain = Chain::new("MLDSA65-Ed25519-SHA512", "ML-DSA-65");
    verifies(&suite, &chain, &chain.leaf).unwrap();
}

#[test]
fn an_algorithm_outside_the_profile_does_not_verify() {
    let suite = suite("pq-hybrid");
    for root in ["ECDSA-P256-SHA256", "Ed25519", "ML-DSA-44"] {
        let chain = Chain::new(root, "MLDSA65-Ed25519-SHA512");
        let refused = verifies(&suite, &chain, &chain.leaf);
        assert!(
            matches!(refused, Err(webpki::Error::UnsupportedSignatureAlgorithmContext(_))),
            "{root}: {refused:?}"
        );
    }
}

#[test]
fn a_tampered_certificate_does_not_verify() {
    let suite = suite("pq-hybrid");
    let chain = Chain::new("MLDSA65-ECDSA-P256-SHA512", "MLDSA65-Ed25519-SHA512");
    // The leaf's key sits in the middle; either half of the signature ends it.
    let length = chain.leaf.len();
    for at in [length / 2, length - 2000, length - 20] {
        let mut tampered = chain.leaf.to_vec();
        tampered[at] ^= 1;
        assert_eq!(
            verifies(&suite, &chain, &CertificateDer::from(tampered)),
            Err(webpki::Error::InvalidSignatureForPublicKey),
            "byte {at}"
        );
    }
}

#[test]
fn a_key_of_one_composite_does_not_verify_as_another() {
    let key = PrivateKey::generate_algorithm("MLDSA65-Ed25519-SHA512").unwrap();
    let signature = key.sign(b"message").unwrap();
    // The same key bytes, relabelled as the P-256 composite.
    let mut spki = key.spki_der();
    let oid = spki.windows(8).position(|w| w == [0x2b, 6, 1, 5, 5, 7, 6, 48]);
    spki[oid.unwrap() + 7] = 45;
    assert!(crate::verify(&spki, b"message", &signature).is_err());
}
