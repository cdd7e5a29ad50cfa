//! Handshakes over real sockets: who is admitted, what both ends see, what resumes.
#![allow(clippy::unwrap_used)] // a test fails by its panic

mod world;

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lockgate_crypto::profile::{Definition, Profile};
use lockgate_identity::{Principal, verify};
use lockgate_transport::{Alpn, DialError, Dialer, Listener, SecureFault, ServerTls, dialer};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, ClientConfig, DigitallySignedStruct, NamedGroup, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use world::{COMPOSITE, ECDSA, ML_DSA, World, accept, algorithm, listener, pair, suite, within};

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

fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

#[tokio::test]
async fn both_ends_see_the_same_mutual_handshake_of_every_nature() {
    let world = World::new();
    let listener = listener().await;
    for signature in [COMPOSITE, ML_DSA, ECDSA] {
        let tls = world.tls("pq-kex", &world.node_of(&[algorithm(signature)]));
        let dialer = world.dialer("pq-kex", Some(&world.agent(signature)));
        let (client, server) = pair(&dialer, &listener, &tls).await;
        let (ours, theirs) = (client.posture.unwrap(), server.posture.unwrap());
        for posture in [&ours, &theirs] {
            assert_eq!(posture.protocol, "TLSv1.3");
            assert_eq!(posture.group, "X25519MLKEM768");
            assert_eq!(posture.peer_signature.as_deref(), Some(signature));
            assert_eq!(posture.own_signature.as_deref(), Some(signature));
            assert_eq!(posture.quantum_safe(), signature != ECDSA);
            assert_eq!((posture.resumed, posture.hello_retry), (false, false));
            assert_eq!((posture.epoch, posture.profile.as_str()), (7, "pq-kex@20261122"));
        }
        assert_eq!(ours.bytes_out, theirs.bytes_in);
        assert!(theirs.bytes_out >= ours.bytes_in && ours.bytes_in > 1_000);
        assert_eq!((client.alpn, server.alpn), (Some(Alpn::H2), Some(Alpn::H2)));

        let principal = verify(&server.evidence, &world.authority.bundle(), SystemTime::now()).unwrap();
        let Principal::Workload { id, .. } = principal else {
            panic!("{principal:?}");
        };
        assert_eq!(id.to_string(), "spiffe://example.org/agent/claude");
        let gateway = verify(&client.evidence, &world.authority.bundle(), SystemTime::now()).unwrap();
        assert_eq!(gateway.to_string(), "spiffe://example.org/node/gateway");
    }
}

#[tokio::test]
async fn a_dialer_may_offer_http1_alone() {
    let world = World::new();
    let listener = listener().await;
    let tls = world.tls("pq-hybrid", &world.node());
    let leaf = world.agent(COMPOSITE);
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
        let SecureFault::Refused(refused) = &error.fault else {
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
    let SecureFault::Refused(refused) = server.unwrap_err().fault else {
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
async fn a_wrong_or_expired_client_certificate_is_answered_with_an_alert() {
    let long_ago = SystemTime::now() - Duration::from_secs(48 * 3_600);
    let world = World::since(long_ago);
    let listener = listener().await;
    let tls = world.tls("pq-hybrid", &world.node());
    let cases = [World::new().agent(COMPOSITE), world.agent_at(COMPOSITE, long_ago)];
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
        assert!(matches!(error.fault, SecureFault::Certificate(_)), "{error}");
    }
}

#[tokio::test]
async fn a_client_without_certificate_is_known_by_its_socket() {
    let world = World::new();
    let listener = listener().await;
    let tls = world.tls("pq-kex", &world.node());
    let (_client, server) = pair(&world.dialer("pq-kex", None), &listener, &tls).await;
    assert!(server.evidence.peer_certificates.is_empty() && server.evidence.same_user);
    let principal = verify(&server.evidence, &world.authority.bundle(), SystemTime::now()).unwrap();
    assert!(matches!(principal, Principal::LocalUser { .. }), "{principal}");
    // A certificate is better evidence than the socket's owner.
    let dialer = world.dialer("pq-kex", Some(&world.agent(COMPOSITE)));
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
    assert!(matches!(error.fault, SecureFault::Tls(_)), "{error}");

    let hang_up = async { drop(TcpStream::connect(listener.local()).await.unwrap()) };
    let ((), server) = tokio::join!(hang_up, accept(&listener, &tls));
    assert!(matches!(server.unwrap_err().fault, SecureFault::Io(_)));
}

#[tokio::test]
async fn a_node_without_a_permitted_leaf_is_an_error() {
    let world = World::new();
    let node = world.node_of(&[algorithm(ECDSA)]);
    let error = ServerTls::new(suite("pq-hybrid"), &node, &world.authority.bundle()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(ECDSA) && text.contains("MLDSA65-Ed25519-SHA512"), "{text}");
    // A failed swap leaves the last good generation in force.
    let tls = world.tls("pq-kex", &node);
    tls.swap(suite("pq-hybrid"), &node, &world.authority.bundle()).unwrap_err();
    assert_eq!(tls.suite().profile().alias, "pq-kex");
}

#[tokio::test]
async fn what_a_peer_offered_is_known_whatever_becomes_of_it_checklist_05() {
    let world = World::new();
    let listener = listener().await;
    let tls = world.tls("pq-kex", &world.node());
    let (post_quantum, traditional) = (NamedGroup::X25519MLKEM768, NamedGroup::X25519);
    let scheme = [SignatureScheme::ECDSA_NISTP256_SHA256];
    // Accepted, and refused.
    let connector = foreign(&[traditional, post_quantum], Some(&scheme));
    let serve = async { accept(&listener, &tls).await.unwrap().offered };
    let (_, offered) = tokio::join!(connect(&connector, &listener), serve);
    let offered = offered.unwrap();
    assert_eq!(offered.groups, ["X25519", "X25519MLKEM768"]);
    assert_eq!(offered.signatures, [ECDSA]);
    assert_eq!(offered.ciphers[0], "TLS_AES_256_GCM_SHA384");
    let connector = foreign(&[traditional], Some(&scheme));
    let (_, refused) = tokio::join!(connect(&connector, &listener), accept(&listener, &tls));
    assert_eq!(refused.unwrap_err().offered().unwrap().groups, ["X25519"]);

    // A client that does not trust us tells by its alert what it thinks, and offered all the same.
    let stranger = World::new();
    let dialer = stranger.dialer("pq-kex", None);
    let dial = dialer.dial("127.0.0.1", listener.local().port());
    let (_, broken_off) = tokio::join!(within(dial), accept(&listener, &tls));
    let broken_off = broken_off.unwrap_err();
    assert!(matches!(broken_off.fault, SecureFault::BrokenOff(_)), "{broken_off}");
    assert!(broken_off.offered().unwrap().offers_quantum_safe_group());

    // No ClientHello, nothing offered.
    let hang_up = async { drop(TcpStream::connect(listener.local()).await.unwrap()) };
    let ((), server) = tokio::join!(hang_up, accept(&listener, &tls));
    assert_eq!(server.unwrap_err().offered(), None);
}

#[tokio::test]
async fn a_client_without_a_common_cipher_suite_is_refused_with_an_alert() {
    let world = World::new();
    let listener = listener().await;
    world.authority.ensure(&[algorithm("MLDSA44-Ed25519-SHA512")], SystemTime::now()).unwrap();
    let tls = world.tls("low-latency", &world.node_of(&[algorithm("MLDSA44-Ed25519-SHA512")]));
    let definition = Definition {
        name: "one-cipher@20261122".to_owned(),
        groups: vec!["X25519MLKEM768".to_owned()],
        signatures: vec!["MLDSA44-Ed25519-SHA512".to_owned()],
        ciphers: vec!["TLS_AES_256_GCM_SHA384".to_owned()],
        ..Definition::default()
    };
    let suite = Profile::define(definition).unwrap().compile(1).unwrap();
    let dialer = Dialer::new(suite, None, world.trust(), dialer::Limits::default()).unwrap();
    let dial = dialer.dial("127.0.0.1", listener.local().port());
    let (client, server) = tokio::join!(within(dial), accept(&listener, &tls));
    let DialError::Refused { source, .. } = client.unwrap_err() else { panic!("not refused") };
    assert_eq!(source, rustls::Error::AlertReceived(AlertDescription::HandshakeFailure));
    let error = server.unwrap_err();
    assert!(error.is_crypto_refusal() && matches!(error.fault, SecureFault::Incompatible(_)), "{error}");
    assert_eq!(error.offered().unwrap().ciphers, ["TLS_AES_256_GCM_SHA384"]);
}
