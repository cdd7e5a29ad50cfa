//! The token endpoint: each grant, and everything that must not get a token.

use lockgate_identity::token::{Confirmation, Held, Resource, Scope, TokenIssuer, dpop};
use lockgate_store::Store;
use serde_json::{Value, json};

use super::tokens::{Server, algorithms, claims, issuers, key, oidc, signed};
use super::*;
use crate::oauth::{Asked, Denied, Granted, JWKS, Link, Parts, TOKEN, TokenEndpoint};

const GATEWAY: &str = "https://gw.example";
const BEARER: &str = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
const EXCHANGE: &str = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange";
const ACCESS: &str = "urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token";

struct Desk {
    endpoint: TokenEndpoint,
    issuer: Arc<TokenIssuer>,
    office: Arc<Office>,
    server: Server,
    foreign: lockgate_crypto::PrivateKey,
}

async fn desk() -> Desk {
    let (server, foreign) = (Server::start().await, key());
    server.publish(&[&foreign]);
    let office = Office::new("pq-kex");
    let (issuer, _) = issuers();
    let registrations =
        Registrations::new(vec![registration(&["oidc:repository:acme/*"], "builder", SvidKind::Stock)])
            .unwrap();
    let endpoint = TokenEndpoint::new(Parts {
        issuer: Arc::clone(&issuer),
        resource: Resource::parse(GATEWAY).unwrap(),
        attestor: Arc::new(oidc(&server)),
        registrations,
        known: Known::open(Store::in_memory().unwrap()).unwrap(),
        issuance: Arc::clone(&office) as _,
        proofs: algorithms(),
    });
    Desk { endpoint: endpoint.unwrap(), issuer, office, server, foreign }
}

fn link(name: &str) -> Link {
    let id = SpiffeId::agent("example.org", name).unwrap();
    Link { certificate_sha256: Some(lockgate_crypto::digest::sha256(name.as_bytes())), id: Some(id) }
}

fn held(name: &str) -> Held {
    Held { certificate_sha256: link(name).certificate_sha256, ..Held::default() }
}

fn asked(body: &str, link: Link) -> Asked {
    Asked { body: bytes::Bytes::copy_from_slice(body.as_bytes()), proof: None, link }
}

fn proof(key: &lockgate_crypto::PrivateKey) -> String {
    let target = Resource::parse(&format!("{GATEWAY}{TOKEN}")).unwrap();
    let request = dpop::Request { method: "POST", target: &target, token: None };
    dpop::prove(key, request, None, SystemTime::now()).unwrap()
}

fn token_of(granted: &Granted) -> String {
    granted.to_json()["access_token"].as_str().unwrap().to_owned()
}

impl Desk {
    async fn client(&self, name: &str, more: &str) -> Result<Granted, Denied> {
        self.endpoint.token(&asked(&format!("grant_type=client_credentials{more}"), link(name))).await
    }

    fn assertion(&self) -> String {
        signed(&self.foreign, &claims(&self.server.issuer()))
    }

    fn read(&self, token: &str, resource: &str) -> lockgate_identity::token::AccessToken {
        let resource = Resource::parse(resource).unwrap();
        self.issuer.verifier().verify(token, &resource, SystemTime::now()).unwrap()
    }
}

#[tokio::test]
async fn a_link_with_a_certificate_gets_a_token_that_is_bound_to_it() {
    let desk = desk().await;
    let granted = desk
        .client("billing", "&resource=https%3A%2F%2Fgw.example%2Fservers%2Fcrm%2Fmcp&scope=read")
        .await
        .unwrap();
    let body = granted.to_json();
    assert_eq!(
        (&body["token_type"], &body["expires_in"], &body["scope"]),
        (&json!("Bearer"), &json!(300), &json!("read"))
    );
    assert_eq!(body.get("refresh_token"), None);
    let token = desk.read(&token_of(&granted), "https://gw.example/servers/crm/mcp");
    assert_eq!(token.subject.path(), "/agent/billing");
    assert_eq!(token.confirmation, Confirmation::Certificate(link("billing").certificate_sha256.unwrap()));
    token.confirmation.check(&held("billing")).unwrap();
    token.confirmation.check(&held("thief")).unwrap_err();
    let events = desk.office.events.lock();
    assert_eq!((events[0].method, events[0].refused.is_none()), ("oauth/token", true));
    assert!(!format!("{events:?}").contains(&token_of(&granted)), "no token is recorded");
}

#[tokio::test]
async fn an_assertion_becomes_a_token_bound_to_the_key_of_the_proof() {
    let desk = desk().await;
    let own = key();
    let body = format!("grant_type={BEARER}&assertion={}", desk.assertion());
    let request = Asked { proof: Some(proof(&own)), ..asked(&body, Link::default()) };
    let granted = desk.endpoint.token(&request).await.unwrap();
    assert_eq!(granted.to_json()["token_type"], "DPoP");
    let token = desk.read(&token_of(&granted), GATEWAY);
    assert_eq!(token.subject.path(), "/agent/builder");
    assert!(matches!(token.confirmation, Confirmation::Key(_)));
    // The same proof does not work again.
    let denied = desk.endpoint.token(&request).await.unwrap_err();
    assert_eq!(denied.error, "invalid_dpop_proof");
}

#[tokio::test]
async fn what_must_get_no_token_gets_none_and_the_record_says_why() {
    let desk = desk().await;
    let good = desk.assertion();
    let bearer = format!("grant_type={BEARER}&assertion={good}");
    let mut stranger = claims(&desk.server.issuer());
    stranger["repository"] = json!("evil/x");
    let stranger = format!("grant_type={BEARER}&assertion={}", signed(&desk.foreign, &stranger));
    for (body, link, error) in [
        ("", link("a"), "invalid_request"),
        ("grant_type=password&username=a&password=b", link("a"), "unsupported_grant_type"),
        ("grant_type=refresh_token&refresh_token=x", link("a"), "unsupported_grant_type"),
        ("grant_type=authorization_code&code=x", link("a"), "unsupported_grant_type"),
        ("grant_type=client_credentials&grant_type=client_credentials", link("a"), "invalid_request"),
        ("grant_type=client_credentials", Link::default(), "invalid_dpop_proof"),
        ("grant_type=client_credentials", Link { id: None, ..link("a") }, "invalid_client"),
        (
            "grant_type=client_credentials&client_id=spiffe%3A%2F%2Fexample.org%2Fagent%2Fb",
            link("a"),
            "invalid_client",
        ),
        ("grant_type=client_credentials&resource=https%3A%2F%2Fother.example", link("a"), "invalid_target"),
        (
            "grant_type=client_credentials&resource=https%3A%2F%2Fgw.example.evil.example",
            link("a"),
            "invalid_target",
        ),
        ("grant_type=client_credentials&resource=not-a-url", link("a"), "invalid_target"),
        ("grant_type=client_credentials&resource=a&resource=b", link("a"), "invalid_request"),
        ("grant_type=client_credentials&audience=x", link("a"), "invalid_target"),
        ("grant_type=client_credentials&scope=a++b", link("a"), "invalid_scope"),
        (bearer.as_str(), Link::default(), "invalid_dpop_proof"),
        (stranger.as_str(), link("a"), "invalid_grant"),
        (&format!("{bearer}x"), link("a"), "invalid_grant"),
        (&format!("grant_type={BEARER}"), link("a"), "invalid_request"),
    ] {
        let denied = desk.endpoint.token(&asked(body, link)).await.unwrap_err();
        assert_eq!(denied.error, error, "{body:.100}: {denied:?}");
        assert_eq!(desk.office.refusals().len(), desk.office.events.lock().len(), "{body:.100}");
    }
    let refusals = desk.office.refusals().join("\n");
    assert!(refusals.contains("oidc:repository:evil/x"), "the operator reads what was proven");
    assert!(!refusals.contains(&good), "no token is recorded");
}

#[tokio::test]
async fn a_proof_counts_only_beside_something_to_show() {
    let desk = desk().await;
    let key = key();
    let once = proof(&key);
    let with = |body: &str| Asked { proof: Some(once.clone()), ..asked(body, Link::default()) };
    // Refused before the proof is looked at: it is not remembered, and still good.
    for body in [
        format!("grant_type={BEARER}&assertion=x"),
        format!("grant_type={EXCHANGE}&subject_token=x&subject_token_type={ACCESS}"),
    ] {
        assert_eq!(desk.endpoint.token(&with(&body)).await.unwrap_err().error, "invalid_grant", "{body}");
    }
    let good = format!("grant_type={BEARER}&assertion={}", desk.assertion());
    desk.endpoint.token(&with(&good)).await.unwrap();
    assert_eq!(desk.endpoint.token(&with(&good)).await.unwrap_err().error, "invalid_dpop_proof", "used");
    desk.office.revoke(&lockgate_crypto::jose::Jwk::of_private(&key).unwrap().thumbprint());
    let again = Asked { proof: Some(proof(&key)), ..asked(&good, Link::default()) };
    assert_eq!(desk.endpoint.token(&again).await.unwrap_err().error, "invalid_dpop_proof", "revoked");
}

#[tokio::test]
async fn who_is_revoked_or_cannot_be_recorded_gets_nothing() {
    let desk = desk().await;
    desk.office.revoke("spiffe://example.org/agent/billing");
    assert_eq!(desk.client("billing", "").await.unwrap_err().error, "invalid_grant");
    *desk.office.full.lock() = true;
    let denied = desk.client("other", "").await.unwrap_err();
    assert_eq!((denied.error, denied.status), ("server_error", 503));
    assert!(!denied.description.contains("no space"));
}

#[tokio::test]
async fn a_registration_limits_the_scope_of_tokens() {
    let desk = desk().await;
    let limit = |scope: &str| {
        let scope = Some(Scope::parse(scope).unwrap());
        let registration = registration(&["oidc:repository:acme/*"], "builder", SvidKind::Stock);
        desk.endpoint.register(Registrations::new(vec![Registration { scope, ..registration }]).unwrap());
    };
    let granted = async |scope: &str| {
        let body = format!("grant_type={BEARER}&assertion={}&scope={scope}", desk.assertion());
        let granted = desk.endpoint.token(&asked(&body, Link { id: None, ..link("x") })).await;
        granted.map(|granted| granted.to_json()["scope"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(granted("anything").await.unwrap(), "anything", "no limit is said");
    limit("read write");
    // Who asks for nothing in particular gets all that there is.
    assert_eq!(granted("").await.unwrap(), "read write");
    assert_eq!(granted("read").await.unwrap(), "read");
    let denied = granted("read+admin").await.unwrap_err();
    assert_eq!(denied.error, "invalid_scope");
    assert!(denied.description.contains("read write"), "{denied:?}");
    // The same agent by the certificate of its link, and whoever acts in its name.
    assert_eq!(desk.client("builder", "&scope=admin").await.unwrap_err().error, "invalid_scope");
    let subject = token_of(&desk.client("builder", "&scope=read+write").await.unwrap());
    limit("read");
    granted("read").await.unwrap();
    let exchange = async |scope: &str| {
        let body = format!(
            "grant_type={EXCHANGE}&subject_token={subject}&subject_token_type={ACCESS}&scope={scope}"
        );
        desk.endpoint.token(&asked(&body, link("bob"))).await
    };
    assert_eq!(exchange("write").await.unwrap_err().error, "invalid_scope");
    exchange("read").await.unwrap();
    limit("");
    assert_eq!(granted("").await.unwrap(), "");
    assert_eq!(granted("read").await.unwrap_err().error, "invalid_scope");
}

#[tokio::test]
async fn an_exchange_does_not_widen_a_token_that_is_for_nothing() {
    let desk = desk().await;
    let subject = token_of(&desk.client("alice", "").await.unwrap());
    let body =
        format!("grant_type={EXCHANGE}&subject_token={subject}&subject_token_type={ACCESS}&scope=admin");
    for who in ["bob", "alice"] {
        let denied = desk.endpoint.token(&asked(&body, link(who))).await.unwrap_err();
        assert_eq!(denied.error, "invalid_scope", "{who}");
    }
}

#[tokio::test]
async fn an_exchange_is_narrower_and_says_who_acts() {
    let desk = desk().await;
    let subject = token_of(
        &desk
            .client("alice", "&resource=https%3A%2F%2Fgw.example%2Fservers%2Fcrm&scope=read+write")
            .await
            .unwrap(),
    );
    let body = |more: &str| {
        format!("grant_type={EXCHANGE}&subject_token={subject}&subject_token_type={ACCESS}{more}")
    };
    let crm = "&resource=https%3A%2F%2Fgw.example%2Fservers%2Fcrm%2Fmcp";
    let exchange = async |more: &str, link: Link| desk.endpoint.token(&asked(&body(more), link)).await;

    let acted = exchange(&format!("{crm}&scope=read"), link("bob")).await.unwrap();
    assert_eq!(acted.to_json()["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");
    let token = desk.read(&token_of(&acted), "https://gw.example/servers/crm/mcp");
    assert_eq!(token.subject.path(), "/agent/alice");
    assert_eq!(token.caller().path(), "/agent/bob");
    assert!(token.scope.has("read") && !token.scope.has("write"));
    token.confirmation.check(&held("bob")).unwrap();
    token.confirmation.check(&held("alice")).unwrap_err();

    // Its own holder narrows it and stays itself.
    let own = exchange(&format!("{crm}&scope=write"), link("alice")).await.unwrap();
    assert!(desk.read(&token_of(&own), "https://gw.example/servers/crm/mcp").actors.is_empty());
    // A chain keeps everybody.
    let chain =
        format!("grant_type={EXCHANGE}&subject_token={}&subject_token_type={ACCESS}{crm}", token_of(&acted));
    let chain = desk.endpoint.token(&asked(&chain, link("carol"))).await.unwrap();
    let paths: Vec<String> = desk
        .read(&token_of(&chain), "https://gw.example/servers/crm/mcp")
        .actors
        .iter()
        .map(|id| id.path().to_owned())
        .collect();
    assert_eq!(paths, ["/agent/carol", "/agent/bob"]);

    for (more, from, error) in [
        ("", link("bob"), "invalid_target"),
        ("&resource=https%3A%2F%2Fgw.example%2Fservers%2Fbilling", link("bob"), "invalid_target"),
        (&format!("{crm}&scope=admin"), link("bob"), "invalid_scope"),
        (
            &format!("{crm}&requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Arefresh_token"),
            link("bob"),
            "invalid_request",
        ),
        (&format!("{crm}&actor_token=x&actor_token_type={ACCESS}"), link("bob"), "invalid_grant"),
        (crm, Link { id: None, ..link("bob") }, "invalid_grant"),
    ] {
        let denied = exchange(more, from).await.unwrap_err();
        assert_eq!(denied.error, error, "{more}: {denied:?}");
    }
    // Alice's own token is no proof that its holder is Alice: stolen, and shown as that of an actor.
    let actor = format!("{crm}&actor_token={subject}&actor_token_type={ACCESS}");
    assert_eq!(
        exchange(&actor, Link { id: None, ..link("thief") }).await.unwrap_err().error,
        "invalid_grant"
    );
    // Whoever acts in between is asked for, too.
    desk.office.revoke("spiffe://example.org/agent/bob");
    let chain =
        format!("grant_type={EXCHANGE}&subject_token={}&subject_token_type={ACCESS}{crm}", token_of(&acted));
    let denied = desk.endpoint.token(&asked(&chain, link("carol"))).await.unwrap_err();
    assert_eq!(denied.error, "invalid_grant");
    desk.office.revoke("spiffe://example.org/agent/alice");
    assert_eq!(exchange(crm, link("bob")).await.unwrap_err().error, "invalid_grant");
}

#[tokio::test]
async fn a_token_is_given_back_by_its_holder_only() {
    let desk = desk().await;
    let token = token_of(&desk.client("alice", "").await.unwrap());
    let body = format!("token={token}");
    let denied = desk.endpoint.revoke(&asked(&body, link("mallory"))).await.unwrap_err();
    assert_eq!((denied.error, denied.status), ("invalid_client", 401));
    desk.endpoint.revoke(&asked(&body, link("alice"))).await.unwrap();
    let id = desk.read(&token, GATEWAY).id;
    assert!(desk.office.revoked.lock().contains(&id));
    // Given back, it is exchanged for nothing; and giving back what is none is fine.
    let exchange = format!("grant_type={EXCHANGE}&subject_token={token}&subject_token_type={ACCESS}");
    assert_eq!(
        desk.endpoint.token(&asked(&exchange, link("alice"))).await.unwrap_err().error,
        "invalid_grant"
    );
    for body in ["token=nonsense", &body] {
        desk.endpoint.revoke(&asked(body, link("mallory"))).await.unwrap();
    }
    assert_eq!(desk.endpoint.revoke(&asked("", link("a"))).await.unwrap_err().error, "invalid_request");
}

#[tokio::test]
async fn the_metadata_says_what_is_there() {
    let desk = desk().await;
    let metadata = desk.endpoint.metadata();
    assert_eq!(metadata["issuer"], GATEWAY);
    assert_eq!(metadata["jwks_uri"], format!("{GATEWAY}{JWKS}"));
    assert_eq!(metadata["token_endpoint"], format!("{GATEWAY}{TOKEN}"));
    assert!(!metadata["dpop_signing_alg_values_supported"].as_array().unwrap().is_empty());
    let keys: Value = serde_json::from_str(&desk.endpoint.jwks()).unwrap();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
}
