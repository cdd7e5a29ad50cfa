//! The targets on tokens: key sets of `lockgate-crypto`, tokens and proofs of `lockgate-identity`.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use lockgate_crypto::jose::{self, Jwk, JwkSet, strict};
use lockgate_crypto::{Algorithm, Conditions, PrivateKey, catalog};
use lockgate_identity::token::bind::{self, Binding};
use lockgate_identity::token::dpop::{self, Proofs, Request};
use lockgate_identity::token::{AccessVerifier, KeyCache, ReplayCache, Resource, unverified_issuer};
use lockgate_identity::token::{ForeignIssuer, Scope};

/// A set, and single keys, of each family.
pub const JWK_SET_SEEDS: &[&[u8]] = &[
    br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"a","use":"sig"},{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","key_ops":["verify"]},{"kty":"AKP","alg":"ML-DSA-44","pub":"AAAA"}]}"#,
    br#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256"}"#,
];

/// Header and claims as JSON, parted by a zero byte; the target encodes and signs them. Then raw tokens.
pub const JWS_SEEDS: &[&[u8]] = &[
    b"{\"typ\":\"at+jwt\",\"alg\":\"EdDSA\",\"kid\":\"K\"}\0{\"iss\":\"https://gw\",\"sub\":\"spiffe://td/agent/a\",\"aud\":\"https://gw/mcp\",\"client_id\":\"c\",\"iat\":1795348800,\"nbf\":1795348800,\"exp\":1795349100,\"jti\":\"j\",\"scope\":\"a b\",\"cnf\":{\"x5t#S256\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"},\"act\":{\"sub\":\"spiffe://td/agent/b\",\"act\":{\"sub\":\"spiffe://td/agent/c\"}}}",
    b"{\"alg\":\"none\"}\0{\"iss\":\"https://gw\",\"aud\":[\"x\"],\"exp\":1e3}",
    b"eyJhbGciOiJub25lIn0.e30.",
];

/// As for tokens; the target shows its key in the header.
pub const PROOF_SEEDS: &[&[u8]] = &[
    b"{\"jti\":\"j\",\"htm\":\"POST\",\"htu\":\"https://gw:443/mcp?x#y\",\"iat\":1795348800,\"ath\":\"n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg\"}",
    b"{\"jti\":\"j\",\"aud\":\"https://gw/mcp\",\"iat\":1795348800,\"ath\":\"n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg\",\"ekm\":\"AAAA\"}",
];

fn key() -> &'static PrivateKey {
    static KEY: OnceLock<PrivateKey> = OnceLock::new();
    KEY.get_or_init(|| {
        let row = catalog::by_jose_name("EdDSA").expect("the catalog has it");
        PrivateKey::generate(row).expect("keys of it are made")
    })
}

fn public() -> Jwk {
    Jwk::of_private(key()).expect("it has a name in tokens")
}

fn algorithms() -> Vec<&'static Algorithm> {
    jose::proof_algorithms(&Conditions::today(1))
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_348_800)
}

/// Any text is a set or not; what is read is written and read the same, and its keys verify nothing that they did not
/// sign.
pub fn jwk_set(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(object) = strict::object(text) {
        let again = serde_json::Value::Object(object.clone()).to_string();
        assert_eq!(strict::object(&again).as_ref(), Ok(&object), "what is read has one meaning");
    }
    for key in Jwk::parse(text).into_iter().chain(JwkSet::parse(text).iter().flat_map(JwkSet::keys).cloned())
    {
        let json = key.to_json().to_string();
        assert!(!json.contains("\"d\"") && !json.contains("\"priv\""));
        let again = Jwk::parse(&json).expect("what is written is read");
        assert_eq!((&again, again.thumbprint()), (&key, key.thumbprint()));
        for algorithm in key.algorithms() {
            assert!(key.verify(algorithm, b"message", &data[..data.len().min(64)]).is_err());
        }
    }
}

/// No text is a token, however it is signed, unless its claims are what they have to be; nothing is read that goes beyond
/// what the code allows.
pub fn jws(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (gateway, set) = (resource("https://gw/mcp"), JwkSet::new(vec![public()]));
    let verifier = AccessVerifier::new("https://gw", set.clone(), algorithms());
    let mut keys = KeyCache::default();
    keys.replace(set, now());
    let issuer = ForeignIssuer::new("https://gw", "https://gw/mcp", algorithms());
    assert!(verifier.verify(text, &gateway, now()).is_err(), "nobody signed it");
    assert!(issuer.verify(text, &keys, now()).is_err(), "nobody signed it");
    let _ = (unverified_issuer(text), Scope::parse(text), Resource::parse(text));
    let Some((header, claims)) = text.split_once('\0') else { return };
    let header = header.replace("\"K\"", &format!("\"{}\"", public().thumbprint()));
    let token = signed(&header, claims);
    if let Ok(token) = verifier.verify(&token, &gateway, now()) {
        assert!(token.audience.contains(&gateway) && token.issuer == "https://gw");
        assert!(token.expires_at > 1_795_348_800 && token.expires_at - token.issued_at <= 900);
        assert!(!token.id.is_empty() && token.actors.len() <= 4);
    }
    if let Ok(claims) = issuer.verify(&token, &keys, now()) {
        assert!(claims.expires_at > 1_795_348_800 && claims.issuer == "https://gw");
        assert_eq!(unverified_issuer(&token).as_deref(), Ok("https://gw"));
    }
}

/// No claims make a proof of another request or another connection, and none passes twice.
pub fn proof(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (gateway, algorithms) = (resource("https://gw/mcp"), algorithms());
    let replays = ReplayCache::with_limits(8, 4);
    let request = Request { method: "POST", target: &gateway, token: Some("test") };
    let proofs = Proofs { algorithms: &algorithms, replays: &replays, nonces: None };
    let exporter = [7; bind::EXPORTER_BYTES];
    let binding =
        Binding { exporter: &exporter, audience: &gateway, algorithms: &algorithms, replays: &replays };
    assert!(dpop::verify(text, request, proofs, now()).is_err(), "nobody signed it");
    assert!(bind::verify(text, "test", binding, now()).is_err(), "nobody signed it");
    for typ in [dpop::TYPE, bind::TYPE] {
        let mut shown = public().to_json();
        if let Some(members) = shown.as_object_mut() {
            members.remove("kid");
        }
        let proof = signed(&format!("{{\"typ\":\"{typ}\",\"alg\":\"EdDSA\",\"jwk\":{shown}}}"), text);
        let passed = dpop::verify(&proof, request, proofs, now());
        if let Ok(thumbprint) = &passed {
            assert_eq!((thumbprint, typ), (&public().thumbprint(), dpop::TYPE));
            assert!(dpop::verify(&proof, request, proofs, now()).is_err(), "it passed twice");
        }
        assert!(bind::verify(&proof, "test", binding, now()).is_err(), "it does not know what was exported");
    }
}

fn resource(text: &str) -> Resource {
    Resource::parse(text).expect("it is a resource")
}

fn signed(header: &str, claims: &str) -> String {
    let input = format!("{}.{}", jose::encode(header.as_bytes()), jose::encode(claims.as_bytes()));
    let signature = jose::sign(key(), input.as_bytes()).expect("the key signs");
    format!("{input}.{}", jose::encode(&signature))
}
