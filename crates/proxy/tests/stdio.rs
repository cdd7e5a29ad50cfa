//! Servers that are child processes: this very test binary, started again as one.

#![allow(clippy::unwrap_used, reason = "what fails here is a test that fails")]

mod rig;

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::sync::Arc;

use lockgate_proxy::upstream::stdio::StdioUpstream;
use lockgate_proxy::upstream::{Transport, Upstream};
use lockgate_proxy::{Limits, Server};
use lockgate_transport::child;
use rig::{ALL, Client, Events, Rig, data, gateway_of, modern, records, text};
use serde_json::{Value, json};

const PATH: &str = "/servers/child/mcp";

/// Set in the environment of a child.
const IS_CHILD: &str = "LOCKGATE_TEST_CHILD";

/// Not a test: the child that the tests here start.
#[test]
fn child_process() {
    if std::env::var_os(IS_CHILD).is_none() {
        return;
    }
    // What the test harness has printed so far is a line of its own, and no message.
    println!();
    let mut held: Vec<Value> = Vec::new();
    let mut heard: Vec<Value> = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line.unwrap()).unwrap();
        for said in child_says(&message, &mut held, &heard) {
            println!("{said}");
        }
        std::io::stdout().flush().unwrap();
        heard.push(message);
    }
    std::process::exit(0);
}

fn child_says(message: &Value, held: &mut Vec<Value>, heard: &[Value]) -> Vec<Value> {
    let answer = |to: &Value, result: Value| json!({"jsonrpc": "2.0", "id": to["id"], "result": result});
    let said = |text: String| json!({"content": [{"type": "text", "text": text}]});
    let note = |method: &str, params: Value| json!({"jsonrpc": "2.0", "method": method, "params": params});
    match (message["method"].as_str(), message["params"]["name"].as_str()) {
        (None, _) if !held.is_empty() => {
            let asked = held.remove(0);
            vec![answer(&asked, said(message["result"].to_string()))]
        }
        (Some("initialize"), _) => {
            vec![answer(message, json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}}))]
        }
        (Some("subscriptions/listen"), _) => {
            let meta = json!({"_meta": {"io.modelcontextprotocol/subscriptionId": message["id"]}});
            vec![note("notifications/subscriptions/acknowledged", meta)]
        }
        (_, Some("pid")) => vec![answer(message, said(std::process::id().to_string()))],
        (_, Some("heard")) => vec![answer(message, said(Value::from(heard.to_vec()).to_string()))],
        (_, Some("hold")) => {
            held.push(message.clone());
            vec![note(
                "notifications/progress",
                json!({"progressToken": message["params"]["_meta"]["progressToken"], "progress": 1}),
            )]
        }
        // Both that are held are told how far they are, and answered, the later one first.
        (_, Some("release")) => {
            let mut all: Vec<Value> = held
                .iter()
                .map(|call| {
                    note(
                        "notifications/progress",
                        json!({"progressToken": call["params"]["_meta"]["progressToken"],
                    "progress": 2, "message": call["params"]["arguments"]["label"]}),
                    )
                })
                .collect();
            all.extend(
                held.drain(..)
                    .rev()
                    .map(|call| answer(&call, said(call["params"]["arguments"]["label"].to_string()))),
            );
            all.push(answer(message, said("released".into())));
            all
        }
        (_, Some("flood")) => {
            let token = &message["params"]["_meta"]["progressToken"];
            let piece = |n| {
                note(
                    "notifications/progress",
                    json!({"progressToken": token, "progress": n, "message": "x".repeat(10_000)}),
                )
            };
            (0..2_000).map(piece).chain([answer(message, said("flooded".into()))]).collect()
        }
        (_, Some("ask")) => {
            held.push(message.clone());
            vec![
                json!({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": {"message": "well?"}}),
            ]
        }
        (_, Some("die")) => {
            eprintln!("token=s3cret");
            std::process::exit(3)
        }
        (Some(_), _) if !message["id"].is_null() => vec![answer(message, json!({}))],
        _ => Vec::new(),
    }
}

/// A gateway before a server that is this binary.
async fn children(children_max: usize, limits: Limits) -> Rig {
    children_of(child::Limits { children_max, ..child::Limits::default() }, limits).await
}

async fn children_of(of_child: child::Limits, limits: Limits) -> Rig {
    let limits = Arc::new(limits);
    let spawner = Arc::new(child::Spawner::new(of_child));
    let spec = child::Spec {
        server: "child".into(),
        program: std::env::current_exe().unwrap().to_str().unwrap().into(),
        args: ["--exact", "child_process", "--nocapture"].map(String::from).to_vec(),
        env: BTreeMap::from([(IS_CHILD.to_owned(), "1".to_owned())]),
        cwd: None,
    };
    let stdio = StdioUpstream::new(spawner, spec, limits.clone());
    let upstream = Upstream::new(Transport::Stdio(stdio), limits.clone());
    gateway_of(vec![Server::new("child".into(), upstream)], ALL, limits).await
}

fn said(answer: &str) -> String {
    let answer: Value = serde_json::from_str(data(answer).unwrap()).unwrap();
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn tool(id: u64, name: &str, arguments: Value) -> Value {
    modern(id, "tools/call", json!({"name": name, "arguments": arguments}))
}

async fn called(client: &mut Client, request: &Value) -> String {
    let response = client.ask(PATH, request).await;
    assert_eq!(response.status(), 200);
    text(response).await
}

#[tokio::test]
async fn each_legacy_session_has_a_child_of_its_own_and_takes_it_along() {
    let rig = children(8, Limits::default()).await;
    let (mut one, mut two) = (Client::to(rig.address).await, Client::to(rig.address).await);
    one.initialize(PATH).await;
    two.initialize(PATH).await;
    let pid = |answer: (http::StatusCode, String)| said(&answer.1);
    let first = pid(one.tool(PATH, "pid", json!({})).await);
    assert_eq!(pid(one.tool(PATH, "pid", json!({})).await), first);
    assert_ne!(pid(two.tool(PATH, "pid", json!({})).await), first);
    assert_eq!(rig.node.status().servers[0].children, Some(2));
    let ended = one.send("DELETE", PATH, "").await;
    assert_eq!(ended.status(), 200);
    let _ = text(ended).await;
    assert_eq!(one.tool(PATH, "pid", json!({})).await.0, 404);
    assert_eq!(two.tool(PATH, "pid", json!({})).await.0, 200);
}

#[tokio::test]
async fn a_child_that_dies_fails_one_call_keeps_its_secrets_and_is_started_again() {
    let rig = children(8, Limits { circuit_failures_max: 1, ..Limits::default() }).await;
    let mut client = Client::to(rig.address).await;
    client.initialize(PATH).await;
    let first = said(&client.tool(PATH, "pid", json!({})).await.1);
    let (status, answer) = client.tool(PATH, "die", json!({})).await;
    let error: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status.as_u16(), &error["error"]["code"]), (502, &json!(-31003)), "{answer}");
    assert!(answer.contains("exited with code 3"), "{answer}");
    assert!(!answer.contains("s3cret"), "what it wrote to stderr is for the operator: {answer}");

    let (status, answer) = client.tool(PATH, "pid", json!({})).await;
    assert_eq!(status, 200, "one child's end is no reason to leave the server alone: {answer}");
    assert_ne!(said(&answer), first);
    let heard = said(&client.tool(PATH, "heard", json!({})).await.1);
    let heard: Vec<Value> = serde_json::from_str(&heard).unwrap();
    let methods: Vec<_> = heard.iter().map(|m| m["method"].as_str().unwrap()).collect();
    assert_eq!(methods[..2], ["initialize", "notifications/initialized"], "the session was opened anew");
    assert!(rig.node.metrics.encode().contains("lockgate_sessions_recovered_total 1"));
}

#[tokio::test]
async fn a_legacy_child_asks_its_client_and_hears_the_answer() {
    let rig = children(8, Limits::default()).await;
    let mut client = Client::to(rig.address).await;
    client.initialize(PATH).await;
    let mut answering = Client::to(rig.address).await;
    answering.headers = client.headers.clone();
    let mut stream = Events::of(client.send("POST", PATH, &rig::call(1, "ask", &json!({}))).await);
    assert_eq!(stream.next().await.unwrap()["id"], "q");
    let (status, _, _) =
        answering.post(PATH, r#"{"jsonrpc":"2.0","id":"q","result":{"action":"decline"}}"#).await;
    assert_eq!(status, 202);
    let result = stream.next().await.unwrap();
    assert_eq!(
        (&result["id"], &result["result"]["content"][0]["text"]),
        (&json!(1), &json!(r#"{"action":"decline"}"#))
    );
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn calls_of_one_modern_agent_share_a_child_even_if_they_come_all_at_once() {
    let rig = children(1, Limits::default()).await;
    let mut all = Vec::new();
    for _ in 0..12 {
        let mut client = Client::modern(rig.address).await;
        all.push(tokio::spawn(async move { said(&called(&mut client, &tool(1, "pid", json!({}))).await) }));
    }
    let mut pids = Vec::new();
    for one in all {
        pids.push(one.await.unwrap());
    }
    pids.dedup();
    assert_eq!(pids.len(), 1, "{pids:?}");
}

#[tokio::test]
async fn modern_clients_with_the_same_ids_and_tokens_share_a_child_and_nothing_else() {
    let rig = children(8, Limits::default()).await;
    let mut streams = Vec::new();
    for label in ["left", "right"] {
        let mut client = Client::modern(rig.address).await;
        let mut request = tool(7, "hold", json!({"label": label}));
        request["params"]["_meta"]["progressToken"] = "t".into();
        let mut stream = Events::of(client.ask(PATH, &request).await);
        let first = stream.next().await.unwrap();
        assert_eq!(
            (&first["params"]["progressToken"], &first["params"]["progress"]),
            (&json!("t"), &json!(1))
        );
        streams.push((label, client, stream));
    }
    let mut other = Client::modern(rig.address).await;
    // Whoever says that request 1 is cancelled means one of its own, and cannot name another's.
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    let headers = other.headers.clone();
    other.headers.insert("mcp-method", "notifications/cancelled".parse().unwrap());
    assert_eq!(other.post(PATH, &cancel.to_string()).await.0, 202);
    other.headers = headers;
    let heard = said(&called(&mut other, &tool(1, "heard", json!({}))).await);
    assert!(!heard.contains("notifications/cancelled"), "{heard}");

    assert_eq!(said(&called(&mut other, &tool(7, "release", json!({}))).await), "released");
    for (label, _client, mut stream) in streams {
        let progress = stream.next().await.unwrap();
        assert_eq!(
            (&progress["params"]["progressToken"], &progress["params"]["message"]),
            (&json!("t"), &json!(label))
        );
        let result = stream.next().await.unwrap();
        assert_eq!(
            (&result["id"], &result["result"]["content"][0]["text"]),
            (&json!(7), &json!(format!("\"{label}\"")))
        );
        assert_eq!(stream.next().await, None);
    }
}

#[tokio::test]
async fn a_modern_client_that_leaves_cancels_its_call_at_the_child() {
    let rig = children(8, Limits::default()).await;
    let mut client = Client::modern(rig.address).await;
    let mut request = tool(7, "hold", json!({}));
    request["params"]["_meta"]["progressToken"] = "t".into();
    let mut stream = Events::of(client.ask(PATH, &request).await);
    assert_eq!(stream.next().await.unwrap()["method"], "notifications/progress");
    drop((stream, client));
    // The child hears it as soon as the gateway does; asking goes the same way, so it is asked until it has.
    let mut other = Client::modern(rig.address).await;
    let heard = loop {
        let heard = said(&called(&mut other, &tool(1, "heard", json!({}))).await);
        if heard.contains("notifications/cancelled") {
            break heard;
        }
    };
    let heard: Vec<Value> = serde_json::from_str(&heard).unwrap();
    let held = heard.iter().find(|m| m["params"]["name"] == "hold").unwrap();
    let cancelled = heard.iter().find(|m| m["method"] == "notifications/cancelled").unwrap();
    assert_eq!(cancelled["params"]["requestId"], held["id"], "under the id that the child knows");
    assert_eq!(records(&rig).iter().filter(|r| r["outcome"] == "cancelled").count(), 1);
}

#[tokio::test]
async fn a_modern_child_that_dies_is_replaced_for_the_next_call() {
    let rig = children(8, Limits { circuit_failures_max: 1, ..Limits::default() }).await;
    let mut client = Client::modern(rig.address).await;
    let first = said(&called(&mut client, &tool(1, "pid", json!({}))).await);
    let (status, answer) = client.asked(PATH, &tool(2, "die", json!({}))).await;
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (502, &json!(-31003)), "{answer}");
    assert_ne!(said(&called(&mut client, &tool(3, "pid", json!({}))).await), first);
}

#[tokio::test]
async fn a_subscription_at_a_child_keeps_the_clients_id() {
    let rig = children(8, Limits::default()).await;
    let mut client = Client::modern(rig.address).await;
    let request = modern(41, "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
    let mut stream = Events::of(client.ask(PATH, &request).await);
    let acknowledged = stream.next().await.unwrap();
    assert_eq!(
        acknowledged["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 41,
        "{acknowledged}"
    );
    assert_eq!(rig.node.status().calls_in_flight, 0, "who listens is no call in flight");
    rig.node.draining.cancel();
    let end = stream.next().await.unwrap();
    assert_eq!((&end["id"], &end["error"]["code"]), (&json!(41), &json!(-31005)), "{end}");
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn a_child_too_many_is_refused_with_a_name_and_harms_no_session() {
    let rig = children(1, Limits { circuit_failures_max: 1, ..Limits::default() }).await;
    let mut first = Client::to(rig.address).await;
    first.initialize(PATH).await;
    let mut second = Client::to(rig.address).await;
    let init = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    let (status, _, answer) = second.post(PATH, &init.to_string()).await;
    assert_eq!(status, 503, "{answer}");
    assert!(answer.contains("limits.children_max"), "{answer}");
    assert_eq!(first.tool(PATH, "pid", json!({})).await.0, 200);
    drop(first.send("DELETE", PATH, "").await);
    // The place is free when the child has gone.
    while second.post(PATH, &init.to_string()).await.0 != 200 {}
}

#[tokio::test]
async fn who_reads_slowly_is_left_behind_by_the_others_of_its_child() {
    let rig = children(1, Limits::default()).await;
    let mut slow = Client::modern(rig.address).await;
    let mut request = tool(7, "flood", json!({}));
    request["params"]["_meta"]["progressToken"] = "t".into();
    let mut stream = Events::of(slow.ask(PATH, &request).await);
    // The child is one, and says one thing after the other: this is answered when it has got rid of the flood.
    let mut other = Client::modern(rig.address).await;
    said(&called(&mut other, &tool(1, "pid", json!({}))).await);
    let mut last = Value::Null;
    while let Some(event) = stream.next().await {
        last = event;
    }
    assert_eq!((&last["id"], &last["error"]["code"]), (&json!(7), &json!(-31003)), "{last}");
    assert!(last["error"]["message"].as_str().unwrap().contains("slowly"), "{last}");
}

#[tokio::test]
async fn a_child_past_its_life_is_replaced_when_it_has_nothing_to_do() {
    let of_child = child::Limits { life_s_max: Some(0), ..child::Limits::default() };
    let rig = children_of(of_child, Limits::default()).await;
    let mut client = Client::to(rig.address).await;
    client.initialize(PATH).await;
    while rig.node.status().servers[0].children != Some(0) {
        tokio::task::yield_now().await;
    }
    let (status, answer) = client.tool(PATH, "heard", json!({})).await;
    assert_eq!(status, 200, "its session does not notice: {answer}");
    assert!(said(&answer).contains("initialize"), "{answer}");
}

#[tokio::test]
async fn a_child_that_has_nothing_to_do_makes_room_for_another_party() {
    let rig = children(1, Limits::default()).await;
    let (mut first, mut second) = (Client::to(rig.address).await, Client::to(rig.address).await);
    first.initialize(PATH).await;
    let pid = said(&first.tool(PATH, "pid", json!({})).await.1);
    let rested = || async {
        tokio::time::pause();
        tokio::time::advance(std::time::Duration::from_secs(61)).await;
        tokio::time::resume();
    };
    rested().await;
    second.initialize(PATH).await;
    assert_eq!(second.tool(PATH, "pid", json!({})).await.0, 200);
    let (status, answer) = first.tool(PATH, "pid", json!({})).await;
    assert_eq!(status, 503, "the second's has just been used: {answer}");
    rested().await;
    let (status, answer) = first.tool(PATH, "pid", json!({})).await;
    assert_eq!(status, 200, "it comes back under its session: {answer}");
    assert_ne!(said(&answer), pid);
}
