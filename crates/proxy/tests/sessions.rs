//! Legacy sessions: whose they are, and how those that a server lost come back.

#![allow(clippy::unwrap_used, reason = "what fails here is a test that fails")]

mod rig;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use lockgate_proxy::Limits;
use rig::scripted::{Answer, Seen, event, events, scripted, status, typed, whole};
use rig::{ALL, Client, agent, call, door, gateway, one, records, text};
use serde_json::{Value, json};

const PATH: &str = "/servers/wire/mcp";

fn in_an_hour() -> SystemTime {
    SystemTime::now() + Duration::from_secs(3600)
}

#[tokio::test]
async fn a_session_of_another_caller_does_not_exist() {
    let (rig, _) = one().await;
    let mine = door(&rig.node, agent("mine", in_an_hour()), true).await;
    let theirs = door(&rig.node, agent("theirs", in_an_hour()), true).await;
    let mut owner = Client::to(mine).await;
    owner.initialize(PATH).await;
    let mut thief = Client::to(theirs).await;
    thief.headers = owner.headers.clone();
    for (verb, body) in
        [("POST", call(7, "echo", &json!({}))), ("GET", String::new()), ("DELETE", String::new())]
    {
        let response = thief.send(verb, PATH, &body).await;
        assert_eq!(response.status(), 404, "{verb}");
        let _ = text(response).await;
    }
    assert_eq!(owner.tool(PATH, "echo", json!({})).await.0, 200, "and the owner's goes on");
    let refused: Vec<_> = records(&rig).into_iter().filter(|r| r["kind"] == "refusal").collect();
    assert_eq!(refused.len(), 3);
    assert!(refused.iter().all(|r| r["agent"] == "spiffe://test.example/agent/theirs"), "{refused:?}");
}

/// A server that forgets its session when it is told to, and says so in the way of `lost`.
fn forgetful(
    lost: impl Fn() -> Answer + Send + Sync + 'static,
) -> (impl Fn(Seen) -> Answer + Send + Sync, Arc<Mutex<Vec<Value>>>) {
    let (sessions, seen_all) = (AtomicUsize::new(0), Arc::new(Mutex::new(Vec::new())));
    let log = seen_all.clone();
    let script = move |seen: Seen| {
        let current = format!("s-{}", sessions.load(Ordering::SeqCst));
        log.lock().unwrap().push(
            json!({"verb": seen.verb, "method": seen.body["method"], "id": seen.body["id"],
            "session": seen.header("mcp-session-id"), "last": seen.header("last-event-id"),
            "version": seen.header("mcp-protocol-version")}),
        );
        if seen.method() == "initialize" {
            return seen.usual(&current);
        }
        if seen.header("mcp-session-id") != Some(&current) {
            return lost();
        }
        if seen.body["params"]["name"] == "forget" {
            sessions.fetch_add(1, Ordering::SeqCst);
        }
        match seen.verb.as_str() {
            "GET" => events(&event(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}))),
            _ => seen.usual(&current),
        }
    };
    (script, seen_all)
}

#[tokio::test]
async fn servers_that_answer_400_to_a_lost_session_are_understood_too() {
    type Lost = fn() -> Answer;
    let not_found: Lost = || status(404);
    let sdk: Lost = || {
        whole(
            400,
            &json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32000, "message": "Bad Request: No valid session ID provided"}}),
        )
    };
    let other: Lost = || {
        whole(
            400,
            &json!({"jsonrpc": "2.0", "id": 7, "error": {"code": -32602, "message": "no such session argument"}}),
        )
    };
    for (lost, recovers) in [(not_found, true), (sdk, true), (other, false)] {
        let (script, _) = forgetful(lost);
        let rig = gateway(&[("wire", scripted(script).await)], ALL, Limits::default()).await;
        let mut client = Client::to(rig.address).await;
        client.initialize(PATH).await;
        assert_eq!(client.tool(PATH, "forget", json!({})).await.0, 200);
        let (status, answer) = client.tool(PATH, "echo", json!({})).await;
        assert_eq!(status == 200 && answer.contains("result"), recovers, "{status} {answer}");
    }
}

#[tokio::test]
async fn what_belongs_to_the_lost_session_is_not_said_in_the_new_one() {
    let (script, log) = forgetful(|| status(404));
    let rig = gateway(&[("wire", scripted(script).await)], ALL, Limits::default()).await;
    let mut client = Client::to(rig.address).await;
    client.initialize(PATH).await;
    assert_eq!(client.tool(PATH, "forget", json!({})).await.0, 200);
    log.lock().unwrap().clear();

    // The answer to a request that the lost session made: in the new one its id may be another request's.
    let (status, _, _) = client.post(PATH, r#"{"jsonrpc":"2.0","id":0,"result":{"action":"accept"}}"#).await;
    assert_eq!(status, 202);
    // The place in a stream of the lost session.
    let mut client = client.with("last-event-id", "41");
    let mut stream = client.listen(PATH).await;
    assert!(stream.next().await.is_some());
    let said = log.lock().unwrap().clone();
    let short: Vec<_> =
        said.iter().map(|s| (s["session"].as_str(), s["method"].as_str(), s["last"].as_str())).collect();
    let expected = [
        (Some("s-0"), None, None),
        (Some("s-0"), None, Some("41")),
        (None, Some("initialize"), None),
        (Some("s-1"), Some("notifications/initialized"), None),
        (Some("s-1"), None, None),
    ];
    assert_eq!(short, expected, "{said:?}");
}

#[tokio::test]
async fn a_refused_answer_of_the_client_carries_no_id() {
    let policy = r#"@id("open") permit(principal, action == Lockgate::Action::"initialize", resource);"#;
    let (rig, _) = one().await;
    let denied = gateway(&[("wire", rig::wire().await)], policy, Limits::default()).await;
    for (address, expected) in [(rig.address, 404), (denied.address, 403)] {
        let mut client = Client::to(address).await;
        if expected == 404 {
            client.headers.insert("mcp-session-id", "unknown".parse().unwrap());
        }
        // The server's id 7 may well be an id under which this client waits for something.
        let (status, _, answer) = client.post(PATH, r#"{"jsonrpc":"2.0","id":7,"result":{}}"#).await;
        assert_eq!(status, expected, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(answer.get("id").is_none(), "{answer}");
    }
    assert_eq!(records(&denied).pop().unwrap()["request_id"], "7", "the record has it");
}

#[tokio::test]
async fn a_denial_is_an_error_status_where_no_answer_is_waited_for() {
    let policy = r#"@id("open") permit(principal, action == Lockgate::Action::"initialize", resource);"#;
    let upstream = rig::wire().await;
    let rig = gateway(&[("wire", upstream)], policy, Limits::default()).await;
    let mut client = Client::to(rig.address).await;
    let init = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    let (_, headers, _) = client.post(PATH, &init.to_string()).await;
    client.headers.insert("mcp-session-id", headers["mcp-session-id"].clone());
    let note = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    for (verb, body) in [("GET", ""), ("DELETE", ""), ("POST", note)] {
        let response = client.send(verb, PATH, body).await;
        assert_eq!(response.status(), 403, "{verb}: a 200 would say that it was done");
        assert!(text(response).await.contains("-31001"), "{verb}");
    }
    assert_eq!(rig.node.sessions.len(), 1, "the session that may not be ended goes on");
}

#[tokio::test]
async fn a_server_that_declines_to_open_a_session_leaves_none_behind() {
    let hidden: String =
        "obey".chars().map(|c| char::from_u32(0xE0000 + c as u32).unwrap()).collect::<String>().repeat(4);
    let upstream = scripted(move |seen| {
        let mut answer = match seen.body["params"]["clientInfo"]["name"].as_str() {
            Some("declined") => whole(
                200,
                &json!({"jsonrpc": "2.0", "id": seen.body["id"], "error": {"code": -32602, "message": "no"}}),
            ),
            Some("withheld") => {
                whole(200, &seen.result(json!({"protocolVersion": "2025-11-25", "instructions": hidden})))
            }
            _ => typed(200, "text/plain", "no MCP"),
        };
        answer.headers_mut().insert("mcp-session-id", "s-1".parse().unwrap());
        answer
    })
    .await;
    let rig = gateway(&[("wire", upstream)], ALL, Limits::default()).await;
    for name in ["declined", "withheld", "other"] {
        let mut client = Client::to(rig.address).await;
        let init = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": name, "version": "1"}}});
        let (_, headers, answer) = client.post(PATH, &init.to_string()).await;
        assert!(answer.contains("error"), "{name}: {answer}");
        assert!(!headers.contains_key("mcp-session-id"), "{name}");
        assert!(rig.node.sessions.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn what_a_caller_may_not_open_is_not_named_to_it() {
    let (crm, hr) = (rig::wire().await, rig::wire().await);
    let policy = r#"@id("crm") permit(principal, action, resource == Lockgate::Server::"crm");"#;
    let rig = gateway(&[("crm", crm), ("hr", hr)], policy, Limits::default()).await;
    let mut client = Client::to(rig.address).await;
    let (status, answer) = client.tool("/servers/guess/mcp", "echo", json!({})).await;
    assert_eq!(status, 404);
    assert!(answer.contains("/servers/crm/mcp") && !answer.contains("/servers/hr/mcp"), "{answer}");
}
