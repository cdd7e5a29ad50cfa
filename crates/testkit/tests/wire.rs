//! The wire fixture, over a real socket: what a test of the gateway relies on.

use std::net::SocketAddr;

use lockgate_testkit::wire;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

async fn start() -> SocketAddr {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let (address, server) = wire::listen(any).await.expect("a free port");
    tokio::spawn(server);
    address
}

fn post(body: &str, headers: &str) -> String {
    format!("POST /mcp HTTP/1.1\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

const MODERN: &str = "mcp-protocol-version: 2026-07-28\r\n";

fn call(tool: &str, arguments: Value) -> String {
    let params = json!({ "name": tool, "arguments": arguments });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string()
}

/// Sends `request` and reads until `end` or the end of the connection.
async fn exchange(address: SocketAddr, request: &str, end: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    read_until(&mut stream, end).await
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut got = Vec::new();
    let mut piece = [0; 4096];
    while !String::from_utf8_lossy(&got).contains(end) {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(read) => got.extend_from_slice(&piece[..read]),
        }
    }
    String::from_utf8_lossy(&got).into_owned()
}

async fn observed(address: SocketAddr, query: &str) -> Value {
    let request = format!("GET /observed?{query} HTTP/1.1\r\n\r\n");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream.shutdown().await.expect("half closed");
    let answer = read_until(&mut stream, "\u{0}").await;
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    serde_json::from_str(body).expect("JSON")
}

#[tokio::test]
async fn bytes_are_observed_as_they_came() {
    let address = start().await;
    let request = post(&call("echo", json!({})), &format!("X-Odd-CASE: one\r\n{MODERN}"));
    let answer = exchange(address, &request, "resultType").await;
    assert!(answer.contains(r#"\\\"X-Odd-CASE\\\""#) || answer.contains("X-Odd-CASE"), "{answer}");
    let seen = observed(address, "requests=1&wait_ms=5000").await;
    assert_eq!(seen["requests"][0]["headers"][0], json!(["X-Odd-CASE", "one"]));
    assert_eq!(seen["requests"][0]["body"], call("echo", json!({})));
}

#[tokio::test]
async fn a_client_that_goes_away_is_observed() {
    for after in ["nothing", "headers", "event"] {
        let address = start().await;
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let request = post(&call("hang", json!({ "after": after })), MODERN);
        stream.write_all(request.as_bytes()).await.expect("sent");
        let before = observed(address, "requests=1&wait_ms=5000").await;
        assert_eq!(before["disconnects"], json!([]), "{after}");
        drop(stream);
        let seen = observed(address, "disconnects=1&wait_ms=5000").await;
        assert_eq!(seen["disconnects"][0]["request"], 0, "{after}: {seen}");
    }
}

#[tokio::test]
async fn a_complete_answer_is_no_disconnect() {
    let address = start().await;
    exchange(address, &post(&call("exact", json!({})), MODERN), "resultType").await;
    let seen = observed(address, "requests=1&wait_ms=5000").await;
    assert_eq!(seen["disconnects"], json!([]));
}

#[tokio::test]
async fn sessions_begin_expire_and_end() {
    let address = start().await;
    let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {} });
    let begin = post(&hello.to_string(), "");
    for (number, end) in [(0, "expire"), (1, "delete")] {
        let answer = exchange(address, &begin, "serverInfo").await;
        assert!(answer.contains(&format!("mcp-session-id: wire-{number}\r\n")), "{answer}");
        let session = format!("Mcp-Session-Id: wire-{number}\r\n");
        let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }).to_string();
        let answer = exchange(address, &post(&list, &session), "cacheScope").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let ended = match end {
            "expire" => post(&call("expire", json!({})), &session),
            _ => format!("DELETE /mcp HTTP/1.1\r\n{session}\r\n"),
        };
        exchange(address, &ended, "\r\n\r\n").await;
        let answer = exchange(address, &post(&list, &session), "\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
    let answer = exchange(address, &post(&call("exact", json!({})), ""), "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn a_resumed_stream_says_where_it_was_resumed() {
    let address = start().await;
    let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {} });
    exchange(address, &post(&hello.to_string(), ""), "serverInfo").await;
    let resume = "GET /mcp HTTP/1.1\r\nmcp-session-id: wire-0\r\nlast-event-id: e-7\r\n\r\n";
    let stream = exchange(address, resume, "\n\n\r\n").await;
    assert!(stream.contains(r#""resumedAfter":"e-7""#), "{stream}");
    assert!(stream.contains("retry: 1234\n"), "{stream}");
}

#[tokio::test]
async fn clients_with_one_key_meet() {
    let address = start().await;
    let meet = |label: &str| {
        let arguments = json!({ "key": "k", "count": 2, "label": label });
        post(&call("meet", arguments), MODERN)
    };
    let (one, two) = (meet("one"), meet("two"));
    let both = tokio::join!(exchange(address, &one, "resultType"), exchange(address, &two, "resultType"),);
    assert!(both.0.contains(r#""text":"one""#) && both.1.contains(r#""text":"two""#));
}

#[tokio::test]
async fn death_and_lies_end_the_connection() {
    let address = start().await;
    for (tool, arguments, whole) in [
        ("die", json!({ "after": "nothing" }), false),
        ("die", json!({ "after": "body" }), false),
        ("lie", json!({ "extra": 100 }), true),
        ("lie", json!({ "extra": -5 }), true),
    ] {
        let request = post(&call(tool, arguments.clone()), MODERN);
        let answer = exchange(address, &request, "\u{0}").await;
        assert_eq!(answer.ends_with("}}"), whole, "{tool} {arguments}: {answer}");
    }
}
