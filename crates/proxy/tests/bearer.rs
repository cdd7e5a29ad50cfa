//! Stage 5 for those who come with a token: foreign clients, agents with certificates, and connections.

#![allow(clippy::unwrap_used)]

mod rig;

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method, StatusCode};
use lockgate_crypto::digest::sha256;
use lockgate_crypto::jose::{self, Jwk, JwkSet};
use lockgate_crypto::{Conditions, PrivateKey};
use lockgate_identity::token::dpop::{self, Request};
use lockgate_identity::token::{
    Confirmation, ForeignIssuer, Grant, Issued, KeyCache, Resource, Scope, TokenIssuer, bind, jws,
};
use lockgate_identity::verifier::Expect;
use lockgate_identity::{Principal, Revocation, SpiffeId, Target};
use lockgate_proxy::Limits;
use lockgate_proxy::bearer_rules::{Binding, Keys, Own, Registered, Rules, Trusted};
use lockgate_proxy::scopes::{ScopeRule, Scopes};
use lockgate_transport::{Dialer, Trust, dialer};
use rig::tunnel::{Agent, PATH, Tunnel, modern_call, modern_headers, suite};
use rig::{Client, agent, door, gateway, modern, observed, one, records, text, wire};
use serde_json::{Value, json};

const BASE: &str = "https://localhost";
const HERE: &str = "https://localhost/servers/wire/mcp";

fn now() -> SystemTime {
    SystemTime::now()
}

fn resource(text: &str) -> Resource {
    Resource::parse(text).unwrap()
}

fn issuer() -> Arc<TokenIssuer> {
    Arc::new(TokenIssuer::generate(BASE, &suite("pq-hybrid", 1, &[]), now()).unwrap())
}

fn rules(issuer: &Arc<TokenIssuer>) -> Rules {
    Rules {
        base: resource(BASE),
        authorization_servers: vec![BASE.to_owned()],
        own: Some(Own { issuer: issuer.clone(), registered: Box::new(registered) }),
        foreign: Vec::new(),
        proof_algorithms: jose::proof_algorithms(&Conditions::today(1)),
        nonce_required: false,
        scopes: Scopes::default(),
    }
}

fn registered(id: &SpiffeId) -> Registered {
    Registered { id: id.clone(), roles: Arc::from(["reader".to_owned()]), scope: None }
}

fn claude() -> SpiffeId {
    SpiffeId::agent("test.example", "claude").unwrap()
}

fn grant(confirmation: Confirmation) -> Grant {
    Grant {
        subject: claude(),
        audience: resource(BASE),
        client_id: "claude".to_owned(),
        scope: Scope::default(),
        confirmation,
        actors: Vec::new(),
        lifetime: Duration::from_secs(300),
    }
}

fn proof_key() -> PrivateKey {
    PrivateKey::generate_algorithm("ECDSA-P256-SHA256").unwrap()
}

fn by_key(key: &PrivateKey) -> Confirmation {
    Confirmation::Key(Jwk::of_private(key).unwrap().thumbprint())
}

fn prove(key: &PrivateKey, token: &str, nonce: Option<&str>) -> String {
    let target = resource(HERE);
    let request = Request { method: "POST", target: &target, token: Some(token) };
    dpop::prove(key, request, nonce, now()).unwrap()
}

fn echo() -> Value {
    modern(1, "tools/call", json!({"name": "echo", "arguments": {}}))
}

/// Sends a call with these headers; gives status, challenge and body.
async fn call(client: &mut Client, headers: &[(&'static str, &str)]) -> (StatusCode, HeaderMap, String) {
    for name in ["authorization", "dpop"] {
        client.headers.remove(name);
    }
    for (name, value) in headers {
        client.headers.append(*name, value.parse().unwrap());
    }
    let response = client.ask(PATH, &echo()).await;
    let (status, headers) = (response.status(), response.headers().clone());
    (status, headers, text(response).await)
}

fn challenges(headers: &HeaderMap) -> String {
    let all = headers.get_all("www-authenticate").iter();
    all.map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_foreign_client_is_told_where_tokens_come_from() {
    let (rig, _) = one().await;
    rig.node.take_tokens(Some(rules(&issuer())));
    let door = door(&rig.node, Principal::Anonymous, true).await;
    let mut client = Client::modern(door).await;
    let (status, headers, body) = call(&mut client, &[]).await;
    assert_eq!(status, 401, "{body}");
    let told = challenges(&headers);
    let place = "https://localhost/.well-known/oauth-protected-resource/servers/wire/mcp";
    assert!(told.contains(&format!("Bearer resource_metadata=\"{place}\"")), "{told}");
    assert!(told.contains("DPoP ") && told.contains("algs=\"") && !told.contains("error="), "{told}");

    let path = place.strip_prefix(BASE).unwrap();
    let metadata: Value = serde_json::from_str(&text(client.send("GET", path, "").await).await).unwrap();
    assert_eq!(metadata["resource"], HERE);
    assert_eq!(metadata["authorization_servers"], json!([BASE]));
    let unknown = "/.well-known/oauth-protected-resource/servers/none/mcp";
    assert_eq!(client.send("GET", unknown, "").await.status(), 200, "which servers there are is not told");
    for path in ["/x", "/servers/A/mcp", "x", "/servers//mcp"] {
        let path = format!("/.well-known/oauth-protected-resource{path}");
        assert_eq!(client.send("GET", &path, "").await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn a_token_with_its_key_makes_the_caller_and_stays_here() {
    let (rig, wire) = one().await;
    let (issuer, key) = (issuer(), proof_key());
    rig.node.take_tokens(Some(rules(&issuer)));
    let door = door(&rig.node, Principal::Anonymous, true).await;
    let mut client = Client::modern(door).await;
    let issued = issuer.issue(&grant(by_key(&key)), now()).unwrap();
    let shown = format!("DPoP {}", *issued.token);
    for _ in 0..2 {
        let proof = prove(&key, &issued.token, None);
        let (status, _, body) = call(&mut client, &[("authorization", &shown), ("dpop", &proof)]).await;
        assert_eq!(status, 200, "{body}");
    }
    let seen = observed(wire, "requests=2").await.to_string();
    assert!(!seen.contains("DPoP") && !seen.contains("authorization") && !seen.contains(&issued.token[..30]));
    let records = records(&rig);
    let record = records.iter().find(|record| record["method"] == "tools/call").unwrap();
    assert_eq!(record["agent"], "spiffe://test.example/agent/claude");
    // A call without it is nobody's.
    assert_eq!(call(&mut client, &[]).await.0, 401);
}

#[tokio::test]
async fn what_does_not_hold_is_refused_and_the_reason_stays_here() {
    let (rig, _) = one().await;
    let (issuer, key, thief) = (issuer(), proof_key(), proof_key());
    rig.node.take_tokens(Some(rules(&issuer)));
    let door = door(&rig.node, Principal::Anonymous, true).await;
    let mut client = Client::modern(door).await;
    let issue = |grant: Grant, at: SystemTime| issuer.issue(&grant, at).unwrap().token.to_string();
    let good = issue(grant(by_key(&key)), now());
    let elsewhere =
        Grant { audience: resource("https://localhost/servers/other/mcp"), ..grant(by_key(&key)) };
    let (elsewhere, old) =
        (issue(elsewhere, now()), issue(grant(by_key(&key)), now() - Duration::from_secs(400)));
    let certified = issue(grant(Confirmation::Certificate([1; 32])), now());
    let of_a_connection = issue(grant(Confirmation::Connection([1; 32])), now());
    let node = Grant { subject: SpiffeId::node("test.example", "n").unwrap(), ..grant(by_key(&key)) };
    let node = issue(node, now());
    let stranger = evil_issuer().issue(&grant(by_key(&key)), now()).unwrap().token.to_string();
    let replayed = prove(&key, &good, None);
    let first = [("authorization", format!("DPoP {good}")), ("dpop", replayed.clone())];
    let first: Vec<_> = first.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(call(&mut client, &first).await.0, 200);

    let dpop = |token: &str, key: &PrivateKey| {
        vec![("authorization", format!("DPoP {token}")), ("dpop", prove(key, token, None))]
    };
    let bearer = |token: &str| vec![("authorization", format!("Bearer {token}"))];
    let twice = |mut headers: Vec<(&'static str, String)>, at: usize| {
        headers.push(headers[at].clone());
        headers
    };
    let cases = [
        ("replayed", vec![("authorization", format!("DPoP {good}")), ("dpop", replayed)], "used before"),
        ("stolen", dpop(&good, &thief), "another key"),
        ("no proof", vec![("authorization", format!("DPoP {good}"))], "no proof"),
        ("as a bearer", bearer(&good), "binding wants DPoP"),
        (
            "a proof of another token",
            vec![("authorization", format!("DPoP {good}")), ("dpop", prove(&key, &old, None))],
            "ath",
        ),
        ("elsewhere", dpop(&elsewhere, &key), "audience"),
        ("expired", dpop(&old, &key), "expired"),
        ("another certificate", bearer(&certified), "certificate"),
        ("another connection", bearer(&of_a_connection), "another connection"),
        ("a node", dpop(&node, &key), "agent"),
        ("a stranger", dpop(&stranger, &key), "issuer"),
        ("two tokens", twice(dpop(&good, &key), 0), "more than one"),
        ("two proofs", twice(dpop(&good, &key), 1), "number of DPoP"),
        ("basic", vec![("authorization", "Basic eDp5".to_owned())], "scheme"),
        ("nothing", vec![("authorization", "Bearer".to_owned())], "no token"),
        ("no token", bearer("x"), "claims"),
        ("altered", dpop(&format!("{good}A"), &key), "signature"),
    ];
    for (what, headers, reason) in cases {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (status, answered, body) = call(&mut client, &headers).await;
        assert_eq!(status, 401, "{what}: {body}");
        let told = challenges(&answered);
        assert!(told.contains("error=\"invalid_"), "{what}: {told}");
        let record = records(&rig).pop().unwrap();
        assert!(record["reason"].as_str().unwrap().contains(reason), "{what}: {record}");
        assert_eq!((&record["stage"], &record["outcome"]), (&json!("bind"), &json!("refused")), "{what}");
        let error: Value = serde_json::from_str(&body).unwrap();
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("the token was refused: invalid_"), "{what}: {message}");
    }
}

fn evil_issuer() -> TokenIssuer {
    TokenIssuer::generate("https://evil.example", &suite("pq-hybrid", 1, &[]), now()).unwrap()
}

fn scope_rule(tools: &[&str], needs: &str) -> ScopeRule {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let (servers, needs) = (owned(&["wire"]), Scope::parse(needs).unwrap());
    ScopeRule { servers, tools: owned(tools), methods: Vec::new(), needs }
}

#[tokio::test]
async fn a_tool_asks_for_more_and_for_what_is_held() {
    let (rig, _) = one().await;
    let (issuer, key) = (issuer(), proof_key());
    let scopes = vec![scope_rule(&[], "use"), scope_rule(&["ec*"], "echo"), scope_rule(&["other"], "far")];
    rig.node.take_tokens(Some(Rules { scopes: Scopes::new(scopes), ..rules(&issuer) }));
    let door = door(&rig.node, Principal::Anonymous, true).await;
    let mut client = Client::modern(door).await;
    let token = |scope: &str| {
        let scope = Scope::parse(scope).unwrap();
        issuer.issue(&Grant { scope, ..grant(by_key(&key)) }, now()).unwrap().token.to_string()
    };
    for (held, status, wanted) in [
        ("", 403, "scope=\"use\""),
        ("far own", 403, "scope=\"far use\""),
        ("far use own", 403, "scope=\"echo far use\""),
        ("use echo", 200, ""),
    ] {
        let token = token(held);
        let shown = format!("DPoP {token}");
        let proof = prove(&key, &token, None);
        let (got, headers, body) = call(&mut client, &[("authorization", &shown), ("dpop", &proof)]).await;
        assert_eq!(got, status, "{held}: {body}");
        let told = challenges(&headers);
        assert!(told.contains(wanted), "{held}: {told}");
        assert_eq!(told.contains("error=\"insufficient_scope\""), status == 403, "{told}");
    }
}

#[tokio::test]
async fn a_token_is_worth_no_more_than_its_agents_registration() {
    let (rig, _) = one().await;
    let (issuer, key) = (issuer(), proof_key());
    let limited = |id: &SpiffeId| Registered { scope: Some(Scope::parse("use").unwrap()), ..registered(id) };
    let scopes = vec![scope_rule(&[], "use"), scope_rule(&["ec*"], "echo")];
    let mut client = Client::modern(door(&rig.node, Principal::Anonymous, true).await).await;
    let scope = Scope::parse("use echo").unwrap();
    let token = issuer.issue(&Grant { scope, ..grant(by_key(&key)) }, now()).unwrap().token.to_string();
    // The same token on the same link, before and after its agent's registration came to give less.
    for (limit, wanted) in [(false, 200), (true, 403)] {
        let own = Own {
            issuer: issuer.clone(),
            registered: if limit { Box::new(limited) } else { Box::new(registered) },
        };
        let scopes = Scopes::new(scopes.clone());
        rig.node.take_tokens(Some(Rules { own: Some(own), scopes, ..rules(&issuer) }));
        let (shown, proof) = (format!("DPoP {token}"), prove(&key, &token, None));
        let (status, _, body) = call(&mut client, &[("authorization", &shown), ("dpop", &proof)]).await;
        assert_eq!(status, wanted, "{body}");
    }
}

/// What alice, bob and carol may do; bob reads less of a result than alice.
const BOTH: &str = r#"
@id("alice") permit(principal == Lockgate::Agent::"spiffe://test.example/agent/alice", action, resource);
@id("bob") permit(principal == Lockgate::Agent::"spiffe://test.example/agent/bob", action, resource);
@id("not-bob") forbid(principal == Lockgate::Agent::"spiffe://test.example/agent/carol", action, resource);
"#;

#[tokio::test]
async fn who_acts_for_somebody_may_do_what_both_may() {
    let upstream = wire().await;
    let rig = gateway(&[("wire", upstream)], BOTH, Limits::default()).await;
    let (issuer, key) = (issuer(), proof_key());
    rig.node.take_tokens(Some(rules(&issuer)));
    let door = door(&rig.node, Principal::Anonymous, true).await;
    let mut client = Client::modern(door).await;
    let named = |name: &str| SpiffeId::agent("test.example", name).unwrap();
    let token = |subject: &str, actors: &[&str]| {
        let actors = actors.iter().map(|name| named(name)).collect();
        let grant = Grant { subject: named(subject), actors, ..grant(by_key(&key)) };
        issuer.issue(&grant, now()).unwrap().token.to_string()
    };
    for (subject, actors, passes) in [
        ("alice", &["bob"][..], true),
        ("bob", &["alice"], true),
        ("bob", &["bob", "alice"], true),
        ("nobody", &["bob"], false),
        ("alice", &["nobody"], false),
        ("carol", &["bob"], false),
        ("alice", &["carol"], false),
        ("alice", &["bob", "carol"], false),
        ("alice", &["bob", "alice", "carol", "bob"], false),
    ] {
        let token = token(subject, actors);
        let shown = format!("DPoP {token}");
        let proof = prove(&key, &token, None);
        let (_, _, body) = call(&mut client, &[("authorization", &shown), ("dpop", &proof)]).await;
        assert_eq!(body.contains("\"result\""), passes, "{subject} {actors:?}: {body}");
        let record = records(&rig).pop().unwrap();
        let actor = actors[0];
        assert_eq!(record["agent"], format!("spiffe://test.example/agent/{actor}"), "{record}");
        let all = actors.iter().copied().chain([subject]).fold(Vec::new(), |mut all: Vec<&str>, name| {
            // Who stands there twice is itself.
            if all.is_empty() || name != actors[0] {
                all.push(name);
            }
            all
        });
        let all: Vec<String> = all.iter().map(|name| format!("spiffe://test.example/agent/{name}")).collect();
        assert_eq!(record["principal"], all.join(" for "), "{record}");
    }
    // Whoever of them is revoked, the call is over.
    let token = token("alice", &["bob"]);
    let (shown, proof) = (format!("DPoP {token}"), prove(&key, &token, None));
    let target = Target::Agent("spiffe://test.example/agent/alice".to_owned());
    rig.node.revoke(Revocation::new(target, "test", "out", 1)).unwrap();
    let (status, ..) = call(&mut client, &[("authorization", &shown), ("dpop", &proof)]).await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn a_nonce_is_asked_for_and_all_scopes_at_once() {
    let (rig, _) = one().await;
    let (issuer, key) = (issuer(), proof_key());
    let scopes = Scopes::new(vec![scope_rule(&[], "wire:read wire:call")]);
    rig.node.take_tokens(Some(Rules { nonce_required: true, scopes, ..rules(&issuer) }));
    let door = door(&rig.node, Principal::Anonymous, true).await;
    let mut client = Client::modern(door).await;
    let token = |scope: &str| {
        let scope = Scope::parse(scope).unwrap();
        issuer.issue(&Grant { scope, ..grant(by_key(&key)) }, now()).unwrap().token.to_string()
    };
    let poor = token("wire:read");
    let shown = format!("DPoP {poor}");
    let (status, headers, _) =
        call(&mut client, &[("authorization", &shown), ("dpop", &prove(&key, &poor, None))]).await;
    assert_eq!(status, 403);
    let told = challenges(&headers);
    assert!(
        told.contains("error=\"insufficient_scope\"") && told.contains("scope=\"wire:call wire:read\""),
        "{told}"
    );

    let rich = token("wire:call wire:read other");
    let shown = format!("DPoP {rich}");
    let (status, headers, _) =
        call(&mut client, &[("authorization", &shown), ("dpop", &prove(&key, &rich, None))]).await;
    assert_eq!(status, 401);
    assert!(challenges(&headers).contains("error=\"use_dpop_nonce\""));
    let nonce = headers["dpop-nonce"].to_str().unwrap().to_owned();
    let proof = prove(&key, &rich, Some(&nonce));
    let (status, _, body) = call(&mut client, &[("authorization", &shown), ("dpop", &proof)]).await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn without_rules_no_token_counts() {
    let (rig, _) = one().await;
    let (issuer, key) = (issuer(), proof_key());
    let door = door(&rig.node, Principal::Anonymous, true).await;
    let mut client = Client::modern(door).await;
    let issued = issuer.issue(&grant(by_key(&key)), now()).unwrap();
    let shown = format!("DPoP {}", *issued.token);
    let proof = prove(&key, &issued.token, None);
    let (status, headers, _) = call(&mut client, &[("authorization", &shown), ("dpop", &proof)]).await;
    assert_eq!(
        (status, challenges(&headers).contains("resource_metadata")),
        (StatusCode::UNAUTHORIZED, false)
    );
    rig.node.take_tokens(Some(rules(&issuer)));
    let (status, ..) =
        call(&mut client, &[("authorization", &shown), ("dpop", &prove(&key, &issued.token, None))]).await;
    assert_eq!(status, 200);
    rig.node.take_tokens(None);
    let (status, ..) =
        call(&mut client, &[("authorization", &shown), ("dpop", &prove(&key, &issued.token, None))]).await;
    assert_eq!(status, 401);
}

/// The keys of an issuer that rotates: the second fetch has the new one.
struct Rotating(Mutex<(Arc<KeyCache>, u32)>, JwkSet);

impl Keys for Rotating {
    fn current(&self) -> Arc<KeyCache> {
        self.0.lock().unwrap().0.clone()
    }

    fn generation(&self) -> u64 {
        self.0.lock().unwrap().1.into()
    }

    fn refetch<'a>(&'a self) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async {
            let mut cache = KeyCache::default();
            cache.replace(self.1.clone(), now());
            let mut state = self.0.lock().unwrap();
            *state = (Arc::new(cache), state.1 + 1);
        })
    }
}

#[tokio::test]
async fn a_foreign_issuers_token_speaks_for_who_is_registered() {
    let (rig, _) = one().await;
    let key = proof_key();
    let set = JwkSet::new(vec![Jwk::of_private(&key).unwrap()]);
    let keys = Arc::new(Rotating(Mutex::new((Arc::default(), 0)), set));
    let issuer_now = issuer;
    let trusted = |unbound: bool| {
        let algorithms = vec![key.algorithm()];
        let issuer = ForeignIssuer::of_access_tokens("https://idp.example", &[resource(HERE)], algorithms);
        let binding = if unbound { Binding::Waived } else { Binding::Required };
        let agent = |claims: &lockgate_identity::token::ForeignClaims| {
            (claims.subject == "bot").then(|| Registered { roles: Arc::from([]), ..registered(&claude()) })
        };
        let foreign = vec![Trusted { issuer, keys: keys.clone(), agent: Box::new(agent), binding }];
        Rules { foreign, ..rules(&issuer_now()) }
    };
    let token_for = |subject: &str, audience: &str| {
        let now_s = now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({
            "iss": "https://idp.example", "sub": subject, "aud": audience, "client_id": "c", "jti": "j",
            "iat": now_s, "exp": now_s + 60,
        });
        jws::sign(&key, "at+jwt", jws::OwnKey::Refused, claims.as_object().unwrap()).unwrap()
    };
    let token = |subject: &str| token_for(subject, HERE);
    rig.node.take_tokens(Some(trusted(false)));
    let door = door(&rig.node, Principal::Anonymous, true).await;
    let mut client = Client::modern(door).await;
    let shown = format!("Bearer {}", token("bot"));
    assert_eq!(call(&mut client, &[("authorization", &shown)]).await.0, 401, "bound to nothing");
    assert_eq!(keys.0.lock().unwrap().1, 1, "its keys were fetched when they were needed");
    assert!(records(&rig).pop().unwrap()["reason"].as_str().unwrap().contains("bound to no key"));
    rig.node.take_tokens(Some(trusted(true)));
    let (status, _, body) = call(&mut client, &[("authorization", &shown)]).await;
    assert_eq!(status, 200, "{body}");
    let shown = format!("Bearer {}", token("stranger"));
    assert_eq!(call(&mut client, &[("authorization", &shown)]).await.0, 401);
    assert!(records(&rig).pop().unwrap()["reason"].as_str().unwrap().contains("no agent that is registered"));
    // What another issuer means by the whole of this node is not known: its audience is exact.
    for audience in
        [BASE, "https://localhost/mcp", "https://localhost/servers", "HTTPS://localhost/servers/wire/mcp"]
    {
        let shown = format!("Bearer {}", token_for("bot", audience));
        assert_eq!(call(&mut client, &[("authorization", &shown)]).await.0, 401, "{audience}");
        assert!(records(&rig).pop().unwrap()["reason"].as_str().unwrap().contains("audience"), "{audience}");
    }
}

#[tokio::test]
async fn a_key_that_its_issuer_took_away_is_good_for_nothing_on_open_links_neither() {
    let (rig, _) = one().await;
    let (key, other) = (proof_key(), proof_key());
    let set = |key: &PrivateKey| JwkSet::new(vec![Jwk::of_private(key).unwrap()]);
    let mut cache = KeyCache::default();
    cache.replace(set(&key), now());
    let keys = Arc::new(Rotating(Mutex::new((Arc::new(cache), 1)), set(&other)));
    let issuer_url = "https://idp.example";
    let foreign = ForeignIssuer::of_access_tokens(issuer_url, &[resource(HERE)], vec![key.algorithm()]);
    let agent = |_: &lockgate_identity::token::ForeignClaims| {
        Some(Registered { roles: Arc::from([]), ..registered(&claude()) })
    };
    let trusted =
        Trusted { issuer: foreign, keys: keys.clone(), agent: Box::new(agent), binding: Binding::Waived };
    rig.node.take_tokens(Some(Rules { foreign: vec![trusted], ..rules(&issuer()) }));
    let signed = |key: &PrivateKey| {
        let now_s = now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({
            "iss": issuer_url, "sub": "bot", "aud": HERE, "client_id": "c", "jti": "j",
            "iat": now_s, "exp": now_s + 60,
        });
        let token = jws::sign(key, "at+jwt", jws::OwnKey::Refused, claims.as_object().unwrap());
        format!("Bearer {}", token.unwrap())
    };
    let door = door(&rig.node, Principal::Anonymous, true).await;
    let mut client = Client::modern(door).await;
    let (old, new) = (signed(&key), signed(&other));
    assert_eq!(call(&mut client, &[("authorization", &old)]).await.0, 200);
    assert_eq!(call(&mut client, &[("authorization", &new)]).await.0, 200, "the new key is fetched");
    assert_eq!(call(&mut client, &[("authorization", &old)]).await.0, 401, "on the same link");
    assert!(records(&rig).pop().unwrap()["reason"].as_str().unwrap().contains("no key"));
}

async fn tool(agent: &mut Agent, authorization: Option<&str>) -> StatusCode {
    let mut headers = modern_headers("echo");
    if let Some(authorization) = authorization {
        headers.insert("authorization", authorization.parse().unwrap());
    }
    let body = modern_call("echo", &json!({}));
    agent.try_send(Method::POST, PATH, headers, body).await.unwrap().status()
}

#[tokio::test]
async fn a_token_of_a_certificate_passes_on_its_links_alone() {
    let tunnel = Tunnel::open("pq-hybrid").await;
    let issuer = issuer();
    tunnel.rig.node.take_tokens(Some(rules(&issuer)));
    let hybrid = suite("pq-hybrid", 1, &[]);
    let leaf = tunnel.leaf("claude", hybrid.identities()[0].id);
    let trust = Trust::own(&tunnel.authority.bundle(), Expect::Node);
    let dialer = Dialer::new(hybrid, Some(&leaf), trust, dialer::Limits::default()).unwrap();
    let bound = Confirmation::Certificate(sha256(leaf.certificate()));
    let shown = format!("Bearer {}", *issuer.issue(&grant(bound), now()).unwrap().token);
    let mut own = Agent::over(&dialer, tunnel.rig.address).await;
    assert_eq!(tool(&mut own, Some(&shown)).await, 200);
    // The same agent with another certificate, and another agent.
    let mut renewed = tunnel.agent("claude", "pq-hybrid").await;
    assert_eq!(tool(&mut renewed, Some(&shown)).await, 401);
    let mut other = tunnel.agent("mallory", "pq-hybrid").await;
    assert_eq!(tool(&mut other, Some(&shown)).await, 401);
    assert_eq!(tool(&mut other, None).await, 200, "its own certificate is as good as before");
}

#[tokio::test]
async fn a_token_is_bound_to_a_connection_once_and_to_no_other() {
    let tunnel = Tunnel::open("pq-hybrid").await;
    let (issuer, key) = (issuer(), proof_key());
    tunnel.rig.node.take_tokens(Some(rules(&issuer)));
    let dialer = tunnel.dialer("claude", &suite("pq-hybrid", 1, &[]));
    let port = tunnel.rig.address.port();
    let (first, second) =
        (dialer.dial("127.0.0.1", port).await.unwrap(), dialer.dial("127.0.0.1", port).await.unwrap());
    let exported = first.exporter.unwrap();
    assert_ne!(first.exporter, second.exporter);
    let (mut first, mut second) = (Agent::on(first).await, Agent::on(second).await);

    let token = issuer.issue(&grant(by_key(&key)), now()).unwrap().token;
    let proof = bind::prove(&key, &token, &exported, &resource(BASE), now()).unwrap();
    let body = json!({"token": *token, "proof": proof});
    let place = "/.well-known/lockgate/bind";
    let (status, answer) = second.post(place, &body).await;
    assert_eq!(
        (status, &answer),
        (StatusCode::UNAUTHORIZED, &json!({"error": "invalid_token"})),
        "on another connection"
    );
    let (status, answer) = first.post(place, &body).await;
    assert_eq!(
        (status, &answer["agent"]),
        (StatusCode::OK, &json!("spiffe://test.example/agent/claude")),
        "{answer}"
    );
    assert_eq!(first.post(place, &body).await.0, 401, "twice");
    assert_eq!(first.post(place, &json!({"token": *token})).await.0, 401, "without a proof");
    assert_eq!(first.post(place, &json!({"tokens": 1})).await.0, 400);
    assert_eq!(tool(&mut first, None).await, 200);
    let records = records(&tunnel.rig);
    let binds: Vec<_> = records.iter().filter(|record| record["method"] == "identity/bind").collect();
    assert_eq!(binds.len(), 5);
    assert!(binds[0]["reason"].as_str().unwrap().contains("another connection"), "{}", binds[0]);

    // Under other rules it has to be bound again.
    tunnel.rig.node.take_tokens(Some(rules(&issuer)));
    assert_eq!(tool(&mut first, None).await, 401);
    let proof = bind::prove(&key, &token, &exported, &resource(BASE), now()).unwrap();
    assert_eq!(first.post(place, &json!({"token": *token, "proof": proof})).await.0, 200);
    assert_eq!(tool(&mut first, None).await, 200);

    // A token for another agent does not change who is on the link.
    let other = Grant { subject: SpiffeId::agent("test.example", "root").unwrap(), ..grant(by_key(&key)) };
    let token = issuer.issue(&other, now()).unwrap().token;
    let proof = bind::prove(&key, &token, &exported, &resource(BASE), now()).unwrap();
    assert_eq!(first.post(place, &json!({"token": *token, "proof": proof})).await.0, 401);
}

/// One token is out, and with it what its bearer does; the agent gets another.
#[tokio::test]
async fn a_token_is_revoked_by_its_name() {
    let (rig, _) = one().await;
    let (issuer, key) = (issuer(), proof_key());
    rig.node.take_tokens(Some(rules(&issuer)));
    let door = door(&rig.node, Principal::Anonymous, true).await;
    let mut client = Client::modern(door).await;
    let [first, second] = [(), ()].map(|()| issuer.issue(&grant(by_key(&key)), now()).unwrap());
    let mut status = async |issued: &Issued| {
        let shown = format!("DPoP {}", *issued.token);
        let proof = prove(&key, &issued.token, None);
        call(&mut client, &[("authorization", &shown), ("dpop", &proof)]).await.0
    };
    assert_eq!(status(&first).await, 200);
    let revocation = Revocation::new(Target::Token(first.id.clone()), "ann", "it was in a log", 0);
    let cut = rig.node.revoke(revocation).unwrap();
    assert_eq!(cut.links, 1, "the bearer's link is cut, though the link itself is nobody's");
    assert_eq!(status(&first).await, 403);
    assert_eq!(status(&second).await, 200);
    let role = Revocation::new(Target::Role("reader".to_owned()), "ann", "all of them", 0);
    rig.node.revoke(role).unwrap();
    assert_eq!(status(&second).await, 403, "a role of the registration counts for bearers too");
}

/// A link without TLS has nothing to bind to.
#[tokio::test]
async fn a_plain_link_binds_nothing() {
    let (rig, _) = one().await;
    let (issuer, key) = (issuer(), proof_key());
    rig.node.take_tokens(Some(rules(&issuer)));
    let door = door(&rig.node, agent("claude", now() + Duration::from_secs(60)), true).await;
    let mut client = Client::modern(door).await;
    let token = issuer.issue(&grant(by_key(&key)), now()).unwrap().token;
    let proof = bind::prove(&key, &token, &[0; 32], &resource(BASE), now()).unwrap();
    let body = json!({"token": *token, "proof": proof}).to_string();
    let (status, _, body) = client.post("/.well-known/lockgate/bind", &body).await;
    assert_eq!(status, 401, "{body}");
}
