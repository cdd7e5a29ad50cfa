//! Which certificates are taken, which are refused, and why.

use std::sync::Arc;
use std::time::SystemTime;

use const_oid::AssociatedOid;
use der::asn1::{ObjectIdentifier, OctetString};
use der::{Decode, Encode};
use lockgate_crypto::Suite;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, Error};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName,
};
use x509_cert::ext::{Extension, Extensions};

use super::*;
use crate::certificate::LeafContent;
use crate::verifier::{self, Expect};
use crate::{Evidence, IdentityError, Principal, TrustBundle, verify};

fn unix(moment: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(moment.duration_since(SystemTime::UNIX_EPOCH).unwrap())
}

fn as_server(
    (bundle, suite, expect): (&TrustBundle, &Suite, Expect),
    certificate: &CertificateDer<'_>,
    name: &str,
    now: SystemTime,
) -> Result<(), Error> {
    let name = ServerName::try_from(name).unwrap();
    verifier::server(bundle, suite, expect)
        .verify_server_cert(certificate, &[], &name, &[], unix(now))
        .map(drop)
}

fn as_client(
    (bundle, suite): (&TrustBundle, &Suite),
    certificate: &CertificateDer<'_>,
    now: SystemTime,
) -> Result<(), Error> {
    verifier::client(bundle, suite).verify_client_cert(certificate, &[], unix(now)).map(drop)
}

fn as_evidence(
    bundle: &TrustBundle,
    certificate: &CertificateDer<'_>,
    now: SystemTime,
) -> Result<Principal, IdentityError> {
    let evidence =
        Evidence { peer_certificates: vec![certificate.clone().into_owned()], ..Evidence::default() };
    verify(&evidence, bundle, now)
}

/// A leaf as an authority makes it, except for what a test changes.
fn content<'a>(spki_der: &'a [u8], id: &'a SpiffeId, role: Role) -> LeafContent<'a> {
    LeafContent { spki_der, id, role, dns_names: &[], ips: &[], not_before: now(), not_after: now() + MINUTE }
}

#[test]
fn leaves_of_every_algorithm_are_taken() {
    let bundle = ours();
    let nodes = node(authority());
    assert_eq!(nodes.algorithms(), all());
    for algorithm in all() {
        let leaf = nodes.leaf(algorithm).unwrap().certificate();
        let own = (bundle, any_suite(), Expect::Node);
        as_server(own, leaf, "whatever.invalid", now()).unwrap();
        as_client((bundle, any_suite()), leaf, now()).unwrap();
        let agent = agent(authority(), algorithm);
        as_client((bundle, any_suite()), agent.leaf.certificate(), now()).unwrap();

        // Into a bundle that has not seen the leaf, so that the signature is verified by us too.
        let fresh = TrustBundle::from_pem(&bundle.to_pem()).unwrap();
        for (leaf, path, expected) in
            [(leaf, "/node/gateway", Role::Node), (agent.leaf.certificate(), "/agent/claude", Role::Agent)]
        {
            let principal = as_evidence(&fresh, leaf, now()).unwrap();
            let Principal::Workload { id: found, role, serial, key_fingerprint, .. } = principal else {
                panic!("not a workload");
            };
            assert_eq!((found, role), (id(path), expected));
            assert_eq!((serial.len(), key_fingerprint.len()), (40, 64));
        }
    }
}

#[test]
fn host_names_count_only_where_they_are_expected() {
    let bundle = ours();
    let nodes = node(authority());
    let leaf = nodes.leaf(composite()).unwrap().certificate();
    let own = (bundle, any_suite(), Expect::DnsName);
    for name in ["gateway.example.org", "localhost", "127.0.0.1", "::1"] {
        as_server(own, leaf, name, now()).unwrap();
    }
    for name in ["example.org", "127.0.0.2"] {
        let error = as_server(own, leaf, name, now()).unwrap_err();
        let Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. }) = error else {
            panic!("{name}: {error}");
        };
    }
}

#[test]
fn validity_ends_are_exact() {
    let bundle = ours();
    let agent = agent(authority(), composite());
    let leaf = &agent.leaf;
    for (moment, ok) in [
        (leaf.not_before() - MINUTE, false),
        (leaf.not_before(), true),
        (leaf.not_after(), true),
        (leaf.not_after() + std::time::Duration::from_secs(1), false),
    ] {
        let client = as_client((bundle, any_suite()), leaf.certificate(), moment);
        assert_eq!(client.is_ok(), ok);
        assert_eq!(as_evidence(bundle, leaf.certificate(), moment).is_ok(), ok);
    }
    let late = as_client((bundle, any_suite()), leaf.certificate(), now() + DAY).unwrap_err();
    assert!(late.to_string().contains("expired"), "{late}");
    let late = as_evidence(bundle, leaf.certificate(), now() + DAY).unwrap_err();
    assert!(late.to_string().contains("2026-11-22T13:00:00Z"), "{late}");
    let early = as_evidence(bundle, leaf.certificate(), now() - DAY).unwrap_err();
    assert!(early.to_string().contains("clocks"), "{early}");
}

#[test]
fn a_leaf_of_another_authority_is_refused_even_under_the_same_name() {
    let bundle = ours();
    for algorithm in all() {
        let agent = agent(impostor(), algorithm);
        let leaf = agent.leaf.certificate();
        assert_eq!(
            as_client((bundle, any_suite()), leaf, now()),
            Err(CertificateError::UnknownIssuer.into())
        );
        let error = as_evidence(bundle, leaf, now()).unwrap_err();
        assert!(matches!(error, IdentityError::UnknownAuthority { .. }), "{error}");
    }
}

#[test]
fn a_leaf_altered_anywhere_is_refused() {
    for algorithm in all() {
        let bundle = TrustBundle::from_pem(&ours().to_pem()).unwrap();
        let leaf = agent(authority(), algorithm).leaf.certificate().to_vec();
        as_evidence(&bundle, &CertificateDer::from(leaf.clone()), now()).unwrap();
        let step = leaf.len() / 61;
        for at in (0..leaf.len()).step_by(step) {
            let mut altered = leaf.clone();
            altered[at] ^= 1;
            let altered = CertificateDer::from(altered);
            assert!(as_evidence(&bundle, &altered, now()).is_err(), "{} {at}", algorithm.id);
            let client = as_client((&bundle, any_suite()), &altered, now());
            assert!(client.is_err(), "{} {at}", algorithm.id);
        }
        let cut = CertificateDer::from(&leaf[..leaf.len() - 1]);
        assert!(as_evidence(&bundle, &cut, now()).is_err());
        let mut longer = leaf.clone();
        longer.push(0);
        assert!(as_evidence(&bundle, &CertificateDer::from(longer), now()).is_err());
    }
}

#[test]
fn a_root_of_one_algorithm_cannot_vouch_for_a_key_of_another() {
    let bundle = ours();
    for signer in all() {
        for subject in all().into_iter().filter(|subject| *subject != signer) {
            let spki = key(subject).spki_der();
            let (path, issuer) = (id("/agent/x"), authority().issuer(signer, now()));
            let (leaf, _) = issuer.leaf_certificate(&content(&spki, &path, Role::Agent)).unwrap();
            // The chain itself is right, so only our own rule can refuse it.
            let error = as_evidence(bundle, &leaf, now()).unwrap_err();
            assert!(matches!(error, IdentityError::MixedAlgorithms { .. }), "{error}");
            let error = as_client((bundle, any_suite()), &leaf, now()).unwrap_err();
            assert!(crate::explain(&error).unwrap().contains("same algorithm"), "{error}");
        }
    }
}

#[test]
fn algorithms_that_the_profile_does_not_permit_are_refused() {
    let bundle = ours();
    let nodes = node(authority());
    for (algorithm, ok) in [(composite(), true), (ml_dsa(), true), (ecdsa(), false)] {
        let leaf = nodes.leaf(algorithm).unwrap().certificate();
        let own = (bundle, hybrid(), Expect::Node);
        assert_eq!(as_server(own, leaf, "x.invalid", now()).is_ok(), ok);
        assert_eq!(as_client((bundle, hybrid()), leaf, now()).is_ok(), ok);
    }
}

#[test]
fn an_agent_cannot_pose_as_a_node() {
    let bundle = ours();
    for algorithm in all() {
        let own = (bundle, any_suite(), Expect::Node);
        let agent = agent(authority(), algorithm);
        let error = as_server(own, agent.leaf.certificate(), "x.invalid", now()).unwrap_err();
        assert_eq!(error, CertificateError::InvalidPurpose.into());

        // Certificates that no authority would issue: path and purpose contradict each other.
        let spki = key(algorithm).spki_der();
        let issuer = authority().issuer(algorithm, now());
        for (path, role) in [("/node/x", Role::Agent), ("/agent/x", Role::Node)] {
            let path = id(path);
            let (leaf, _) = issuer.leaf_certificate(&content(&spki, &path, role)).unwrap();
            assert!(as_server(own, &leaf, "x.invalid", now()).is_err());
            assert!(as_client((bundle, any_suite()), &leaf, now()).is_err());
            let error = as_evidence(bundle, &leaf, now()).unwrap_err();
            assert!(matches!(error, IdentityError::RoleMismatch { .. }), "{error}");
        }
    }
}

fn critical(extn_id: ObjectIdentifier, value: &[u8]) -> Extension {
    Extension { extn_id, critical: true, extn_value: OctetString::new(value).unwrap() }
}

#[test]
fn leaves_with_odd_extensions_are_refused() {
    type Edit = fn(&mut Extensions);
    let cases: [(&str, Edit); 7] = [
        ("no purposes", |all| all.retain(|one| one.extn_id != ExtendedKeyUsage::OID)),
        ("no key usage", |all| all.retain(|one| one.extn_id != KeyUsage::OID)),
        ("no names", |all| all.retain(|one| one.extn_id != SubjectAltName::OID)),
        ("no issuer key", |all| all.retain(|one| one.extn_id != AuthorityKeyIdentifier::OID)),
        ("an authority", |all| {
            let constraints = BasicConstraints { ca: true, path_len_constraint: None };
            all.push(critical(BasicConstraints::OID, &constraints.to_der().unwrap()));
        }),
        ("two ids", |all| {
            let names = all.pop().unwrap();
            let mut names = SubjectAltName::from_der(names.extn_value.as_bytes()).unwrap();
            names.0.push(names.0[0].clone());
            all.push(critical(SubjectAltName::OID, &names.to_der().unwrap()));
        }),
        ("an unknown critical extension", |all| {
            all.push(critical(ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1"), &[5, 0]));
        }),
    ];
    let bundle = ours();
    let (spki, path) = (key(composite()).spki_der(), id("/agent/x"));
    let issuer = authority().issuer(composite(), now());
    let content = content(&spki, &path, Role::Agent);
    as_client((bundle, any_suite()), &issuer.odd_leaf(&content, |_| ()), now()).unwrap();
    for (what, edit) in cases {
        let leaf = issuer.odd_leaf(&content, edit);
        assert!(as_client((bundle, any_suite()), &leaf, now()).is_err(), "{what}");
        assert!(as_evidence(bundle, &leaf, now()).is_err(), "{what}");
    }
}

#[test]
fn a_leaf_of_another_trust_domain_is_refused_even_if_a_root_signed_it() {
    let bundle = ours();
    let (spki, path) = (key(ml_dsa()).spki_der(), SpiffeId::agent("elsewhere.org", "x").unwrap());
    let (leaf, _) =
        authority().issuer(ml_dsa(), now()).leaf_certificate(&content(&spki, &path, Role::Agent)).unwrap();
    let error = as_evidence(bundle, &leaf, now()).unwrap_err();
    assert!(matches!(error, IdentityError::ForeignTrustDomain { .. }), "{error}");
    assert!(as_client((bundle, any_suite()), &leaf, now()).is_err());
}

#[test]
fn a_root_cannot_be_used_as_a_leaf() {
    let bundle = ours();
    for root in bundle.roots() {
        let own = (bundle, any_suite(), Expect::Node);
        assert!(as_server(own, root.certificate(), "x.invalid", now()).is_err());
        assert!(as_client((bundle, any_suite()), root.certificate(), now()).is_err());
        assert!(as_evidence(bundle, root.certificate(), now()).is_err());
    }
}

#[test]
fn roots_end_too() {
    let bundle = ours();
    let (spki, path) = (key(ecdsa()).spki_der(), id("/agent/x"));
    let much_later = bundle.roots()[0].not_after() + DAY;
    let leaf = LeafContent { not_after: much_later + DAY, ..content(&spki, &path, Role::Agent) };
    let (leaf, _) = authority().issuer(ecdsa(), now()).leaf_certificate(&leaf).unwrap();
    as_evidence(bundle, &leaf, now()).unwrap();
    let error = as_evidence(bundle, &leaf, much_later).unwrap_err();
    assert!(matches!(error, IdentityError::UnknownAuthority { .. }), "{error}");
    assert!(as_client((bundle, any_suite()), &leaf, much_later).is_err());
}

#[test]
fn a_proven_leaf_is_still_refused_by_another_bundle() {
    let agent = agent(authority(), composite());
    let leaf = agent.leaf.certificate();
    as_evidence(ours(), leaf, now()).unwrap();
    as_evidence(ours(), leaf, now()).unwrap();
    assert!(as_evidence(theirs(), leaf, now()).is_err());
}

#[test]
fn evidence_without_certificates_is_a_local_user_or_nobody() {
    let bundle = ours();
    let (near, far) = ("127.0.0.1:9".parse().unwrap(), "192.0.2.1:9".parse().unwrap());
    let local = Principal::LocalUser { uid: rustix::process::geteuid().as_raw() };
    for (peer, ours, same_user, expected) in [
        (Some(near), Some(near), true, &local),
        (Some(near), Some(near), false, &Principal::Anonymous),
        (Some(far), Some(near), true, &Principal::Anonymous),
        (Some(near), Some(far), true, &Principal::Anonymous),
        (None, Some(near), true, &Principal::Anonymous),
        (None, None, true, &Principal::Anonymous),
    ] {
        let evidence = Evidence { peer_certificates: Vec::new(), peer, local: ours, same_user };
        assert_eq!(&verify(&evidence, bundle, now()).unwrap(), expected);
    }

    // A certificate that fails is an error even on loopback: no fall back to the local user.
    let evidence = Evidence {
        peer_certificates: vec![agent(impostor(), ecdsa()).leaf.certificate().clone()],
        peer: Some(near),
        local: Some(near),
        same_user: true,
    };
    assert!(verify(&evidence, bundle, now()).is_err());
}

#[test]
fn callers_are_named_after_their_principals() {
    let bundle = ours();
    let agent = agent(authority(), composite());
    let workload = as_evidence(bundle, agent.leaf.certificate(), now()).unwrap();
    assert_eq!(workload.not_after(), Some(agent.leaf.not_after()));
    for (principal, name, assurance) in [
        (workload, "spiffe://example.org/agent/claude", crate::Assurance::Certificate),
        (Principal::LocalUser { uid: 7 }, "local-user", crate::Assurance::OperatingSystem),
        (Principal::Anonymous, "anonymous", crate::Assurance::None),
    ] {
        let principal = Arc::new(principal);
        let caller = crate::bind(&principal);
        assert_eq!((caller.agent.as_str(), caller.assurance), (name, assurance));
        assert!(Arc::ptr_eq(&caller.principal, &principal));
    }
}
