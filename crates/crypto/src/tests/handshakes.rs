//! Whole handshakes in memory, with certificates on both sides.

use std::sync::Arc;
use std::time::Duration;

use rustls::server::{Accepted, Acceptor};
use rustls::{ClientConfig, ClientConnection, NamedGroup, ServerConfig, ServerConnection};
use rustls_pki_types::ServerName;

use super::{Chain, NAME, client_config, link, server_config, suite, with_groups};
use crate::self_test::exchange;
use crate::{Observed, Posture, Suite};

const COMPOSITE: &str = "MLDSA65-Ed25519-SHA512";

fn chain(id: &str) -> Chain {
    Chain::new(id, id)
}

fn observed(suite: &Suite, chain: &Chain) -> Observed<'static> {
    Observed {
        own_signature: Some(chain.key.algorithm()),
        handshake: Duration::from_micros(1500),
        bytes_in: 2,
        bytes_out: 3,
        suite: Box::leak(Box::new(suite.clone())),
    }
}

/// Every group with every signature that we present, mutually authenticated, and each side's
/// posture tells what happened.
#[test]
fn every_group_with_every_identity() {
    let suite = suite("pq-transition");
    for signature in suite.identities().iter().copied() {
        let (near, far) = (chain(signature.id), chain(signature.id));
        for row in suite.groups() {
            let provider = with_groups(&suite, &[row.id]);
            let client = Arc::new(client_config(Arc::clone(&provider), &near, &far));
            let server = Arc::new(server_config(provider, &far, &near));
            let (client, server) =
                link(&client, &server).unwrap_or_else(|e| panic!("{} {}: {e}", row.id, signature.id));

            for posture in [
                Posture::from_rustls(&client, observed(&suite, &near)),
                Posture::from_rustls(&server, observed(&suite, &far)),
            ] {
                assert_eq!(posture.protocol, "TLSv1.3");
                assert_eq!(posture.group, row.id);
                assert_eq!(posture.cipher, "TLS_AES_256_GCM_SHA384");
                assert_eq!(posture.peer_signature.as_deref(), Some(signature.id));
                assert_eq!(posture.own_signature.as_deref(), Some(signature.id));
                assert!(!posture.resumed && !posture.hello_retry);
                assert_eq!((posture.handshake_us, posture.bytes_in, posture.bytes_out), (1500, 2, 3));
                assert_eq!((posture.epoch, posture.profile.as_str()), (7, "pq-transition@20261122"));
                assert_eq!(posture.quantum_safe(), row.is_quantum_safe() && signature.is_quantum_safe());
            }
        }
    }
}

/// As a listener does it: read the ClientHello, then choose.
fn accept(
    client: ClientConfig,
    serve: impl FnOnce(&Accepted) -> Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let name = ServerName::try_from(NAME).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut hello.as_slice()).unwrap();
    let accepted = acceptor.accept().unwrap().expect("a whole ClientHello");
    let config = serve(&accepted);
    let mut server = accepted.into_connection(config).unwrap();
    exchange(&mut client, &mut server)?;
    Ok((client, server))
}

/// Trap: a rustls server obeys the client's order, so the client must not be given the
/// choice.
#[test]
fn post_quantum_wins_whatever_the_clients_order() {
    let suite = suite("pq-transition");
    let chain = chain(COMPOSITE);
    let orders: [(&[&str], &str, bool); 5] = [
        (&["X25519", "X25519MLKEM768"], "X25519MLKEM768", true),
        (&["X25519MLKEM768", "X25519"], "X25519MLKEM768", false),
        (&["secp256r1", "X25519", "SecP384r1MLKEM1024"], "SecP384r1MLKEM1024", true),
        (&["secp384r1", "MLKEM768"], "MLKEM768", true),
        (&["secp256r1", "X25519"], "secp256r1", false),
    ];
    for (order, expected, retried) in orders {
        let client = client_config(with_groups(&suite, order), &chain, &chain);
        let (client, _) = accept(client, |accepted| {
            let hello = accepted.client_hello();
            let provider = suite.server_provider(hello.named_groups().unwrap()).unwrap();
            Arc::new(server_config(provider, &chain, &chain))
        })
        .unwrap();
        let posture = Posture::from_rustls(&client, observed(&suite, &chain));
        assert_eq!(posture.group, expected, "{order:?}");
        assert_eq!(posture.hello_retry, retried, "{order:?}");
    }
}

#[test]
fn a_classical_client_is_refused_with_both_lists() {
    for alias in ["pq-hybrid", "pq-kex"] {
        let suite = suite(alias);
        let grease = NamedGroup::from(0x2a2a);
        let offered = [grease, NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::from(0x9999)];
        let refused = suite.server_provider(&offered).unwrap_err();
        assert_eq!(refused.offered, ["X25519", "secp256r1", "0x9999"]);
        assert_eq!(refused.required, suite.profile().groups);
        let text = refused.to_string();
        assert!(text.contains("the peer offered X25519, secp256r1, 0x9999"), "{text}");
        assert!(text.contains("X25519MLKEM768") && text.contains("next:"), "{text}");
        assert!(suite.server_provider(&[]).unwrap_err().to_string().contains("offered nothing"));
    }
    let transition = suite("pq-transition");
    let provider = transition.server_provider(&[NamedGroup::X25519]).unwrap();
    assert!(provider.kx_groups.iter().any(|group| group.name() == NamedGroup::X25519));
}

/// What a server that skips `server_provider` would do: the handshake fails with an alert.
#[test]
fn under_pq_kex_a_classical_client_gets_no_handshake() {
    let chain = chain("ECDSA-P256-SHA256");
    let classical = with_groups(&suite("pq-transition"), &["X25519", "secp256r1"]);
    let client = Arc::new(client_config(classical, &chain, &chain));
    let server = server_config(suite("pq-kex").client_provider(), &chain, &chain);
    let error = link(&client, &Arc::new(server)).unwrap_err();
    assert!(error.to_string().contains("NoKxGroupsInCommon"), "{error}");
}

/// Our dialers send a share for the first group of the profile, whatever rustls prefers.
#[test]
fn our_dialers_offer_the_profiles_groups_in_its_order() {
    for alias in ["pq-hybrid", "pq-kex", "pq-transition"] {
        let suite = suite(alias);
        let chain = chain(COMPOSITE);
        let client = client_config(suite.client_provider(), &chain, &chain);
        let (client, _) = accept(client, |accepted| {
            let hello = accepted.client_hello();
            let offered = hello.named_groups().unwrap().iter();
            let expected = suite.groups().iter().filter_map(|row| row.code_point);
            assert!(offered.map(|group| u16::from(*group)).eq(expected), "{alias}");
            let schemes = hello.signature_schemes().iter();
            let expected = suite.signatures().iter().filter_map(|row| row.code_point);
            assert!(schemes.map(|scheme| u16::from(*scheme)).eq(expected), "{alias}");
            let provider = suite.server_provider(hello.named_groups().unwrap()).unwrap();
            Arc::new(server_config(provider, &chain, &chain))
        })
        .unwrap();
        let posture = Posture::from_rustls(&client, observed(&suite, &chain));
        assert_eq!(posture.group, suite.profile().groups[0]);
        assert!(!posture.hello_retry && posture.quantum_safe());
    }
}

/// A key share altered on the way breaks the handshake, whichever half it hits.
#[test]
fn a_tampered_key_share_breaks_the_handshake() {
    let suite = suite("pq-hybrid");
    let chain = chain(COMPOSITE);
    for row in suite.groups() {
        let provider = with_groups(&suite, &[row.id]);
        // The server's share fills the end of its first message but for a few bytes of
        // other extensions, so a tenth from either end of it lies in either half.
        for tenth in [2, 9] {
            let client = client_config(Arc::clone(&provider), &chain, &chain);
            let server = Arc::new(server_config(Arc::clone(&provider), &chain, &chain));
            let name = ServerName::try_from(NAME).unwrap();
            let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
            let mut server = ServerConnection::new(server).unwrap();
            let mut flight = Vec::new();
            client.write_tls(&mut flight).unwrap();
            server.read_tls(&mut flight.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            flight.clear();
            server.write_tls(&mut flight).unwrap();
            let record = 5 + usize::from(u16::from_be_bytes([flight[3], flight[4]]));
            flight[record * tenth / 10] ^= 1;
            let mut unread = flight.as_slice();
            let broken = std::iter::from_fn(|| {
                (!unread.is_empty()).then(|| {
                    client.read_tls(&mut unread).unwrap();
                    client.process_new_packets().map(drop)
                })
            })
            .any(|step| step.is_err());
            assert!(broken, "{}: at {tenth}/10", row.id);
        }
    }
}
