//! Requirements of cryptographic agility that are about this crate as a whole. The numbers are those of the checklist that
//! `docs/agility.md` lists.

use std::sync::Arc;

use rustls::ClientConfig;

use super::{Chain, client_config, link, server_config, suite, with_groups};
use crate::catalog::{self, Kind, Nature};
use crate::{PrivateKey, profile, verify};

/// What every TLS 1.3 implementation must have (RFC 9846, section 9.1) is in the catalog with code behind it, whether or
/// not a profile lists it: what can be done is one thing, what may be done another.
#[test]
fn the_baseline_is_there_whatever_profiles_say_checklist_04() {
    let baseline = ["secp256r1", "X25519", "ECDSA-P256-SHA256", "RSA-PSS-SHA256", "TLS_AES_128_GCM_SHA256"];
    for id in baseline {
        let row = catalog::find(id).unwrap();
        assert!(row.is_usable(), "{id}");
        let hybrid = profile::find("pq-hybrid").unwrap();
        let lists = [hybrid.groups, hybrid.signatures, hybrid.ciphers];
        assert!(lists.iter().all(|list| !list.contains(&id)), "{id} is there and not permitted");
    }
}

/// A hybrid needs both of its halves: a share or a signature of which one half is another's is refused.
#[test]
fn a_hybrid_fails_when_either_half_fails_checklist_06() {
    let row = catalog::find("MLDSA65-Ed25519-SHA512").unwrap();
    assert_eq!(row.nature, Nature::Hybrid);
    let [ours, other] = [(); 2].map(|()| PrivateKey::generate(row).unwrap());
    let [signature, foreign] = [&ours, &other].map(|key| key.sign(b"message").unwrap());
    assert!(verify::verify(&ours.spki_der(), b"message", &signature).is_ok());
    let traditional = 64;
    let cut = signature.len() - traditional;
    for mixed in [
        [&signature[..cut], &foreign[cut..]].concat(),
        [&foreign[..cut], &signature[cut..]].concat(),
        signature[..cut].to_vec(),
        signature[cut..].to_vec(),
    ] {
        assert!(verify::verify(&ours.spki_der(), b"message", &mixed).is_err());
    }

    for row in catalog::all().iter().filter(|row| row.kind == Kind::Group && !row.components.is_empty()) {
        let group = crate::group::implementation(row, row.providers[0]).unwrap();
        let mut share = group.start().unwrap().pub_key().to_vec();
        assert!(group.start_and_complete(&share).is_ok(), "{}", row.id);
        share.pop();
        assert!(group.start_and_complete(&share).is_err(), "{}: a half that is cut", row.id);
    }
}

/// A bounded set of profiles, each with an end of its lists; no free mix for a connection.
#[test]
fn there_are_few_profiles_and_no_mix_of_them_checklist_15() {
    assert!(profile::all().len() <= 12);
    for profile in profile::all() {
        assert!(profile.groups.len() <= 8 && profile.signatures.len() <= 16 && profile.ciphers.len() <= 3);
    }
    // What both sides permit is not enough: the server's profile decides, and a client that offers more gets no more.
    let (hybrid, transition) = (suite("pq-hybrid"), suite("pq-transition"));
    let chain = Chain::new("MLDSA65-Ed25519-SHA512", "MLDSA65-Ed25519-SHA512");
    let client: Arc<ClientConfig> =
        Arc::new(client_config(with_groups(&transition, &["X25519", "secp256r1"]), &chain, &chain));
    let server = Arc::new(server_config(hybrid.client_provider(), &chain, &chain));
    assert!(link(&client, &server).is_err());
}
