//! Mutual TLS in memory: real handshakes with the verifiers on both ends.

use std::ops::DerefMut;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, ConnectionCommon, Error,
    ServerConfig, ServerConnection, SideData,
};

use super::*;
use crate::verifier::{self, Expect};
use crate::{Leaf, explain};

/// A clock that stands still.
#[derive(Debug)]
struct Clock(SystemTime);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let since = self.0.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(UnixTime::since_unix_epoch(since))
    }
}

/// One end: what it permits, what it presents, and its clock.
pub(super) struct End<'a> {
    pub(super) suite: &'a Suite,
    pub(super) key: Option<Arc<CertifiedKey>>,
    pub(super) time: SystemTime,
}

impl<'a> End<'a> {
    pub(super) fn new(leaf: Option<&Leaf>) -> Self {
        Self { suite: any_suite(), key: leaf.map(Leaf::certified_key), time: now() }
    }

    fn presented(&self) -> Option<Arc<SingleCertAndKey>> {
        let key = self.key.as_deref()?.clone();
        Some(Arc::new(SingleCertAndKey::from(key)))
    }

    pub(super) fn serve(self, verifier: Arc<dyn ClientCertVerifier>) -> ServerConnection {
        let clock = Arc::new(Clock(self.time));
        let config = ServerConfig::builder_with_details(self.suite.client_provider(), clock)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(self.presented().unwrap());
        ServerConnection::new(Arc::new(config)).unwrap()
    }

    pub(super) fn connect(self, verifier: Arc<dyn ServerCertVerifier>) -> ClientConnection {
        let clock = Arc::new(Clock(self.time));
        let config = ClientConfig::builder_with_details(self.suite.client_provider(), clock)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match self.presented() {
            Some(key) => config.with_client_cert_resolver(key),
            None => config.with_no_client_auth(),
        };
        let name = ServerName::try_from("gateway.example.org").unwrap();
        ClientConnection::new(Arc::new(config), name).unwrap()
    }
}

/// What each end says when the handshake is over, one way or the other.
pub(super) struct Outcome {
    pub(super) client: Result<(), Error>,
    pub(super) server: Result<(), Error>,
    pub(super) client_certificate: Option<CertificateDer<'static>>,
}

pub(super) fn shake(mut client: ClientConnection, mut server: ServerConnection) -> Outcome {
    let (mut at_client, mut at_server) = (Ok(()), Ok(()));
    // Three flights make a handshake, a fourth carries an alert.
    for _ in 0..4 {
        let up = waiting(&mut client);
        at_server = at_server.and_then(|()| take(&mut server, &up));
        let down = waiting(&mut server);
        at_client = at_client.and_then(|()| take(&mut client, &down));
    }
    assert!(at_client.is_err() || !client.is_handshaking());
    assert!(at_server.is_err() || at_client.is_err() || !server.is_handshaking());
    Outcome {
        client: at_client,
        server: at_server,
        client_certificate: server.peer_certificates().map(|chain| chain[0].clone()),
    }
}

fn waiting<Data: SideData>(end: &mut impl DerefMut<Target = ConnectionCommon<Data>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while end.wants_write() {
        end.write_tls(&mut bytes).unwrap();
    }
    bytes
}

fn take<Data: SideData>(
    end: &mut impl DerefMut<Target = ConnectionCommon<Data>>,
    mut bytes: &[u8],
) -> Result<(), Error> {
    while !bytes.is_empty() {
        end.read_tls(&mut bytes).unwrap();
        end.process_new_packets()?;
    }
    Ok(())
}

fn our_server_verifier() -> Arc<dyn ServerCertVerifier> {
    verifier::server(ours(), any_suite(), Expect::Node)
}

fn our_client_verifier() -> Arc<dyn ClientCertVerifier> {
    verifier::client(ours(), any_suite())
}

#[test]
fn every_algorithm_authenticates_both_ends() {
    let nodes = node(authority());
    for algorithm in all() {
        let agent = agent(authority(), algorithm);
        let outcome = shake(
            End::new(Some(&agent.leaf)).connect(our_server_verifier()),
            End::new(nodes.leaf(algorithm)).serve(our_client_verifier()),
        );
        outcome.client.unwrap();
        outcome.server.unwrap();
        let seen = outcome.client_certificate.unwrap();
        assert_eq!(&seen, agent.leaf.certificate(), "{}", algorithm.id);
    }
}

#[test]
fn a_client_without_a_certificate_stays_anonymous() {
    let nodes = node(authority());
    let outcome = shake(
        End::new(None).connect(our_server_verifier()),
        End::new(nodes.leaf(composite())).serve(our_client_verifier()),
    );
    outcome.client.unwrap();
    outcome.server.unwrap();
    assert_eq!(outcome.client_certificate, None);
    assert!(our_client_verifier().root_hint_subjects().is_empty(), "flights stay lean");
}

#[test]
fn wrong_client_certificates_get_the_alert_that_fits() {
    let nodes = node(authority());
    let expired = agent(authority(), composite());
    let foreign = agent(impostor(), composite());
    for (leaf, server_time, alert) in [
        (&expired.leaf, now() + 2 * 60 * MINUTE, AlertDescription::CertificateExpired),
        (&expired.leaf, now() - DAY, AlertDescription::CertificateExpired),
        (&foreign.leaf, now(), AlertDescription::UnknownCA),
    ] {
        let server = End { time: server_time, ..End::new(nodes.leaf(composite())) };
        let outcome =
            shake(End::new(Some(leaf)).connect(our_server_verifier()), server.serve(our_client_verifier()));
        assert!(matches!(outcome.server, Err(Error::InvalidCertificate(_))));
        let received = outcome.client.unwrap_err();
        assert_eq!(received, Error::AlertReceived(alert));
        assert!(explain(&received).is_some() && explain(&outcome.server.unwrap_err()).is_some());
    }
}

#[test]
fn wrong_servers_are_refused_with_the_alert_that_fits() {
    let posing = agent(authority(), composite());
    let foreign = node(impostor());
    for (leaf, alert) in [
        (&posing.leaf, AlertDescription::UnsupportedCertificate),
        (&foreign.leaves[0], AlertDescription::UnknownCA),
    ] {
        let outcome = shake(
            End::new(None).connect(our_server_verifier()),
            End::new(Some(leaf)).serve(our_client_verifier()),
        );
        assert!(matches!(outcome.client, Err(Error::InvalidCertificate(_))));
        assert_eq!(outcome.server, Err(Error::AlertReceived(alert)));
    }
}

#[test]
fn a_stolen_certificate_without_its_key_proves_nothing() {
    for algorithm in all() {
        let nodes = node(authority());
        let victim = nodes.leaf(algorithm).unwrap();
        let thief = key(algorithm).rustls_signing_key();
        let stolen = Arc::new(CertifiedKey::new(victim.chain.clone(), thief));
        let verifiers = [our_server_verifier(), verifier::any_for_pinning(any_suite())];
        for verifier in verifiers {
            let posing = End { key: Some(Arc::clone(&stolen)), ..End::new(None) };
            let outcome = shake(End::new(None).connect(verifier), posing.serve(our_client_verifier()));
            assert_eq!(outcome.client, Err(CertificateError::BadSignature.into()), "{}", algorithm.id);
        }
        let posing = End { key: Some(stolen), ..End::new(None) };
        let outcome =
            shake(posing.connect(our_server_verifier()), End::new(Some(victim)).serve(our_client_verifier()));
        assert_eq!(outcome.server, Err(CertificateError::BadSignature.into()));
    }
}

#[test]
fn the_pinning_verifier_takes_any_certificate_with_its_key() {
    let foreign = node(impostor());
    for leaf in &foreign.leaves {
        let outcome = shake(
            End::new(None).connect(verifier::any_for_pinning(any_suite())),
            End::new(Some(leaf)).serve(our_client_verifier()),
        );
        outcome.client.unwrap();
        outcome.server.unwrap();
    }
}

#[test]
fn an_algorithm_that_the_profile_does_not_permit_is_not_presented() {
    let nodes = node(authority());
    let strict = verifier::server(ours(), hybrid(), Expect::Node);
    for (algorithm, ok) in [(composite(), true), (ecdsa(), false)] {
        let client = End { suite: hybrid(), ..End::new(None) };
        let outcome = shake(
            client.connect(Arc::clone(&strict)),
            End::new(nodes.leaf(algorithm)).serve(our_client_verifier()),
        );
        assert_eq!(outcome.client.is_ok(), ok);
        assert_eq!(outcome.server.is_ok(), ok);
    }
}

#[test]
fn foreign_servers_are_verified_by_name_under_foreign_roots() {
    let nodes = node(impostor());
    let roots = verifier::ForeignRoots::from_pem(theirs().to_pem().as_bytes()).unwrap();
    let unrelated = verifier::ForeignRoots::from_pem(ours().to_pem().as_bytes()).unwrap();
    let both =
        verifier::ForeignRoots::from_pem([ours().to_pem(), theirs().to_pem()].concat().as_bytes()).unwrap();
    assert!(
        both.covers(&roots)
            && both.covers(&both.clone())
            && !roots.covers(&both)
            && !roots.covers(&unrelated)
    );
    for leaf in &nodes.leaves {
        for (roots, ok) in [(&roots, true), (&unrelated, false)] {
            let outcome = shake(
                End::new(None).connect(verifier::foreign_server(roots, any_suite())),
                End::new(Some(leaf)).serve(our_client_verifier()),
            );
            assert_eq!(outcome.client.is_ok(), ok);
        }
    }
    let misnamed = impostor()
        .issue_node(&id("/node/x"), &["else.example.org".to_owned()], &[], &all(), DAY, now())
        .unwrap();
    let outcome = shake(
        End::new(None).connect(verifier::foreign_server(&roots, any_suite())),
        End::new(misnamed.leaf(ecdsa())).serve(our_client_verifier()),
    );
    let error = outcome.client.unwrap_err();
    assert!(explain(&error).unwrap().contains("else.example.org"), "{error}");
    assert!(verifier::ForeignRoots::from_pem(b"nothing").is_err());
}
