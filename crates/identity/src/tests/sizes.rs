//! checklist 13: everything that carries a certificate or a request has room for the largest algorithm of the catalog.

use super::handshakes::{End, shake};
use super::*;
use crate::enrol::REQUEST_BYTES_MAX;
use crate::facts::CERTIFICATE_BYTES_MAX;
use crate::file::FILE_BYTES_MAX;
use crate::verifier::{self, Expect};
use crate::{SIGNED_BUNDLE_BYTES_MAX, TrustBundle};

/// Every signature for which keys can be made, but for one that takes seconds to sign in a build without optimisation
/// and is half as large as its sister.
fn made() -> Vec<&'static Algorithm> {
    let signatures = catalog::all().iter().filter(|row| row.kind == lockgate_crypto::Kind::Signature);
    let signatures = signatures.filter(|row| row.id != "SLH-DSA-SHA2-128s");
    signatures.filter(|row| PrivateKey::can_make(row)).collect()
}

/// checklist 13
#[test]
fn requests_and_certificates_of_every_algorithm_have_room() {
    let algorithms = made();
    let authority = Authority::generate("example.org", &algorithms, now()).unwrap();
    let root = tempfile::tempdir().unwrap();
    let (mut largest_request, mut largest_certificate) = (0, 0);
    for algorithm in &algorithms {
        let enrolment = Enrolment::begin(algorithm).unwrap();
        largest_request = largest_request.max(enrolment.request_pem().len());
        let key = ProvenKey::from_request_pem(enrolment.request_pem()).unwrap();
        let issued = authority.issue(&agent_request(key), now()).unwrap();
        let agent = enrolment.finish(&issued.to_pem(), authority.bundle(), now()).unwrap();
        largest_certificate = largest_certificate.max(agent.leaf.certificate().len());
        agent.save(root.path()).unwrap();
        let loaded = AgentIdentity::load(root.path()).unwrap().unwrap();
        assert_eq!(loaded.leaf.algorithm, *algorithm);
    }
    // The limits are there for others, with space for what is to come.
    assert!(largest_request > 20_000, "SLH-DSA is among them: {largest_request}");
    assert!(largest_request * 5 / 4 < REQUEST_BYTES_MAX, "{largest_request}");
    assert!(largest_certificate * 2 < CERTIFICATE_BYTES_MAX, "{largest_certificate}");

    // A whole authority, and the update that brings it to peers.
    let update = authority.signed_bundle().unwrap();
    let known = TrustBundle::from_pem(&authority.bundle().to_pem()).unwrap();
    assert_eq!(known, authority.bundle());
    let (bundle, _) = known.accept_update(&update, |_| true, 0, now()).unwrap();
    assert_eq!(bundle.roots().len(), algorithms.len());
    // As many roots as there may be, all of the largest algorithm.
    let largest_root = certificate_pem_bytes(&bundle);
    assert!(largest_root * crate::ROOTS_MAX < FILE_BYTES_MAX as usize, "{largest_root}");
    assert!(2 * largest_root * crate::ROOTS_MAX < SIGNED_BUNDLE_BYTES_MAX, "{largest_root}");
}

fn certificate_pem_bytes(bundle: &TrustBundle) -> usize {
    let roots = bundle.roots().iter();
    roots.map(|root| crate::bundle::certificate_pem(root.certificate()).len()).max().unwrap()
}

/// checklist 13: both ends of a handshake present the largest certificate there is.
#[test]
fn the_largest_certificates_authenticate_both_ends() {
    let algorithm = row("SLH-DSA-SHA2-128f");
    let authority = Authority::generate("example.org", &[algorithm], now()).unwrap();
    let suite = profile::find("lattice-broken").unwrap().compile(1).unwrap();
    assert!(suite.identities().contains(&algorithm), "the spare identity of that day");
    let bundle = authority.bundle();
    let nodes = authority.issue_node(&id("/node/n"), &[], &[], &[algorithm], NODE_LIFETIME, now()).unwrap();
    let agent = agent(&authority, algorithm);
    let end = |leaf| End { suite: &suite, ..End::new(Some(leaf)) };
    let outcome = shake(
        end(&agent.leaf).connect(verifier::server(&bundle, &suite, Expect::Node)),
        end(&nodes.leaves[0]).serve(verifier::client(&bundle, &suite)),
    );
    outcome.client.unwrap();
    outcome.server.unwrap();
    assert_eq!(&outcome.client_certificate.unwrap(), agent.leaf.certificate());
}
