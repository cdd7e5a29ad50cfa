//! Limits of listeners, and the errors of both ends.
#![allow(clippy::unwrap_used)] // a test fails by its panic

mod world;

use std::io;
use std::sync::Arc;

use lockgate_identity::verifier::Expect;
use lockgate_transport::{
    AcceptError, BindError, DialError, Dialer, Limits, Listener, SecureFault, Trust, dialer, secure,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ServerConfig, sign::SingleCertAndKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use world::{ECDSA, World, accept, algorithm, listener, pair, suite, within};

#[tokio::test]
async fn a_port_in_use_is_named_with_a_next_step() {
    let first = listener().await;
    let error = Listener::bind(first.local(), Limits::default()).await.unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&first.local().to_string()) && text.contains("another port"), "{text}");
    let foreign = "192.0.2.1:0".parse().unwrap();
    let error = Listener::bind(foreign, Limits::default()).await.unwrap_err();
    assert!(matches!(error, BindError::NotLocal { .. }), "{error}");
}

#[tokio::test]
async fn a_plain_link_has_no_posture_and_knows_its_user() {
    let listener = listener().await;
    let dialer = Dialer::plain(dialer::Limits::default());
    let (client, accepted) =
        tokio::join!(dialer.dial("127.0.0.1", listener.local().port()), listener.accept());
    let (mut client, mut server) = (client.unwrap(), accepted.unwrap().plain());
    assert!(server.posture.is_none() && client.posture.is_none());
    assert!(server.evidence.same_user);
    within(async {
        client.io.write_all(b"ping").await.unwrap();
        let mut read = [0; 4];
        server.io.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"ping");
    })
    .await;
    assert_eq!((client.io.socket().bytes_out(), server.io.socket().bytes_in()), (4, 4));
}

#[tokio::test]
async fn a_peer_has_the_same_address_on_both_kinds_of_listener() {
    let Ok(listener) = Listener::bind("[::]:0".parse().unwrap(), Limits::default()).await else {
        return; // no IPv6 on this machine
    };
    let target = format!("127.0.0.1:{}", listener.local().port());
    let (stream, accepted) = tokio::join!(TcpStream::connect(&target), listener.accept());
    let accepted = accepted.unwrap();
    assert_eq!(accepted.peer, stream.as_ref().unwrap().local_addr().unwrap());
    assert_eq!(accepted.local.to_string(), target);
    assert!(accepted.plain().evidence.same_user);
}

#[tokio::test]
async fn a_slot_is_held_by_the_socket_wherever_it_goes() {
    let limits = Limits { links_max: 1, ..Limits::default() };
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), limits).await.unwrap();
    let connect = || TcpStream::connect(listener.local());
    let (first, accepted) = tokio::join!(connect(), listener.accept());
    let (_first, io) = (first.unwrap(), accepted.unwrap().plain().io);
    assert_eq!(listener.links(), 1);

    let (second, refused) = tokio::join!(connect(), listener.accept());
    let error = refused.unwrap_err();
    assert!(matches!(error, AcceptError::Links { links_max: 1, .. }), "{error}");
    // The one turned away sees the end, not a hang.
    let mut second = second.unwrap();
    let read = within(second.read(&mut [0])).await;
    assert!(matches!(read, Ok(0) | Err(_)));

    drop(io);
    assert_eq!(listener.links(), 0);
    let (_third, accepted) = tokio::join!(connect(), listener.accept());
    accepted.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_stalls_is_cut() {
    let world = World::new();
    let tls = world.tls("pq-kex", &world.node());
    let listener = listener().await;
    // Silence; a record that never ends; a ClientHello without an end.
    let beginnings: [&[u8]; 3] = [b"", &[22, 3, 1, 2, 0], &[22, 3, 1, 0, 4, 1, 0, 2, 0]];
    for beginning in beginnings {
        let (stream, accepted) = tokio::join!(TcpStream::connect(listener.local()), listener.accept());
        let mut stream = stream.unwrap();
        stream.write_all(beginning).await.unwrap();
        let outcome = secure(accepted.unwrap(), &tls, &Limits::default()).await;
        let error = outcome.unwrap_err();
        assert!(matches!(error.fault, SecureFault::Timeout { handshake_ms_max: 10_000 }), "{error}");
        assert_eq!(listener.links(), 0);
    }
}

#[tokio::test]
async fn a_closed_port_is_told_apart() {
    let port = listener().await.local().port(); // closed again
    let world = World::new();
    for dialer in [world.dialer("pq-kex", None), Dialer::plain(dialer::Limits::default())] {
        let error = within(dialer.dial("127.0.0.1", port)).await.unwrap_err();
        assert!(matches!(error, DialError::Closed { .. }), "{error}");
        assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dialer = World::new().dialer("pq-kex", None);
    let error = dialer.dial("127.0.0.1", silent.local_addr().unwrap().port()).await.unwrap_err();
    assert!(matches!(error, DialError::HandshakeTimeout { .. }), "{error}");
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_trusted() {
    let (ours, theirs) = (World::new(), World::new());
    let listener = listener().await;
    let tls = theirs.tls("pq-kex", &theirs.node());
    let dialer = ours.dialer("pq-kex", None);
    let dial = dialer.dial("127.0.0.1", listener.local().port());
    let (client, server) = tokio::join!(within(dial), accept(&listener, &tls));
    let error = client.unwrap_err();
    assert!(matches!(error, DialError::Certificate { .. }), "{error}");
    assert!(!error.is_crypto_refusal());
    let error = server.unwrap_err();
    assert!(matches!(error.fault, SecureFault::BrokenOff(_)), "{error}");
}

#[tokio::test]
async fn a_server_name_counts_where_it_is_expected() {
    let world = World::new();
    let listener = listener().await;
    let tls = world.tls("pq-kex", &world.node());
    let suite = suite("pq-kex");
    let trust = Trust::own(&world.authority.bundle(), Expect::DnsName);
    let dialer = Dialer::new(suite, None, trust, dialer::Limits::default()).unwrap();
    // The certificate names 127.0.0.1 and localhost, not ::ffff:127.0.0.1.
    pair(&dialer, &listener, &tls).await;
    let dial = dialer.dial("::ffff:127.0.0.1", listener.local().port());
    let (client, server) = tokio::join!(within(dial), accept(&listener, &tls));
    let error = client.unwrap_err();
    assert!(matches!(error, DialError::Certificate { .. }), "{error}");
    assert!(server.is_err());
}

#[tokio::test]
async fn a_classical_server_is_refused_by_policy() {
    let world = World::new();
    let node = world.node();
    let leaf = node.leaf(algorithm(ECDSA)).unwrap();
    let provider =
        CryptoProvider { kx_groups: vec![aws_lc_rs::kx_group::X25519], ..aws_lc_rs::default_provider() };
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(leaf.certified_key())));
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = async {
        let (stream, _) = listener.accept().await?;
        acceptor.accept(stream).await.map(drop)
    };
    let dialer = world.dialer("pq-kex", None);
    let (client, server): (_, io::Result<()>) = tokio::join!(within(dialer.dial("127.0.0.1", port)), serve);
    let error = client.unwrap_err();
    assert!(error.is_crypto_refusal(), "{error}");
    assert!(error.to_string().contains("X25519MLKEM768"), "{error}");
    assert!(server.is_err());
}
