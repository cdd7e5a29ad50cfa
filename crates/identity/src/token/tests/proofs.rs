//! Proofs with each request (RFC 9449 section 4.3).

use super::*;
use crate::token::dpop::{Proofs, Request};

struct Server {
    replays: ReplayCache,
    nonces: Option<Nonces>,
    algorithms: Vec<&'static Algorithm>,
}

impl Server {
    fn new(nonces: Option<Nonces>) -> Self {
        Self { replays: ReplayCache::default(), nonces, algorithms: proof_rows() }
    }

    fn judge(&self, proof: &str, then: SystemTime) -> Result<String, TokenRefused> {
        let target = gateway();
        let request = Request { method: "POST", target: &target, token: Some("token") };
        let proofs =
            Proofs { algorithms: &self.algorithms, replays: &self.replays, nonces: self.nonces.as_ref() };
        dpop::verify(proof, request, proofs, then)
    }
}

fn good() -> Map<String, Value> {
    let claims = json!({
        "jti": "p1", "htm": "POST", "htu": "https://gw.example.org/mcp",
        "iat": crate::error::unix_seconds(now()), "ath": dpop::hash("token"),
    });
    claims.as_object().unwrap().clone()
}

fn proof_with(change: impl FnOnce(&mut Map<String, Value>)) -> String {
    let mut claims = good();
    change(&mut claims);
    jws::sign(curve_key(), dpop::TYPE, OwnKey::Required, &claims).unwrap()
}

#[test]
fn proofs_of_every_algorithm_pass_and_name_their_key() {
    for id in ["ML-DSA-44", "ML-DSA-65", "ML-DSA-87", "ECDSA-P256-SHA256", "ECDSA-P384-SHA384", "Ed25519"] {
        let key = PrivateKey::generate_algorithm(id).unwrap();
        let target = gateway();
        let request = Request { method: "POST", target: &target, token: Some("token") };
        let proof = dpop::prove(&key, request, None, now()).unwrap();
        assert!(proof.len() < TOKEN_BYTES_MAX, "{id}: {}", proof.len());
        assert_eq!(Server::new(None).judge(&proof, now()).unwrap(), thumbprint(&key), "{id}");
    }
}

#[test]
fn a_proof_is_for_one_request_once() {
    let server = Server::new(None);
    let proof = proof_with(|_| {});
    server.judge(&proof, now()).unwrap();
    assert_eq!(server.judge(&proof, now()), Err(TokenRefused::Replayed));
    assert_eq!(server.judge(&proof, now() + seconds(60)), Err(TokenRefused::Replayed));
    assert_eq!(TokenRefused::Replayed.oauth_error(), "invalid_dpop_proof");
    // Another proof with the same name by another key is another proof.
    let key = PrivateKey::generate_algorithm("Ed25519").unwrap();
    server.judge(&jws::sign(&key, dpop::TYPE, OwnKey::Required, &good()).unwrap(), now()).unwrap();
}

#[test]
fn what_a_proof_says_has_to_be_this_request() {
    let now_s = crate::error::unix_seconds(now());
    let cases: &[(&str, Value, &str)] = &[
        ("htm", json!("GET"), "proof"),
        ("htm", json!("post"), "proof"),
        ("htm", json!(1), "claims"),
        ("htu", json!("https://gw.example.org/other"), "proof"),
        ("htu", json!("https://evil.example/mcp"), "proof"),
        ("htu", json!("http://gw.example.org/mcp"), "proof"),
        ("htu", json!("/mcp"), "proof"),
        ("htu", json!("https://gw.example.org/x/../mcp"), "proof"),
        ("htu", json!("https://gw.example.org@evil.example/mcp"), "proof"),
        ("htu", json!(null), "claims"),
        ("ath", json!(dpop::hash("other")), "proof"),
        ("ath", json!(""), "claims"),
        ("iat", json!(now_s - 61), "proof"),
        ("iat", json!(now_s + 31), "proof"),
        ("iat", json!(now_s - 600), "proof"),
        ("iat", json!(now_s as f64 + 0.5), "claims"),
        ("iat", json!("now"), "claims"),
        ("jti", json!(""), "claims"),
        ("jti", json!("j".repeat(257)), "claims"),
        ("jti", json!([1]), "claims"),
    ];
    let server = Server::new(None);
    for (name, value, check) in cases {
        let proof = proof_with(|claims| drop(claims.insert((*name).to_owned(), value.clone())));
        let refused = server.judge(&proof, now()).unwrap_err();
        assert_eq!(refused.check(), *check, "{name} {value}: {refused}");
    }
    for name in ["htm", "htu", "ath", "iat", "jti"] {
        assert!(
            server.judge(&proof_with(|claims| drop(claims.remove(name))), now()).is_err(),
            "without {name}"
        );
    }
    assert!(server.replays.is_empty(), "what was refused is not remembered");
    for (name, value) in [
        ("htu", json!("HTTPS://GW.example.org:443/mcp?a=b#c")),
        ("htu", json!("https://gw.example.org/mcp/")),
        ("iat", json!(now_s - 60)),
        ("iat", json!(now_s + 30)),
    ] {
        let proof = proof_with(|claims| drop(claims.insert(name.to_owned(), value.clone())));
        Server::new(None).judge(&proof, now()).unwrap_or_else(|refused| panic!("{name} {value}: {refused}"));
    }
}

#[test]
fn a_proof_shows_its_own_public_key_and_nothing_else() {
    let server = Server::new(None);
    let claims = Value::Object(good()).to_string();
    let own = jose::Jwk::of_private(curve_key()).unwrap().to_json();
    let with_private = {
        let mut key = own.clone();
        key["d"] = jose::encode(&[1; 32]).into();
        key
    };
    let other = jose::Jwk::of_private(&PrivateKey::generate_algorithm("ECDSA-P256-SHA256").unwrap())
        .unwrap()
        .to_json();
    let cases = [
        (json!({"typ": "dpop+jwt", "alg": "ES256"}), "format"),
        (json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": "x"}), "format"),
        (json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": with_private}), "format"),
        (json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": {"kty": "oct", "k": "AA"}}), "format"),
        (json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": other}), "signature"),
        (json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": own}), "algorithm"),
        (json!({"typ": "dpop+jwt", "alg": "none", "jwk": own}), "algorithm"),
        (json!({"typ": "dpop+jwt", "alg": "HS256", "jwk": own}), "algorithm"),
        (json!({"typ": "JWT", "alg": "ES256", "jwk": own}), "type"),
        (json!({"alg": "ES256", "jwk": own}), "type"),
        (json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": own, "jku": "https://evil.example"}), "format"),
        (json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": own, "crit": ["b64"]}), "format"),
    ];
    for (header, check) in cases {
        let refused = server.judge(&token_of(curve_key(), &header, &claims), now()).unwrap_err();
        assert_eq!(refused.check(), check, "{header}: {refused}");
    }
    let banned = Server { algorithms: vec![row("ML-DSA-65")], ..Server::new(None) };
    assert!(matches!(banned.judge(&proof_with(|_| {}), now()), Err(TokenRefused::Algorithm { .. })));
}

#[test]
fn a_nonce_is_ours_and_fresh() {
    let server = Server::new(Some(Nonces::default()));
    let nonces = server.nonces.as_ref().unwrap();
    let with = |nonce: &str, name: &str| {
        proof_with(|claims| {
            claims.insert("nonce".to_owned(), nonce.into());
            claims.insert("jti".to_owned(), name.into());
        })
    };
    assert_eq!(server.judge(&proof_with(|_| {}), now()), Err(TokenRefused::NonceNeeded));
    assert_eq!(TokenRefused::NonceNeeded.oauth_error(), "use_dpop_nonce");
    let fresh = nonces.give(now());
    assert!(fresh.len() < 64);
    server.judge(&with(&fresh, "a"), now()).unwrap();
    let (old, ahead) = (nonces.give(now() - NONCE_LIFETIME), nonces.give(now() + seconds(31)));
    let (last, theirs) = (nonces.give(now() - NONCE_LIFETIME + seconds(1)), Nonces::default().give(now()));
    for bad in [old.as_str(), &ahead, &theirs, "x", &"n".repeat(500), &fresh[1..]] {
        assert_eq!(server.judge(&with(bad, "b"), now()), Err(TokenRefused::NonceNeeded), "{bad}");
    }
    server.judge(&with(&last, "c"), now()).unwrap();
    assert!(!format!("{nonces:?}").contains("Seal"));
}

#[test]
fn a_full_memory_lets_nothing_pass() {
    let replays = ReplayCache::with_limits(4, 3);
    let now_s = crate::error::unix_seconds(now());
    let note = |key: &str, name: &str, then: SystemTime| replays.note(key, name, now_s, then);
    for name in ["a", "b", "c"] {
        note("k", name, now()).unwrap();
    }
    assert_eq!(note("k", "d", now()), Err(TokenRefused::ReplayFull), "one key does not take all");
    assert_eq!(note("k", "a", now()), Err(TokenRefused::Replayed));
    note("l", "a", now()).unwrap();
    assert_eq!(note("m", "a", now()), Err(TokenRefused::ReplayFull));
    // A proof is remembered while it could be used again, and then its room is free.
    assert_eq!(note("k", "a", now() + seconds(90)), Err(TokenRefused::Replayed));
    note("k", "a", now() + seconds(91)).unwrap();
    assert_eq!(replays.len(), 1);
}

/// As long as a proof would pass the clock, it is remembered.
#[test]
fn nothing_is_forgotten_too_early() {
    let now_s = crate::error::unix_seconds(now());
    for ahead in 0..=30 {
        let server = Server::new(None);
        let proof = proof_with(|claims| drop(claims.insert("iat".to_owned(), json!(now_s + ahead))));
        server.judge(&proof, now()).unwrap();
        for later in 0..120 {
            assert!(
                server.judge(&proof, now() + seconds(later)).is_err(),
                "made {ahead} s ahead, {later} s later"
            );
        }
    }
}
