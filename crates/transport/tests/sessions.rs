//! Resumption over swaps, on listeners and on dialers: it survives what takes nothing away, and nothing else.
#![allow(clippy::unwrap_used)] // a test fails by its panic

mod world;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use lockgate_crypto::{Ban, Conditions, Suite, profile};
use lockgate_identity::verifier::{self, Expect, ForeignRoots};
use lockgate_identity::{NodeIdentity, TrustBundle};
use lockgate_transport::{Dialer, Limits, ServerTls, Sessions, Trust, dialer, secure};
use world::{
    COMPOSITE, ECDSA, ML_DSA, World, accept, algorithm, listener, pair, resumes, settle, suite, within,
};

/// A profile of a later epoch under one ban, written as on the command line.
fn banned(name: &str, target: &str) -> Suite {
    let (algorithm, provider) = Ban::parse_target(target).unwrap();
    let ban = Ban { algorithm, provider, keep_hybrids: true, reason: "a test".to_owned(), ..Ban::default() };
    let conditions = Conditions { bans: Arc::from([ban]), ..Conditions::today(8) };
    profile::find(name).unwrap().compile_under(&conditions).unwrap()
}

fn later(name: &str) -> Suite {
    profile::find(name).unwrap().compile(8).unwrap()
}

/// The swaps of one profile for another that every holder of sessions must judge alike.
fn swaps_of_profiles() -> Vec<(&'static str, Suite, Suite, Sessions)> {
    use Sessions::{Dropped, Kept};
    vec![
        ("another epoch", suite("pq-kex"), later("pq-kex"), Kept),
        ("more groups", suite("pq-kex"), later("pq-transition"), Kept),
        ("more signatures", suite("pq-hybrid"), later("classical-broken"), Kept),
        ("fewer groups", suite("pq-transition"), later("pq-kex"), Dropped),
        ("fewer signatures", suite("pq-kex"), later("pq-hybrid"), Dropped),
        ("a group banned", suite("pq-kex"), banned("pq-kex", "MLKEM768"), Dropped),
        ("a signature banned", suite("pq-kex"), banned("pq-kex", "RSA-PKCS1-SHA512"), Dropped),
        ("a cipher banned", suite("pq-kex"), banned("pq-kex", "TLS_CHACHA20_POLY1305_SHA256"), Dropped),
        ("a provider banned", suite("pq-kex"), banned("pq-kex", "aws-lc/X25519MLKEM768"), Dropped),
        ("a ban lifted", banned("pq-kex", "MLKEM768"), later("pq-kex"), Kept),
    ]
}

#[tokio::test]
async fn a_listener_keeps_sessions_until_a_profile_takes_something_away_checklist_10() {
    let world = World::new();
    let listener = listener().await;
    let bundle = world.authority.bundle();
    let node = world.node_of(&[COMPOSITE, ML_DSA].map(algorithm));
    for (name, before, after, expected) in swaps_of_profiles() {
        let tls = ServerTls::new(before, &node, &bundle).unwrap();
        let dialer = world.dialer("pq-kex", Some(&world.agent(COMPOSITE)));
        assert!(!resumes(&dialer, &listener, &tls).await, "{name}");
        assert!(resumes(&dialer, &listener, &tls).await, "{name}");
        assert_eq!(tls.swap(after, &node, &bundle).unwrap(), expected, "{name}");
        let resumed = resumes(&dialer, &listener, &tls).await;
        assert_eq!(resumed, expected == Sessions::Kept, "{name}");
        assert!(resumes(&dialer, &listener, &tls).await, "{name}");
    }
}

#[tokio::test]
async fn a_dialer_keeps_sessions_until_a_profile_takes_something_away_checklist_10() {
    let world = World::new();
    let listener = listener().await;
    let agent = world.agent(COMPOSITE);
    for (name, before, after, expected) in swaps_of_profiles() {
        let tls = world.tls("pq-transition", &world.node());
        let dialer = Dialer::new(before, Some(&agent), world.trust(), dialer::Limits::default()).unwrap();
        assert!(!resumes(&dialer, &listener, &tls).await, "{name}");
        assert!(resumes(&dialer, &listener, &tls).await, "{name}");
        assert_eq!(dialer.swap(after, Some(&agent), world.trust()).unwrap(), expected, "{name}");
        let resumed = resumes(&dialer, &listener, &tls).await;
        assert_eq!(resumed, expected == Sessions::Kept, "{name}");
        assert!(resumes(&dialer, &listener, &tls).await, "{name}");
        assert_eq!(dialer.suite().unwrap().epoch(), 8, "{name}");
    }
}

#[tokio::test]
async fn roots_and_leaves_count_on_a_listener_checklist_10() {
    use Sessions::{Dropped, Kept};
    let (world, other) = (World::new(), World::new());
    let listener = listener().await;
    let (node, bundle) = (world.node(), world.authority.bundle());
    let fewer = world.node_of(&[COMPOSITE, ML_DSA].map(algorithm));
    let agent = world.agent(COMPOSITE);
    world.authority.ensure(&[algorithm("ML-DSA-87")], SystemTime::now()).unwrap();
    let grown = world.authority.bundle();
    // From the second case on the next state replaces the last one.
    let cases: [(&str, &NodeIdentity, &TrustBundle, Sessions); 5] = [
        ("renewed leaves", &world.node(), &bundle, Kept),
        ("a root more", &node, &grown, Kept),
        ("a leaf less", &fewer, &grown, Dropped),
        ("a root less", &fewer, &bundle, Dropped),
        ("another authority", &fewer, &other.authority.bundle(), Dropped),
    ];
    let tls = ServerTls::new(suite("pq-kex"), &node, &bundle).unwrap();
    let dialer = world.dialer("pq-kex", Some(&agent));
    resumes(&dialer, &listener, &tls).await;
    for (name, node, roots, expected) in cases {
        assert_eq!(tls.swap(suite("pq-kex"), node, roots).unwrap(), expected, "{name}");
        // Another authority would not let the agent in at all.
        if roots.includes(&bundle) {
            assert_eq!(resumes(&dialer, &listener, &tls).await, expected == Kept, "{name}");
            assert!(resumes(&dialer, &listener, &tls).await, "{name}");
        }
    }
}

#[tokio::test]
async fn a_root_that_is_replaced_takes_the_sessions_with_it_checklist_09() {
    let world = World::new();
    let listener = listener().await;
    let tls = world.tls("pq-hybrid", &world.node());
    let agent = world.agent(COMPOSITE);
    let dialer = world.dialer("pq-hybrid", Some(&agent));
    resumes(&dialer, &listener, &tls).await;

    // Old and new root side by side: nothing is taken away.
    let now = SystemTime::now();
    world.authority.rotate(algorithm(COMPOSITE), now, Duration::from_secs(3_600)).unwrap();
    let both = world.authority.bundle();
    assert_eq!(tls.swap(later("pq-hybrid"), &world.node(), &both).unwrap(), Sessions::Kept);
    let trust = Trust::own(&both, Expect::Node);
    assert_eq!(dialer.swap(later("pq-hybrid"), Some(&agent), trust).unwrap(), Sessions::Kept);
    assert!(resumes(&dialer, &listener, &tls).await);

    // The old one is gone: the peer that it vouched for must show what it has now.
    world.authority.prune(now + Duration::from_secs(3_601)).unwrap();
    let new = world.authority.bundle();
    assert_eq!(tls.swap(later("pq-hybrid"), &world.node(), &new).unwrap(), Sessions::Dropped);
    let trust = Trust::own(&new, Expect::Node);
    assert_eq!(dialer.swap(later("pq-hybrid"), Some(&agent), trust).unwrap(), Sessions::Dropped);
}

#[tokio::test]
async fn trust_and_identity_count_on_a_dialer_checklist_10() {
    use Sessions::{Dropped, Kept};
    let world = World::new();
    let agent = world.agent(COMPOSITE);
    let bundle = world.authority.bundle();
    let pinning = || verifier::any_for_pinning(&suite("pq-kex"));
    let judged = pinning();
    let own = |expect| Trust::own(&bundle, expect);
    let foreign =
        |bundle: &TrustBundle| Trust::foreign(&ForeignRoots::from_pem(bundle.to_pem().as_bytes()).unwrap());
    world.authority.ensure(&[algorithm("ML-DSA-87")], SystemTime::now()).unwrap();
    let grown = world.authority.bundle();
    let cases = [
        ("a root more", own(Expect::Node), Trust::own(&grown, Expect::Node), Kept),
        ("a root less", Trust::own(&grown, Expect::Node), own(Expect::Node), Dropped),
        ("foreign roots, read again", foreign(&bundle), foreign(&bundle), Kept),
        ("a foreign root more", foreign(&bundle), foreign(&grown), Kept),
        ("a foreign root less", foreign(&grown), foreign(&bundle), Dropped),
        ("the same", own(Expect::Node), own(Expect::Node), Kept),
        ("another expectation", own(Expect::Node), own(Expect::DnsName), Dropped),
        ("anybody", Trust::any_for_pinning(), Trust::any_for_pinning(), Kept),
        ("no longer anybody", Trust::any_for_pinning(), own(Expect::Node), Dropped),
        ("the same verifier", judged.clone().into(), judged.into(), Kept),
        ("another verifier", pinning().into(), pinning().into(), Dropped),
    ];
    for (name, before, after, expected) in cases {
        let limits = dialer::Limits::default();
        let dialer = Dialer::new(suite("pq-kex"), Some(&agent), before, limits).unwrap();
        assert_eq!(dialer.swap(suite("pq-kex"), Some(&agent), after).unwrap(), expected, "{name}");
    }
    let dialer = world.dialer("pq-kex", Some(&agent));
    assert_eq!(dialer.renew(&agent).unwrap(), Kept);
    assert_eq!(dialer.renew(&world.agent(COMPOSITE)).unwrap(), Dropped);
    assert_eq!(dialer.swap(suite("pq-kex"), None, world.trust()).unwrap(), Dropped);
    assert_eq!(dialer.swap(suite("pq-kex"), None, world.trust()).unwrap(), Kept);
}

#[tokio::test]
async fn what_a_swap_adds_is_in_force_although_sessions_are_kept() {
    let world = World::new();
    let listener = listener().await;
    world.authority.ensure(&[algorithm("ML-DSA-87")], SystemTime::now()).unwrap();
    let tls = world.tls("pq-kex", &world.node_of(&[algorithm("ML-DSA-87")]));
    let dialer = world.dialer("pq-hybrid", None);
    let dial = dialer.dial("127.0.0.1", listener.local().port());
    let (refused, _) = tokio::join!(within(dial), accept(&listener, &tls));
    assert!(refused.unwrap_err().is_crypto_refusal());

    let outcome = dialer.swap(suite("classical-broken"), None, world.trust()).unwrap();
    assert_eq!(outcome, Sessions::Kept);
    let (client, _) = pair(&dialer, &listener, &tls).await;
    assert_eq!(client.posture.unwrap().peer_signature.as_deref(), Some("ML-DSA-87"));
}

#[tokio::test]
async fn a_session_is_judged_when_the_next_state_is_published() {
    let world = World::new();
    let listener = listener().await;
    let (node, bundle) = (world.node_of(&[COMPOSITE, ML_DSA].map(algorithm)), world.authority.bundle());
    let tls = ServerTls::new(suite("pq-kex"), &node, &bundle).unwrap();
    // Prepared while it would have kept the sessions, published after something wider came between.
    let prepared = ServerTls::prepare(later("pq-kex"), &node, &bundle).unwrap();
    assert_eq!(tls.swap(later("pq-transition"), &node, &bundle).unwrap(), Sessions::Kept);
    let dialer = world.dialer("pq-transition", None);
    resumes(&dialer, &listener, &tls).await;
    assert_eq!(tls.publish(prepared), Sessions::Dropped);
    assert!(!resumes(&dialer, &listener, &tls).await);

    let dialer = world.dialer("pq-kex", None);
    let prepared = dialer.prepare(later("pq-kex"), None, world.trust()).unwrap();
    dialer.swap(later("pq-transition"), None, world.trust()).unwrap();
    assert_eq!(dialer.publish(prepared), Sessions::Dropped);
}

#[tokio::test]
async fn a_session_does_not_come_back_with_its_profile() {
    let world = World::new();
    let listener = listener().await;
    let (node, bundle) = (world.node_of(&[COMPOSITE, ML_DSA].map(algorithm)), world.authority.bundle());
    let tls = ServerTls::new(suite("pq-kex"), &node, &bundle).unwrap();
    let dialer = world.dialer("pq-kex", None);
    resumes(&dialer, &listener, &tls).await;
    for name in ["pq-hybrid", "pq-kex"] {
        tls.swap(later(name), &node, &bundle).unwrap();
    }
    assert!(!resumes(&dialer, &listener, &tls).await);
    for name in ["pq-hybrid", "pq-kex"] {
        dialer.swap(later(name), None, world.trust()).unwrap();
    }
    assert!(!resumes(&dialer, &listener, &tls).await);
}

#[tokio::test]
async fn a_handshake_that_a_swap_overtakes_leaves_no_session_behind() {
    let world = World::new();
    let listener = listener().await;
    let (node, bundle) = (world.node_of(&[COMPOSITE, ML_DSA].map(algorithm)), world.authority.bundle());
    let tls = ServerTls::new(suite("pq-kex"), &node, &bundle).unwrap();
    let dialer = world.dialer("pq-kex", None);
    let limits = Limits::default();
    let serve = async {
        let accepted = listener.accept().await.unwrap();
        let mut securing = pin!(secure(accepted, &tls, &limits));
        // It takes the old state, and is overtaken before it has read the ClientHello.
        let mut begun = poll_fn(|cx| Poll::Ready(securing.as_mut().poll(cx))).await;
        tls.swap(later("pq-hybrid"), &node, &bundle).unwrap();
        if begun.is_pending() {
            begun = Poll::Ready(securing.await);
        }
        let Poll::Ready(link) = begun else { unreachable!() };
        link.unwrap()
    };
    let port = listener.local().port();
    let (client, mut server) = tokio::join!(within(dialer.dial("127.0.0.1", port)), serve);
    let mut client = client.unwrap();
    assert_eq!(server.posture.as_ref().unwrap().profile, "pq-kex@20261122");
    settle(&mut client, &mut server).await;
    assert!(!resumes(&dialer, &listener, &tls).await);
}

#[tokio::test]
async fn a_resumed_link_has_the_posture_of_its_first_handshake() {
    let world = World::new();
    let listener = listener().await;
    let tls = world.tls("pq-hybrid", &world.node());
    let dialer = world.dialer("pq-hybrid", Some(&world.agent(COMPOSITE)));
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
    let dialer = world.dialer("pq-hybrid", Some(&world.agent(COMPOSITE)));
    assert!(!resumes(&dialer, &listener, &tls).await);
    let renewed = world.agent(COMPOSITE);
    dialer.renew(&renewed).unwrap();
    let (client, server) = pair(&dialer, &listener, &tls).await;
    assert!(!client.posture.unwrap().resumed);
    assert_eq!(&server.evidence.peer_certificates[0], renewed.certificate());
    // An identity that the profile does not permit leaves the present one in place.
    let error = dialer.renew(&world.agent(ECDSA)).unwrap_err();
    assert!(error.to_string().contains("pq-hybrid"), "{error}");
    let (_, server) = pair(&dialer, &listener, &tls).await;
    assert_eq!(&server.evidence.peer_certificates[0], renewed.certificate());
}
