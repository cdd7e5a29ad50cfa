//! Handshakes over real sockets: who is admitted, what both ends see, what resumes.
#![allow(clippy::unwrap_used)] // a test fails by its panic

mod world;

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lockgate_crypto::Family;
use lockgate_identity::{Principal, verify};
use lockgate_transport::{Alpn, Dialer, Link, Listener, SecureError, ServerTls, Sessions};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, ClientConfig, DigitallySignedStruct, NamedGroup, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use world::{World, accept, listener, pair, suite, within};

const SIGNATURES: [(Family, &str); 3] = [
    (Family::Composite, "MLDSA65-Ed25519-SHA512"),
    (Family::MlDsa, "ML-DSA-65"),
    (Family::Ecdsa, "ECDSA-P256-SHA256"),
];

/// A client that is not ours: any provider, and it trusts everybody whose signature it can verify.
#[derive(Debug)]
struct Foreign(WebPkiSupportedAlgorithms, Option<Vec<SignatureScheme>>);

impl ServerCertVerifier for Foreign {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        unreachable!("TLS 1.3 only")
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.1.clone().unwrap_or_else(|| self.0.supported_schemes())
    }
}

fn foreign(groups: &[NamedGroup], schemes: Option<&[SignatureScheme]>) -> TlsConnector {
    let all =
        [aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::X25519MLKEM768, aws_lc_rs::kx_group::SECP256R1];
    let find = |name: &NamedGroup| *all.iter().find(|group| group.name() == *name).unwrap();
    let provider =
        CryptoProvider { kx_groups: groups.iter().map(find).collect(), ..aws_lc_rs::default_provider() };
    let verifier = Foreign(provider.signature_verification_algorithms, schemes.map(<[_]>::to_vec));
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

async fn connect(connector: &TlsConnector, listener: &Listener) -> io::Result<()> {
    let stream = TcpStream::connect(listener.local()).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = connector.connect(name, stream).await?;
    // The server's verdict on us arrives after our side of the handshake.
    let _ = tls.read(&mut [0]).await?;
    Ok(())
}

/// Sends one byte from the server, so that the client reads the ticket that precedes it.
async fn settle(client: &mut Link, server: &mut Link) {
    within(async {
        server.io.write_all(b"!").await.unwrap();
        server.io.flush().await.unwrap();
        let mut byte = [0];
        client.io.read_exact(&mut byte).await.unwrap();
    })
    .await;
}

/// A handshake, and whether it resumed: both ends must agree.
async fn resumes(dialer: &Dialer, listener: &Listener, tls: &ServerTls) -> bool {
    let (mut client, mut server) = pair(dialer, listener, tls).await;
    settle(&mut client, &mut server).await;
    let (client, server) = (client.posture.unwrap(), server.posture.unwrap());
    assert_eq!(client.resumed, server.resumed);
    client.resumed
}

fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

#[tokio::test]
async fn both_ends_see_the_same_mutual_handshake_in_every_family() {
    let world = World::new();
    let listener = listener().await;
    for (family, signature) in SIGNATURES {
        let tls = world.tls("pq-kex", &world.node_of(&[family]));
        let dialer = world.dialer("pq-kex", Some(&world.agent(family)));
        let (client, server) = pair(&dialer, &listener, &tls).await;
        let (ours, theirs) = (client.posture.unwrap(), server.posture.unwrap());
        for posture in [&ours, &theirs] {
            assert_eq!(posture.protocol, "TLSv1.3");
            assert_eq!(posture.group, "X25519MLKEM768");
            assert_eq!(posture.peer_signature.as_deref(), Some(signature));
            assert_eq!(posture.own_signature.as_deref(), Some(signature));
            assert_eq!(posture.quantum_safe(), family != Family::Ecdsa);
            assert_eq!((posture.resumed, posture.hello_retry), (false, false));
            assert_eq!((posture.epoch, posture.profile.as_str()), (7, "pq-kex@20261122"));
        }
        assert_eq!(ours.bytes_out, theirs.bytes_in);
        assert!(theirs.bytes_out >= ours.bytes_in && ours.bytes_in > 1_000);
        assert_eq!((client.alpn, server.alpn), (Some(Alpn::H2), Some(Alpn::H2)));

        let principal = verify(&server.evidence, world.authority.bundle(), SystemTime::now()).unwrap();
        let Principal::Workload { id, .. } = principal else {
            panic!("{principal:?}");
        };
        assert_eq!(id.to_string(), "spiffe://example.org/agent/claude");
        let gateway = verify(&client.evidence, world.authority.bundle(), SystemTime::now()).unwrap();
        assert_eq!(gateway.to_string(), "spiffe://example.org/node/gateway");
    }
}

#[tokio::test]
async fn a_dialer_may_offer_http1_alone() {
    let world = World::new();
    let listener = listener().await;
    let tls = world.tls("pq-hybrid", &world.node());
    let leaf = world.agent(Family::Composite);
    let dialer = world.dialer("pq-hybrid", Some(&leaf)).http1_only();
    let (client, server) = pair(&dialer, &listener, &tls).await;
    assert_eq!((client.alpn, server.alpn), (Some(Alpn::Http11), Some(Alpn::Http11)));
    dialer.renew(&leaf).unwrap();
    let (client, _) = pair(&dialer, &listener, &tls).await;
    assert_eq!(client.alpn, Some(Alpn::Http11));
}

#[tokio::test]
async fn a_client_gets_the_strongest_leaf_that_it_can_verify() {
    let world = World::new();
    let listener = listener().await;
    let tls = world.tls("pq-kex", &world.node());
    let groups = [NamedGroup::X25519MLKEM768];
    let cases: [(&[SignatureScheme], &str); 3] = [
        (&[SignatureScheme::ECDSA_NISTP256_SHA256], "ECDSA-P256-SHA256"),
        (&[SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ML_DSA_65], "ML-DSA-65"),
        (&[SignatureScheme::ML_DSA_65, SignatureScheme::ED25519], "ML-DSA-65"),
    ];
    for (schemes, expected) in cases {
        let connector = foreign(&groups, Some(schemes));
        let serve = async {
            let link = accept(&listener, &tls).await.unwrap();
            link.posture.unwrap()
        };
        let (_, posture) = tokio::join!(connect(&connector, &listener), serve);
        assert_eq!(posture.own_signature.as_deref(), Some(expected), "{schemes:?}");
        assert_eq!(posture.peer_signature, None);
    }
    let (_, server) = pair(&world.dialer("pq-kex", None), &listener, &tls).await;
    let own = server.posture.unwrap().own_signature.clone();
    assert_eq!(own.as_deref(), Some("MLDSA65-Ed25519-SHA512"));
}

#[tokio::test]
async fn a_client_without_post_quantum_groups_is_refused_with_an_alert() {
    let world = World::new();
    let listener = listener().await;
    for profile in ["pq-hybrid", "pq-kex"] {
        let tls = world.tls(profile, &world.node());
        let connector = foreign(&[NamedGroup::X25519, NamedGroup::secp256r1], None);
        let (client, server) = tokio::join!(within(connect(&connector, &listener)), accept(&listener, &tls));
        assert_eq!(alert(&client.unwrap_err()), Some(AlertDescription::HandshakeFailure));
        let error = server.unwrap_err();
        assert!(error.is_crypto_refusal());
        let SecureError::Refused(refused) = error else {
            panic!("{error}");
        };
        assert_eq!(refused.offered, ["X25519", "secp256r1"]);
        assert_eq!(refused.required[0], "X25519MLKEM768");
    }
    assert_eq!(listener.links(), 0);
}

#[tokio::test]
async fn a_client_that_can_verify_no_leaf_is_refused_with_an_alert() {
    let world = World::new();
    let listener = listener().await;
    let tls = world.tls("pq-hybrid", &world.node());
    let schemes = [SignatureScheme::ECDSA_NISTP256_SHA256];
    let connector = foreign(&[NamedGroup::X25519MLKEM768], Some(&schemes));
    let (client, server) = tokio::join!(within(connect(&connector, &listener)), accept(&listener, &tls));
    assert_eq!(alert(&client.unwrap_err()), Some(AlertDescription::HandshakeFailure));
    let SecureError::Refused(refused) = server.unwrap_err() else {
        panic!("not refused");
    };
    assert_eq!(refused.offered, ["ECDSA-P256-SHA256"]);
    assert_eq!(refused.required, ["MLDSA65-Ed25519-SHA512", "ML-DSA-65"]);
}

#[tokio::test]
async fn post_quantum_wins_against_the_order_of_the_client() {
    let world = World::new();
    let listener = listener().await;
    let tls = world.tls("pq-transition", &world.node());
    let cases: [(&[NamedGroup], &str, bool); 3] = [
        (&[NamedGroup::X25519, NamedGroup::X25519MLKEM768], "X25519MLKEM768", true),
        (&[NamedGroup::X25519MLKEM768, NamedGroup::X25519], "X25519MLKEM768", false),
        (&[NamedGroup::X25519], "X25519", false),
    ];
    for (groups, expected, hello_retry) in cases {
        let connector = foreign(groups, None);
        let serve = async {
            let link = accept(&listener, &tls).await.unwrap();
            link.posture.unwrap()
        };
        let (_, posture) = tokio::join!(connect(&connector, &listener), serve);
        assert_eq!(posture.group, expected, "{groups:?}");
        assert_eq!(posture.hello_retry, hello_retry, "{groups:?}");
        if expected == "X25519" {
            assert_eq!(posture.weakest().as_deref(), Some("group X25519"));
        }
    }
}

#[tokio::test]
async fn a_session_resumes_until_something_is_taken_away() {
    let world = World::new();
    let listener = listener().await;
    let (node, bundle) = (world.node(), world.authority.bundle());
    let tls = world.tls("pq-kex", &node);
    let agent = world.agent(Family::Composite);
    let dialer = world.dialer("pq-kex", Some(&agent));
    assert!(!resumes(&dialer, &listener, &tls).await);
    assert!(resumes(&dialer, &listener, &tls).await);
    assert!(resumes(&dialer, &listener, &tls).await);

    // Renewed leaves, nothing less than before.
    let renewed = tls.swap(suite("pq-kex"), &world.node(), bundle).unwrap();
    assert_eq!(renewed, Sessions::Kept);
    assert!(resumes(&dialer, &listener, &tls).await);

    // A kind of leaf less, another profile, other roots.
    let fewer = world.node_of(&[Family::Composite, Family::MlDsa]);
    let other = World::new();
    let swaps = [
        ("pq-kex", &fewer, bundle),
        ("pq-hybrid", &fewer, bundle),
        ("pq-hybrid", &fewer, other.authority.bundle()),
    ];
    for (profile, node, bundle) in swaps {
        let outcome = tls.swap(suite(profile), node, bundle).unwrap();
        assert_eq!(outcome, Sessions::Dropped, "{profile}");
        if bundle.fingerprint() == world.authority.bundle().fingerprint() {
            assert!(!resumes(&dialer, &listener, &tls).await, "{profile}");
            assert!(resumes(&dialer, &listener, &tls).await, "{profile}");
        }
    }
}

#[tokio::test]
async fn a_resumed_link_has_the_posture_of_its_first_handshake() {
    let world = World::new();
    let listener = listener().await;
    let tls = world.tls("pq-hybrid", &world.node());
    let dialer = world.dialer("pq-hybrid", Some(&world.agent(Family::Composite)));
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (mut client, mut server) = pair(&dialer, &listener, &tls).await;
        settle(&mut client, &mut server).await;
        assert_eq!(server.evidence.peer_certificates.len(), 1);
        seen.push((client.posture.unwrap(), server.posture.unwrap()));
    }
    let [(full, full_server), (resumed, resumed_server)] = &seen[..] else {
        panic!("two handshakes");
    };
    assert!(resumed.resumed && resumed_server.resumed && !full.resumed);
    for (first, second) in [(full, resumed), (full_server, resumed_server)] {
        assert_eq!(first.group, second.group);
        assert_eq!(first.peer_signature, second.peer_signature);
        assert_eq!(first.own_signature, second.own_signature);
        assert!(second.quantum_safe());
    }
    // No certificates travel, in either direction.
    assert!(resumed.bytes_in < full.bytes_in / 3 && resumed.bytes_out < full.bytes_out / 3);
}

#[tokio::test]
async fn a_renewed_client_is_known_by_its_new_certificate() {
    let world = World::new();
    let listener = listener().await;
    let tls = world.tls("pq-hybrid", &world.node());
    let dialer = world.dialer("pq-hybrid", Some(&world.agent(Family::Composite)));
    assert!(!resumes(&dialer, &listener, &tls).await);
    let renewed = world.agent(Family::Composite);
    dialer.renew(&renewed).unwrap();
    let (client, server) = pair(&dialer, &listener, &tls).await;
    assert!(!client.posture.unwrap().resumed);
    assert_eq!(&server.evidence.peer_certificates[0], renewed.certificate());
    // An identity that the profile does not permit leaves the present one in place.
    let error = dialer.renew(&world.agent(Family::Ecdsa)).unwrap_err();
    assert!(error.to_string().contains("pq-hybrid"), "{error}");
    let (_, server) = pair(&dialer, &listener, &tls).await;
    assert_eq!(&server.evidence.peer_certificates[0], renewed.certificate());
}

#[tokio::test]
async fn a_wrong_or_expired_client_certificate_is_answered_with_an_alert() {
    let long_ago = SystemTime::now() - Duration::from_secs(48 * 3_600);
    let world = World::since(long_ago);
    let listener = listener().await;
    let tls = world.tls("pq-hybrid", &world.node());
    let cases = [World::new().agent(Family::Composite), world.agent_at(Family::Composite, long_ago)];
    for leaf in cases {
        let dialer = world.dialer("pq-hybrid", Some(&leaf));
        let call = async {
            let mut link = dialer.dial("127.0.0.1", listener.local().port()).await.unwrap();
            // The client has finished and may send at once; the alert must not be lost over it.
            link.io.write_all(&[b'x'; 4096]).await.unwrap();
            link.io.flush().await.unwrap();
            link.io.read(&mut [0]).await.unwrap_err()
        };
        let (client, server) = tokio::join!(within(call), accept(&listener, &tls));
        assert!(alert(&client).is_some(), "{client}");
        let error = server.unwrap_err();
        assert!(matches!(error, SecureError::Certificate(_)), "{error}");
    }
}

#[tokio::test]
async fn a_client_without_certificate_is_known_by_its_socket() {
    let world = World::new();
    let listener = listener().await;
    let tls = world.tls("pq-kex", &world.node());
    let (_client, server) = pair(&world.dialer("pq-kex", None), &listener, &tls).await;
    assert!(server.evidence.peer_certificates.is_empty() && server.evidence.same_user);
    let principal = verify(&server.evidence, world.authority.bundle(), SystemTime::now()).unwrap();
    assert!(matches!(principal, Principal::LocalUser { .. }), "{principal}");
    // A certificate is better evidence than the socket's owner.
    let dialer = world.dialer("pq-kex", Some(&world.agent(Family::Composite)));
    let (_client, server) = pair(&dialer, &listener, &tls).await;
    assert!(!server.evidence.same_user);
}

#[tokio::test]
async fn what_is_not_tls_is_told_apart() {
    let world = World::new();
    let listener = listener().await;
    let tls = world.tls("pq-kex", &world.node());
    let call = async {
        let mut stream = TcpStream::connect(listener.local()).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        answer
    };
    let (answer, server) = tokio::join!(within(call), accept(&listener, &tls));
    assert_eq!(answer.first(), Some(&21), "an alert record");
    let error = server.unwrap_err();
    assert!(matches!(error, SecureError::Tls(_)), "{error}");

    let hang_up = async { drop(TcpStream::connect(listener.local()).await.unwrap()) };
    let ((), server) = tokio::join!(hang_up, accept(&listener, &tls));
    assert!(matches!(server.unwrap_err(), SecureError::Io(_)));
}

#[tokio::test]
async fn a_node_without_a_permitted_leaf_is_an_error() {
    let world = World::new();
    let node = world.node_of(&[Family::Ecdsa]);
    let error = ServerTls::new(suite("pq-hybrid"), &node, world.authority.bundle()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("ecdsa") && text.contains("MLDSA65-Ed25519-SHA512"), "{text}");
    // A failed swap leaves the last good generation in force.
    let tls = world.tls("pq-kex", &node);
    tls.swap(suite("pq-hybrid"), &node, world.authority.bundle()).unwrap_err();
    assert_eq!(tls.suite().profile().alias, "pq-kex");
}
