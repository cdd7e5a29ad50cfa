//! Who is locked out is out at once; what policy kills ends; what it holds waits.

#![allow(clippy::unwrap_used)]

mod rig;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use lockgate_identity::{Revocation, Target};
use lockgate_policy::{Options, Policies, Source};
use lockgate_privacy::{Describer, InMemory, Open, Place, Rule, Rules, Vault};
use lockgate_proxy::revoke::{self, Cut};
use lockgate_proxy::{Node, Parts};
use rig::tunnel::{PATH, Tunnel};
use rig::{ALL, observed, records, within};
use serde_json::{Value, json};

/// Everything is permitted, and one thing is fatal.
const FATAL: &str = r#"
    @id("all") permit(principal, action, resource);
    @id("never") @on_violation("kill")
    forbid(principal, action, resource) when { context.touched.contains("system_config") };
"#;

/// Everything is permitted, and one tool needs a person.
const CAREFUL: &str = r#"
    @id("all") permit(principal, action, resource);
    @id("careful") @on_violation("hold")
    forbid(principal, action, resource == Lockgate::Tool::"wire/echo");
"#;

fn policies(text: &str, generation: u64) -> Policies {
    Policies::parse(&[Source { name: "test.cedar", text }], &Options::bare(generation)).unwrap()
}

async fn under(text: &'static str) -> Tunnel {
    Tunnel::with("pq-hybrid", |parts: &mut Parts| parts.policies = policies(text, 1)).await
}

fn agent(name: &str) -> Target {
    Target::parse(&format!("agent/{name}"), "test.example").unwrap()
}

/// Revokes as the admin interface does, on a thread that may wait for the disk.
async fn revoke(node: &Arc<Node>, target: Target) -> Cut {
    let (node, now_ms) = (Arc::clone(node), node.now_ms());
    let revocation = Revocation::new(target, "ann", "a test", now_ms);
    within(tokio::task::spawn_blocking(move || node.revoke(revocation).unwrap())).await.unwrap()
}

async fn restore(node: &Arc<Node>, target: Target) -> usize {
    let node = Arc::clone(node);
    within(tokio::task::spawn_blocking(move || node.restore(&target, "ann").unwrap().len())).await.unwrap()
}

/// Whether the agent `name` gets a link on which it is answered.
async fn gets_in(tunnel: &Tunnel, name: &str) -> bool {
    let mut link = tunnel.agent(name, "pq-hybrid").await;
    matches!(link.call("echo", json!({"text": "x"})).await, Ok((status, _)) if status == 200)
}

fn error(answer: &str) -> Value {
    let value: Value = serde_json::from_str(rig::data(answer).unwrap()).unwrap();
    value["error"].clone()
}

#[tokio::test]
async fn a_revoked_agent_loses_links_and_streams_at_once_and_gets_no_new_ones() {
    let tunnel = under(ALL).await;
    let node = &tunnel.rig.node;
    let mut listener = tunnel.agent_http1("a", "pq-hybrid").await;
    listener.initialize(PATH).await;
    let mut stream = listener.send("GET", PATH, "").await.into_body();
    assert!(within(stream.frame()).await.unwrap().is_ok());
    let mut second = tunnel.agent("a", "pq-hybrid").await;
    assert_eq!(second.call("echo", json!({"text": "x"})).await.unwrap().0, 200);
    let mut other = tunnel.agent("b", "pq-hybrid").await;
    assert_eq!(other.call("echo", json!({"text": "x"})).await.unwrap().0, 200);
    tunnel.live(3).await;

    assert_eq!(revoke(node, agent("a")).await, Cut { is_new: true, links: 2 });
    while let Some(Ok(_)) = within(stream.frame()).await {}
    listener.closed().await;
    second.closed().await;
    assert!(!gets_in(&tunnel, "a").await);
    assert_eq!(other.call("echo", json!({"text": "x"})).await.unwrap().0, 200, "nobody else is touched");

    let all = records(&tunnel.rig);
    let refused = all.iter().find(|record| record["stage"] == "verify").unwrap();
    let reason = refused["reason"].as_str().unwrap();
    assert!(reason.contains("LG-I410") && reason.contains("ann: a test"), "{reason}");
    let revoked = all.iter().find(|record| record["method"] == "identity/revoke").unwrap();
    assert_eq!((&revoked["agent"], &revoked["count"]), (&json!("ann"), &json!(2)));
    let figures = node.metrics.encode();
    assert!(
        figures.contains("lockgate_revocations 1") && figures.contains("lockgate_links_cut_total 2"),
        "{figures}"
    );

    assert_eq!(restore(node, agent("a")).await, 1);
    assert!(gets_in(&tunnel, "a").await);
}

#[tokio::test]
async fn a_call_on_a_link_that_raced_in_is_refused_with_the_check_that_failed() {
    let (rig, _) = rig::one().await;
    // A door that does not judge links as they come, as if the revocation came a moment later.
    let not_after = std::time::SystemTime::now() + Duration::from_secs(60);
    let address = rig::door(&rig.node, rig::agent("a", not_after), true).await;
    let mut client = rig::Client::to(address).await;
    client.initialize(PATH).await;
    for (target, code) in [("agent/a", "LG-I410"), ("serial:01", "LG-I414")] {
        let target = Target::parse(target, "test.example").unwrap();
        rig.node.revocations.add(Revocation::new(target.clone(), "ann", "secret reason", 0)).unwrap();
        let (status, answer) = client.tool(PATH, "echo", json!({})).await;
        assert_eq!((status.as_u16(), &error(&answer)["data"]["rule"]), (403, &json!(code)), "{answer}");
        assert!(!answer.contains("secret reason"), "why is for the operator: {answer}");
        let response = client.send("POST", "/.well-known/lockgate/renew", r#"{"csr":""}"#).await;
        assert_eq!(response.status(), 403);
        let body = rig::text(response).await;
        assert!(body.contains(code), "{body}");
        rig.node.revocations.restore(&target);
        assert_eq!(client.tool(PATH, "echo", json!({})).await.0, 200);
    }
}

#[tokio::test]
async fn a_revocation_is_kept_and_its_end_too() {
    let (rig, _) = rig::one().await;
    let store = lockgate_store::Store::in_memory().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let parts = Parts { store: store.clone(), ..rig::parts(Vec::new(), ALL, dir.path()) };
    let node = Node::new(parts);
    let now_ms = rig.node.now_ms();
    revoke(&node, agent("a")).await;
    revoke(&node, agent("b")).await;
    restore(&node, agent("b")).await;
    let ends =
        Revocation { until_ms: Some(now_ms + 1), ..Revocation::new(agent("c"), "ann", "", now_ms - 1) };
    node.revoke(ends).unwrap();
    let again = revoke::load(&store, now_ms + 1).unwrap();
    let targets: Vec<_> = again.list(now_ms).into_iter().map(|one| one.target).collect();
    assert_eq!(targets, [agent("a")]);
}

/// From the call to the last byte, over real tunnels: prints p50 and p99. Run with
/// `cargo test -p lockgate-proxy --release --test enforcement -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, no test"]
async fn measure_revocation_to_last_byte() {
    const ROUNDS: usize = 200;
    let tunnel = under(ALL).await;
    let dialer = tunnel.dialer("a", &rig::tunnel::suite("pq-hybrid", 1, &[]));
    let mut taken = Vec::new();
    for _ in 0..ROUNDS {
        let mut link = rig::tunnel::Agent::over(&dialer, tunnel.rig.address).await;
        assert_eq!(link.call("echo", json!({"text": "x"})).await.unwrap().0, 200);
        let node = Arc::clone(&tunnel.rig.node);
        let began = Instant::now();
        let ended = tokio::spawn(async move {
            link.closed().await;
            Instant::now()
        });
        revoke(&node, agent("a")).await;
        taken.push(ended.await.unwrap() - began);
        restore(&node, agent("a")).await;
    }
    taken.sort_unstable();
    println!(
        "revocation to last byte: p50 {:?}, p99 {:?}, {ROUNDS} rounds",
        taken[ROUNDS / 2],
        taken[ROUNDS * 99 / 100]
    );
}

#[tokio::test]
async fn a_killed_call_is_answered_once_and_its_agent_is_out_with_one_alert() {
    let tunnel = under(FATAL).await;
    let node = &tunnel.rig.node;
    let mut elsewhere = tunnel.agent("a", "pq-hybrid").await;
    assert_eq!(elsewhere.call("echo", json!({"text": "x"})).await.unwrap().0, 200);
    let mut killers = Vec::new();
    for _ in 0..10 {
        let mut link = tunnel.agent("a", "pq-hybrid").await;
        killers.push(tokio::spawn(async move {
            let answer = link.call("echo", json!({"a": [{"note": "see system_config"}]})).await;
            link.closed().await;
            answer.ok()
        }));
    }
    let mut answers = Vec::new();
    for killer in killers {
        answers.extend(killer.await.unwrap());
    }
    let killed: Vec<_> = answers.iter().filter(|(_, answer)| error(answer)["code"] == -31006).collect();
    assert!(!killed.is_empty(), "who was killed is told: {answers:?}");
    elsewhere.closed().await;
    assert!(!gets_in(&tunnel, "a").await);
    let all = records(&tunnel.rig);
    let alerts: Vec<_> = all.iter().filter(|record| record["method"] == "alert/kill").collect();
    assert_eq!(alerts.len(), 1, "{alerts:#?}");
    assert_eq!((&alerts[0]["consequence"], &alerts[0]["findings"]), (&json!("kill"), &json!(["LG-P012"])));
    assert!(all.iter().any(|record| record["kind"] == "refusal" && record["consequence"] == "kill"));
    assert!(node.metrics.encode().contains("lockgate_kills_total 1"));
    // Its name and its key.
    assert!(node.revocations.list(node.now_ms()).len() >= 2);
    restore(node, agent("a")).await;
    assert!(gets_in(&tunnel, "a").await, "a new key of its own, after it was restored");
    let before = observed(tunnel.wire, "").await["request_count"].clone();
    assert_eq!(before, 2, "only what was harmless got there: once before and once after");
}

#[tokio::test]
async fn a_held_call_passes_once_after_its_approval_and_only_as_it_was() {
    let tunnel = under(CAREFUL).await;
    let node = &tunnel.rig.node;
    let mut link = tunnel.agent("a", "pq-hybrid").await;
    let result = |answer: &str| -> Value {
        let value: Value = serde_json::from_str(rig::data(answer).unwrap()).unwrap();
        value["result"].clone()
    };
    let mut ids = Vec::new();
    for _ in 0..2 {
        let (status, answer) = link.call("echo", json!({"text": "pay"})).await.unwrap();
        let held = result(&answer);
        assert_eq!(
            (status.as_u16(), &held["isError"], &held["resultType"]),
            (200, &json!(true), &json!("complete"))
        );
        let hold = &held["_meta"]["lockgate/hold"];
        assert_eq!((&hold["state"], hold["retry_ms"].is_u64()), (&json!("pending"), true), "{answer}");
        let id = hold["id"].as_str().unwrap().to_owned();
        assert!(held["content"][0]["text"].as_str().unwrap().contains(&id), "the model reads it, too");
        ids.push(id);
    }
    assert_eq!(ids[0], ids[1], "asking again gives the same answer");
    assert_eq!(node.approvals.list(node.now_ms()).len(), 1);
    assert_eq!(observed(tunnel.wire, "").await["request_count"], 0);

    let approvals = Arc::clone(&node.approvals);
    let (id, now_ms) = (ids[0].clone(), node.now_ms());
    tokio::task::spawn_blocking(move || approvals.approve(&id, "ann", None, now_ms).unwrap()).await.unwrap();
    let (_, other) = link.call("echo", json!({"text": "pay more"})).await.unwrap();
    assert_eq!(result(&other)["_meta"]["lockgate/hold"]["state"], "pending", "{other}");
    let (_, passed) = link.call("echo", json!({"text": "pay"})).await.unwrap();
    assert!(result(&passed)["_meta"]["lockgate/hold"].is_null(), "{passed}");
    let (_, again) = link.call("echo", json!({"text": "pay"})).await.unwrap();
    let again = result(&again)["_meta"]["lockgate/hold"].clone();
    assert_eq!(again["state"], "pending", "an approval is good once");
    assert_ne!(again["id"], ids[0]);
    assert_eq!(observed(tunnel.wire, "").await["request_count"], 1);

    let approvals = Arc::clone(&node.approvals);
    let (id, now_ms) = (again["id"].as_str().unwrap().to_owned(), node.now_ms());
    tokio::task::spawn_blocking(move || approvals.reject(&id, "ann", "too much", now_ms).unwrap())
        .await
        .unwrap();
    let (_, rejected) = link.call("echo", json!({"text": "pay"})).await.unwrap();
    let rejected = result(&rejected);
    assert_eq!(rejected["_meta"]["lockgate/hold"]["state"], "rejected");
    assert!(rejected["content"][0]["text"].as_str().unwrap().contains("too much"));
    let all = records(&tunnel.rig);
    assert!(
        all.iter().any(|record| record["approval"] == "ann" && record["outcome"] == "ok"),
        "who approved is recorded"
    );
    assert!(
        all.iter().all(|record| record["arguments"].is_null()),
        "values are not, unless that is asked for"
    );
    assert!(all.iter().any(|record| record["argument_names"] == json!(["text"])));
}

#[tokio::test]
async fn an_approval_of_one_header_is_none_of_another() {
    let upstream = rig::wire().await;
    let policy = r#"
        @id("all") permit(principal, action, resource);
        @id("careful") @on_violation("hold")
        forbid(principal, action, resource) when { context.touched.contains("system_config") };
    "#;
    let rig = rig::gateway(&[("wire", upstream)], policy, lockgate_proxy::Limits::default()).await;
    let mut client = rig::Client::to(rig.address).await;
    client.initialize(PATH).await;
    let held = |body: &str| {
        let value: Value = serde_json::from_str(rig::data(body).unwrap()).unwrap();
        value["result"]["_meta"]["lockgate/hold"]["id"].as_str().map(str::to_owned)
    };
    let mut client = client.with("x-note", "of system_config the first part");
    let (_, body) = client.tool(PATH, "echo", json!({"text": "x"})).await;
    let id = held(&body).unwrap();
    let (approvals, now_ms, first) = (Arc::clone(&rig.node.approvals), rig.node.now_ms(), id.clone());
    let approve = move || approvals.approve(&first, "ann", None, now_ms).unwrap();
    within(tokio::task::spawn_blocking(approve)).await.unwrap();
    let mut client = client.with("x-note", "of system_config everything");
    let (_, body) = client.tool(PATH, "echo", json!({"text": "x"})).await;
    assert_ne!(held(&body).expect("another text, another question"), id);
    let mut client = client.with("x-note", "of system_config the first part");
    let (_, body) = client.tool(PATH, "echo", json!({"text": "x"})).await;
    assert_eq!(held(&body), None, "{body}");
}

#[tokio::test]
async fn policies_that_close_a_server_end_what_is_open_there() {
    let tunnel = under(ALL).await;
    let node = &tunnel.rig.node;
    let mut listener = tunnel.agent_http1("a", "pq-hybrid").await;
    listener.initialize(PATH).await;
    let mut stream = listener.send("GET", PATH, "").await.into_body();
    assert!(within(stream.frame()).await.unwrap().is_ok());
    node.put_policies(policies(ALL, 2));
    assert_eq!(node.sessions.len(), 1, "what may go on does");
    node.put_policies(policies(
        r#"@id("all") permit(principal, action, resource);
           @id("closed") forbid(principal, action, resource == Lockgate::Server::"wire");
           @id("none") forbid(principal, action, resource in Lockgate::Server::"wire");"#,
        3,
    ));
    while let Some(Ok(_)) = within(stream.frame()).await {}
    assert!(node.sessions.is_empty());
    assert_eq!(node.links.len(), 1, "the link itself may stay");
}

#[tokio::test]
async fn values_are_in_no_record_and_encrypted_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Arc::new(Vault::open(folder.path(), Box::new(InMemory::default())).unwrap());
    let place = Place::Argument(vec!["patient".to_owned()]);
    let rules = Rules::new(vec![Rule { server: None, tool: None, place, kind: "patient".to_owned() }]);
    let describer = Describer::new(rules, Arc::clone(&vault), None);
    let tunnel = Tunnel::with("pq-hybrid", |parts: &mut Parts| {
        parts.describer = describer;
        parts.policies = policies(
            r#"@id("all") permit(principal, action, resource);
               @id("kept") @record_for("treatment")
               permit(principal, action in Lockgate::Action::"tools/call", resource) when { context.names.contains("note") };
               @id("no") forbid(principal, action, resource) when { context.touched.contains("forbidden-word") };"#,
            1,
        );
    })
    .await;
    let mut link = tunnel.agent("a", "pq-hybrid").await;
    let arguments = json!({"patient": "P-4711", "text": "hepatitis", "ann@example.org": 1});
    link.call("echo", arguments.clone()).await.unwrap();
    let kept = json!({"patient": "P-4711", "text": "hepatitis", "note": "x"});
    link.call("echo", kept.clone()).await.unwrap();
    let denied = json!({"patient": "P-4711", "text": "a forbidden-word"});
    link.call("echo", denied).await.unwrap();
    let lines = lockgate_audit::tail(&tunnel.rig.dir.path().join("audit"), 100).unwrap();
    for secret in ["4711", "hepatitis", "ann@example.org"] {
        assert!(lines.iter().all(|line| !line.contains(secret)), "{secret} in {lines:#?}");
    }
    let entries: Vec<_> = lines.iter().filter_map(|line| lockgate_audit::Entry::parse(line).ok()).collect();
    let calls: Vec<_> = entries
        .iter()
        .map(|entry| &entry.record)
        .filter(|record| record.method.as_deref() == Some("tools/call"))
        .collect();
    let [plain, content, refused] = calls[..] else { panic!("three calls: {calls:#?}") };
    assert_eq!(*plain.argument_names, ["*", "patient", "text"]);
    assert!(plain.content.is_none() && plain.subjects.len() == 1 && plain.subjects == content.subjects);
    assert_eq!(plain.committed[1].tag, content.committed[1].tag, "the same value of the same subject");
    assert!(plain.committed_result.iter().any(|one| one.path == "content[0].text" && one.tag.is_some()));
    assert_eq!(refused.subjects, plain.subjects, "what was refused is about somebody, too");
    let open = Open::of(content, &vault).unwrap().expect("the keys are there");
    assert_eq!(serde_json::from_str::<Value>(open.arguments.unwrap().get()).unwrap(), kept);
    assert!(open.result.unwrap().get().contains("hepatitis"));
}

#[tokio::test]
async fn a_result_is_cut_to_what_may_pass_and_withheld_where_it_cannot_be() {
    let tunnel = under(r#"@id("some") @result_hidden("ssn") permit(principal, action, resource);"#).await;
    let mut link = tunnel.agent("a", "pq-hybrid").await;
    let row = json!({"name": "Ann", "ssn": "s3cret"});
    let result = json!({"content": [{"type": "text", "text": row.to_string()}], "structuredContent": row});
    let (_, answer) = link.call("exact", json!({"text": result.to_string()})).await.unwrap();
    assert!(answer.contains("Ann") && !answer.contains("s3cret") && !answer.contains("ssn"), "{answer}");
    let plain = json!({"content": [{"type": "text", "text": "her ssn is s3cret"}]});
    let (_, answer) = link.call("exact", json!({"text": plain.to_string()})).await.unwrap();
    assert!(answer.contains("withheld") && !answer.contains("s3cret"), "{answer}");
}

#[tokio::test]
async fn what_a_shadow_would_have_done_is_noted_and_not_done() {
    let tunnel = under(
        r#"@id("all") permit(principal, action, resource);
           @id("strict") @mode("shadow") forbid(principal, action, resource == Lockgate::Tool::"wire/echo");"#,
    )
    .await;
    let mut link = tunnel.agent("a", "pq-hybrid").await;
    assert_eq!(link.call("echo", json!({"text": "x"})).await.unwrap().0, 200);
    let record = records(&tunnel.rig).into_iter().find(|record| record["method"] == "tools/call").unwrap();
    assert_eq!(record["outcome"], "ok");
    assert!(record["shadow"].is_string(), "{record}");
}

#[tokio::test]
async fn a_server_that_a_caller_may_not_connect_with_is_not_there_for_it() {
    const CLOSED: &str = r#"
        @id("all") permit(principal, action, resource);
        @id("never") @on_violation("kill")
        forbid(principal, action in Lockgate::Action::"session", resource == Lockgate::Server::"billing");
    "#;
    let (crm, billing) = (rig::wire().await, rig::wire().await);
    let servers = [("crm", crm), ("billing", billing)];
    let rig = rig::gateway(&servers, CLOSED, lockgate_proxy::Limits::default()).await;
    let mut client = rig::Client::modern(rig.address).await;
    let (_, listed) = client.asked("/mcp", &rig::modern(1, "tools/list", json!({}))).await;
    let text = listed.to_string();
    assert!(text.contains("crm_echo") && !text.contains("billing"), "{text}");
    let (_, lost) = client.asked("/nowhere", &rig::modern(2, "tools/list", json!({}))).await;
    assert!(!lost.to_string().contains("billing"), "{lost}");
    assert!(rig.node.revocations.list(rig.node.now_ms()).is_empty(), "to ask all servers is no offence");
    let (_, killed) = client.asked("/servers/billing/mcp", &rig::modern(3, "tools/list", json!({}))).await;
    assert_eq!(killed["error"]["code"], -31006, "{killed}");
    client.closed().await;
    assert_eq!(observed(billing, "").await["request_count"], 0, "nothing was dialled");
    assert!(!rig.node.revocations.list(rig.node.now_ms()).is_empty());
}
