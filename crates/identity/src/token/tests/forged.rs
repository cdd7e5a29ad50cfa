//! Tokens that somebody made or changed.

use proptest::prelude::*;

use super::*;

fn header() -> Value {
    json!({"typ": "at+jwt", "alg": "ML-DSA-65", "kid": thumbprint(known_key())})
}

fn with_header(change: impl FnOnce(&mut Value)) -> String {
    let mut header = header();
    change(&mut header);
    token_of(known_key(), &header, &Value::Object(good_claims()).to_string())
}

#[test]
fn a_good_token_is_read_whole() {
    let token = verdict(&with_claims(|_| {}), now()).unwrap();
    assert_eq!(token.subject, id("/agent/claude"));
    assert_eq!(token.caller(), &id("/agent/claude"));
    assert_eq!((token.client_id.as_str(), token.id.as_str()), ("claude", "a"));
    assert_eq!(token.expires_at - token.issued_at, 300);
    assert_eq!(token.confirmation, Confirmation::Certificate(CERTIFICATE));
    assert_eq!(verdict(&with_header(|_| {}), now()).unwrap(), token);
    assert!(verdict(&with_header(|header| header["typ"] = "application/AT+JWT".into()), now()).is_ok());
    assert!(
        verdict(&with_header(|header| header["x5t"] = "AA".into()), now()).is_ok(),
        "a hint is passed over"
    );
}

#[test]
fn the_algorithm_is_never_the_tokens_choice() {
    let alg = |name: &str| with_header(|header| header["alg"] = name.into());
    for none in ["none", "None", "nOnE", "NONE"] {
        assert_eq!(verdict(&alg(none), now()), Err(TokenRefused::Unsigned), "{none}");
        // And as it is usually tried: without a signature.
        let token = alg(none);
        let unsigned = &token[..=token.rfind('.').unwrap()];
        assert_eq!(verdict(unsigned, now()), Err(TokenRefused::Unsigned));
    }
    for shared in ["HS256", "HS384", "HS512", "hs256"] {
        let refused = verdict(&alg(shared), now()).unwrap_err();
        assert!(matches!(refused, TokenRefused::SharedSecret { .. }), "{shared}: {refused}");
    }
    // Names of good algorithms that are not this issuer's, and of none at all.
    for other in
        ["ES256", "RS256", "PS256", "EdDSA", "ML-DSA-44", "ML-DSA-87", "ml-dsa-65", "ML-DSA-65 ", "", "RS1"]
    {
        let refused = verdict(&alg(other), now()).unwrap_err();
        assert!(matches!(refused, TokenRefused::Algorithm { .. }), "{other}: {refused}");
        assert_eq!((refused.check(), refused.oauth_error()), ("algorithm", "invalid_token"));
    }
}

/// The classical confusion: the attacker signs with HMAC and the public key as the secret, or with a key of one
/// algorithm under the name of another.
#[test]
fn a_key_is_not_taken_for_one_of_another_algorithm() {
    let (lattice, curve) = (known_key(), curve_key());
    let keys = [lattice, curve].map(|key| jose::Jwk::of_private(key).unwrap());
    let both = vec![row("ML-DSA-65"), row("ECDSA-P256-SHA256")];
    let verifier = AccessVerifier::new("https://gw.example.org", jose::JwkSet::new(keys.to_vec()), both);
    let claims = Value::Object(good_claims()).to_string();
    for (signer, alg, kid) in [(curve, "ES256", lattice), (lattice, "ML-DSA-65", curve)] {
        let header = json!({"typ": "at+jwt", "alg": alg, "kid": thumbprint(kid)});
        let refused = verifier.verify(&token_of(signer, &header, &claims), &gateway(), now()).unwrap_err();
        assert!(matches!(refused, TokenRefused::KeyMismatch { .. }), "{refused}");
    }
    for (signer, alg) in [(curve, "ML-DSA-65"), (lattice, "ES256")] {
        let kid = if alg == "ES256" { curve } else { lattice };
        let header = json!({"typ": "at+jwt", "alg": alg, "kid": thumbprint(kid)});
        let refused = verifier.verify(&token_of(signer, &header, &claims), &gateway(), now()).unwrap_err();
        assert_eq!(refused, TokenRefused::Signature);
    }
}

#[test]
fn a_header_brings_no_key_and_no_instructions() {
    let own = jose::Jwk::of_private(curve_key()).unwrap().to_json();
    for (member, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/cert")),
        ("x5c", json!(["MIIB"])),
        ("jwk", own),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
    ] {
        let refused = verdict(&with_header(|header| header[member] = value), now()).unwrap_err();
        assert_eq!(refused, TokenRefused::Header { member });
    }
    for typ in ["JWT", "dpop+jwt", "lockgate-bind+jwt", "at+jwt+x", "", "application/"] {
        let refused = verdict(&with_header(|header| header["typ"] = typ.into()), now()).unwrap_err();
        assert!(matches!(refused, TokenRefused::Type { .. }), "{typ}");
    }
    for (name, value) in [
        ("typ", json!(1)),
        ("kid", json!(null)),
        ("alg", json!(["ML-DSA-65"])),
        ("kid", json!("k".repeat(300))),
    ] {
        let refused = verdict(&with_header(|header| header[name] = value), now()).unwrap_err();
        assert!(matches!(refused, TokenRefused::Malformed { part: "the header", .. }), "{name}: {refused}");
    }
    for kid in [json!("else"), json!("../../etc/passwd"), json!("' OR 1=1")] {
        let refused = verdict(&with_header(|header| header["kid"] = kid), now()).unwrap_err();
        assert!(refused.needs_keys(), "{refused}");
    }
    let nameless = with_header(|header| drop(header.as_object_mut().unwrap().remove("kid")));
    assert!(verdict(&nameless, now()).is_err(), "our own tokens always name their key");
}

#[test]
fn a_signature_covers_every_bit() {
    let good = with_claims(|_| {});
    let forged = impostor().issue(&grant(Confirmation::Certificate(CERTIFICATE)), now()).unwrap();
    assert!(verdict(&forged.token, now()).unwrap_err().needs_keys(), "a key that nobody knows");
    // The same claims under the name of the known key.
    let header = header();
    let stranger = PrivateKey::generate(row("ML-DSA-65")).unwrap();
    let claims = Value::Object(good_claims()).to_string();
    assert_eq!(verdict(&token_of(&stranger, &header, &claims), now()), Err(TokenRefused::Signature));

    let [head, body, signature]: [&str; 3] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let other =
        with_claims(|claims| drop(claims.insert("sub".to_owned(), "spiffe://example.org/agent/root".into())));
    let other_body = other.split('.').nth(1).unwrap();
    for (token, why) in [
        (format!("{head}.{other_body}.{signature}"), "claims of another"),
        (format!("{head}.{body}."), "no signature"),
        (format!("{head}.{body}"), "two parts"),
        (format!("{head}.{body}.{signature}."), "four parts"),
        (format!("{head}.{body}.{signature}.{signature}"), "four parts"),
        (format!("{head}.{body}.{}", &signature[4..]), "cut at the front"),
        (format!("{head}.{body}.{}", &signature[..signature.len() - 4]), "cut at the end"),
        (format!("{head}.{body}.{signature}="), "padding"),
        (format!("{head}.{body}.{signature}\n"), "a line end"),
        (format!(" {good}"), "a space"),
        (format!("{head}=.{body}.{signature}"), "padding in the header"),
        (format!("{head}..{signature}"), "no claims"),
        (format!(".{body}.{signature}"), "no header"),
        (String::new(), "nothing"),
        ("..".to_owned(), "three empty parts"),
        ("a".repeat(TOKEN_BYTES_MAX + 1), "too long"),
        ("é.é.é".to_owned(), "no ASCII"),
    ] {
        assert!(verdict(&token, now()).is_err(), "{why}");
    }
}

/// The last character of base64url may hold bits that decode to nothing: with them one token would have many forms.
#[test]
fn a_token_has_one_spelling() {
    let good = with_claims(|_| {});
    let (head, signature) = good.rsplit_once('.').unwrap();
    // 3309 bytes leave no rest; take one that does.
    let bytes = jose::decode(signature).unwrap();
    assert_eq!(jose::encode(&bytes), signature);
    let mut last = signature.as_bytes().to_vec();
    *last.last_mut().unwrap() = if last.last() == Some(&b'B') { b'C' } else { b'B' };
    assert!(verdict(&format!("{head}.{}", String::from_utf8(last).unwrap()), now()).is_err());
    for loose in ["QQ", "QR", "QS"] {
        assert_eq!(jose::decode(loose).is_some(), loose == "QQ", "{loose}");
    }
}

#[test]
fn claims_have_one_meaning() {
    let text = Value::Object(good_claims()).to_string();
    let twice = |member: &str| text.replacen('{', &format!("{{{member},"), 1);
    let nested = format!("{{\"x\":{}{},{}", "[".repeat(40), "]".repeat(40), &text[1..]);
    let cases = [
        (twice(r#""sub":"spiffe://example.org/agent/root""#), "twice"),
        (twice(r#""s\u0075b":"spiffe://example.org/agent/root""#), "twice"),
        (twice(r#""exp":99999999999"#), "twice"),
        (twice(r#""act":{"sub":"spiffe://example.org/a","sub":"spiffe://example.org/b"}"#), "twice"),
        (nested, "nested"),
        ("[]".to_owned(), "object"),
        ("null".to_owned(), "object"),
        (format!("{text}{text}"), "JSON"),
        (format!("{text},"), "JSON"),
        (String::new(), "object"),
    ];
    for (claims, why) in cases {
        let refused = verdict(&token_of(known_key(), &header(), &claims), now()).unwrap_err();
        assert!(matches!(refused, TokenRefused::Malformed { part: "the claims", .. }), "{claims:.60}");
        assert!(refused.to_string().contains(why), "{refused}");
    }
    let doubled = r#"{"typ":"at+jwt","alg":"none","alg":"ML-DSA-65","kid":"x"}"#;
    let token = format!("{}.{}.AAAA", jose::encode(doubled.as_bytes()), jose::encode(text.as_bytes()));
    assert!(matches!(verdict(&token, now()), Err(TokenRefused::Malformed { part: "the header", .. })));
}

#[test]
fn each_claim_is_of_its_type_or_the_token_is_refused() {
    let cases: &[(&str, Value, &str)] = &[
        ("iss", json!("https://evil.example"), "issuer"),
        ("iss", json!("https://gw.example.org/"), "issuer"),
        ("iss", json!(["https://gw.example.org"]), "claims"),
        ("iss", Value::Null, "claims"),
        ("sub", json!("root"), "claims"),
        ("sub", json!(""), "claims"),
        ("sub", json!({"id": "spiffe://example.org/agent/claude"}), "claims"),
        ("aud", json!("https://other.example/mcp"), "audience"),
        ("aud", json!("https://gw.example.org/mcp/crm"), "audience"),
        ("aud", json!("https://gw.example.org/mc"), "audience"),
        ("aud", json!("http://gw.example.org/mcp"), "audience"),
        ("aud", json!("https://gw.example.org:8443/mcp"), "audience"),
        ("aud", json!(["https://gw.example.org/mcp"]), "claims"),
        ("aud", json!("*"), "claims"),
        ("aud", json!(true), "claims"),
        ("exp", json!("9999999999"), "claims"),
        ("exp", json!(1e300), "claims"),
        ("exp", json!(-1), "claims"),
        ("exp", json!(1_795_349_000.5), "claims"),
        ("exp", json!(u64::MAX), "claims"),
        ("exp", json!(1_795_348_800_u64 + 901), "time"),
        ("iat", json!("1"), "claims"),
        ("iat", json!(0), "time"),
        ("nbf", json!([]), "claims"),
        ("jti", json!(7), "claims"),
        ("jti", json!(""), "claims"),
        ("jti", json!("j".repeat(3000)), "claims"),
        ("client_id", json!(null), "claims"),
        ("scope", json!(["a"]), "claims"),
        ("scope", json!("a  b"), "claims"),
        ("scope", json!("a a"), "claims"),
        ("cnf", json!("x"), "claims"),
        ("cnf", json!({}), "claims"),
        ("cnf", json!({"x5t#S256": "AAAA"}), "claims"),
        ("cnf", json!({"x5t#S256": 1}), "claims"),
        ("cnf", json!({"kid": jose::encode(&[0; 32])}), "claims"),
        ("cnf", json!({"jkt": jose::encode(&[0; 32]), "x5t#S256": jose::encode(&[0; 32])}), "claims"),
        ("act", json!("spiffe://example.org/a"), "claims"),
        ("act", json!({}), "claims"),
        ("act", json!({"sub": "root"}), "claims"),
    ];
    for (name, value, check) in cases {
        let token = with_claims(|claims| drop(claims.insert((*name).to_owned(), value.clone())));
        let refused = verdict(&token, now()).unwrap_err();
        assert_eq!(refused.check(), *check, "{name} {value}: {refused}");
        assert_eq!(refused.oauth_error(), "invalid_token");
    }
    for name in ["iss", "sub", "aud", "client_id", "jti", "iat", "nbf", "exp", "cnf"] {
        let refused = verdict(&with_claims(|claims| drop(claims.remove(name))), now()).unwrap_err();
        let expected = if name == "cnf" { "binding" } else { "claims" };
        assert_eq!(refused.check(), expected, "without {name}: {refused}");
    }
}

#[test]
fn a_chain_of_actors_has_an_end() {
    let chain = |length: usize| {
        (0..length).fold(Value::Null, |before, at| {
            let mut act = json!({"sub": format!("spiffe://example.org/agent/a{at}")});
            if !before.is_null() {
                act["act"] = before;
            }
            act
        })
    };
    let with = |length| with_claims(|claims| drop(claims.insert("act".to_owned(), chain(length))));
    let token = verdict(&with(ACTORS_MAX), now()).unwrap();
    assert_eq!(token.actors.len(), ACTORS_MAX);
    assert_eq!(token.caller(), &id("/agent/a3"));
    assert_eq!(token.subject, id("/agent/claude"));
    assert!(verdict(&with(ACTORS_MAX + 1), now()).is_err());
}

/// Clocks that differ by minutes: a token is over when it is over, and may begin half a minute ahead.
#[test]
fn time_is_judged_to_the_second() {
    let token = with_claims(|_| {});
    for (offset, good) in [
        (-31_i64, false),
        (-30, true),
        (0, true),
        (299, true),
        (300, false),
        (301, false),
        (600, false),
        (-300, false),
    ] {
        let offset_s = seconds(offset.unsigned_abs());
        let then = if offset < 0 { now() - offset_s } else { now() + offset_s };
        let verdict = verdict(&token, then);
        assert_eq!(verdict.is_ok(), good, "{offset}: {verdict:?}");
        if let Err(refused) = verdict {
            assert_eq!(refused.check(), "time");
        }
    }
    // Its beginning is the later of the two.
    let late = with_claims(|claims| drop(claims.insert("nbf".to_owned(), json!(1_795_348_800_u64 + 31))));
    assert!(matches!(verdict(&late, now()), Err(TokenRefused::NotYetValid { in_s: 31 })));
}

/// What a caller is told says nothing about why.
#[test]
fn refusals_say_much_to_the_operator_and_little_to_the_caller() {
    let expired = verdict(&with_claims(|_| {}), now() + seconds(400)).unwrap_err();
    assert_eq!(expired.to_string(), "it expired 100 s ago, at 1795349100");
    let other =
        with_claims(|claims| drop(claims.insert("aud".to_owned(), json!("https://evil.example/\u{1b}[0m"))));
    assert!(!verdict(&other, now()).unwrap_err().to_string().contains('\u{1b}'));
    let named = with_header(|header| header["alg"] = "\u{1b}[31mES256".into());
    let text = verdict(&named, now()).unwrap_err().to_string();
    assert!(text.contains("allowed: ML-DSA-65") && !text.contains('\u{1b}'), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_change_of_a_token_goes_unseen(at in any::<prop::sample::Index>(), with in "[A-Za-z0-9_.-]") {
        static GOOD: OnceLock<String> = OnceLock::new();
        let good = GOOD.get_or_init(|| with_claims(|_| {}));
        let at = at.index(good.len());
        let mut changed = good.clone();
        changed.replace_range(at..=at, &with);
        prop_assert_eq!(verdict(&changed, now()).is_ok(), changed == *good);
    }

    #[test]
    fn any_text_is_refused(text in "\\PC{0,80}", parts in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}") {
        prop_assert!(verdict(&text, now()).is_err());
        prop_assert!(verdict(&parts, now()).is_err());
        let _ = unverified_issuer(&text);
        let _ = unverified_issuer(&parts);
    }
}
