//! Tokens of others: an issuer that rotates, fails and lies; a cluster; another trust domain.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use http::{Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use lockgate_crypto::PrivateKey;
use lockgate_crypto::jose::{Jwk, JwkSet, proof_algorithms};
use lockgate_identity::token::TokenIssuer;
use lockgate_identity::token::jws::{self, OwnKey};
use lockgate_identity::verifier::ForeignRoots;
use lockgate_transport::{Dialer, Trust, dialer};
use serde_json::{Map, Value, json};

use super::*;
use crate::attest::{Attestor, Evidence, Judge, KeySource, Keys, Outside, Review, Tokens, Trusted};
use crate::workload::{JwtSvids, TokenSvids};
use crate::{Attested, Kind};

pub(super) const AUDIENCE: &str = "lockgate";

/// A server on loopback that answers by path, and what it was asked.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pages: Arc<Mutex<std::collections::HashMap<String, Value>>>,
    asked: Arc<Mutex<Vec<(String, String, String)>>>,
}

impl Server {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server =
            Self { address: listener.local_addr().unwrap(), pages: Arc::default(), asked: Arc::default() };
        let (pages, asked) = (Arc::clone(&server.pages), Arc::clone(&server.asked));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (pages, asked) = (Arc::clone(&pages), Arc::clone(&asked));
                let answer = service_fn(move |request: Request<Incoming>| {
                    let (pages, asked) = (Arc::clone(&pages), Arc::clone(&asked));
                    async move {
                        let path = request.uri().path().to_owned();
                        let bearer = request.headers().get(header::AUTHORIZATION);
                        let bearer =
                            bearer.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        asked.lock().push((path.clone(), bearer, String::from_utf8(body.to_vec()).unwrap()));
                        let page = pages.lock().get(&path).cloned();
                        let status = if page.is_some() { 200 } else { 503 };
                        let body = Full::new(Bytes::from(page.unwrap_or_default().to_string()));
                        Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap())
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer),
                );
            }
        });
        server
    }

    pub(super) fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn page(&self, path: &str, page: Value) {
        self.pages.lock().insert(path.to_owned(), page);
    }

    pub(super) fn gone(&self) {
        self.pages.lock().clear();
    }

    /// What was sent to a path, each time.
    pub(super) fn bodies(&self, path: &str) -> Vec<String> {
        let asked = self.asked.lock();
        asked.iter().filter(|(asked, ..)| asked == path).map(|(.., body)| body.clone()).collect()
    }

    fn count(&self, path: &str) -> usize {
        self.asked.lock().iter().filter(|(asked, ..)| asked == path).count()
    }

    pub(super) fn publish(&self, keys: &[&PrivateKey]) {
        let set = JwkSet::new(keys.iter().map(|key| Jwk::of_private(key).unwrap()).collect());
        self.page("/keys", set.to_json());
        let discovery = json!({ "issuer": self.issuer(), "jwks_uri": format!("{}/keys", self.issuer()) });
        self.page("/.well-known/openid-configuration", discovery);
    }
}

pub(super) fn outside() -> Outside {
    let suite = lockgate_crypto::profile::find("pq-kex").unwrap().compile(1).unwrap();
    let stock: Vec<_> =
        suite.identities().iter().copied().filter(|row| SvidKind::Stock.is_made_of(row)).collect();
    let authority = Authority::generate("example.org", &stock, SystemTime::now()).unwrap();
    let roots = ForeignRoots::from_pem(authority.bundle().to_pem().as_bytes()).unwrap();
    let dialer = Dialer::new(suite, None, Trust::foreign(&roots), dialer::Limits::default()).unwrap();
    Outside::new(Arc::new(dialer))
}

pub(super) fn key() -> PrivateKey {
    let stock = lockgate_crypto::profile::find("pq-kex").unwrap().identities();
    PrivateKey::generate(stock.iter().find(|algorithm| SvidKind::Stock.is_made_of(algorithm)).unwrap())
        .unwrap()
}

pub(super) fn algorithms() -> crate::attest::Algorithms {
    Arc::new(|| proof_algorithms(&lockgate_crypto::Conditions::today(1)))
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(super) fn claims(issuer: &str) -> Value {
    json!({
        "iss": issuer, "sub": "repo:acme/billing", "aud": AUDIENCE, "iat": now_s(), "exp": now_s() + 300,
        "repository": "acme/billing", "groups": ["a", "b", 7, {"c": 1}], "admin": false, "number": 7, "deep": {"x": 1},
    })
}

pub(super) fn signed(key: &PrivateKey, claims: &Value) -> String {
    jws::sign(key, "JWT", OwnKey::Refused, claims.as_object().unwrap()).unwrap()
}

pub(super) fn oidc(server: &Server) -> Tokens {
    let source = KeySource::Discovery(outside(), server.issuer());
    let names =
        ["repository", "groups", "admin", "number", "deep", "missing", "iss"].map(str::to_owned).to_vec();
    let judge = Judge::Oidc(Keys::new(Kind::Oidc, source), names);
    let trusted = Trusted { issuer: server.issuer(), audience: AUDIENCE.to_owned(), judge };
    Tokens::new(vec![Arc::new(trusted)], algorithms())
}

/// The same text with another first letter.
fn other_first(text: &str) -> String {
    format!("{}{}", if text.starts_with('A') { 'B' } else { 'A' }, &text[1..])
}

async fn attest(tokens: &Tokens, token: &str) -> Result<Attested, AuthorityError> {
    tokens.attest(Evidence::Token(token)).await
}

fn check_of(result: Result<Attested, AuthorityError>) -> &'static str {
    match result {
        Err(AuthorityError::Refused { check, .. }) => check,
        Err(AuthorityError::Unreachable { .. }) => "unreachable",
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn claims_become_selectors() {
    let (server, key) = (Server::start().await, key());
    server.publish(&[&key]);
    let attested = attest(&oidc(&server), &signed(&key, &claims(&server.issuer()))).await.unwrap();
    let found: Vec<String> = attested.selectors.iter().map(ToString::to_string).collect();
    let iss = format!("oidc:iss:{}", server.issuer());
    let mut wanted = [
        "oidc:admin:false",
        "oidc:groups:7",
        "oidc:groups:a",
        "oidc:groups:b",
        &iss,
        "oidc:number:7",
        "oidc:repository:acme/billing",
        "oidc:sub:repo:acme/billing",
    ];
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    assert!(attested.not_after.unwrap() > SystemTime::now());
}

#[tokio::test]
async fn hostile_tokens_are_refused_with_the_check_that_failed() {
    let (server, key, other) = (Server::start().await, key(), key());
    server.publish(&[&key]);
    let tokens = oidc(&server);
    let good = claims(&server.issuer());
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        signed(&key, &claims)
    };
    let parts: Vec<String> = signed(&key, &good).split('.').map(str::to_owned).collect();
    let none = lockgate_crypto::jose::encode(br#"{"alg":"none","typ":"JWT"}"#);
    let shared = lockgate_crypto::jose::encode(br#"{"alg":"HS256","typ":"JWT"}"#);
    let twice = lockgate_crypto::jose::encode(
        format!(
            r#"{{"iss":"{0}","iss":"{0}","sub":"a","aud":"lockgate","exp":{1}}}"#,
            server.issuer(),
            now_s() + 60
        )
        .as_bytes(),
    );
    for (token, check) in [
        (String::new(), "format"),
        ("a.b.c".to_owned(), "format"),
        ("x".repeat(100_000), "format"),
        (format!("{}.{}.", parts[0], parts[1]), "format"),
        (format!("{none}.{}.", parts[1]), "algorithm"),
        (format!("{shared}.{}.{}", parts[1], parts[2]), "algorithm"),
        (format!("{}.{twice}.{}", parts[0], parts[2]), "format"),
        (format!("{}.{}.{}", parts[0], parts[1], other_first(&parts[2])), "signature"),
        (signed(&other, &good), "key"),
        (with("iss", json!("https://elsewhere")), "issuer"),
        (with("iss", json!(["a"])), "claims"),
        (with("aud", json!("sts.amazonaws.com")), "audience"),
        (with("aud", json!([])), "claims"),
        (with("exp", json!(now_s() - 1)), "time"),
        (with("exp", json!(now_s() + 400_000)), "time"),
        (with("nbf", json!(now_s() + 600)), "time"),
        (with("exp", json!("tomorrow")), "claims"),
    ] {
        let found = check_of(attest(&tokens, &token).await);
        assert_eq!(found, check, "{token:.80}");
    }
    let swapped = signed(&key, &json!({"a": 1}));
    let mixed = format!("{}.{}.{}", parts[0], parts[1], swapped.split('.').nth(2).unwrap());
    assert_eq!(check_of(attest(&tokens, &mixed).await), "signature");
    attest(&tokens, &signed(&key, &good)).await.unwrap();
}

#[tokio::test]
async fn a_rotated_key_is_fetched_once_and_strangers_cannot_make_us_ask_on_and_on() {
    let (server, key, next) = (Server::start().await, key(), key());
    server.publish(&[&key]);
    let tokens = oidc(&server);
    attest(&tokens, &signed(&key, &claims(&server.issuer()))).await.unwrap();
    server.publish(&[&next]);
    // Within half a minute of the last look nothing is asked, whatever comes.
    for _ in 0..20 {
        assert_eq!(check_of(attest(&tokens, &signed(&next, &claims(&server.issuer()))).await), "key");
    }
    assert_eq!(server.count("/keys"), 1);
    // Many that come at once to an issuer that was not asked yet make one question.
    let fresh = Arc::new(oidc(&server));
    let token = signed(&next, &claims(&server.issuer()));
    let asks = (0..20).map(|_| {
        let (tokens, token) = (Arc::clone(&fresh), token.clone());
        tokio::spawn(async move { attest(&tokens, &token).await.is_ok() })
    });
    for asked in asks.collect::<Vec<_>>() {
        assert!(asked.await.unwrap());
    }
    assert_eq!(server.count("/keys"), 2);
}

#[tokio::test]
async fn keys_outlive_an_issuer_that_does_not_answer() {
    let (server, key) = (Server::start().await, key());
    let tokens = oidc(&server);
    let token = signed(&key, &claims(&server.issuer()));
    assert_eq!(check_of(attest(&tokens, &token).await), "unreachable");
    let tokens = oidc(&server);
    server.publish(&[&key]);
    attest(&tokens, &token).await.unwrap();
    server.gone();
    attest(&tokens, &token).await.unwrap();
}

#[tokio::test]
async fn an_issuer_that_lies_about_itself_is_not_believed() {
    let (server, key) = (Server::start().await, key());
    let token = signed(&key, &claims(&server.issuer()));
    let keys = format!("{}/keys", server.issuer());
    for (discovery, set) in [
        (json!({"issuer": "https://other.example", "jwks_uri": keys}), json!({"keys": []})),
        (json!({"jwks_uri": keys}), json!({"keys": []})),
        (json!({"issuer": server.issuer()}), json!({"keys": []})),
        (json!({"issuer": server.issuer(), "jwks_uri": "http://198.51.100.1/keys"}), json!({"keys": []})),
        (json!({"issuer": server.issuer(), "jwks_uri": "file:///etc/passwd"}), json!({"keys": []})),
        (json!({"issuer": server.issuer(), "jwks_uri": keys}), json!({"keys": []})),
        (json!({"issuer": server.issuer(), "jwks_uri": keys}), json!([])),
        (
            json!({"issuer": server.issuer(), "jwks_uri": keys}),
            json!({"keys": [{"kty": "oct", "k": "AAAA"}]}),
        ),
    ] {
        server.page("/.well-known/openid-configuration", discovery.clone());
        server.page("/keys", set);
        assert_eq!(check_of(attest(&oidc(&server), &token).await), "unreachable", "{discovery}");
    }
}

#[tokio::test]
async fn a_cluster_is_known_by_its_keys_or_by_its_api_server() {
    let (server, key) = (Server::start().await, key());
    server.publish(&[&key]);
    let uri: Uri = format!("{}/keys", server.issuer()).parse().unwrap();
    let judge = Judge::Cluster(Keys::new(Kind::Kubernetes, KeySource::Url(outside(), uri)));
    let issuer = "https://kubernetes.default.svc.cluster.local";
    let trusted = Trusted { issuer: issuer.to_owned(), audience: AUDIENCE.to_owned(), judge };
    let tokens = Tokens::new(vec![Arc::new(trusted)], algorithms());
    let mut account = claims(issuer);
    account["sub"] = json!("system:serviceaccount:retail:bot");
    account["kubernetes.io"] = json!({
        "namespace": "retail", "serviceaccount": {"name": "bot", "uid": "u"}, "pod": {"name": "bot-7f", "uid": "p"},
        "node": {"name": "n1", "uid": "n"},
    });
    let attested = attest(&tokens, &signed(&key, &account)).await.unwrap();
    for selector in ["k8s:namespace:retail", "k8s:serviceaccount:retail/bot", "k8s:pod:bot-7f", "k8s:node:n1"]
    {
        assert!(attested.selectors.iter().any(|found| found.as_str() == selector), "{selector}");
    }
    for (pointer, value) in [
        ("/sub", json!("system:serviceaccount:billing:bot")),
        ("/sub", json!("admin")),
        ("/kubernetes.io/namespace", json!("billing")),
        ("/kubernetes.io/serviceaccount", json!({})),
        ("/kubernetes.io", json!(null)),
    ] {
        let mut bad = account.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        assert_eq!(check_of(attest(&tokens, &signed(&key, &bad)).await), "claims", "{bad}");
    }

    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "reviewer\n").unwrap();
    let review = Review::new(outside(), &server.issuer().parse().unwrap(), token.clone()).unwrap();
    let trusted =
        Trusted { issuer: issuer.to_owned(), audience: AUDIENCE.to_owned(), judge: Judge::Review(review) };
    let tokens = Tokens::new(vec![Arc::new(trusted)], algorithms());
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let account = signed(&key, &account);
    assert_eq!(check_of(attest(&tokens, &account).await), "unreachable");
    server.page(
        path,
        json!({"kind": "TokenReview", "status": {"authenticated": false, "error": "pod is gone"}}),
    );
    assert_eq!(check_of(attest(&tokens, &account).await), "review");
    server.page(path, json!({"kind": "TokenReview", "status": {
        "authenticated": true, "audiences": [AUDIENCE], "user": {"username": "system:serviceaccount:retail:bot"},
    }}));
    let attested = attest(&tokens, &account).await.unwrap();
    assert!(attested.selectors.iter().any(|found| found.as_str() == "k8s:namespace:retail"));
    let (_, bearer, body) = server.asked.lock().iter().rfind(|(asked, ..)| asked == path).unwrap().clone();
    assert_eq!(bearer, "Bearer reviewer");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&body["spec"]["audiences"], &body["spec"]["token"]), (&json!([AUDIENCE]), &json!(account)));
    // A token of somebody else is shown to nobody.
    let before = server.count(path);
    assert_eq!(check_of(attest(&tokens, &signed(&key, &claims("https://elsewhere"))).await), "issuer");
    assert_eq!(server.count(path), before);
}

pub(super) fn issuers() -> (Arc<TokenIssuer>, Arc<TokenIssuer>) {
    let of = |profile: &str| {
        let suite = lockgate_crypto::profile::find(profile).unwrap().compile(1).unwrap();
        Arc::new(TokenIssuer::generate("https://gw.example", &suite, SystemTime::now()).unwrap())
    };
    let stock = lockgate_crypto::profile::find("pq-kex").unwrap();
    let traditional: Vec<String> = stock
        .signatures
        .iter()
        .filter(|id| lockgate_crypto::catalog::find(id).is_some_and(|row| SvidKind::Stock.is_made_of(row)))
        .map(|id| (*id).to_owned())
        .collect();
    let list = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
    let only = lockgate_crypto::Profile::define(lockgate_crypto::Definition {
        name: "stock-tokens@20261122".to_owned(),
        groups: list(stock.groups),
        signatures: traditional,
        ciphers: list(stock.ciphers),
        ..Default::default()
    });
    let suite = only.unwrap().compile(1).unwrap();
    let stock = TokenIssuer::generate("https://gw.example", &suite, SystemTime::now()).unwrap();
    (of("pq-hybrid"), Arc::new(stock))
}

#[tokio::test]
async fn the_bundle_of_another_domain_judges_its_svids_and_no_others() {
    let (own, stock) = issuers();
    let svids: Arc<dyn JwtSvids> = Arc::new(TokenSvids::new("example.org", own, Some(stock)));
    let there = registration(&[&own_uid()], "billing", SvidKind::Stock);
    let served = serve_with(&Office::new("pq-kex"), vec![there.clone()], Some(Arc::clone(&svids)));
    let source = |domain: &str| KeySource::Workload(served.socket.clone(), domain.to_owned());
    let trusted = |domain: &str| Trusted {
        issuer: "https://gw.example".to_owned(),
        audience: AUDIENCE.to_owned(),
        judge: Judge::Spiffe(Keys::new(Kind::Spiffe, source(domain)), domain.to_owned()),
    };
    let tokens = Tokens::new(vec![Arc::new(trusted("example.org"))], algorithms());
    let audience = [AUDIENCE.to_owned()];
    let token = svids.issue(&there.id, &audience, &there).unwrap();
    let attested = attest(&tokens, &token).await.unwrap();
    let found: Vec<&str> = attested.selectors.iter().map(crate::Selector::as_str).collect();
    assert_eq!(found, ["spiffe:id:spiffe://example.org/agent/billing", "spiffe:trust-domain:example.org"]);
    let foreign = SpiffeId::parse("spiffe://evil.example/agent/billing").unwrap();
    let token = svids.issue(&foreign, &audience, &there).unwrap();
    assert_eq!(check_of(attest(&tokens, &token).await), "trust domain");
    let elsewhere = Tokens::new(vec![Arc::new(trusted("other.example"))], algorithms());
    assert_eq!(check_of(attest(&elsewhere, &token).await), "unreachable");
}

#[test]
fn jwt_svids_are_of_the_kind_that_was_asked_for_and_good_for_their_audience() {
    let (own, stock) = issuers();
    let svids = TokenSvids::new("example.org", Arc::clone(&own), Some(stock));
    let audience = ["a".to_owned(), "b".to_owned()];
    for kind in [SvidKind::Stock, SvidKind::PostQuantum, SvidKind::Hybrid] {
        let registration = registration(&["unix:uid:1"], "billing", kind);
        let token = svids.issue(&registration.id, &audience, &registration).unwrap();
        let (id, claims) = svids.validate(&token, "b").unwrap();
        assert_eq!((id, &claims["iss"]), (registration.id, &json!("https://gw.example")));
        for name in ["iat", "exp", "jti"] {
            assert!(claims.contains_key(name), "{name}");
        }
        assert!(svids.validate(&token, "c").unwrap_err().to_string().contains("audience"));
        let bundle: Map<String, Value> = serde_json::from_str(&svids.bundle(kind)).unwrap();
        assert_eq!(bundle["keys"][0]["use"], "jwt-svid");
    }
    let without = TokenSvids::new("example.org", own, None);
    let registration = registration(&["unix:uid:1"], "billing", SvidKind::Stock);
    assert!(matches!(
        without.issue(&registration.id, &audience, &registration),
        Err(AuthorityError::Algorithm { .. })
    ));
    assert_eq!(without.bundle(SvidKind::Stock), r#"{"keys":[]}"#);
}
