//! Our own listeners.

use std::sync::Arc;

use lockgate_crypto::{catalog, profile};
use lockgate_transport::probe::report::{ClientCertificate, Moved, Whose};
use lockgate_transport::{Limits, ServerTls, secure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::world::{World, listener};
use super::{Level, Report, found, groups, limits, no, probe, signatures, survives_json, versions};

/// Probes a listener with this profile. All its links have ended when this returns.
async fn report_of(profile: &str) -> Report {
    let world = World::new();
    let tls = Arc::new(world.tls(profile, &world.node()));
    let listener = listener().await;
    let port = listener.local().port();
    let mut links = JoinSet::new();
    let report = tokio::select! {
        report = probe(port, limits()) => report.unwrap(),
        () = async {
            loop {
                links.spawn(serve(listener.accept().await.unwrap(), Arc::clone(&tls)));
            }
        } => unreachable!(),
    };
    while let Some(link) = links.join_next().await {
        link.unwrap();
    }
    assert_eq!(listener.links(), 0);
    survives_json(&report);
    report
}

async fn serve(accepted: lockgate_transport::Accepted, tls: Arc<ServerTls>) {
    if let Ok(mut link) = secure(accepted, &tls, &Limits::default()).await {
        let mut sent = Vec::new();
        let _ = link.io.read_to_end(&mut sent).await;
        assert_eq!(sent, b"", "a probe sends no data");
        let _ = link.io.shutdown().await;
    }
}

#[tokio::test]
async fn a_listener_that_requires_quantum_safe_links_says_so() {
    let report = report_of("pq-hybrid").await;
    assert_eq!(versions(&report), ["TLSv1.3"]);
    let profile = profile::find("pq-hybrid").unwrap();
    let sorted = |mut ids: Vec<&'static str>| {
        ids.sort_by_key(|id| catalog::all().iter().position(|row| row.id == *id));
        ids
    };
    assert_eq!(groups(&report), sorted(profile.groups.to_vec()));
    assert!(report.groups.iter().filter(|group| group.offer.answer.is_yes()).all(|group| {
        group.handshake.as_ref().is_some_and(|handshake| handshake.group == group.offer.id)
    }));
    assert_eq!(
        report.groups.iter().find(|group| group.offer.id == "X25519").unwrap().offer.answer,
        no("handshake_failure")
    );
    assert_eq!(report.group_order.whose, Whose::Client);
    assert!(signatures(&report).contains(&"MLDSA65-Ed25519-SHA512"));
    assert!(
        signatures(&report).iter().all(|id| profile.signatures.contains(id)),
        "{:?}",
        signatures(&report)
    );
    assert!(report.quantum_safe.key_exchange && report.quantum_safe.authentication);
    assert_eq!(report.traditional_share, None);
    assert_eq!(report.chains.len(), signatures(&report).len());
    for chain in &report.chains {
        assert!(chain.certificates[0].quantum_safe, "{chain:?}");
        assert!(chain.certificates[0].names.contains(&"localhost".to_owned()));
    }
    assert!(report.alpn.iter().all(|protocol| protocol.answer.is_yes()));
    assert_eq!(report.client_certificate, Some(ClientCertificate::Asked));
    let resumption = report.resumption.as_ref().unwrap();
    assert_eq!((resumption.tickets, resumption.resumed), (1, Some(true)));
    assert_eq!(resumption.handshake.as_ref().unwrap().group, report.group_order.order[0]);
    assert_eq!(report.handshakes.len(), 3);
    assert!(report.verdicts.iter().all(|verdict| verdict.level >= Level::Note), "{:?}", report.verdicts);
    assert!(found(&report, Level::Good, "key exchange") && found(&report, Level::Good, "authentication"));
}

/// Checklist 1: what nobody knows is passed over; and a hello may come in pieces.
#[tokio::test]
async fn checklist_01_our_listener_passes_over_what_it_does_not_know() {
    let report = report_of("pq-hybrid").await;
    assert!(report.tolerance.unknown_values.is_yes(), "{:?}", report.tolerance);
    assert!(report.tolerance.large_hello.is_yes() && report.tolerance.split_hello.is_yes());
    assert!(report.tolerance.large_hello_bytes > 1_216);
}

/// Checklist 5: a client that shares a traditional group is moved, whatever its order is.
#[tokio::test]
async fn checklist_05_our_listener_moves_a_client_to_a_quantum_safe_group() {
    let report = report_of("pq-transition").await;
    assert!(groups(&report).contains(&"X25519"), "{:?}", groups(&report));
    assert_eq!(report.group_order.whose, Whose::QuantumSafeFirst);
    let share = report.traditional_share.as_ref().unwrap();
    assert_eq!(share.shared, "X25519");
    assert!(matches!(&share.listed_first, Moved::QuantumSafe { .. }), "{share:?}");
    assert!(matches!(&share.listed_last, Moved::QuantumSafe { .. }), "{share:?}");
    assert!(found(&report, Level::Note, "key exchange"));
    assert!(!found(&report, Level::Warning, "key exchange"));
}
