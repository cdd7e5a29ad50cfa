//! Tripwires: what we rely on in our dependencies and cannot see in their types.
//!
//! Each pins one default or behaviour. When an update trips one, read the release notes,
//! decide, and then change the pin; never the other way round.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs as library;
use rustls::{HandshakeKind, NamedGroup, SignatureScheme};

use super::{Chain, client_config, link, server_config, suite, with_groups};
use crate::catalog::{self, Kind};

fn code_points(groups: &[&dyn rustls::crypto::SupportedKxGroup]) -> Vec<u16> {
    groups.iter().map(|group| group.name().into()).collect()
}

/// The feature `prefer-post-quantum` moves X25519MLKEM768 from the last to the first
/// place. Features unify across a build, so either may be what we get; we rely on neither.
#[test]
fn rustls_default_groups_are_one_of_the_two_known_orders() {
    let order = code_points(&library::default_provider().kx_groups);
    let known = [[0x001d, 0x0017, 0x0018, 0x11ec], [0x11ec, 0x001d, 0x0017, 0x0018]];
    assert!(known.iter().any(|known| known[..] == order), "{order:#06x?}");
}

#[test]
fn our_order_of_groups_is_the_profiles_not_the_librarys() {
    for profile in crate::profile::all() {
        let suite = suite(profile.alias);
        let order = code_points(&suite.client_provider().kx_groups);
        let expected: Vec<u16> =
            profile.groups.iter().map(|id| catalog::find(id).unwrap().code_point.unwrap()).collect();
        assert_eq!(order, expected, "{}", profile.name);
    }
}

#[test]
fn rustls_has_no_secp384r1mlkem1024_of_its_own() {
    assert!(!code_points(library::ALL_KX_GROUPS).contains(&0x11ed));
    assert!(matches!(NamedGroup::from(0x11ed), NamedGroup::Unknown(0x11ed)));
}

/// rustls-graviola has rustls built with TLS 1.2 as well. Each of our configurations names
/// TLS 1.3, and no suite holds a cipher of anything older.
#[test]
fn tls13_is_all_that_is_offered() {
    for profile in crate::profile::all() {
        let provider = suite(profile.alias).client_provider();
        assert!(provider.cipher_suites.iter().all(|suite| suite.tls13().is_some()));
    }
}

#[test]
fn rustls_server_defaults() {
    let chain = Chain::new("ECDSA-P256-SHA256", "ECDSA-P256-SHA256");
    let config = server_config(suite("pq-kex").client_provider(), &chain, &chain);
    assert_eq!(config.send_tls13_tickets, 2, "transport sets one");
    assert_eq!(config.max_early_data_size, 0, "no 0-RTT");
    assert!(!config.ignore_client_order);
    assert!(!config.ticketer.enabled(), "stateful sessions");
    assert!(config.session_storage.can_cache());
}

/// Trap 1 of the design, and the reason for `Suite::server_provider`.
#[test]
fn a_rustls_server_obeys_the_clients_order_of_groups() {
    let suite = suite("pq-transition");
    let chain = Chain::new("ML-DSA-65", "ML-DSA-65");
    let client = with_groups(&suite, &["X25519", "X25519MLKEM768"]);
    let client = Arc::new(client_config(client, &chain, &chain));
    for ignore_client_order in [false, true] {
        let server = with_groups(&suite, &["X25519MLKEM768", "X25519"]);
        let mut server = server_config(server, &chain, &chain);
        server.ignore_client_order = ignore_client_order;
        let (client, _) = link(&client, &Arc::new(server)).unwrap();
        let group = client.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, NamedGroup::X25519);
    }
}

/// Trap 2 of the design: a server that changes its leaf and its algorithm but keeps its
/// session store still resumes sessions that the old ones authenticated.
#[test]
fn resumption_outlives_a_change_of_algorithm_unless_the_store_goes_too() {
    let suite = suite("pq-kex");
    let old = Chain::new("ECDSA-P256-SHA256", "ECDSA-P256-SHA256");
    let new = Chain::new("ML-DSA-65", "ML-DSA-65");
    let before = server_config(suite.client_provider(), &old, &old);
    let mut kept = server_config(suite.client_provider(), &new, &old);
    kept.session_storage = Arc::clone(&before.session_storage);
    let fresh = server_config(suite.client_provider(), &new, &old);
    let client = Arc::new(client_config(suite.client_provider(), &old, &old));

    let kind = |server| {
        let (mut client, mut server) = link(&client, &Arc::new(server))?;
        // Tickets follow the handshake.
        let mut tickets = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut tickets).unwrap();
        }
        client.read_tls(&mut tickets.as_slice()).unwrap();
        client.process_new_packets()?;
        Ok(client.handshake_kind().unwrap())
    };
    let full: Result<_, rustls::Error> = kind(before);
    assert_eq!(full.unwrap(), HandshakeKind::Full);
    assert_eq!(kind(kept).unwrap(), HandshakeKind::Resumed);
    // A full handshake, in which the client sees a leaf that it does not trust.
    assert!(kind(fresh).is_err());
}

#[test]
fn aws_lc_ml_dsa_sizes_are_those_of_fips_204() {
    use aws_lc_rs::signature::{ML_DSA_44_SIGNING, ML_DSA_65_SIGNING, ML_DSA_87_SIGNING};
    let table = [
        (&ML_DSA_44_SIGNING, 1312, 2420),
        (&ML_DSA_65_SIGNING, 1952, 3309),
        (&ML_DSA_87_SIGNING, 2592, 4627),
    ];
    for (algorithm, public_key, signature) in table {
        assert_eq!(algorithm.public_key_len(), public_key);
        assert_eq!(algorithm.signature_len(), signature);
        assert_eq!(algorithm.seed_len(), 32);
    }
}

/// A composite has its halves' sizes, and nothing in between.
#[test]
fn composite_sizes_are_those_of_the_draft() {
    let table = [
        ("MLDSA65-Ed25519-SHA512", 1984, 3373..=3373),
        ("MLDSA65-ECDSA-P256-SHA512", 2017, 3376..=3381),
        ("MLDSA44-Ed25519-SHA512", 1344, 2484..=2484),
        ("MLDSA44-ECDSA-P256-SHA256", 1377, 2487..=2492),
    ];
    for (id, public_key, signature) in table {
        let key = crate::PrivateKey::generate_algorithm(id).unwrap();
        // SPKI adds two headers of 4 bytes, an identifier of 12 and the unused-bits byte.
        assert_eq!(key.spki_der().len(), public_key + 21, "{id}");
        assert!(signature.contains(&key.sign(b"").unwrap().len()), "{id}");
    }
}

#[test]
fn rustls_verifies_ml_dsa_without_unstable_features() {
    let schemes = library::default_provider().signature_verification_algorithms.supported_schemes();
    for scheme in [SignatureScheme::ML_DSA_44, SignatureScheme::ML_DSA_65, SignatureScheme::ML_DSA_87] {
        assert!(schemes.contains(&scheme));
        let row = catalog::by_code_point(Kind::Signature, scheme.into()).unwrap();
        assert!(row.id.starts_with("ML-DSA-"));
    }
    // And knows nothing of composites.
    assert!(!schemes.iter().any(|scheme| u16::from(*scheme) >= 0xfe00));
}

/// `ml_dsa_context.rs` calls the C library that `aws-lc-rs` calls: there must be one.
#[test]
fn versions_are_those_that_were_read() {
    assert_eq!(aws_lc_sys::AWSLC_VERSION_NUMBER_STRING, b"5.12.0\0");
    let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");
    let lock = std::fs::read_to_string(lock).unwrap();
    let table = [
        ("rustls", "0.23.46"),
        ("rustls-webpki", "0.103.16"),
        ("aws-lc-rs", "1.19.0"),
        ("aws-lc-sys", "0.47.0"),
    ];
    for (name, version) in table {
        let entry = format!("name = \"{name}\"\nversion = \"");
        let versions: Vec<_> =
            lock.split(&entry).skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert_eq!(versions, [version], "{name}");
    }
}
