//! Credentials by exchange: what an authorization server is told, and what is kept of its answers.

use lockgate_crypto::jose::JwkSet;
use lockgate_identity::token::{ForeignIssuer, KeyCache, TokenIssuer};
use serde_json::json;

use super::tokens::{Server, outside};
use super::*;
use crate::oauth::Form;
use crate::{ExchangeGrant, ExchangePlan, Exchanger, OnBehalf};

const GATEWAY: &str = "https://gw.example";
const CRM: &str = "https://crm.example/mcp";

fn agent(name: &str) -> SpiffeId {
    SpiffeId::agent("example.org", name).unwrap()
}

fn alone(name: &str) -> OnBehalf {
    OnBehalf { subject: agent(name), actors: Vec::new() }
}

/// An authorization server that has the document of RFC 8414 alone, and gives tokens.
async fn authority() -> Server {
    let server = Server::start().await;
    let place = format!("{}/token", server.issuer());
    let document = json!({ "issuer": server.issuer(), "token_endpoint": place });
    server.page("/.well-known/oauth-authorization-server", document);
    gives(&server, "t1");
    server
}

fn gives(server: &Server, token: &str) {
    server.page("/token", json!({ "access_token": token, "token_type": "Bearer", "expires_in": 300 }));
}

fn exchanger(server: &Server, grant: ExchangeGrant) -> (Exchanger, Arc<TokenIssuer>) {
    let suite = lockgate_crypto::profile::find("pq-hybrid").unwrap().compile(1).unwrap();
    let signer = Arc::new(TokenIssuer::generate(GATEWAY, &suite, SystemTime::now()).unwrap());
    let plan = ExchangePlan {
        issuer: server.issuer(),
        token_endpoint: None,
        client_id: "lockgate".to_owned(),
        grant,
        resource: CRM.to_owned(),
        scope: "crm.read".to_owned(),
    };
    (Exchanger::new(plan, outside(), Arc::clone(&signer)), signer)
}

#[tokio::test]
async fn it_is_told_who_calls_and_by_whom_and_nobody_elses_token() {
    let server = authority().await;
    let (exchanger, signer) = exchanger(&server, ExchangeGrant::TokenExchange);
    let whom = OnBehalf { subject: agent("alice"), actors: vec![agent("bob")] };
    let (one, other) = tokio::join!(exchanger.value(&whom), exchanger.value(&whom));
    assert_eq!((one.unwrap(), other.unwrap()), ("Bearer t1".parse().unwrap(), "Bearer t1".parse().unwrap()));
    let bodies = server.bodies("/token");
    assert_eq!(bodies.len(), 1, "those who come at once for one caller share what comes");

    let form = Form::parse(bodies[0].as_bytes()).unwrap();
    let exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
    for (name, value) in
        [("grant_type", exchange), ("client_id", "lockgate"), ("resource", CRM), ("scope", "crm.read")]
    {
        assert_eq!(form.get(name), Some(value));
    }
    let now = SystemTime::now();
    let mut keys = KeyCache::default();
    keys.replace(JwkSet::parse(&signer.jwks()).unwrap(), now);
    let told = |by: &str, name: &str| {
        let issuer = ForeignIssuer::new(by, &server.issuer(), vec![signer.algorithm()]);
        issuer.verify(form.get(name).unwrap(), &keys, now).unwrap()
    };
    let subject = told(GATEWAY, "subject_token");
    assert_eq!(subject.subject, agent("alice").as_str());
    assert_eq!(subject.at("/act/sub"), Some(&json!(agent("bob").as_str())));
    assert_eq!(told("lockgate", "client_assertion").subject, "lockgate");
    // What is said to others opens nothing here.
    assert!(signer.verifier().verify_for_later(form.get("subject_token").unwrap(), now).is_err());
}

#[tokio::test]
async fn a_token_is_kept_for_its_caller_until_it_is_refused() {
    let server = authority().await;
    let (exchanger, _) = exchanger(&server, ExchangeGrant::JwtBearer);
    let value = async |name: &str| exchanger.value(&alone(name)).await;
    assert_eq!(value("alice").await.unwrap(), "Bearer t1");
    gives(&server, "t2");
    assert_eq!(value("alice").await.unwrap(), "Bearer t1");
    assert_eq!(value("bob").await.unwrap(), "Bearer t2", "one caller's token is not another's");
    exchanger.forget(&alone("alice"));
    assert_eq!(value("alice").await.unwrap(), "Bearer t2");
    let bodies = server.bodies("/token");
    assert_eq!(bodies.len(), 3);
    let form = Form::parse(bodies[0].as_bytes()).unwrap();
    assert!(form.get("assertion").is_some() && form.get("subject_token").is_none());

    // Who acts for somebody is neither of them.
    gives(&server, "t3");
    let acting = OnBehalf { subject: agent("alice"), actors: vec![agent("bob")] };
    assert_eq!(exchanger.value(&acting).await.unwrap(), "Bearer t3");
}

#[tokio::test]
async fn an_authorization_server_that_is_down_gets_no_storm() {
    let server = authority().await;
    let (exchanger, _) = exchanger(&server, ExchangeGrant::TokenExchange);
    assert_eq!(exchanger.value(&alone("alice")).await.unwrap(), "Bearer t1");
    server.gone();
    for _ in 0..5 {
        let cause = exchanger.value(&alone("bob")).await.unwrap_err();
        assert!(cause.contains("503"), "{cause}");
    }
    assert_eq!(server.bodies("/token").len(), 2);
    assert_eq!(exchanger.value(&alone("alice")).await.unwrap(), "Bearer t1", "what is held is good");
}
