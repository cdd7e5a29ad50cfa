//! Tokens of other issuers, and their keys.

use super::*;

const ISSUER: &str = "https://idp.example";

fn foreign() -> ForeignIssuer {
    ForeignIssuer::new(ISSUER, "lockgate", vec![row("ECDSA-P256-SHA256"), row("RSA-PKCS1-SHA256")])
}

fn keys_of(keys: &[&PrivateKey], then: SystemTime) -> KeyCache {
    let keys = keys.iter().map(|key| jose::Jwk::of_private(key).unwrap()).collect();
    let mut cache = KeyCache::default();
    cache.replace(jose::JwkSet::new(keys), then);
    cache
}

fn claims() -> Map<String, Value> {
    let now = crate::error::unix_seconds(now());
    let claims = json!({
        "iss": ISSUER, "sub": "system:serviceaccount:retail:bot", "aud": ["lockgate", "other"],
        "iat": now - 10, "exp": now + 3600,
        "kubernetes.io": {"namespace": "retail", "serviceaccount": {"name": "bot"}, "pod": {"uid": "u"}},
        "repository/owner": "acme",
    });
    claims.as_object().unwrap().clone()
}

fn signed(key: &PrivateKey, typ: Option<&str>, change: impl FnOnce(&mut Map<String, Value>)) -> String {
    let mut claims = claims();
    change(&mut claims);
    let mut header = json!({"alg": jose::name(key.algorithm()).unwrap(), "kid": thumbprint(key)});
    if let Some(typ) = typ {
        header["typ"] = typ.into();
    }
    token_of(key, &header, &Value::Object(claims).to_string())
}

#[test]
fn a_foreign_token_gives_its_claims() {
    let keys = keys_of(&[curve_key()], now());
    for typ in [None, Some("JWT"), Some("jwt"), Some("JOSE")] {
        let token = signed(curve_key(), typ, |_| {});
        assert_eq!(unverified_issuer(&token).unwrap(), ISSUER);
        let read = foreign().verify(&token, &keys, now()).unwrap();
        assert_eq!(read.subject, "system:serviceaccount:retail:bot");
        assert_eq!(read.at("/kubernetes.io/namespace"), Some(&json!("retail")));
        assert_eq!(read.at("/kubernetes.io/serviceaccount/name"), Some(&json!("bot")));
        assert_eq!(read.at("/repository~1owner"), Some(&json!("acme")));
        assert_eq!((read.at("/none"), read.at("none"), read.at("")), (None, None, None));
        assert_eq!((read.confirmation().unwrap(), read.client_id().unwrap()), (None, None));
    }
}

#[test]
fn what_is_not_for_us_or_not_of_the_list_is_refused() {
    let keys = keys_of(&[curve_key()], now());
    let now_s = crate::error::unix_seconds(now());
    let cases: &[(&str, Value, &str)] = &[
        ("iss", json!("https://idp.example/"), "issuer"),
        ("iss", json!("https://evil.example"), "issuer"),
        ("aud", json!("other"), "audience"),
        ("aud", json!(["other", "Lockgate", "lockgate "]), "audience"),
        ("aud", json!([]), "claims"),
        ("aud", json!([1]), "claims"),
        ("aud", json!(vec!["lockgate"; 17]), "claims"),
        ("exp", json!(now_s), "time"),
        ("exp", json!(now_s - 300), "time"),
        ("exp", json!(now_s + 86_400), "time"),
        ("iat", json!(now_s + 31), "time"),
        ("iat", json!(now_s + 120), "time"),
        ("nbf", json!(now_s + 31), "time"),
        ("sub", json!(""), "claims"),
        ("jti", json!(5), "claims"),
    ];
    for (name, value, check) in cases {
        let token =
            signed(curve_key(), None, |claims| drop(claims.insert((*name).to_owned(), value.clone())));
        let refused = foreign().verify(&token, &keys, now()).unwrap_err();
        assert_eq!(refused.check(), *check, "{name} {value}: {refused}");
    }
    // An access token of the same issuer is no identity, and the other way round.
    for (kind, typ) in
        [(TokenType::Identity, Some("at+jwt")), (TokenType::Access, Some("JWT")), (TokenType::Access, None)]
    {
        let issuer = ForeignIssuer { kind, ..foreign() };
        let refused = issuer.verify(&signed(curve_key(), typ, |_| {}), &keys, now()).unwrap_err();
        assert_eq!(refused.check(), "type", "{kind:?} {typ:?}");
    }
    let lattice = PrivateKey::generate_algorithm("ML-DSA-44").unwrap();
    let both = keys_of(&[curve_key(), &lattice], now());
    let refused = foreign().verify(&signed(&lattice, None, |_| {}), &both, now()).unwrap_err();
    assert_eq!(refused.check(), "algorithm", "its set has the key, its list has not: {refused}");
    let generous = ForeignIssuer { skew: seconds(3600), ..foreign() };
    let ahead = |by: u64| {
        signed(curve_key(), None, |claims| drop(claims.insert("iat".to_owned(), json!(now_s + by))))
    };
    assert!(generous.verify(&ahead(300), &keys, now()).is_ok());
    assert!(generous.verify(&ahead(301), &keys, now()).is_err(), "no configuration stretches it further");
}

/// An issuer changes its keys: the new one is fetched when a token needs it, the old one goes.
#[test]
fn keys_are_replaced_and_not_fetched_too_often() {
    let next = PrivateKey::generate_algorithm("ECDSA-P256-SHA256").unwrap();
    let mut cache = keys_of(&[curve_key()], now());
    let (old, new) = (signed(curve_key(), None, |_| {}), signed(&next, None, |_| {}));
    foreign().verify(&old, &cache, now()).unwrap();
    let refused = foreign().verify(&new, &cache, now()).unwrap_err();
    assert!(refused.needs_keys(), "{refused}");
    assert!(
        !cache.may_fetch(now() + seconds(29)),
        "someone who sends unknown keys does not make us ask each time"
    );
    assert!(cache.may_fetch(now() + seconds(30)));
    cache.trying(now() + seconds(30));
    assert!(!cache.may_fetch(now() + seconds(59)));
    cache.replace(keys_of(&[&next], now()).keys().clone(), now() + seconds(60));
    foreign().verify(&new, &cache, now() + seconds(60)).unwrap();
    assert!(foreign().verify(&old, &cache, now() + seconds(60)).unwrap_err().needs_keys(), "withdrawn");
}

/// An issuer that cannot be reached: its keys are trusted for a day, not for ever.
#[test]
fn keys_that_cannot_be_fetched_are_trusted_for_a_while() {
    let long = |claims: &mut Map<String, Value>| {
        claims.insert("exp".to_owned(), json!(crate::error::unix_seconds(now()) + 90_000));
    };
    let issuer = ForeignIssuer { lifetime_max: seconds(100_000), ..foreign() };
    let token = signed(curve_key(), None, long);
    let cache = keys_of(&[curve_key()], now());
    assert!(!cache.is_due(now() + seconds(599)) && cache.is_due(now() + KEYS_FRESH));
    issuer.verify(&token, &cache, now() + KEYS_AGE_MAX).unwrap();
    let refused = issuer.verify(&token, &cache, now() + KEYS_AGE_MAX + seconds(1)).unwrap_err();
    assert!(matches!(refused, TokenRefused::KeysStale { .. }) && refused.needs_keys(), "{refused}");
    let never = KeyCache::new(seconds(1_000_000));
    assert!(never.is_due(now()) && issuer.verify(&token, &never, now()).unwrap_err().needs_keys());
    // A clock that went back does not make keys stale, nor trusted for longer.
    issuer.verify(&token, &keys_of(&[curve_key()], now() + seconds(60)), now()).unwrap();
}

#[test]
fn a_token_that_names_no_key_is_taken_only_if_there_is_one() {
    let unnamed = token_of(curve_key(), &json!({"alg": "ES256"}), &Value::Object(claims()).to_string());
    foreign().verify(&unnamed, &keys_of(&[curve_key()], now()), now()).unwrap();
    let other = PrivateKey::generate_algorithm("ECDSA-P256-SHA256").unwrap();
    let refused = foreign().verify(&unnamed, &keys_of(&[curve_key(), &other], now()), now()).unwrap_err();
    assert!(refused.needs_keys(), "{refused}");
}
