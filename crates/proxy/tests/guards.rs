//! What must hold whatever else fails: identity, the audit log, and the way out.

#![allow(clippy::unwrap_used, reason = "what fails here is a test that fails")]

mod rig;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lockgate_audit::{Durability, Kind, Outcome, Record};
use lockgate_identity::Principal;
use lockgate_proxy::Limits;
use rig::{ALL, Client, agent, call, door, gateway, observed, one, records, text, wire, within};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATH: &str = "/servers/wire/mcp";

#[tokio::test]
async fn who_has_no_identity_or_no_longer_one_is_answered_401_and_not_read() {
    let (rig, upstream) = one().await;
    let past = SystemTime::now() - Duration::from_secs(1);
    for (principal, required, expected) in [
        (Principal::Anonymous, true, 401),
        (Principal::Anonymous, false, 200),
        (agent("late", past), true, 401),
        (agent("late", past), false, 401),
    ] {
        let who = principal.to_string();
        let mut client = Client::to(door(&rig.node, principal, required).await).await;
        let init = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
        let (status, headers, answer) = client.post(PATH, &init.to_string()).await;
        assert_eq!(status, expected, "{who}: {answer}");
        assert_eq!(headers.contains_key("www-authenticate"), expected == 401, "{who}");
    }
    assert_eq!(observed(upstream, "requests=1").await["request_count"], 1);

    // Refused by its head alone: the body that it announces never comes.
    let address = door(&rig.node, Principal::Anonymous, true).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");

    let refused: Vec<_> = records(&rig).into_iter().filter(|r| r["kind"] == "refusal").collect();
    assert_eq!(refused.len(), 4);
    assert!(refused.iter().all(|r| r["stage"] == "bind"), "{refused:?}");
}

#[tokio::test]
async fn an_answer_that_comes_before_the_end_of_its_request_is_not_lost() {
    let (rig, _) = one().await;
    let address = door(&rig.node, Principal::Anonymous, true).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Each is refused by its head alone, long before its body is there; the next goes over the same connection.
    for media in ["application/json", "text/plain"] {
        let (first, second) = ([b'x'; 70_000], [b'y'; 70_000]);
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {media}\r\ncontent-length: 140000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        for part in [first, second] {
            tokio::time::sleep(Duration::from_millis(30)).await;
            stream.write_all(&part).await.unwrap();
        }
        let mut answer = Vec::new();
        while !answer.ends_with(b"}}") {
            let count = stream.read_buf(&mut answer).await.unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
        }
        assert!(answer.starts_with(b"HTTP/1.1 401"), "{}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn an_expired_certificate_is_not_renewed_by_staying_on() {
    let (rig, _) = one().await;
    let now = SystemTime::now();
    for (not_after, expected) in [(now - Duration::from_secs(1), 401), (now + Duration::from_secs(60), 403)] {
        let mut client = Client::to(door(&rig.node, agent("a", not_after), true).await).await;
        let response = client.send("POST", "/.well-known/lockgate/renew", r#"{"csr":""}"#).await;
        // 403 is what this rig's enrolment says to everybody who gets through to it.
        assert_eq!(response.status(), expected);
        let _ = text(response).await;
    }
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_forwarded() {
    let (rig, upstream) = one().await;
    let mut client = Client::to(rig.address).await;
    client.initialize(PATH).await;
    // The log's file is gone, so the next sync fails; flush resolves when it has.
    for file in std::fs::read_dir(rig.dir.path().join("audit")).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let audit = &rig.node.audit;
    audit.append(&Record::new(Kind::Lifecycle, Outcome::Ok), Durability::Durable).unwrap();
    audit.flush().await.unwrap_err();

    let before = observed(upstream, "requests=2").await["request_count"].clone();
    for _ in 0..2 {
        let (status, answer) = client.tool(PATH, "echo", json!({})).await;
        let error: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((status.as_u16(), &error["error"]["code"]), (503, &json!(-31004)), "{answer}");
        assert_eq!(error["error"]["data"]["stage"], "record");
    }
    assert_eq!(observed(upstream, "").await["request_count"], before, "nothing happened that has no record");
    assert!(rig.node.metrics.encode().contains("lockgate_audit_failures_total"));
}

#[tokio::test]
async fn draining_lets_a_call_finish_ends_who_listens_and_takes_no_more() {
    // Long enough that the test would be seen to hang, if the drain waited for its deadline.
    let limits = Limits { drain_s_max: 600, ..Limits::default() };
    let upstream = wire().await;
    let rig = gateway(&[("wire", upstream)], ALL, limits).await;
    let mut listener = Client::to(rig.address).await;
    listener.initialize(PATH).await;
    let mut stream = listener.listen(PATH).await;
    assert!(stream.next().await.is_some());
    let mut caller = Client::to(rig.address).await;
    caller.initialize(PATH).await;
    let mut idle = Client::to(rig.address).await;
    idle.initialize(PATH).await;
    let meeting = json!({"key": "drain", "count": 2, "label": "met"});
    let in_flight = tokio::spawn({
        let meeting = meeting.clone();
        async move {
            let answer = caller.tool(PATH, "meet", meeting).await;
            (caller, answer)
        }
    });
    // The call is at the server: two sessions opened by the others, one by itself, one stream, and the call.
    observed(upstream, "requests=8").await;

    let drain = tokio::spawn({
        let node = rig.node.clone();
        async move { node.drain().await }
    });
    assert_eq!(stream.next().await, None, "who listens is sent away at once");
    idle.closed().await;
    assert!(TcpStream::connect(rig.address).await.is_err(), "nobody new gets in");
    assert!(!drain.is_finished(), "a call is in flight");

    let mut direct = Client::to(upstream).await;
    direct.initialize("/mcp").await;
    assert_eq!(direct.tool("/mcp", "meet", meeting).await.0, 200);
    let (caller, (status, answer)) = in_flight.await.unwrap();
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("met"), "{answer}");
    caller.closed().await;
    within(drain).await.unwrap();
    let node = Arc::clone(&rig.node);
    assert_eq!((node.links.len(), node.status().calls_in_flight), (0, 0));
}

#[tokio::test]
async fn a_call_that_arrives_while_draining_is_refused_and_recorded() {
    let (rig, upstream) = one().await;
    // A door of its own, which the drain does not close.
    let address = door(&rig.node, agent("a", SystemTime::now() + Duration::from_secs(60)), true).await;
    let mut client = Client::to(address).await;
    client.initialize(PATH).await;
    rig.node.draining.cancel();
    let (status, answer) = client.tool(PATH, "echo", json!({})).await;
    assert_eq!(status, 503);
    assert!(answer.contains("draining") && answer.contains("retry_ms"), "{answer}");
    assert_eq!(records(&rig).pop().unwrap()["stage"], "accept");
    assert_eq!(observed(upstream, "").await["request_count"], 2);
}

#[tokio::test]
async fn a_body_in_a_thousand_pieces_is_one_message() {
    let (rig, _) = one().await;
    let mut client = Client::to(rig.address).await;
    client.initialize(PATH).await;
    let body = call(7, "exact", &json!({"text": format!("{{\"n\":\"{}\"}}", "y".repeat(1000))}));
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let session = client.headers["mcp-session-id"].to_str().unwrap();
    let mut request = format!(
        "POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\nmcp-session-id: {session}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    for piece in body.as_bytes().chunks(1) {
        request.push_str(&format!("1\r\n{}\r\n", piece[0] as char));
    }
    request.push_str("0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(&"y".repeat(1000)), "{answer}");
}

#[tokio::test]
async fn more_enrolments_at_once_than_there_are_places_are_turned_away() {
    let (rig, _) = one().await;
    let mut all = Vec::new();
    for _ in 0..40 {
        let mut client = Client::to(rig.address).await;
        all.push(tokio::spawn(async move {
            let body = json!({"secret": "guess", "csr": ""}).to_string();
            let response = client.send("POST", "/.well-known/lockgate/enrol", &body).await;
            let status = response.status().as_u16();
            let _ = text(response).await;
            status
        }));
    }
    let mut statuses = Vec::new();
    for one in all {
        statuses.push(one.await.unwrap());
    }
    let refused = statuses.iter().filter(|status| **status == 403).count();
    assert!(refused >= 8, "as many as there are places are heard: {statuses:?}");
    assert!(statuses.iter().all(|status| [403, 503].contains(status)), "{statuses:?}");
    let recorded =
        records(&rig).iter().filter(|r| r["kind"] == "identity" && r["outcome"] == "refused").count();
    assert_eq!(recorded, refused, "one record each, and none for those who were turned away");
}
