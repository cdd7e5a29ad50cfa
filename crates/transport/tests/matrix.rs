//! Every shipped profile against every other, over real sockets and with mutual authentication: each pair negotiates
//! what the table says, or is refused with the alert that it says.
#![allow(clippy::unwrap_used)] // a test fails by its panic

mod world;

use lockgate_crypto::profile::{Definition, Profile};
use lockgate_crypto::{Capabilities, CryptoRefused, Suite};
use lockgate_transport::{DialError, Dialer, SecureFault, ServerTls, dialer};
use rustls::{AlertDescription, Error};
use world::{World, accept, listener, pair, suite, within};

/// What comes of one pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    /// Group, the server's signature, the client's.
    Up(&'static str, &'static str, &'static str),
    /// The same after a hello retry request: the client's first share is for another group.
    Retry(&'static str, &'static str, &'static str),
    /// The client can verify none of the server's leaves: `handshake_failure`.
    Unsigned,
    /// No group in common: `handshake_failure`.
    Apart,
}
use Cell::{Apart, Retry, Unsigned, Up};

const X768: &str = "X25519MLKEM768";
const P768: &str = "SecP256r1MLKEM768";
const P1024: &str = "SecP384r1MLKEM1024";
const M1024: &str = "MLKEM1024";
const X25519: &str = "X25519";
const P384: &str = "secp384r1";

const EDDSA: &str = "MLDSA65-Ed25519-SHA512";
const P256: &str = "MLDSA65-ECDSA-P256-SHA512";
const SMALL: &str = "MLDSA44-Ed25519-SHA512";
const ML65: &str = "ML-DSA-65";
const ML87: &str = "ML-DSA-87";
const SLH: &str = "SLH-DSA-SHA2-128f";
const ECDSA: &str = "ECDSA-P256-SHA256";
/// The client's leaf is of an algorithm that the server does not accept, so that it stays anonymous.
const NONE: &str = "";

/// The clients, in the order of the columns.
const PROFILES: [&str; 10] = [
    "pq-hybrid",
    "pq-kex",
    "pq-transition",
    "bsi-hybrid",
    "cnsa2-transition",
    "cnsa2",
    "nist-fips",
    "low-latency",
    "lattice-broken",
    "classical-broken",
];

/// What servers that hold a composite, an ML-DSA-65 and perhaps a traditional leaf give to clients in general.
const USUAL: Cell = Up(X768, EDDSA, EDDSA);
const BSI: Cell = Up(P1024, EDDSA, P256);
const FIPS: Cell = Up(P768, ML65, ML65);

/// A row for each server, a column for each client.
const TABLE: [(&str, [Cell; 10]); 10] = [
    ("pq-hybrid", [USUAL, USUAL, USUAL, BSI, Unsigned, Apart, FIPS, Unsigned, Apart, USUAL]),
    ("pq-kex", [USUAL, USUAL, USUAL, BSI, Unsigned, Unsigned, FIPS, Unsigned, Apart, USUAL]),
    (
        "pq-transition",
        [USUAL, USUAL, USUAL, BSI, Unsigned, Unsigned, FIPS, Unsigned, Up(P384, ECDSA, NONE), USUAL],
    ),
    (
        "bsi-hybrid",
        [
            Up(X768, P256, EDDSA),
            Up(X768, P256, EDDSA),
            Up(X768, P256, EDDSA),
            Up(P1024, P256, P256),
            Unsigned,
            Apart,
            Unsigned,
            Unsigned,
            Apart,
            Up(X768, P256, EDDSA),
        ],
    ),
    (
        "cnsa2-transition",
        [
            Unsigned,
            Retry(P1024, ML87, NONE),
            Retry(P1024, ML87, NONE),
            Unsigned,
            Up(P1024, ML87, ML87),
            Apart,
            Apart,
            Apart,
            Apart,
            Retry(P1024, ML87, NONE),
        ],
    ),
    (
        "cnsa2",
        [
            Apart,
            Retry(M1024, ML87, NONE),
            Retry(M1024, ML87, NONE),
            Apart,
            Apart,
            Up(M1024, ML87, ML87),
            Apart,
            Apart,
            Apart,
            Retry(M1024, ML87, NONE),
        ],
    ),
    (
        "nist-fips",
        [
            Up(X768, ML65, NONE),
            Up(X768, ML65, NONE),
            Up(X768, ML65, NONE),
            Unsigned,
            Apart,
            Apart,
            FIPS,
            Unsigned,
            Apart,
            Up(X768, ML65, NONE),
        ],
    ),
    (
        "low-latency",
        [
            Up(X768, SMALL, NONE),
            Up(X768, SMALL, NONE),
            Up(X768, SMALL, NONE),
            Unsigned,
            Apart,
            Apart,
            Unsigned,
            Up(X768, SMALL, SMALL),
            Apart,
            Up(X768, SMALL, NONE),
        ],
    ),
    (
        "lattice-broken",
        [
            Apart,
            Apart,
            // The first share is a hybrid of this very curve, whose share is sent along.
            Up(X25519, ECDSA, NONE),
            Apart,
            Apart,
            Apart,
            Apart,
            Apart,
            Up(P384, SLH, SLH),
            Apart,
        ],
    ),
    ("classical-broken", [USUAL, USUAL, USUAL, BSI, Unsigned, Unsigned, FIPS, Unsigned, Apart, USUAL]),
];

/// Everybody of the matrix: what each profile compiles to, and a world that can issue for all.
fn everybody() -> (World, Vec<Suite>) {
    let suites: Vec<_> = PROFILES.into_iter().map(suite).collect();
    (World::for_suites(&suites), suites)
}

#[tokio::test]
async fn each_pair_of_profiles_does_what_the_table_says() {
    let (world, suites) = everybody();
    let listener = listener().await;
    let agents: Vec<_> = suites.iter().map(|suite| world.agent(suite.identities()[0].id)).collect();
    for ((server, row), ours) in TABLE.iter().zip(&suites) {
        assert_eq!(ours.profile().alias, *server);
        let node = world.node_of(ours.identities());
        for ((expected, theirs), agent) in row.iter().zip(&suites).zip(&agents) {
            let tls = ServerTls::new(ours.clone(), &node, &world.authority.bundle()).unwrap();
            let limits = dialer::Limits::default();
            let dialer = Dialer::new(theirs.clone(), Some(agent), world.trust(), limits).unwrap();
            let outcome = meet(&dialer, &listener, &tls).await;
            let client = theirs.profile().alias;
            assert_eq!(outcome, *expected, "server {server}, client {client}");
        }
    }
}

/// One handshake, in which both ends and the prediction must agree.
async fn meet(dialer: &Dialer, listener: &lockgate_transport::Listener, tls: &ServerTls) -> Cell {
    let capabilities = Capabilities::of_suite(&dialer.suite().unwrap());
    let foreseen = tls.suite().foresee(&capabilities);
    let dial = dialer.dial("127.0.0.1", listener.local().port());
    let (client, server) = tokio::join!(within(dial), accept(listener, tls));
    let (client, server) = match (client, server) {
        (Ok(client), Ok(server)) => (client, server),
        (Err(client), Err(server)) => {
            // checklist 05: what a refused peer offered is known, and it was told why.
            assert_eq!(server.offered(), Some(&capabilities));
            let SecureFault::Refused(refused) = server.fault else { panic!("{server}") };
            assert_eq!(foreseen.unwrap_err(), refused);
            let DialError::Refused { source, .. } = &client else { panic!("{client}") };
            assert_eq!(source, &Error::AlertReceived(AlertDescription::HandshakeFailure));
            return if refused.what == CryptoRefused::GROUP { Apart } else { Unsigned };
        }
        (client, server) => panic!("{client:?} {server:?}"),
    };
    assert_eq!(server.offered, Some(capabilities));
    let (ours, theirs) = (server.posture.unwrap(), client.posture.unwrap());
    assert_eq!((&ours.group, ours.hello_retry), (&theirs.group, theirs.hello_retry));
    assert_eq!(ours.own_signature, theirs.peer_signature);
    assert_eq!(ours.peer_signature, theirs.own_signature);
    // Each end would let its link stay.
    assert_eq!(tls.suite().judge(&ours), []);
    assert_eq!(dialer.suite().unwrap().judge(&theirs), []);
    let foreseen = foreseen.unwrap();
    assert_eq!((&foreseen.group, Some(&foreseen.signature)), (&ours.group, ours.own_signature.as_ref()));
    let all = [X768, P768, P1024, M1024, X25519, P384, EDDSA, P256, SMALL, ML65, ML87, SLH, ECDSA];
    let known = |id: &Option<String>| match id {
        Some(id) => all.into_iter().find(|known| known == id).expect("in the table"),
        None => NONE,
    };
    let group = known(&Some(ours.group.clone()));
    let (own, peer) = (known(&ours.own_signature), known(&ours.peer_signature));
    if ours.hello_retry { Retry(group, own, peer) } else { Up(group, own, peer) }
}

#[test]
fn the_table_has_every_shipped_profile_once() {
    let mut shipped: Vec<_> = lockgate_crypto::profile::all().iter().map(|profile| profile.alias).collect();
    shipped.sort_unstable();
    let mut columns = PROFILES;
    columns.sort_unstable();
    assert_eq!(columns.as_slice(), shipped);
    assert_eq!(TABLE.map(|(server, _)| server), PROFILES);
}

#[tokio::test]
async fn a_hello_retry_is_paid_once_and_a_new_profile_asks_again() {
    let (world, suites) = everybody();
    let listener = listener().await;
    let by_name = |name: &str| suites.iter().find(|suite| suite.profile().alias == name).unwrap().clone();
    let level5 = by_name("cnsa2-transition");
    let node = world.node_of(level5.identities());
    let tls = ServerTls::new(level5, &node, &world.authority.bundle()).unwrap();
    let dialer = world.dialer("pq-kex", None);
    let mut retries = Vec::new();
    for swap in [None, None, Some("pq-kex"), Some("pq-transition"), None] {
        if let Some(profile) = swap {
            dialer.swap(by_name(profile), None, world.trust()).unwrap();
        }
        let (client, server) = pair(&dialer, &listener, &tls).await;
        let (client, server) = (client.posture.unwrap(), server.posture.unwrap());
        assert_eq!((client.hello_retry, client.group.as_str()), (server.hello_retry, P1024));
        retries.push(client.hello_retry);
    }
    // The same groups in another epoch are the same groups; another list is tried from its start.
    assert_eq!(retries, [true, false, false, true, false]);
}

#[tokio::test]
async fn a_dialer_offers_post_quantum_first_to_a_server_that_had_none_checklist_05() {
    let (world, suites) = everybody();
    let listener = listener().await;
    let emergency = suites.iter().find(|suite| suite.profile().alias == "lattice-broken").unwrap();
    let (node, bundle) = (world.node_of(emergency.identities()), world.authority.bundle());
    let tls = ServerTls::new(emergency.clone(), &node, &bundle).unwrap();
    let dialer = world.dialer("pq-transition", None);
    let (client, server) = pair(&dialer, &listener, &tls).await;
    assert_eq!(client.posture.unwrap().group, X25519);
    assert_eq!(server.offered.unwrap().groups[0], X768);

    // It has learnt: what it chose before does not count.
    let node = world.node_of(suite("pq-kex").identities());
    tls.swap(suite("pq-transition"), &node, &bundle).unwrap();
    let (client, _) = pair(&dialer, &listener, &tls).await;
    let posture = client.posture.unwrap();
    assert_eq!((posture.group.as_str(), posture.hello_retry), (X768, false));
}

#[tokio::test]
async fn two_libraries_of_one_group_understand_each_other_checklist_12() {
    let world = World::new();
    let listener = listener().await;
    let (other, usual) = ("graviola", "aws-lc");
    let definition = Definition {
        name: "other-library@20261122".to_owned(),
        groups: vec![X768.to_owned()],
        signatures: vec![EDDSA.to_owned()],
        ciphers: vec!["TLS_AES_256_GCM_SHA384".to_owned()],
        providers: [(X768.to_owned(), other.to_owned())].into(),
        ..Definition::default()
    };
    // A library that this processor cannot run is an error, never another library.
    let Ok(chosen) = Profile::define(definition).unwrap().compile(7) else { return };
    let usually = suite("pq-hybrid");
    let (node, agent) = (world.node(), world.agent(EDDSA));
    for (server, client) in [(&chosen, &usually), (&usually, &chosen), (&chosen, &chosen)] {
        let tls = ServerTls::new(server.clone(), &node, &world.authority.bundle()).unwrap();
        let limits = dialer::Limits::default();
        let dialer = Dialer::new(client.clone(), Some(&agent), world.trust(), limits).unwrap();
        let (theirs, ours) = pair(&dialer, &listener, &tls).await;
        let by = |suite: &Suite| if suite.profile().alias == "pq-hybrid" { usual } else { other };
        assert_eq!(ours.posture.unwrap().provider, by(server));
        assert_eq!(theirs.posture.unwrap().provider, by(client));
    }
}
