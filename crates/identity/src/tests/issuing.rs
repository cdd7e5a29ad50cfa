//! What an authority issues, to whom, and what it refuses.

use std::net::IpAddr;

use der::{Decode, Encode};
use lockgate_crypto::PrivateKey;
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName,
    SubjectKeyIdentifier,
};

use super::*;
use crate::IdentityError;
use crate::facts::{CLIENT_AUTH, SERVER_AUTH};
use crate::signed::Signed;

/// Reads certificates back with a parser that did not write them.
#[test]
fn certificates_say_what_rfc_5280_and_x509_svid_ask_for() {
    let nodes = node(authority());
    for root in ours().roots() {
        let certificate = Certificate::from_der(root.certificate()).unwrap();
        let body = certificate.tbs_certificate();
        assert_eq!(body.version(), Version::V3);
        assert_eq!(body.issuer(), body.subject());
        let (critical, constraints) = body.get_extension::<BasicConstraints>().unwrap().unwrap();
        assert!(critical && constraints.ca && constraints.path_len_constraint == Some(0));
        let (critical, usage) = body.get_extension::<KeyUsage>().unwrap().unwrap();
        assert!(critical && usage.key_cert_sign() && !usage.digital_signature());
        let root_key = body.get_extension::<SubjectKeyIdentifier>().unwrap().unwrap().1;

        let leaf = nodes.leaf(root.algorithm()).unwrap();
        let certificate = Certificate::from_der(leaf.certificate()).unwrap();
        let leaf = certificate.tbs_certificate();
        assert_eq!(leaf.version(), Version::V3);
        assert_eq!(leaf.issuer(), body.subject());
        assert!(leaf.subject().is_empty());
        assert_eq!(leaf.signature(), certificate.signature_algorithm());
        let serial = leaf.serial_number().as_bytes();
        assert!(serial.len() == 20 && (0x40..0x80).contains(&serial[0]));
        let (_, issuer_key) = leaf.get_extension::<AuthorityKeyIdentifier>().unwrap().unwrap();
        assert_eq!(issuer_key.key_identifier.unwrap(), root_key.0);
        assert!(leaf.get_extension::<SubjectKeyIdentifier>().unwrap().is_some());
        let (critical, constraints) = leaf.get_extension::<BasicConstraints>().unwrap().unwrap();
        assert!(critical && !constraints.ca && constraints.path_len_constraint.is_none());
        let (critical, usage) = leaf.get_extension::<KeyUsage>().unwrap().unwrap();
        assert!(critical && usage.digital_signature() && !usage.key_cert_sign());
        let (_, purposes) = leaf.get_extension::<ExtendedKeyUsage>().unwrap().unwrap();
        assert_eq!(purposes.0, [SERVER_AUTH, CLIENT_AUTH]);
        let (critical, names) = leaf.get_extension::<SubjectAltName>().unwrap().unwrap();
        assert!(critical, "the subject is empty");
        let names: Vec<String> = names.0.iter().map(plain).collect();
        let expected = ["spiffe://example.org/node/gateway", "gateway.example.org", "localhost"];
        assert_eq!(names[..3], expected);
        assert_eq!(names[3..], ["127.0.0.1", "::1"]);
    }
    let agent = agent(authority(), ecdsa());
    let certificate = Certificate::from_der(agent.leaf.certificate()).unwrap();
    let leaf = certificate.tbs_certificate();
    let (_, purposes) = leaf.get_extension::<ExtendedKeyUsage>().unwrap().unwrap();
    assert_eq!(purposes.0, [CLIENT_AUTH]);
}

fn plain(name: &GeneralName) -> String {
    match name {
        GeneralName::UniformResourceIdentifier(text) | GeneralName::DnsName(text) => text.to_string(),
        GeneralName::IpAddress(octets) => match octets.as_bytes() {
            [a, b, c, d] => IpAddr::from([*a, *b, *c, *d]).to_string(),
            other => IpAddr::from(<[u8; 16]>::try_from(other).unwrap()).to_string(),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn serial_numbers_differ() {
    let mut serials: Vec<_> = (0..32)
        .map(|_| {
            let request = agent_request(ProvenKey::own(&key(ecdsa())));
            authority().issue(&request, now()).unwrap().serial
        })
        .collect();
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), 32);
}

#[test]
fn authorities_refuse_what_they_must_not_issue() {
    let request = || agent_request(ProvenKey::own(&key(ecdsa())));
    let nodes = |dns: &[&str]| Request {
        id: id("/node/x"),
        role: Role::Node,
        dns_names: dns.iter().map(|name| (*name).to_owned()).collect(),
        ..request()
    };
    let second = std::time::Duration::from_secs(1);
    authority().issue(&nodes(&["a.example.org"]), now()).unwrap();
    for lifetime in [crate::LEAF_LIFETIME_MIN, crate::LEAF_LIFETIME_MAX] {
        let issued = authority().issue(&Request { lifetime, ..request() }, now()).unwrap();
        assert_eq!(issued.not_after, now() + lifetime);
    }
    type Expected = fn(&IdentityError) -> bool;
    let cases: [(&str, Request, Expected); 8] = [
        ("too long", Request { lifetime: DAY + second / 2, ..request() }, is_range),
        ("too short", Request { lifetime: second, ..request() }, is_range),
        ("names for an agent", Request { dns_names: vec!["a".to_owned()], ..request() }, is_range),
        ("too many names", nodes(&["a.example.org"; 17]), is_range),
        ("no name", nodes(&["a b"]), |e| matches!(e, IdentityError::DnsName { .. })),
        ("node id for an agent", Request { id: id("/node/x"), ..request() }, is_role),
        ("the trust domain itself", Request { id: id(""), ..request() }, is_role),
        ("elsewhere", Request { id: SpiffeId::agent("b.org", "x").unwrap(), ..request() }, |e| {
            matches!(e, IdentityError::ForeignTrustDomain { .. })
        }),
    ];
    for (what, request, expected) in cases {
        let error = authority().issue(&request, now()).unwrap_err();
        assert!(expected(&error), "{what}: {error}");
    }
}

fn is_range(error: &IdentityError) -> bool {
    matches!(error, IdentityError::Range { .. })
}

fn is_role(error: &IdentityError) -> bool {
    matches!(error, IdentityError::RoleMismatch { .. })
}

#[test]
fn renewal_is_due_at_two_thirds_of_life_and_spread() {
    let minutes = |count| MINUTE * count;
    let agents: Vec<_> = (0..8).map(|_| agent(authority(), composite())).collect();
    // Backdated by a minute: 61 minutes of life, of which two thirds are 40 min 40 s.
    let due = now() - minutes(1) + minutes(61) / 3 * 2;
    for agent in &agents {
        let at = agent.leaf.renew_at();
        assert!((due - minutes(61) / 10..=due).contains(&at), "{at:?}");
        assert_eq!(at, agent.leaf.renew_at());
    }
    assert!(agents.iter().any(|agent| agent.leaf.renew_at() != agents[0].leaf.renew_at()));
    let nodes = node(authority());
    let first = nodes.leaves.iter().map(|leaf| leaf.renew_at()).min();
    assert_eq!(Some(nodes.renew_at()), first);
    assert_eq!(nodes.not_after(), now() + DAY);
}

#[test]
fn requests_prove_possession() {
    for algorithm in all() {
        let enrolment = Enrolment::begin(algorithm).unwrap();
        let proven = ProvenKey::from_request_pem(enrolment.request_pem()).unwrap();
        assert_eq!(proven.algorithm(), algorithm);
        assert_eq!(proven.fingerprint().len(), 64);

        // Somebody else's key in a request that we sign ourselves.
        let stolen = key(algorithm).spki_der();
        let thief = key(algorithm);
        let body = request_body(&stolen);
        let der = Signed::seal("request", &body, &thief).unwrap();
        let error = ProvenKey::from_request_pem(&request_pem(&der)).unwrap_err();
        assert!(matches!(error, IdentityError::BadSignature { .. }), "{error}");

        // The same request signed with the right key is taken, so only possession made a difference.
        let der = Signed::seal("request", &request_body(&thief.spki_der()), &thief).unwrap();
        ProvenKey::from_request_pem(&request_pem(&der)).unwrap();
    }
    for text in ["", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"] {
        let error = ProvenKey::from_request_pem(text).unwrap_err();
        assert!(matches!(error, IdentityError::Malformed { .. }), "{error}");
    }
    assert!(ProvenKey::from_request_pem(&"A".repeat(64 * 1024)).is_err());
}

fn request_body(spki_der: &[u8]) -> Vec<u8> {
    // version 0, empty name, the key, no attributes
    let mut content = vec![2, 1, 0, 0x30, 0];
    content.extend_from_slice(spki_der);
    content.extend_from_slice(&[0xa0, 0]);
    der::asn1::Any::new(der::Tag::Sequence, content).unwrap().to_der().unwrap()
}

fn request_pem(der: &[u8]) -> String {
    der::pem::encode_string("CERTIFICATE REQUEST", der::pem::LineEnding::LF, der).unwrap()
}

#[test]
fn an_enrolment_takes_only_its_own_certificate_from_its_own_authority() {
    let issue = |authority: &Authority, key: &PrivateKey| {
        let request = agent_request(ProvenKey::own(key));
        authority.issue(&request, now()).unwrap().to_pem()
    };
    let other_key = issue(authority(), &key(composite()));
    let begin = || Enrolment::begin(composite()).unwrap();
    let bundle = ours().clone();
    let error = begin().finish(&other_key, bundle.clone(), now()).unwrap_err();
    assert!(matches!(error, IdentityError::KeyMismatch), "{error}");

    let enrolment = begin();
    let proven = ProvenKey::from_request_pem(enrolment.request_pem()).unwrap();
    let issued = impostor().issue(&agent_request(proven), now()).unwrap();
    let error = enrolment.finish(&issued.to_pem(), bundle.clone(), now()).unwrap_err();
    assert!(matches!(error, IdentityError::UnknownAuthority { .. }), "{error}");

    assert!(begin().finish("not PEM", bundle, now()).is_err());
}

#[test]
fn an_agent_renews_with_a_fresh_key_and_keeps_its_id() {
    let old = agent(authority(), ml_dsa());
    let enrolment = old.renew(ml_dsa()).unwrap();
    let key = ProvenKey::from_request_pem(enrolment.request_pem()).unwrap();
    assert_eq!(key.algorithm(), ml_dsa());
    let request = Request { id: old.id.clone(), ..agent_request(key) };
    let issued = authority().issue(&request, now() + MINUTE).unwrap();
    let new = enrolment.finish(&issued.to_pem(), old.bundle.clone(), now() + MINUTE).unwrap();
    assert_eq!(new.id, old.id);
    assert_ne!(new.leaf.certificate(), old.leaf.certificate());
    assert!(new.leaf.not_after() > old.leaf.not_after());
}
