//! Keys and signatures of JOSE, against the published examples and against each other.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{Ban, Conditions, Suite, profile};

const MADE: [&str; 6] =
    ["ML-DSA-44", "ML-DSA-65", "ML-DSA-87", "ECDSA-P256-SHA256", "ECDSA-P384-SHA384", "Ed25519"];

fn key(id: &str) -> PrivateKey {
    PrivateKey::generate_algorithm(id).unwrap()
}

fn rsa() -> PrivateKey {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let pkcs8: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    PrivateKey::from_pkcs8_der(pkcs8.as_ref()).unwrap()
}

/// PKCS#8 around an ML-DSA seed (RFC 9881 section 6); `set` is the last arc of the object identifier.
fn of_zero_seed(set: u8) -> PrivateKey {
    let head =
        [0x30, 0x34, 2, 1, 0, 0x30, 0x0b, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, set, 4, 0x22, 0x80, 0x20];
    PrivateKey::from_pkcs8_der(&[&head[..], &[0; 32]].concat()).unwrap()
}

/// The all-zero keys of RFC 9964, whose `kid` is their thumbprint.
#[test]
fn thumbprints_are_those_of_rfc_9964() {
    for (set, name, thumbprint) in [
        (17, "ML-DSA-44", "T4xl70S7MT6Zeq6r9V9fPJGVn76wfnXJ21-gyo0Gu6o"),
        (18, "ML-DSA-65", "Suiu29qbfuaBaR4Ats-c6XQBePB_OpAxAwcTR_0KXVM"),
        (19, "ML-DSA-87", "tRn1JNIkgMsABVQBlXeDHxAIcclh-2IX0UdDEzPt5XU"),
    ] {
        let public = Jwk::of_private(&of_zero_seed(set)).unwrap();
        assert_eq!(public.thumbprint(), thumbprint);
        let json = public.to_json();
        assert_eq!((&json["kty"], &json["alg"]), (&json!("AKP"), &json!(name)));
        assert_eq!(json["kid"], thumbprint);
        assert!(json.get("crv").is_none() && json.get("priv").is_none());
    }
}

/// RFC 7638 section 3.1, and RFC 8037 appendix A.3.
#[test]
fn thumbprints_are_those_of_rfc_7638_and_rfc_8037() {
    let rsa = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;
    assert_eq!(Jwk::parse(rsa).unwrap().thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    let okp = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    assert_eq!(Jwk::parse(okp).unwrap().thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

/// RFC 8037 appendix A.4 and RFC 7515 appendix A.3: tokens that others signed.
#[test]
fn published_signatures_verify() {
    let okp = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let ed = by_name("EdDSA").unwrap();
    let input = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature =
        decode("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
            .unwrap();
    Jwk::parse(okp).unwrap().verify(ed, input, &signature).unwrap();

    let ec = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    let ec = Jwk::parse(ec).unwrap();
    let input = b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature =
        decode("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q")
            .unwrap();
    ec.verify(by_name("ES256").unwrap(), input, &signature).unwrap();
    for wrong in [&signature[1..], &signature[..63], &[0; 64], &[0xff; 64], &[]] {
        assert!(ec.verify(by_name("ES256").unwrap(), input, wrong).is_err());
    }
}

#[test]
fn keys_of_every_algorithm_sign_verify_and_round_trip() {
    let made = MADE.iter().map(|id| key(id)).chain([rsa()]);
    for key in made {
        let id = key.algorithm().id;
        let public = Jwk::of_private(&key).unwrap();
        assert_eq!(jwk::test_shapes::cover(key.algorithm()), 1, "{id}");
        let again = Jwk::parse(&public.to_json().to_string()).unwrap();
        assert_eq!(again, public);
        assert_eq!(again.kid(), Some(public.thumbprint().as_str()));
        let signature = sign(&key, b"message").unwrap();
        again.verify(key.algorithm(), b"message", &signature).unwrap();
        assert!(matches!(
            again.verify(key.algorithm(), b"massage", &signature),
            Err(CryptoError::BadSignature { .. })
        ));
        for other in catalog::all().iter().filter(|row| *row != key.algorithm()) {
            assert!(again.verify(other, b"message", &signature).is_err(), "{id} as {}", other.id);
        }
    }
}

#[test]
fn an_rsa_key_that_does_not_say_fits_both_paddings_and_one_that_does_fits_one() {
    let key = rsa();
    let mut json = Jwk::of_private(&key).unwrap().to_json();
    json.as_object_mut().unwrap().remove("alg");
    let public = Jwk::parse(&json.to_string()).unwrap();
    let [pss, pkcs1] = ["PS256", "RS256"].map(|name| by_name(name).unwrap());
    assert!(public.fits(pss) && public.fits(pkcs1));
    let signature = sign(&key, b"m").unwrap();
    public.verify(pss, b"m", &signature).unwrap();
    assert!(public.verify(pkcs1, b"m", &signature).is_err(), "a padding is not taken for the other");
    json["alg"] = "RS256".into();
    let public = Jwk::parse(&json.to_string()).unwrap();
    assert!(!public.fits(pss) && public.fits(pkcs1));
}

/// RFC 7515's RS256 signature scheme, made by the library.
#[test]
fn rs256_of_another_signer_verifies() {
    use aws_lc_rs::signature::RSA_PKCS1_SHA256;
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let mut signature = vec![0; pair.public_modulus_len()];
    let random = aws_lc_rs::rand::SystemRandom::new();
    pair.sign(&RSA_PKCS1_SHA256, &random, b"m", &mut signature).unwrap();
    let numbers = rsa::numbers(pair.public_key().as_ref()).unwrap();
    let jwk = json!({"kty":"RSA","n":encode(&numbers.0),"e":encode(&numbers.1)}).to_string();
    Jwk::parse(&jwk).unwrap().verify(by_name("RS256").unwrap(), b"m", &signature).unwrap();
}

#[test]
fn what_is_no_public_key_for_verifying_is_refused_with_the_reason() {
    let good = Jwk::of_private(&key("ECDSA-P256-SHA256")).unwrap().to_json();
    let lattice = Jwk::of_private(&key("ML-DSA-44")).unwrap().to_json();
    let with = |base: &Value, name: &str, value: Value| {
        let mut json = base.clone();
        json[name] = value;
        json.to_string()
    };
    let without = |base: &Value, name: &str| {
        let mut json = base.clone();
        json.as_object_mut().unwrap().remove(name);
        json.to_string()
    };
    let short = encode(&[1; 31]);
    let cases = [
        (with(&good, "d", json!("AAAA")), "private"),
        (with(&lattice, "priv", json!("AAAA")), "private"),
        (json!({"kty":"oct","k":"AAAA"}).to_string(), "private"),
        (json!({"kty":"oct"}).to_string(), "no kty of that name"),
        (with(&good, "use", json!("enc")), "use is not sig"),
        (with(&good, "use", json!(1)), "use is not text"),
        (with(&good, "key_ops", json!(["sign"])), "key_ops"),
        (with(&good, "key_ops", json!("verify")), "key_ops"),
        (with(&good, "kid", json!("")), "kid"),
        (with(&good, "kid", json!("k".repeat(KID_BYTES_MAX + 1))), "kid"),
        (with(&good, "alg", json!("ES384")), "alg does not fit"),
        (with(&good, "alg", json!("ML-DSA-65")), "alg does not fit"),
        (with(&good, "alg", json!("HS256")), "tokens are signed with"),
        (with(&good, "alg", json!("none")), "tokens are signed with"),
        (with(&good, "crv", json!("P-384")), "alg does not fit"),
        (with(&good, "crv", json!("secp256k1")), "no curve"),
        (without(&good, "crv"), "crv is missing"),
        (with(&good, "kty", json!("OKP")), "no curve"),
        (with(&good, "kty", json!("AKP")), "does not fit its kty"),
        (with(&good, "x", json!(short)), "x has another length"),
        (with(&good, "x", json!("")), "x has another length"),
        (with(&good, "y", json!("not base64!")), "y is not base64url"),
        (with(&good, "y", json!(format!("{}=", good["y"].as_str().unwrap()))), "y is not base64url"),
        (without(&good, "y"), "has no y"),
        (without(&lattice, "alg"), "alg is missing"),
        (with(&lattice, "alg", json!("ML-DSA-65")), "pub has another length"),
        (with(&lattice, "alg", json!("ES256")), "does not fit its kty"),
        (good.to_string().replacen('{', "{\"kty\":\"EC\",", 1), "twice"),
        ("[]".to_owned(), "not a JSON object"),
        (format!("{{\"a\":\"{}\"}}", "a".repeat(JWK_BYTES_MAX)), "longer"),
    ];
    for (text, reason) in cases {
        let error = Jwk::parse(&text).unwrap_err().to_string();
        assert!(error.contains(reason), "{text:.120}: {error}");
    }
    let composite = Jwk::of_private(&key("MLDSA65-Ed25519-SHA512")).unwrap_err().to_string();
    assert!(composite.contains("no name for it in tokens"), "{composite}");
    assert!(sign(&key("MLDSA65-Ed25519-SHA512"), b"m").is_err());
}

#[test]
fn weak_rsa_keys_are_refused() {
    let n = |bits: usize| {
        let mut n = vec![0xff; bits.div_ceil(8)];
        n[0] >>= (8 - bits % 8) % 8;
        n
    };
    for (n, e, good) in [
        (n(2048), vec![1, 0, 1], true),
        (n(8192), vec![1, 0, 1], true),
        (n(2047), vec![1, 0, 1], false),
        (n(1024), vec![1, 0, 1], false),
        (n(8193), vec![1, 0, 1], false),
        (n(2048), vec![3], false),
        (n(2048), vec![1, 0, 0], false),
        (n(2048), vec![2, 0, 0, 0, 1], false),
        (n(2048), vec![], false),
        (n(2048), vec![1; 9], false),
        ([vec![0], n(2048)].concat(), vec![1, 0, 1], false),
        (vec![], vec![1, 0, 1], false),
    ] {
        let text = json!({"kty":"RSA","n":encode(&n),"e":encode(&e)}).to_string();
        assert_eq!(Jwk::parse(&text).is_ok(), good, "{} bytes, {e:?}", n.len());
    }
}

#[test]
fn a_set_passes_over_what_is_not_for_it_and_says_why() {
    let (lattice, curve) = (key("ML-DSA-65"), key("ECDSA-P256-SHA256"));
    let keys = [&lattice, &curve].map(|key| Jwk::of_private(key).unwrap());
    let mut json = JwkSet::new(keys.to_vec()).to_json();
    let list = json["keys"].as_array_mut().unwrap();
    list.push(json!({"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}));
    list.push(json!({"kty":"RSA","use":"enc","n":"AQAB","e":"AQAB"}));
    let set = JwkSet::parse(&json.to_string()).unwrap();
    assert_eq!(set.keys(), keys);
    assert_eq!(set.skipped().len(), 2);
    let es256 = by_name("ES256").unwrap();
    assert_eq!(set.find(keys[1].kid(), es256), Some(&keys[1]));
    assert_eq!(set.find(keys[0].kid(), es256), None, "the name of a key of another algorithm");
    assert_eq!(set.find(None, es256), Some(&keys[1]), "the only one that fits");
    assert_eq!(set.find(Some("else"), es256), None);
    let both = JwkSet::new(vec![keys[1].clone(), Jwk::of_private(&key("ECDSA-P256-SHA256")).unwrap()]);
    assert_eq!(both.find(None, es256), None, "which of the two?");
}

#[test]
fn sets_that_cannot_be_trusted_are_refused_whole() {
    let one = Jwk::of_private(&key("Ed25519")).unwrap().to_json();
    let mut rival = Jwk::of_private(&key("Ed25519")).unwrap().to_json();
    rival["kid"] = one["kid"].clone();
    let many: Vec<_> = (0..=SET_KEYS_MAX).map(|_| json!({"kty":"x"})).collect();
    for (text, reason) in [
        (json!({"keys":[one, rival]}).to_string(), "same kid"),
        (json!({"keys":[one, {"kty":"oct","k":"c2VjcmV0"}]}).to_string(), "private or a shared key"),
        (
            json!({"keys":[one, {"kty":"AKP","alg":"ML-DSA-44","priv":"AA"}]}).to_string(),
            "private or a shared",
        ),
        (json!({"keys":many}).to_string(), "more than 64"),
        (json!({"keys":{}}).to_string(), "no list"),
        (json!({"keys":[1]}).to_string(), "no object"),
        (json!([]).to_string(), "not a JSON object"),
        (r#"{"keys":[],"keys":[]}"#.to_owned(), "twice"),
        (format!("{{\"keys\":[],\"x\":\"{}\"}}", "a".repeat(SET_BYTES_MAX)), "longer"),
    ] {
        let error = JwkSet::parse(&text).unwrap_err().to_string();
        assert!(error.contains(reason), "{text:.100}: {error}");
    }
}

fn compile(alias: &str, bans: Vec<Ban>) -> Suite {
    let date = "2026-11-22".parse().unwrap();
    let conditions = Conditions { bans: bans.into(), ..Conditions::on(7, date) };
    profile::find(alias).unwrap().compile_under(&conditions).unwrap()
}

fn ban(algorithm: &str, keep_hybrids: bool) -> Ban {
    Ban { algorithm: algorithm.to_owned(), keep_hybrids, ..Ban::default() }
}

#[test]
fn every_profile_has_an_algorithm_for_tokens() {
    for (alias, expected) in [
        ("pq-hybrid", "ML-DSA-65"),
        ("pq-kex", "ML-DSA-65"),
        ("pq-transition", "ML-DSA-65"),
        ("bsi-hybrid", "ML-DSA-65"),
        ("cnsa2-transition", "ML-DSA-87"),
        ("cnsa2", "ML-DSA-87"),
        ("nist-fips", "ML-DSA-65"),
        ("low-latency", "ML-DSA-44"),
        ("lattice-broken", "ECDSA-P256-SHA256"),
        ("classical-broken", "ML-DSA-65"),
    ] {
        assert_eq!(compile(alias, vec![]).token_algorithm().unwrap().id, expected, "{alias}");
    }
}

#[test]
fn bans_and_dates_reach_tokens() {
    // Only the mathematics of the half is broken: the hybrid stays, but a token has no other half.
    let suite = compile("pq-hybrid", vec![ban("ML-DSA-65", true)]);
    assert_eq!(suite.signatures()[0].id, "MLDSA65-Ed25519-SHA512");
    assert_eq!(suite.token_algorithm().unwrap().id, "ML-DSA-44");
    let suite = compile("pq-hybrid", vec![ban("ML-DSA-65", true), ban("ML-DSA-44", true)]);
    assert_eq!(suite.token_algorithm(), None, "never the traditional half of a hybrid");
    let suite = compile("lattice-broken", vec![ban("ECDSA-P256-SHA256", false)]);
    assert_eq!(suite.token_algorithm().unwrap().id, "ECDSA-P384-SHA384");
    let proofs = |suite: &Suite| proof_algorithms(suite.conditions()).len();
    assert_eq!(proofs(&compile("pq-kex", vec![])), 8);
    assert_eq!(proofs(&compile("pq-kex", vec![ban("Ed25519", true)])), 7);
    let late = Conditions::on(7, "2036-01-01".parse().unwrap());
    assert!(proof_algorithms(&late).iter().all(|row| row.is_quantum_safe()));
}

proptest! {
    #[test]
    fn any_text_is_a_key_or_an_error(text in "\\PC{0,60}", kty in "AKP|EC|OKP|RSA|oct", x in "[A-Za-z0-9_=-]{0,50}") {
        let _ = Jwk::parse(&text);
        let _ = JwkSet::parse(&text);
        let key = json!({"kty":kty,"crv":"Ed25519","alg":"EdDSA","x":x,"y":x,"n":x,"e":x,"pub":x});
        if let Ok(key) = Jwk::parse(&key.to_string()) {
            prop_assert_eq!(Jwk::parse(&key.to_json().to_string()).unwrap(), key);
        }
    }

    #[test]
    fn base64url_is_read_in_its_one_form(bytes in prop::collection::vec(any::<u8>(), 0..40), text in "[A-Za-z0-9_=+/ -]{0,12}") {
        prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
        if let Some(read) = decode(&text) {
            prop_assert_eq!(encode(&read), text);
        }
    }
}
