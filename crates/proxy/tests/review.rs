//! What got past the three enforcement points once, each as a test.

#![allow(clippy::unwrap_used, reason = "what fails here is a test that fails")]

mod rig;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use lockgate_policy::{Options, Policies, Source};
use lockgate_proxy::tasks::Tasks;
use lockgate_proxy::{Limits, Node, Parts, Server};
use lockgate_store::Store;
use rig::scripted::{event, events, scripted, stream_of, typed, whole};
use rig::{ALL, Client, Events, agent, data, door, gateway, modern, within};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const PATH: &str = "/servers/crm/mcp";

fn put(node: &Arc<Node>, text: &str, generation: u64) {
    let source = [Source { name: "test.cedar", text }];
    node.put_policies(Policies::parse(&source, &Options::bare(generation)).unwrap());
}

/// The door of an agent of this name.
async fn client_of(node: &Arc<Node>, name: &str) -> Client {
    let not_after = SystemTime::now() + Duration::from_secs(600);
    Client::modern(door(node, agent(name, not_after), true).await).await
}

#[tokio::test]
async fn a_result_is_held_to_the_policies_of_the_moment_when_it_comes() {
    const ONLY: &str = r#"@id("all") @result_fields("name") permit(principal, action, resource);"#;
    const NEVER: &str = r#"@id("all") permit(principal, action, resource);
        @id("never") forbid(principal, action, resource == Lockgate::Tool::"crm/read");"#;
    for (policy, expected) in [(ONLY, Some(r#"{"name":"Ann"}"#)), (NEVER, None)] {
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Mutex::new(Some(receiver));
        let upstream = scripted(move |seen| match seen.method() {
            "tools/call" => stream_of(waiting.lock().unwrap().take().expect("one call")),
            _ => seen.usual("s-1"),
        })
        .await;
        let rig = gateway(&[("crm", upstream)], ALL, Limits::default()).await;
        let mut client = Client::to(rig.address).await;
        client.initialize(PATH).await;
        sender.send(": it has begun\n\n".to_owned()).unwrap();
        let mut stream = Events::of(client.send("POST", PATH, &rig::call(7, "read", &json!({}))).await);
        assert!(stream.event().await.unwrap().is_comment);
        put(&rig.node, policy, 2);
        let note = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "s3cret"}});
        let row = json!({"jsonrpc": "2.0", "id": 7, "result": {"structuredContent": {"name": "Ann", "ssn": "s3cret"}}});
        // A server whose stream has ended may be told so by a sender that nobody hears.
        let _ = sender.send(event(&note));
        let _ = sender.send(event(&row));
        let mut all = String::new();
        while let Some(message) = stream.next().await {
            all += &message.to_string();
            if message["id"] == 7 {
                break;
            }
        }
        assert!(!all.contains("s3cret"), "{all}");
        match expected {
            Some(expected) => assert!(all.contains(expected), "{all}"),
            None => assert!(all.contains("-31001"), "{all}"),
        }
    }
}

#[tokio::test]
async fn a_task_is_for_the_agent_whose_call_it_is() {
    let upstream = scripted(|seen| match seen.method() {
        "tools/call" => whole(200, &seen.result(json!({"resultType": "task", "taskId": "t-1", "status": "working"}))),
        "tasks/get" | "tasks/cancel" => {
            whole(200, &seen.result(json!({"resultType": "complete", "taskId": "t-1", "status": "completed", "result": {"content": []}})))
        }
        "subscriptions/listen" => events(&event(&seen.result(json!({"resultType": "complete"})))),
        _ => seen.usual("unused"),
    })
    .await;
    let rig = gateway(&[("crm", upstream)], ALL, Limits::default()).await;
    let (mut ann, mut bob) = (client_of(&rig.node, "ann").await, client_of(&rig.node, "bob").await);
    ann.asked(PATH, &modern(1, "tools/call", json!({"name": "long", "arguments": {}}))).await;
    for (method, params) in [
        ("tasks/get", json!({"taskId": "t-1"})),
        ("tasks/cancel", json!({"taskId": "t-1"})),
        ("subscriptions/listen", json!({"notifications": {"taskIds": ["t-1"]}})),
    ] {
        let (_, refused) = bob.asked(PATH, &modern(2, method, params.clone())).await;
        assert_eq!(refused["error"]["code"], -32602, "{method}: {refused}");
        let (_, answered) = ann.asked(PATH, &modern(3, method, params)).await;
        assert!(answered.get("result").is_some(), "{method}: {answered}");
    }
}

#[tokio::test]
async fn a_task_outlives_a_restart_with_its_agent_and_its_cuts() {
    const ONLY: &str = r#"@id("all") @result_fields("name") permit(principal, action, resource);"#;
    let upstream = scripted(|seen| match seen.method() {
        "tools/call" => {
            whole(200, &seen.result(json!({"resultType": "task", "taskId": "t-1", "status": "working"})))
        }
        "tasks/get" => whole(
            200,
            &seen.result(json!({"resultType": "complete", "taskId": "t-1", "status": "completed",
                "result": {"structuredContent": {"name": "Ann", "ssn": "s3cret"}}})),
        ),
        _ => seen.usual("unused"),
    })
    .await;
    let (store, limits) = (Store::in_memory().unwrap(), Arc::new(Limits::default()));
    let start = |policy: &str| {
        let dir = tempfile::tempdir().unwrap();
        let servers = vec![Server::new("crm".to_owned(), rig::upstream(upstream, &limits))];
        let tasks = Tasks::load(store.clone()).unwrap();
        (Node::new(Parts { tasks, ..rig::parts(servers, policy, dir.path()) }), dir)
    };
    let before = start(ONLY);
    let call = modern(1, "tools/call", json!({"name": "long", "arguments": {}}));
    let (_, begun) = client_of(&before.0, "ann").await.asked(PATH, &call).await;
    assert!(begun.get("result").is_some(), "{begun}");
    drop(before);
    // The policies of now would let all of it pass; those that permitted the call did not.
    let after = start(ALL);
    let asked = modern(2, "tasks/get", json!({"taskId": "t-1"}));
    let (_, refused) = client_of(&after.0, "bob").await.asked(PATH, &asked).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    let (_, done) = client_of(&after.0, "ann").await.asked(PATH, &asked).await;
    assert!(done.to_string().contains("Ann") && !done.to_string().contains("s3cret"), "{done}");
}

#[tokio::test]
async fn one_subscription_opens_no_more_resources_than_one_by_one() {
    const POLICY: &str = r#"
        @id("list") permit(principal, action in [Lockgate::Action::"session", Lockgate::Action::"list"], resource);
        @id("open") permit(principal, action == Lockgate::Action::"resources/subscribe", resource == Lockgate::Resource::"crm/file:///open");
    "#;
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Mutex::new(Some(receiver));
    let upstream = scripted(move |seen| match seen.method() {
        "subscriptions/listen" => stream_of(waiting.lock().unwrap().take().expect("one subscription")),
        _ => seen.usual("unused"),
    })
    .await;
    let rig = gateway(&[("crm", upstream)], POLICY, Limits::default()).await;
    let mut client = Client::modern(rig.address).await;
    let listen = |resources: Value| {
        modern(1, "subscriptions/listen", json!({"notifications": {"resourceSubscriptions": resources}}))
    };
    let (_, refused) = client.asked(PATH, &listen(json!(["file:///open", "file:///closed"]))).await;
    assert_eq!(refused["error"]["code"], -31001, "{refused}");
    let (_, refused) = client.asked(PATH, &listen(json!("file:///closed"))).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    let many: Vec<String> = (0..300).map(|n| format!("file:///{n}")).collect();
    let (_, refused) = client.asked(PATH, &listen(json!(many))).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");

    let note = event(
        &json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "file:///open"}}),
    );
    sender.send(note).unwrap();
    let mut stream = Events::of(client.ask(PATH, &listen(json!(["file:///open"]))).await);
    assert_eq!(stream.next().await.unwrap()["params"]["uri"], "file:///open");
    // Policies that close the resource end the subscription to it.
    put(
        &rig.node,
        r#"@id("list") permit(principal, action in [Lockgate::Action::"session", Lockgate::Action::"list"], resource);"#,
        2,
    );
    let last = stream.next().await.unwrap();
    assert_eq!(last["error"]["code"], -31001, "{last}");
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn templates_are_for_those_who_may_read() {
    const LIST: &str = r#"@id("list") permit(principal, action in [Lockgate::Action::"session", Lockgate::Action::"list"], resource);"#;
    let upstream = scripted(|seen| match seen.method() {
        "resources/templates/list" => whole(
            200,
            &seen.result(json!({"resourceTemplates": [{"uriTemplate": "db:///patients/{id}", "name": "p"}]})),
        ),
        _ => seen.usual("s-1"),
    })
    .await;
    let read = format!(
        r#"{LIST} @id("read") permit(principal, action == Lockgate::Action::"resources/read", resource);"#
    );
    for (policy, shown) in [(LIST, 0), (read.as_str(), 1)] {
        let rig = gateway(&[("crm", upstream), ("docs", upstream)], policy, Limits::default()).await;
        let mut client = Client::to(rig.address).await;
        for path in [PATH, "/mcp"] {
            client.headers.remove("mcp-session-id");
            client.initialize(path).await;
            let (_, _, body) =
                client.post(path, r#"{"jsonrpc":"2.0","id":1,"method":"resources/templates/list"}"#).await;
            let listed: Value = serde_json::from_str(data(&body).unwrap()).unwrap();
            let count = listed["result"]["resourceTemplates"].as_array().unwrap().len();
            assert_eq!(count > 0, shown > 0, "{path}: {listed}");
        }
    }
}

#[tokio::test]
async fn an_id_that_is_used_twice_lifts_no_cut() {
    const POLICY: &str = r#"
        @id("rest") permit(principal, action in [Lockgate::Action::"session", Lockgate::Action::"list"], resource);
        @id("cut") @result_fields("name") permit(principal, action in Lockgate::Action::"tools/call", resource == Lockgate::Tool::"crm/cut");
        @id("free") permit(principal, action in Lockgate::Action::"tools/call", resource == Lockgate::Tool::"crm/free");
    "#;
    let upstream = scripted(|seen| match (seen.verb.as_str(), seen.method()) {
        ("POST", "tools/call") => events("id: ev-1\nretry: 10\ndata: \n\n"),
        ("GET", _) => {
            let late = json!({"jsonrpc": "2.0", "id": 7, "result": {"structuredContent": {"name": "Ann", "ssn": "s3cret"}}});
            events(&format!("id: ev-2\n{}", event(&late)))
        }
        _ => seen.usual("s-1"),
    })
    .await;
    let rig = gateway(&[("crm", upstream)], POLICY, Limits::default()).await;
    let mut client = Client::to(rig.address).await;
    client.initialize(PATH).await;
    // Both are left before their answer, under one id; the answer of the first comes.
    client.tool(PATH, "cut", json!({})).await;
    client.tool(PATH, "free", json!({})).await;
    let mut client = client.with("last-event-id", "ev-1");
    let late = rig::text(client.send("GET", PATH, "").await).await;
    assert!(late.contains("Ann") && !late.contains("s3cret"), "{late}");
}

#[tokio::test]
async fn neither_headers_nor_faults_of_a_server_say_what_its_results_may_not() {
    const POLICY: &str = r#"@id("cut") @result_fields("name") permit(principal, action, resource);"#;
    let upstream = scripted(|seen| match (seen.method(), seen.body["params"]["name"].as_str()) {
        ("tools/call", Some("headers")) => {
            let mut answer = whole(200, &seen.result(json!({"content": []})));
            answer.headers_mut().insert("cache-control", "no-store, ssn=s3cret".parse().unwrap());
            answer.headers_mut().insert("allow", "s3cret".parse().unwrap());
            answer
        }
        ("tools/call", Some("id")) => whole(200, &json!({"jsonrpc": "2.0", "id": "s3cret", "result": {}})),
        ("tools/call", Some("name")) => {
            typed(200, "application/json", r#"{"jsonrpc":"2.0","id":7,"s3cret":1,"s3cret":2,"result":{}}"#)
        }
        ("tools/call", Some("event")) => events("data: {\"jsonrpc\":\"2.0\",\"s3cret\":1,\"s3cret\":2}\n\n"),
        _ => seen.usual("s-1"),
    })
    .await;
    let rig = gateway(&[("crm", upstream)], POLICY, Limits::default()).await;
    let mut client = Client::to(rig.address).await;
    client.initialize(PATH).await;
    for tool in ["headers", "id", "name", "event"] {
        let (_, headers, body) = client.post(PATH, &rig::call(7, tool, &json!({}))).await;
        assert!(
            !body.contains("s3cret") && !format!("{headers:?}").contains("s3cret"),
            "{tool}: {headers:?} {body}"
        );
        assert!(body.contains("\"id\":7"), "{tool}: {body}");
    }
}

/// Requests that a client sent in one piece with the one that kills it lie in the link's buffer by then: none is served.
#[tokio::test]
async fn what_lies_behind_a_call_that_kills_is_not_served() {
    const FATAL: &str = r#"
        @id("all") permit(principal, action, resource);
        @id("never") @on_violation("kill")
        forbid(principal, action, resource) when { context.touched.contains("system_config") };
    "#;
    let called = Arc::new(Mutex::new(Vec::new()));
    let calls = Arc::clone(&called);
    let upstream = scripted(move |seen| match seen.method() {
        "tools/call" => {
            calls.lock().unwrap().push(seen.body["params"]["arguments"]["text"].clone());
            whole(200, &seen.result(json!({"content": []})))
        }
        _ => seen.usual("unused"),
    })
    .await;
    let request = |id: u64, text: &str| {
        let body = modern(id, "tools/call", json!({"name": "read", "arguments": {"text": text}})).to_string();
        format!(
            "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
             Mcp-Method: tools/call\r\nMcp-Name: read\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for round in 0..20 {
        let rig = gateway(&[("crm", upstream)], FATAL, Limits::default()).await;
        called.lock().unwrap().clear();
        let mut link = TcpStream::connect(rig.address).await.unwrap();
        let all: Vec<String> = ["first", "system_config", "third", "fourth"]
            .iter()
            .zip(1..)
            .map(|(text, id)| request(id, text))
            .collect();
        link.write_all(all.concat().as_bytes()).await.unwrap();
        let mut answers = Vec::new();
        // It may end with a reset: what lies unread is of no interest.
        let _ = within(link.read_to_end(&mut answers)).await;
        let answers = String::from_utf8_lossy(&answers).into_owned();
        assert_eq!(*called.lock().unwrap(), ["first"], "round {round}: {answers}");
        assert_eq!(answers.matches("-31006").count(), 1, "round {round}: {answers}");
    }
}
