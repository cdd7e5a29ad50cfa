//! Tokens that came into other hands, and tokens on another connection.

use super::*;
use crate::token::bind::{self, Binding};

const EXPORTER: [u8; 32] = [3; 32];

fn bound(
    proof: &str,
    token: &str,
    exporter: &[u8; 32],
    replays: &ReplayCache,
    then: SystemTime,
) -> Result<Held, TokenRefused> {
    let (algorithms, audience) = (proof_rows(), gateway());
    let binding = Binding { exporter, audience: &audience, algorithms: &algorithms, replays };
    bind::verify(proof, token, binding, then)
}

#[test]
fn a_stolen_token_is_of_no_use() {
    let key = thumbprint(curve_key());
    let connection = lockgate_crypto::digest::sha256(&EXPORTER);
    let held = |certificate, key: Option<&str>, connection| Held {
        certificate_sha256: certificate,
        key: key.map(str::to_owned),
        connection_sha256: connection,
    };
    let by_certificate = Confirmation::Certificate(CERTIFICATE);
    let by_key = Confirmation::Key(key.clone());
    let by_connection = Confirmation::Connection(connection);
    let all = held(Some(CERTIFICATE), Some(&key), Some(connection));
    let none = Held::default();
    for (confirmation, held, verdict) in [
        (&by_certificate, &all, Ok(())),
        (&by_certificate, &none, Err(TokenRefused::OtherCertificate)),
        (
            &by_certificate,
            &held(Some([8; 32]), Some(&key), Some(connection)),
            Err(TokenRefused::OtherCertificate),
        ),
        (&by_key, &all, Ok(())),
        (&by_key, &none, Err(TokenRefused::NoProof)),
        (&by_key, &held(Some(CERTIFICATE), Some("other"), None), Err(TokenRefused::OtherKey)),
        (&by_connection, &all, Ok(())),
        (&by_connection, &none, Err(TokenRefused::OtherConnection)),
        (
            &by_connection,
            &held(Some(CERTIFICATE), Some(&key), Some([4; 32])),
            Err(TokenRefused::OtherConnection),
        ),
    ] {
        assert_eq!(confirmation.check(held), verdict, "{confirmation:?}");
        let json = confirmation.to_json();
        assert_eq!(Confirmation::read(json.as_object().unwrap()).unwrap(), *confirmation);
    }
}

#[test]
fn a_token_is_bound_to_a_connection_once() {
    let issued = issuer().issue(&grant(Confirmation::Key(thumbprint(curve_key()))), now()).unwrap();
    let token = issuer().verifier().verify(&issued.token, &gateway(), now()).unwrap();
    let replays = ReplayCache::default();
    let prove = || bind::prove(curve_key(), &issued.token, &EXPORTER, &gateway(), now()).unwrap();
    let proof = prove();
    let held = bound(&proof, &issued.token, &EXPORTER, &replays, now()).unwrap();
    token.confirmation.check(&held).unwrap();
    assert_eq!(bound(&proof, &issued.token, &EXPORTER, &replays, now()), Err(TokenRefused::Replayed));
    assert!(
        bound(&prove(), &issued.token, &EXPORTER, &replays, now()).is_ok(),
        "a new proof is no repeated one"
    );
}

/// Whoever sees token and proof, on the way or in a log, has another connection.
#[test]
fn a_binding_is_worth_nothing_elsewhere() {
    let issued = issuer().issue(&grant(Confirmation::Key(thumbprint(curve_key()))), now()).unwrap();
    let token = issuer().verifier().verify(&issued.token, &gateway(), now()).unwrap();
    let replays = ReplayCache::default();
    let proof = bind::prove(curve_key(), &issued.token, &EXPORTER, &gateway(), now()).unwrap();
    assert_eq!(bound(&proof, &issued.token, &[4; 32], &replays, now()), Err(TokenRefused::OtherConnection));
    let other_token = with_claims(|_| {});
    assert_eq!(
        bound(&proof, &other_token, &EXPORTER, &replays, now()),
        Err(TokenRefused::ProofMismatch { what: "ath" })
    );
    let late = now() + seconds(61);
    assert!(matches!(
        bound(&proof, &issued.token, &EXPORTER, &replays, late),
        Err(TokenRefused::ProofTime { .. })
    ));
    let early = now() - seconds(31);
    assert!(matches!(
        bound(&proof, &issued.token, &EXPORTER, &replays, early),
        Err(TokenRefused::ProofTime { .. })
    ));
    let elsewhere = Resource::parse("https://evil.example/mcp").unwrap();
    let proof = bind::prove(curve_key(), &issued.token, &EXPORTER, &elsewhere, now()).unwrap();
    assert!(matches!(
        bound(&proof, &issued.token, &EXPORTER, &replays, now()),
        Err(TokenRefused::Audience { .. })
    ));
    // A thief makes a proof of his own: it is a good proof, of another key.
    let thief = PrivateKey::generate_algorithm("Ed25519").unwrap();
    let proof = bind::prove(&thief, &issued.token, &EXPORTER, &gateway(), now()).unwrap();
    let held = bound(&proof, &issued.token, &EXPORTER, &replays, now()).unwrap();
    assert_eq!(token.confirmation.check(&held), Err(TokenRefused::OtherKey));
    assert_eq!(replays.len(), 1, "what was refused is not remembered");
}

/// A proof of one kind does not pass as one of another, nor as a token.
#[test]
fn kinds_are_not_mixed_up() {
    let issued = issuer().issue(&grant(Confirmation::Key(thumbprint(curve_key()))), now()).unwrap();
    let proof = bind::prove(curve_key(), &issued.token, &EXPORTER, &gateway(), now()).unwrap();
    let replays = ReplayCache::default();
    let (algorithms, target) = (proof_rows(), gateway());
    let request = dpop::Request { method: "POST", target: &target, token: Some(&issued.token) };
    let proofs = dpop::Proofs { algorithms: &algorithms, replays: &replays, nonces: None };
    assert!(matches!(dpop::verify(&proof, request, proofs, now()), Err(TokenRefused::Type { .. })));
    let dpop_proof = dpop::prove(curve_key(), request, None, now()).unwrap();
    assert!(matches!(
        bound(&dpop_proof, &issued.token, &EXPORTER, &replays, now()),
        Err(TokenRefused::Type { .. })
    ));
    for token in [&proof, &dpop_proof] {
        assert!(issuer().verifier().verify(token, &gateway(), now()).is_err());
    }
    assert!(matches!(
        bound(&issued.token, &issued.token, &EXPORTER, &replays, now()),
        Err(TokenRefused::Malformed { .. })
    ));
    let svid = issuer()
        .issue_svid(&id("/agent/claude"), &["https://gw.example.org/mcp".to_owned()], seconds(300), now())
        .unwrap();
    let refused = issuer().verifier().verify(&svid.token, &gateway(), now()).unwrap_err();
    assert!(matches!(refused, TokenRefused::Type { .. }), "{refused}");
}
