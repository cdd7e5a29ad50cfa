//! The pipeline against a server that does what servers must not do, and a client on a bare socket.

mod rig;

use std::time::Instant;

use http_body_util::BodyExt;
use lockgate_proxy::Limits;
use rig::{ALL, Client, call, data, gateway, observed, one, records, wire};
use serde_json::{Value, json};

const PATH: &str = "/servers/wire/mcp";

#[tokio::test]
async fn results_and_requests_pass_byte_for_byte() {
    let (rig, upstream) = one().await;
    let mut client = Client::to(rig.address).await;
    client.initialize(PATH).await;
    let body = r#"{ "jsonrpc":"2.0", "id" : 18446744073709551617.0e0 ,"vendor":{"x":1.0},"method":"tools/call","params":{"name":"exact","arguments":{},"_meta":{"k":-0}}}"#;
    let (status, _, answer) = client.post(PATH, body).await;
    assert_eq!(status, 200);
    assert!(answer.contains(r#""id":18446744073709551617.0e0,"#), "{answer}");
    for kept in [
        r#""big":18446744073709551616,"tiny":1E-400"#,
        r#"\/ é"#,
        r#"],  "structuredContent" : {"1.0":1.0,"0.1":0.10,"neg":-0}"#,
    ] {
        assert!(answer.contains(kept), "{kept} is missing from {answer}");
    }
    let seen = observed(upstream, "requests=3").await;
    assert_eq!(seen["requests"][2]["body"], body, "the server got other bytes than the client sent");
}

#[tokio::test]
async fn the_client_never_sees_the_servers_session_id_and_ids_are_bound_to_route() {
    let (first, second) = (wire().await, wire().await);
    let rig = gateway(&[("wire", first), ("other", second)], ALL, Limits::default()).await;
    let mut client = Client::to(rig.address).await;
    client.initialize(PATH).await;
    let own = client.headers["mcp-session-id"].to_str().unwrap().to_owned();
    let (status, _) = client.tool(PATH, "echo", json!({})).await;
    assert_eq!(status, 200);
    let seen = observed(first, "requests=3").await;
    let header = |r: &Value| {
        r["headers"]
            .as_array()
            .unwrap()
            .iter()
            .find(|h| h[0].as_str().unwrap().eq_ignore_ascii_case("mcp-session-id"))
            .map(|h| h[1].clone())
    };
    let theirs = header(&seen["requests"][2]).expect("the server's own id is sent to it");
    assert_ne!(theirs, own);

    let (status, answer) = client.tool("/servers/other/mcp", "echo", json!({})).await;
    assert_eq!(status, 404, "an id is good on its own route only: {answer}");
    client.headers.insert("mcp-session-id", theirs.as_str().unwrap().parse().unwrap());
    let (status, _) = client.tool(PATH, "echo", json!({})).await;
    assert_eq!(status, 404, "the server's id means nothing here");
}

#[tokio::test]
async fn a_session_that_the_server_lost_is_opened_anew_and_the_call_succeeds() {
    let (rig, _) = one().await;
    let mut client = Client::to(rig.address).await;
    client.initialize(PATH).await;
    assert_eq!(client.tool(PATH, "expire", json!({})).await.0, 200);
    let (status, answer) = client.tool(PATH, "echo", json!({})).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("result"), "{answer}");
    assert!(rig.node.metrics.encode().contains("lockgate_sessions_recovered_total 1"));
}

#[tokio::test]
async fn comments_retry_and_ids_of_a_stream_pass_unchanged() {
    let (rig, _) = one().await;
    let mut client = Client::to(rig.address).await;
    client.initialize(PATH).await;
    let stream = "id: 7\nretry: 1500\ndata: \n\n: keep-alive\n\nevent: message\r\nid: 8\r\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\r\ndata: \"result\":{\"content\":[]}}\r\n\r\n";
    let (status, answer) = client.tool(PATH, "events", json!({ "text": stream })).await;
    assert_eq!(status, 200);
    assert_eq!(answer, stream);
}

#[tokio::test]
async fn leaving_a_modern_call_reaches_the_server_at_once() {
    let (rig, upstream) = one().await;
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "hang", "arguments": {"after": "headers"},
        "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}}});
    for after in ["nothing", "event"] {
        let mut body = body.clone();
        body["params"]["arguments"]["after"] = after.into();
        let mut client = Client::to(rig.address)
            .await
            .with("mcp-protocol-version", "2026-07-28")
            .with("mcp-method", "tools/call")
            .with("mcp-name", "hang");
        let text = body.to_string();
        {
            let request = client.send("POST", PATH, &text);
            tokio::pin!(request);
            // The call is at the server when it shows there; only then does the client leave.
            tokio::select! {
                response = &mut request => drop(response),
                _ = observed(upstream, "requests=1") => {}
            }
        }
        let left = Instant::now();
        drop(client);
        let seen = observed(upstream, "disconnects=1").await;
        assert_eq!(seen["disconnects"].as_array().unwrap().len(), 1, "{after}: {seen}");
        assert!(left.elapsed().as_millis() < 5_000, "the server heard of it only after {:?}", left.elapsed());
        let mut forget = Client::to(upstream).await;
        forget.send("POST", "/forget", "").await.into_body().collect().await.unwrap();
    }
    let cancelled = || records(&rig).iter().filter(|r| r["outcome"] == "cancelled").count();
    assert_eq!(cancelled(), 2, "{:?}", records(&rig));
}

#[tokio::test]
async fn foreign_hosts_and_origins_are_refused_before_anything_is_forwarded() {
    let (rig, upstream) = one().await;
    for (name, value, expected) in [
        ("host", "evil.example", 403),
        ("host", "localhost:9", 200),
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
        ("origin", "http://localhost:3000", 200),
        ("origin", "https://inspector.example", 200),
    ] {
        let mut client = Client::to(rig.address).await.with(name, value);
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
        let (status, _, answer) = client.post(PATH, &body.to_string()).await;
        assert_eq!(status, expected, "{name}: {value}: {answer}");
    }
    assert_eq!(observed(upstream, "requests=3").await["request_count"], 3);
    let refused: Vec<_> = records(&rig).into_iter().filter(|r| r["kind"] == "refusal").collect();
    assert_eq!(refused.len(), 3);
    assert!(refused.iter().all(|r| r["stage"] == "decode"), "{refused:?}");
}

#[tokio::test]
async fn bad_messages_get_a_precise_error_one_record_each_and_reach_nobody() {
    let limits = Limits { request_bytes_max: 4096, ..Limits::default() };
    let upstream = wire().await;
    let rig = gateway(&[("wire", upstream)], ALL, limits).await;
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{}1{}}}}}"#,
        "[".repeat(99),
        "]".repeat(99)
    );
    let large = call(1, "echo", &json!({ "text": "x".repeat(5000) }));
    let cases: Vec<(&str, String, u16, i64)> = vec![
        ("truncated", r#"{"jsonrpc":"2.0","#.into(), 400, -32700),
        ("batch", "[]".into(), 400, -32600),
        (
            "duplicate key",
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","name":"exact"}}"#
                .into(),
            400,
            -32600,
        ),
        (
            "case variant",
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#.into(),
            400,
            -32600,
        ),
        ("too deep", deep, 400, -32600),
        ("too large", large, 413, -32600),
    ];
    let mut client = Client::to(rig.address).await;
    for (what, body, status, code) in &cases {
        let (got, _, answer) = client.post(PATH, body).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(
            (got.as_u16(), answer["error"]["code"].as_i64()),
            (*status, Some(*code)),
            "{what}: {answer}"
        );
        assert!(answer["error"]["data"]["hint"].is_string(), "{what}: {answer}");
        // A connection that was refused in the middle of its body is closed.
        client = Client::to(rig.address).await;
    }
    assert_eq!(records(&rig).iter().filter(|r| r["kind"] == "refusal").count(), cases.len());
    assert_eq!(observed(upstream, "").await["request_count"], 0);
}

#[tokio::test]
async fn headers_that_disagree_with_the_body_are_32020() {
    let (rig, upstream) = one().await;
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {},
        "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}}});
    let mut client = Client::to(rig.address)
        .await
        .with("mcp-protocol-version", "2026-07-28")
        .with("mcp-method", "tools/call")
        .with("mcp-name", "exact");
    let (status, _, answer) = client.post(PATH, &body.to_string()).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status.as_u16(), answer["error"]["code"].as_i64()), (400, Some(-32020)), "{answer}");
    assert_eq!(observed(upstream, "").await["request_count"], 0);
}

#[tokio::test]
async fn policy_denies_by_default_filters_lists_and_says_what_to_add() {
    let upstream = wire().await;
    let policy = r#"
        @id("look") permit(principal, action in [Lockgate::Action::"session", Lockgate::Action::"list"], resource);
        @id("echo") permit(principal, action in Lockgate::Action::"tools/call", resource == Lockgate::Tool::"wire/echo");
    "#;
    let rig = gateway(&[("wire", upstream)], policy, Limits::default()).await;
    let mut client = Client::to(rig.address).await;
    client.initialize(PATH).await;
    let (_, _, listed) = client.post(PATH, r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#).await;
    let listed: Value = serde_json::from_str(data(&listed).unwrap()).unwrap();
    let names: Vec<_> =
        listed["result"]["tools"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["echo"]);

    let (status, answer) = client.tool(PATH, "exact", json!({})).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        (status.as_u16(), answer["error"]["code"].as_i64(), answer["id"].as_i64()),
        (200, Some(-31001), Some(7))
    );
    assert!(answer["error"]["data"]["hint"].as_str().unwrap().contains("permit"), "{answer}");
    assert_eq!(client.tool(PATH, "echo", json!({})).await.0, 200);
    let last = records(&rig).pop().unwrap();
    assert_eq!((&last["policies"][0], &last["outcome"]), (&json!("echo"), &json!("ok")), "{last}");
}

/// Found by the conformance suite: to a caller that no policy lets use it, an unknown method does not exist. Modern
/// clients learn so from 404; legacy ones would take that for the end of their session.
#[tokio::test]
async fn a_method_that_nobody_knows_and_no_policy_permits_is_not_found() {
    let upstream = wire().await;
    let policy = r#"@id("use") permit(principal, action in Lockgate::Action::"use", resource);"#;
    let rig = gateway(&[("wire", upstream)], policy, Limits::default()).await;
    let modern = r#"{"jsonrpc":"2.0","id":1,"method":"no/such","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    let mut client = Client::to(rig.address)
        .await
        .with("mcp-protocol-version", "2026-07-28")
        .with("mcp-method", "no/such");
    let (status, _, answer) = client.post(PATH, modern).await;
    assert!(status == 404 && answer.contains("-32601"), "{status} {answer}");
    let mut client = Client::to(rig.address).await;
    let (status, _, answer) = client.post(PATH, r#"{"jsonrpc":"2.0","id":1,"method":"no/such"}"#).await;
    assert!(status == 200 && answer.contains("-32601"), "{status} {answer}");
    assert_eq!(observed(upstream, "").await["request_count"], 0);
}

#[tokio::test]
async fn a_tool_that_changes_its_definition_is_held_until_approved() {
    let (rig, _) = one().await;
    let mut client = Client::to(rig.address).await;
    client.initialize(PATH).await;
    let list = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#;
    client.post(PATH, list).await;
    assert_eq!(client.tool(PATH, "redefine", json!({})).await.0, 200);
    let (_, _, listed) = client.post(PATH, list).await;
    assert!(!listed.contains(r#""name":"redefine""#), "a changed tool is not offered: {listed}");
    let (_, answer) = client.tool(PATH, "redefine", json!({})).await;
    assert!(answer.contains("-31002"), "{answer}");
    assert_eq!(client.tool(PATH, "echo", json!({})).await.0, 200, "its neighbours are not affected");

    let pending = rig.node.detector.pending();
    assert_eq!(pending.len(), 1);
    rig.node.detector.approve(&pending[0].id).unwrap();
    let (_, answer) = client.tool(PATH, "redefine", json!({})).await;
    assert!(answer.contains("result"), "{answer}");
}

#[tokio::test]
async fn servers_that_die_lie_hang_or_flood_cost_one_call_each_and_nobody_else() {
    let (bad, good) = (wire().await, wire().await);
    let limits = Limits {
        first_byte_s_max: 1,
        result_bytes_max: 1 << 20,
        circuit_failures_max: 100,
        ..Limits::default()
    };
    let rig = gateway(&[("wire", bad), ("good", good)], ALL, limits).await;
    let mut client = Client::to(rig.address).await;
    client.initialize(PATH).await;
    for (tool, arguments) in [
        ("die", json!({"after": "nothing"})),
        ("die", json!({"after": "body"})),
        ("die", json!({"after": "event"})),
        ("lie", json!({"extra": 100})),
        ("hang", json!({"after": "nothing"})),
        ("large", json!({"bytes": 2 << 20})),
        ("large", json!({"bytes": 2 << 20, "sse": true})),
        ("exact", json!({"text": "not json"})),
    ] {
        let (_, answer) = client.tool(PATH, tool, arguments.clone()).await;
        let last = data(answer.rsplit("\n\n").find(|part| !part.trim().is_empty()).unwrap()).unwrap();
        let error: Value =
            serde_json::from_str(last).unwrap_or_else(|e| panic!("{tool} {arguments}: {e}: {answer}"));
        assert_eq!(error["error"]["code"], -31003, "{tool} {arguments}: {answer}");
        assert_eq!(error["id"], 7, "{tool} {arguments}: {answer}");
    }
    let mut other = Client::to(rig.address).await;
    other.initialize("/servers/good/mcp").await;
    assert_eq!(other.tool("/servers/good/mcp", "echo", json!({})).await.0, 200);
    assert_eq!(records(&rig).iter().filter(|r| r["outcome"] == "failed").count(), 8);
}

#[tokio::test]
async fn an_upstream_that_is_down_opens_its_circuit_and_is_named() {
    let dead = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let limits = Limits { circuit_failures_max: 2, circuit_pause_ms_max: 60_000, ..Limits::default() };
    let rig = gateway(&[("wire", dead)], ALL, limits).await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        let mut client = Client::to(rig.address).await;
        answers.push(client.tool(PATH, "echo", json!({})).await);
    }
    assert_eq!(answers[0].0, 502, "{answers:?}");
    assert_eq!(answers[2].0, 503, "{answers:?}");
    assert!(answers[2].1.contains("retry_ms"), "{answers:?}");
    let status = rig.node.status();
    assert_eq!(status.servers[0].circuit, "open");
    assert!(status.servers[0].last_error.as_deref().unwrap().contains("refuses connections"), "{status:?}");
}

#[tokio::test]
async fn two_clients_with_the_same_ids_and_tokens_get_their_own_answers() {
    let (rig, _) = one().await;
    let mut tasks = Vec::new();
    for label in ["left", "right"] {
        let mut client = Client::to(rig.address).await;
        client.initialize(PATH).await;
        tasks.push(tokio::spawn(async move {
            let (_, answer) =
                client.tool(PATH, "meet", json!({"key": "k", "count": 2, "label": label})).await;
            (label, answer)
        }));
    }
    for task in tasks {
        let (label, answer) = task.await.unwrap();
        assert!(answer.contains(label), "{label} got {answer}");
    }
}

#[tokio::test]
async fn all_servers_together_prefix_their_names_and_one_that_is_down_takes_nobody_along() {
    let (crm, docs) = (wire().await, wire().await);
    let dead = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let rig = gateway(&[("crm", crm), ("docs", docs), ("down", dead)], ALL, Limits::default()).await;
    let mut client = Client::to(rig.address).await;
    let result = client.initialize("/mcp").await;
    assert!(result["result"]["instructions"].as_str().unwrap().contains("down is not available"), "{result}");
    let (_, _, listed) = client.post("/mcp", r#"{"jsonrpc":"2.0","id":"l","method":"tools/list"}"#).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let names: Vec<_> =
        listed["result"]["tools"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"crm_echo") && names.contains(&"docs_echo"), "{names:?}");
    assert!(listed["result"]["_meta"]["lockgate/unavailable"]["down"].is_string(), "{listed}");

    let (status, answer) = client.tool("/mcp", "docs_echo", json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let seen = observed(docs, "").await;
    let last = seen["requests"].as_array().unwrap().last().unwrap().clone();
    assert!(last["body"].as_str().unwrap().contains(r#""name":"echo""#), "{last}");
    let record = records(&rig).pop().unwrap();
    assert_eq!((&record["server"], &record["name"]), (&json!("docs"), &json!("echo")), "{record}");
    let (status, answer) = client.tool("/mcp", "nowhere_echo", json!({})).await;
    // Not 404: a legacy client would take its session for lost.
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("-32602"), "{answer}");
}

#[tokio::test]
async fn delete_ends_the_session_at_the_server_too() {
    let (rig, upstream) = one().await;
    let mut client = Client::to(rig.address).await;
    client.initialize(PATH).await;
    let response = client.send("DELETE", PATH, "").await;
    assert!(response.status().is_success(), "{}", response.status());
    response.into_body().collect().await.unwrap();
    let seen = observed(upstream, "requests=3").await;
    assert_eq!(seen["requests"][2]["method"], "DELETE");
    assert_eq!(client.tool(PATH, "echo", json!({})).await.0, 404);
    assert!(rig.node.sessions.is_empty());
}

#[tokio::test]
async fn last_event_id_reaches_the_same_server() {
    let (rig, upstream) = one().await;
    let mut client = Client::to(rig.address).await;
    client.initialize(PATH).await;
    let mut client = client.with("last-event-id", "41");
    drop(client.send("GET", PATH, "").await);
    let seen = observed(upstream, "requests=3").await;
    let headers = seen["requests"][2]["headers"].as_array().unwrap();
    assert!(
        headers.iter().any(|h| h[0].as_str().unwrap().eq_ignore_ascii_case("last-event-id") && h[1] == "41"),
        "{headers:?}"
    );
}
