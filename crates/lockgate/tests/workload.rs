//! Processes of this machine prove what they are: the workload socket, connectors as children, and what a node says of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::fs;
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};
use support::{Node, Running, call, command, initialize, place, run, shake_hands};
use tempfile::TempDir;

fn uid() -> String {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").unwrap().uid().to_string()
}

/// A sample node whose configuration has this besides.
fn node(config: &str) -> (TempDir, Node) {
    let (folder, state) = place();
    let file = folder.path().join("lockgate.toml");
    fs::write(&file, config).unwrap();
    let node = Node::start(&state, &["up", "--foreign", "127.0.0.1:0", "--config", file.to_str().unwrap()]);
    (folder, node)
}

fn whoami(node: &Node) -> Value {
    let shown = node.run(&["identity", "whoami", "--output", "json"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    shown.json()
}

const BOTH: &str = "[[attest]]\nkind = \"process\"\n[[attest]]\nkind = \"parent\"\n";

#[test]
fn a_connector_is_who_its_parent_makes_it() {
    let own = std::env::current_exe().unwrap();
    let (_folder, node) = node(&format!(
        "{BOTH}[[register]]\nselectors = [\"unix:uid:{}\", \"parent:path:{}\"]\nid = \"agent/editor\"\nroles = [\"edit\"]\nlife = \"2m\"\n",
        uid(),
        own.display()
    ));
    let me = whoami(&node);
    assert_eq!(me["process"]["registrations"][0]["id"], "spiffe://lockgate.internal/agent/editor", "{me}");
    let policy = "@id(\"editor\")\npermit(principal == Lockgate::Agent::\"spiffe://lockgate.internal/agent/editor\", \
        action in [Lockgate::Action::\"session\", Lockgate::Action::\"list\", Lockgate::Action::\"use\"], resource);\n";
    fs::write(node.state.join("policy/editor.cedar"), policy).unwrap();
    assert_eq!(node.run(&["policy", "check"]).code, 0);
    node.process.signal("HUP");
    let mut client = Running::start(command(&node.state).args(["connect", &node.url("sample")]));
    shake_hands(&mut client);
    // Until the policy is in force the answer is a refusal with the agent's name in it, which is what this is about.
    let answer = client.ask(&call(2, "echo", json!({"text": "a"})));
    let record = node.run(&["audit", "tail", "-n", "1000", "--output", "jsonl"]).stdout;
    assert!(record.contains("spiffe://lockgate.internal/agent/editor"), "{answer}\n{record}");
    assert!(record.contains("\"identity/enrol\"") && record.contains("parent:sha256:"), "{record}");
    assert!(!record.contains("agent/local"), "{record}");
}

#[test]
fn what_nothing_covers_stays_the_local_agent() {
    let (_folder, node) =
        node(&format!("{BOTH}[[register]]\nselectors = [\"unix:uid:4294967290\"]\nid = \"agent/other\"\n"));
    let mut client = node.connect("sample");
    shake_hands(&mut client);
    assert!(client.ask(&call(2, "echo", json!({"text": "a"}))).get("result").is_some());
    let me = whoami(&node);
    assert_eq!(me["process"]["registrations"], json!([]));
    assert_eq!(me["certificates"][0]["id"], "spiffe://lockgate.internal/agent/local");
}

#[test]
fn the_socket_goes_with_the_node_and_a_node_without_one_says_so() {
    let (_folder, mut node) = node(BOTH);
    let socket = node.state.join("workload.sock");
    UnixStream::connect(&socket).unwrap();
    node.process.signal("TERM");
    assert!(node.process.wait().success());
    assert!(!socket.exists());
    let shown = run(&node.state, &["identity", "whoami"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(shown.stdout.contains("[[attest]]"), "{}", shown.stdout);
}

#[test]
fn trust_says_where_each_root_came_from() {
    let node = Node::up();
    let shown = node.run(&["identity", "trust", "--output", "json"]).json();
    assert_eq!(shown["roots"][0]["from"], "this machine's own authority");
    assert_eq!(shown["issuers"], json!([]));
    let minted = node.run(&["identity", "invite", "--name", "laptop", "--output", "json"]).json();
    let (_elsewhere, other) = place();
    let code = minted["code"].as_str().unwrap();
    let mut client = Running::start(command(&other).args(["connect", "--invite", code, &node.url("sample")]));
    // No policy permits it anything, which it is told over the tunnel: it is enrolled.
    client.ask(&initialize(1));
    let there = run(&other, &["identity", "trust", "--output", "json"]).json();
    let from = there["roots"][0]["from"].as_str().unwrap();
    assert!(from.starts_with("pinned by an invite of"), "{from}");
    assert_eq!(there.get("issuers"), None);
    client.end_input();
    client.wait();

    // The used invite lets the same connector in again, and no other.
    let mut again = Running::start(command(&other).args(["connect", "--invite", code, &node.url("sample")]));
    again.ask(&initialize(1));
    let (_third, third) = place();
    let used = run(&third, &["connect", "--invite", code, &node.url("sample")]);
    assert!(used.stderr.contains("LG-I003"), "{}", used.stderr);
}

#[test]
fn mistakes_in_attestors_and_registrations_teach() {
    let (folder, state) = place();
    let file = folder.path().join("lockgate.toml");
    for (config, says) in [
        ("[[attest]]\nkind = \"proces\"\n", "did you mean \"process\"?"),
        (
            "[[attest]]\nkind = \"process\"\nissuer = \"https://x\"\n",
            "`issuer` says nothing to the attestor \"process\"",
        ),
        ("[[attest]]\nkind = \"oidc\"\nissuer = \"https://x.example\"\n", "has no `audience`"),
        ("[[attest]]\nkind = \"oidc\"\nissuer = \"http://x.example\"\naudience = \"a\"\n", "no OIDC issuer"),
        (
            "[[attest]]\nkind = \"oidc\"\nissuer = \"https://x.example\"\naudience = \"a\"\nkeys = \"http://x.example/k\"\n",
            "cannot be asked",
        ),
        (
            "[[attest]]\nkind = \"process\"\naccess = \"bound\"\n",
            "`access` says nothing to the attestor \"process\"",
        ),
        (
            "[[attest]]\nkind = \"oidc\"\nissuer = \"https://x.example\"\naudience = \"a\"\naccess = \"unbounded\"\n",
            "did you mean \"unbound\"?",
        ),
        (
            "[[attest]]\nkind = \"oidc\"\nissuer = \"https://x.example\"\naudience = \"a\"\nprofile = \"pq-kxe\"\n",
            "did you mean \"pq-kex\"?",
        ),
        (
            "[[attest]]\nkind = \"oidc\"\nissuer = \"https://x.example\"\naudience = \"a\"\nkeys = \"k\"\nprofile = \"pq-kex\"\n",
            "nothing is asked over TLS",
        ),
        ("[[scope]]\nservers = [\"x\"]\nneeds = [\"a\"]\n", "there is no server \"x\""),
        ("[[scope]]\nservers = []\nneeds = [\"a\"]\n", "about no server"),
        (
            "[[server]]\nname = \"x\"\nto = \"http://127.0.0.1:1\"\n[[scope]]\nservers = [\"x\"]\nneeds = []\n",
            "no scope that could be",
        ),
        (
            "[[server]]\nname = \"x\"\nto = \"http://127.0.0.1:1\"\n[[scope]]\nservers = [\"x\"]\nneeds = [\"a b\"]\n",
            "no scope that could be",
        ),
        (
            "[[server]]\nname = \"x\"\nto = \"http://127.0.0.1:1\"\n[[scope]]\nservers = [\"x\"]\ntools = [\"a*b\"]\nneeds = [\"a\"]\n",
            "names nothing",
        ),
        (
            "[[attest]]\nkind = \"kubernetes\"\nissuer = \"https://k\"\naudience = \"a\"\n",
            "neither `api` nor `keys`",
        ),
        (
            "[[attest]]\nkind = \"kubernetes\"\nissuer = \"https://k\"\naudience = \"a\"\napi = \"https://k\"\n",
            "needs `token`",
        ),
        (
            "[[attest]]\nkind = \"spiffe\"\nissuer = \"https://k\"\naudience = \"a\"\ntrust_domain = \"prod.example\"\n",
            "no `socket`",
        ),
        (
            "[[attest]]\nkind = \"process\"\nsocket = \"/a\"\n[[attest]]\nkind = \"parent\"\nsocket = \"/b\"\n",
            "two workload sockets",
        ),
        (
            "[[register]]\nselectors = [\"unix:uid:1\"]\nid = \"agent/a\"\n",
            "nothing here can prove unix:uid:1",
        ),
        (
            "[[register]]\nselectors = [\"invite:nmae:x\"]\nid = \"agent/a\"\n",
            "no attestor gives such a fact",
        ),
        ("[[register]]\nselectors = [\"invite:name:x\"]\nid = \"agent/local\"\n", "cannot be registered"),
        ("[[register]]\nselectors = [\"invite:name:x\"]\nid = \"node/a\"\n", "cannot be registered"),
        (
            "[[register]]\nselectors = [\"invite:name:x\"]\nid = \"spiffe://elsewhere/agent/a\"\n",
            "cannot be registered",
        ),
        (
            "[[register]]\nselectors = [\"invite:name:x\"]\nid = \"agent/a\"\nlife = \"25h\"\n",
            "no life of a certificate",
        ),
        ("[[register]]\nselectors = [\"invite:name:x\"]\nid = \"agent/a\"\nroles = [\"a.b\"]\n", "no role"),
        ("[[register]]\nselectors = []\nid = \"agent/a\"\n", "everybody's"),
    ] {
        fs::write(&file, config).unwrap();
        let ended = run(&state, &["config", "validate", file.to_str().unwrap()]);
        assert_eq!(ended.code, 3, "{config}: {}{}", ended.stdout, ended.stderr);
        let said =
            format!("{}{}", ended.stdout, ended.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(says), "{config}: {said}");
    }
    let several = "[[attest]]\nkind = \"oidc\"\nissuer = \"https://a.example\"\naudience = \"x\"\n\
        [[attest]]\nkind = \"oidc\"\nissuer = \"https://b.example\"\naudience = \"x\"\n\
        [[register]]\nselectors = [\"oidc:repository:acme/x\"]\nid = \"agent/a\"\n";
    fs::write(&file, several).unwrap();
    let ended = run(&state, &["config", "validate", file.to_str().unwrap()]);
    assert!(
        ended.stderr.contains("which one") || ended.stdout.contains("which one"),
        "{}{}",
        ended.stdout,
        ended.stderr
    );
    fs::write(&file, several.replace("\"oidc:rep", "\"oidc:iss:https://a.example\", \"oidc:rep")).unwrap();
    assert_eq!(run(&state, &["config", "validate", file.to_str().unwrap()]).code, 0);
}

/// Asks with curl, which trusts the node's certificate for this test, at the listener for clients without post-quantum
/// code, whatever port the URL names.
fn curl(port: &str, args: &[&str]) -> Value {
    let output = std::process::Command::new("curl")
        .args(["-sk", "--max-time", "20", "--connect-to", &format!("::127.0.0.1:{port}")])
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text:?} of {args:?}"))
}

#[test]
fn a_job_of_a_forge_gets_a_token_that_is_bound_to_its_key() {
    use lockgate_crypto::jose::{self, Jwk, JwkSet};
    use lockgate_crypto::{Nature, PrivateKey};
    use lockgate_identity::token::jws::{self, OwnKey};
    use lockgate_identity::token::{Resource, dpop};
    use std::time::SystemTime;

    let stock = lockgate_crypto::profile::find("pq-kex").unwrap().identities();
    let stock = stock.into_iter().find(|row| row.nature == Nature::Traditional).unwrap();
    let [forge, own] = [(); 2].map(|()| PrivateKey::generate(stock).unwrap());
    let keys = tempfile::NamedTempFile::new().unwrap();
    fs::write(keys.path(), JwkSet::new(vec![Jwk::of_private(&forge).unwrap()]).to_json().to_string())
        .unwrap();
    let (_folder, node) = node(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\nprofile = \"pq-transition\"\n[[attest]]\nkind = \"oidc\"\nissuer = \"https://ci.example\"\naudience = \"lockgate\"\nclaims = [\"repository\"]\nkeys = \"{}\"\n\
         [[register]]\nselectors = [\"oidc:repository:acme/*\"]\nid = \"agent/ci\"\nroles = [\"ci\"]\n",
        keys.path().display()
    ));
    let base = node.ready["foreign"].as_str().unwrap().trim_end_matches("/mcp").to_owned();
    let status = node.run(&["status", "--output", "json"]).json();
    let listeners = status["node"]["listeners"].as_array().unwrap();
    let url = listeners.iter().find(|one| one["name"] == "listener").unwrap()["url"].as_str().unwrap();
    let port = url.rsplit(':').next().unwrap().to_owned();
    let metadata = curl(&port, &[&format!("{base}/.well-known/oauth-authorization-server")]);
    assert_eq!(metadata["issuer"], base.as_str());
    let endpoint = metadata["token_endpoint"].as_str().unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let job = |repository: &str| {
        let claims = json!({
            "iss": "https://ci.example", "sub": "repo:x", "aud": "lockgate", "iat": now, "exp": now + 600, "repository": repository,
        });
        jws::sign(&forge, "JWT", OwnKey::Refused, claims.as_object().unwrap()).unwrap()
    };
    let ask = |assertion: &str| {
        let target = Resource::parse(endpoint).unwrap();
        let request = dpop::Request { method: "POST", target: &target, token: None };
        let proof = dpop::prove(&own, request, None, SystemTime::now()).unwrap();
        curl(
            &port,
            &[
                "-H",
                &format!("DPoP: {proof}"),
                "-d",
                "grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer",
                "-d",
                &format!("assertion={assertion}"),
                endpoint,
            ],
        )
    };
    let granted = ask(&job("acme/x"));
    assert_eq!((&granted["token_type"], &granted["expires_in"]), (&json!("DPoP"), &json!(300)), "{granted}");
    let token = granted["access_token"].as_str().unwrap();
    let claims: Value =
        serde_json::from_slice(&jose::decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap();
    assert_eq!(claims["sub"], "spiffe://lockgate.internal/agent/ci");
    assert_eq!(claims["cnf"]["jkt"], Jwk::of_private(&own).unwrap().thumbprint());
    let set = curl(&port, &[metadata["jwks_uri"].as_str().unwrap()]);
    assert_eq!(set["keys"].as_array().unwrap().len(), 1);

    assert_eq!(ask(&job("evil/x"))["error"], "invalid_grant");
    assert_eq!(ask("nonsense")["error"], "invalid_grant");
    assert_eq!(
        curl(&port, &["-d", "grant_type=client_credentials", endpoint])["error"],
        "invalid_dpop_proof"
    );
    assert_eq!(
        curl(&port, &["-H", "content-type: application/json", "-d", "{}", endpoint])["error"],
        "invalid_request"
    );
    let record = node.run(&["audit", "tail", "-n", "1000", "--output", "jsonl"]).stdout;
    assert!(record.contains("oauth/token") && record.contains("oidc:repository:evil/x"), "{record}");
    assert!(!record.contains(token), "no token is recorded");

    // A role that only a role file gives, and that is revoked, ends tokens as much as one by registration.
    let role = "[role]\nname = \"night\"\nagents = [\"agent/ci\"]\n[[allow]]\nid = \"all\"\nservers = [\"sample\"]\n[end]\n";
    fs::write(node.state.join("policy/night.toml"), role).unwrap();
    node.process.signal("HUP");
    assert_eq!(node.run(&["identity", "revoke", "role:night"]).code, 0);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(support::WAIT_S_MAX);
    loop {
        let refused = ask(&job("acme/x"));
        if refused.get("access_token").is_none() {
            assert_eq!(refused["error"], "invalid_grant", "{refused}");
            break;
        }
        assert!(std::time::Instant::now() < end, "a token for who is revoked: {refused}");
    }
    assert_eq!(node.run(&["identity", "restore", "role:night"]).code, 0);
    assert!(ask(&job("acme/x")).get("access_token").is_some());
    let trusted = node.run(&["identity", "trust", "--output", "json"]).json();
    assert_eq!(trusted["issuers"][0]["issuer"], "https://ci.example");
}

/// The connection to an issuer is a place like any other: what is banned is not used for it. A token that nobody can judge
/// then gets nothing, and the log says why.
#[test]
fn a_ban_reaches_the_connection_to_an_issuer() {
    use lockgate_crypto::jose;

    let listener = |node: &Node, name: &str| {
        let status = node.run(&["status", "--output", "json"]).json();
        let listeners = status["node"]["listeners"].as_array().unwrap().clone();
        let found = listeners.iter().find(|one| one["name"] == name).unwrap();
        found["url"].as_str().unwrap().rsplit(':').next().unwrap().to_owned()
    };
    // Another node's keys, at a listener that speaks one group only.
    let (_there, issuer) =
        node("[[listener]]\nname = \"issuer\"\naddress = \"127.0.0.1:0\"\nprofile = \"cnsa2\"\n");
    let (port, roots) = (listener(&issuer, "issuer"), issuer.state.join("authority/authority.pem"));
    let attest = |name: &str| {
        format!(
            "[[attest]]\nkind = \"oidc\"\nissuer = \"https://{name}.example\"\naudience = \"lockgate\"\nprofile = \"pq-kex\"\n\
             keys = \"https://localhost:{port}/oauth/jwks\"\nroots = \"{}\"\n",
            roots.display()
        )
    };
    let (_here, node) = node(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\nprofile = \"pq-transition\"\n{}{}",
        attest("before"),
        attest("after")
    ));
    let own = listener(&node, "listener");
    let base = node.ready["foreign"].as_str().unwrap().trim_end_matches("/mcp").to_owned();
    let ask = |name: &str| {
        let part = |json: Value| jose::encode(json.to_string().as_bytes());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({"iss": format!("https://{name}.example"), "sub": "x", "aud": "lockgate",
            "iat": now, "exp": now + 600});
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": "x"});
        let assertion = format!("{}.{}.{}", part(header), part(claims), jose::encode(&[0; 64]));
        let grant = "grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer";
        let assertion = format!("assertion={assertion}");
        curl(&own, &["-H", "DPoP: x", "-d", grant, "-d", &assertion, &format!("{base}/oauth/token")])
    };
    let recorded = || node.run(&["audit", "tail", "-n", "1", "--output", "jsonl"]).stdout;
    // Nobody has such a key: the keys were there to be looked at.
    assert_eq!(ask("before")["error"], "invalid_grant", "{}", recorded());
    assert!(!recorded().contains("MLKEM1024"), "{}", recorded());
    let banned = node.run(&["crypto", "ban", "MLKEM1024", "--reason", "a test"]);
    assert_eq!(banned.code, 0, "{}", banned.stderr);
    let refused = ask("after");
    assert!(refused.get("access_token").is_none() && refused["error"] != "invalid_grant", "{refused}");
    assert!(!refused.to_string().contains("localhost"), "the caller hears no more than needed: {refused}");
    let said = recorded();
    assert!(said.contains("oauth/token") && said.contains("localhost"), "{said}");
}
