//! The interface over real sockets, with a node that stands in for the real one.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::StatusCode;
use lockgate_admin::{
    AUDIT_TAIL_MAX, ApplyRequest, Approval, ApproveRequest, AuditView, BODY_BYTES_MAX, BanRequest,
    Certificate, Change, Client, ClientError, CryptoShow, Csr, Draining, Drill, DrillRequest, EraseRequest,
    ErasedView, ExportRequest, FactAnswer, FactQuestion, FactReceipt, FactUsed, FactView, Facts, Fault,
    HeldCall, HeldCalls, HoldRequest, HoldView, Holds, Identities, InventoryFormat, Invite, Invites,
    KnownView, LiftHoldRequest, LiftRequest, Link, Links, Listener, LiveQuery, MadeRevocation, Migration,
    MintedInvite, NewInvite, Node, Plan, PlanRequest, RejectRequest, Reloaded, RestoreRequest, Restored,
    RetentionView, RevocationView, RevokeRequest, RollbackRequest, RotateRootRequest, RotatedRoot, Scope,
    Seen, Server, ServerError, Status, Subjects, SuppressRequest, SuppressionView, Threat, Threats,
    TicketRequest, Token, Upstream, Upstreams, Waiting,
};
use lockgate_crypto::Posture;
use lockgate_live::Recent;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

const TOKEN: &str = "the-token";

mod sample;

use sample::*;

#[tokio::test]
async fn what_is_asked_about_subjects_comes_through_and_the_dashboard_may_not() {
    let (_, client, _keep) = start().await;
    let request =
        |subject: &str| EraseRequest { subject: subject.into(), basis: "b".into(), by: "ann".into() };
    assert_eq!(client.erase_subject(&request("patient:1")).await.unwrap().receipt, Some(7));
    let refused = client.erase_subject(&request("patient:held")).await.unwrap_err();
    assert!(refused.to_string().contains("hold h1"), "{refused}");
    assert!(!format!("{:?}", request("patient:4711")).contains("4711"));
    let lift = LiftHoldRequest { reason: "over".into(), by: "ann".into() };
    assert_eq!(client.lift_hold("h/1", &lift).await.unwrap().id, "h/1");
    assert!(
        client.holds().await.unwrap().holds.is_empty() && client.retain().await.unwrap().parts.is_empty()
    );
}

/// A running interface; it ends when the sender is dropped.
async fn start() -> (SocketAddr, Client, oneshot::Sender<()>) {
    let token = || Token::from(TOKEN.to_owned());
    let any = "127.0.0.1:0".parse().expect("valid");
    let server = Server::bind(any, token(), Arc::new(Sample)).await.expect("binds");
    let addr = server.local_addr();
    let (keep, end) = oneshot::channel::<()>();
    tokio::spawn(server.serve(async move { drop(end.await) }));
    (addr, Client::new(addr, token()), keep)
}

/// Sends bytes as they are; gives the whole answer.
async fn raw(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.expect("connects");
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut answer = Vec::new();
    // The rest of a request that was refused early may be answered with a reset.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).expect("text")
}

async fn send(addr: SocketAddr, line: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    let head =
        format!("{line} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nContent-Length: {length}\r\n");
    raw(addr, &format!("{head}{headers}\r\n{body}")).await
}

const BEARER: &str = "Authorization: Bearer the-token\r\n";
const JSON: &str = "Authorization: Bearer the-token\r\nContent-Type: application/json\r\n";

fn refused<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> Fault {
    match answer {
        Err(ClientError::Refused(fault)) => fault,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn the_client_gets_what_the_node_says() {
    let (_, client, _keep) = start().await;
    assert_eq!(client.status().await.expect("status"), Sample.status());
    assert_eq!(client.links().await.expect("links"), Sample.links());
    assert_eq!(client.upstreams().await.expect("upstreams"), Sample.upstreams());
    assert_eq!(client.invites().await.expect("invites"), Sample.invites().expect("some"));
    assert_eq!(client.threats().await.expect("threats"), Sample.threats());
    assert_eq!(client.drain().await.expect("drain"), Sample.drain());
    let live = client.live(&LiveQuery::default()).await.expect("events");
    assert_eq!((live.launch, live.last, live.events.len()), (7, 0, 0));
    assert_eq!(client.live_summary().await.expect("figures").launch, 7);
    let odd = LiveQuery { verdict: Some("good".into()), ..LiveQuery::default() };
    assert_eq!(refused(client.live(&odd).await).code, "LG-N400");
    assert!(matches!(
        client.tap(&LiveQuery::default(), None).await.expect("a stream").next().await,
        Ok(Seen::Begun { missed: 0 })
    ));
    assert_eq!(client.metrics().await.expect("metrics"), Sample.metrics());

    let request = NewInvite { name: "laptop".into(), lifetime_s: Some(60) };
    let minted = client.invite(&request).await.expect("invite");
    assert_eq!(minted.code, "lg1.laptop.Some(60)");
    assert!(!format!("{minted:?}").contains("lg1."));
    client.revoke_invite("4f/../é").await.expect("any id is one path segment");
    let csr = Csr { csr: "x".repeat(BODY_BYTES_MAX - 100) };
    assert_eq!(client.enrol_local(&csr).await.expect("issued").certificate, csr.csr);
    assert_eq!(client.approve_threat("77").await.expect("approved").tool, "echo");

    let tail = client.audit_tail(5).await.expect("records");
    let records: Vec<&str> = tail.records.iter().map(|record| record.get()).collect();
    assert_eq!(records, [r#"{"seq":1, "x":1.50}"#, r#""damaged""#]);
    let question =
        lockgate_admin::AuditQuestion { agent: Some("=spiffe://a/b c&d".into()), ..Default::default() };
    let found = client.audit_query(&question).await.expect("records");
    assert_eq!(found.records[0].get(), r#"{"agent":"=spiffe://a/b c&d","limit":100}"#);
    let many = lockgate_admin::AuditQuestion { limit: Some(501), ..question };
    assert_eq!(refused(client.audit_query(&many).await).status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn changes_of_algorithms_arrive_as_they_were_asked_for() {
    let (_, client, _keep) = start().await;
    assert_eq!(client.crypto().await.expect("shown"), Sample.crypto());
    assert_eq!(client.migration().await.expect("migration"), migration());
    let scope = Scope { listeners: vec!["foreign".into()], ..Scope::default() };
    let plan = PlanRequest { profile: "cnsa2".into(), scope: scope.clone() };
    assert_eq!(client.plan(&plan).await.expect("plan").profile, "cnsa2");
    let by = || "ann".to_owned();
    let mut apply = ApplyRequest {
        profile: "cnsa2".into(),
        scope,
        drain_s: None,
        cut_off: false,
        for_s: None,
        reason: String::new(),
        by: by(),
    };
    assert_eq!(refused(client.apply(&apply).await).code, "LG-K003");
    apply.cut_off = true;
    assert_eq!(client.apply(&apply).await.expect("applied"), change(r#"cnsa2 ["foreign"]"#.into()));
    let back = RollbackRequest { drain_s: Some(0), by: by() };
    assert_eq!(client.rollback(&back).await.expect("back").what, "Some(0)");
    let ban = BanRequest {
        target: "X25519".into(),
        reason: "a test".into(),
        now: true,
        keep_hybrids: false,
        drain_s: None,
        by: by(),
    };
    assert_eq!(client.ban(&ban).await.expect("banned").what, "X25519 true false");
    let lift = LiftRequest { target: "X25519".into(), by: by() };
    assert_eq!(client.lift(&lift).await.expect("lifted").what, "X25519");
    let drill = DrillRequest { drill: "lattice-broken".into(), live: true, for_s: Some(60), by: by() };
    assert!(client.drill(&drill).await.expect("drilled").live);
    for format in [InventoryFormat::Json, InventoryFormat::Cyclonedx] {
        let text = client.inventory(format).await.expect("taken");
        assert_eq!(text.get(), Sample.inventory(format).expect("taken"), "byte for byte");
    }
    let rotate = RotateRootRequest { algorithm: "ML-DSA-65".into(), overlap_s: 7, by: by() };
    assert_eq!(client.rotate_root(&rotate).await.expect("rotated").old_retires_at_ms, 7);
}

#[tokio::test]
async fn refusals_arrive_with_code_message_and_hint() {
    let (addr, client, _keep) = start().await;
    assert_eq!(refused(client.approve_threat("78").await), fault(StatusCode::NOT_FOUND));
    assert_eq!(refused(client.revoke_invite("1").await).status, StatusCode::NOT_FOUND);
    assert_eq!(refused(client.ready().await).code, "LG-A002");
    assert_eq!(refused(client.audit_tail(AUDIT_TAIL_MAX + 1).await).status, StatusCode::BAD_REQUEST);
    let broken = refused(client.reload().await);
    assert_eq!((broken.status, broken.code.as_str()), (StatusCode::INTERNAL_SERVER_ERROR, "LG-X001"));
    let too_large = Csr { csr: "x".repeat(BODY_BYTES_MAX) };
    assert_eq!(refused(client.enrol_local(&too_large).await).code, "LG-N413");

    let stranger = Client::new(addr, Token::from("guess".to_owned()));
    assert_eq!(refused(stranger.status().await).status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn requests_that_are_not_right_get_a_precise_status() {
    let (addr, _, _keep) = start().await;
    let table = [
        ("GET /healthz", "", "", 200),
        ("GET /readyz", "", "", 503),
        ("GET /metrics", "", "", 200),
        ("GET /v1/status", "", "", 401),
        ("GET /v1/nothing", "", "", 401),
        ("GET /v1/status", "Authorization: Bearer the-tokem\r\n", "", 401),
        ("GET /v1/status", BEARER, "", 200),
        ("GET /v1/nothing", BEARER, "", 404),
        ("GET /nothing", BEARER, "", 404),
        ("GET /v1/drain", BEARER, "", 405),
        ("POST /healthz", BEARER, "", 405),
        ("GET /v1/audit/tail?n=x", BEARER, "", 400),
        ("GET /v1/audit/tail?m=1", BEARER, "", 400),
        ("GET /v1/audit/tail", BEARER, "", 200),
        ("POST /v1/drain", BEARER, "", 202),
        ("POST /v1/invites", BEARER, r#"{"name":"a"}"#, 415),
        ("POST /v1/invites", JSON, r#"{"name":"a"}"#, 201),
        ("POST /v1/invites", JSON, r#"{"name":"a","lifetime":1}"#, 400),
        ("POST /v1/invites", JSON, r#"{"name":"#, 400),
        ("DELETE /v1/invites/%ff", BEARER, "", 400),
        ("GET /v1/crypto", "", "", 401),
        ("GET /v1/crypto/inventory?format=xml", BEARER, "", 400),
        ("POST /v1/crypto/plan", JSON, r#"{"profile":"a"}"#, 200),
        ("POST /v1/crypto/plan", JSON, r#"{"profile":"a","scope":{"listener":["x"]}}"#, 400),
        ("POST /v1/crypto/ban", JSON, r#"{"target":"a"}"#, 400),
        ("GET /v1/crypto/apply", BEARER, "", 405),
        ("GET /v1/status", "Authorization: Bearer the-token\r\nOrigin: https://evil.example\r\n", "", 403),
        ("GET /healthz", "Origin: null\r\n", "", 403),
        ("GET http://evil.example/v1/status", BEARER, "", 403),
    ];
    for (line, headers, body, status) in table {
        let answer = send(addr, line, headers, body).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line} {headers}{body}: {answer}");
        let lower = answer.to_ascii_lowercase();
        assert!(lower.contains("cache-control: no-store"), "{answer}");
        assert!(!lower.contains("access-control-"), "{answer}");
        if status >= 400 {
            assert!(answer.contains(r#"{"error":{"code":"LG-"#), "{line}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_rebound_name_gets_nothing() {
    let (addr, _, _keep) = start().await;
    let port = addr.port();
    for host in [format!("evil.example:{port}"), "127.0.0.1".into(), String::new()] {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{BEARER}\r\n");
        let answer = raw(addr, &request).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{host}: {answer}");
        assert!(!answer.contains("lockgate_links"), "{answer}");
    }
    let answer = raw(addr, &format!("GET /metrics HTTP/1.0\r\n{BEARER}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.0 403 "), "{answer}");
}

#[tokio::test]
async fn the_answer_carries_its_schema_first() {
    let (addr, _, _keep) = start().await;
    let answer = send(addr, "GET /v1/links", BEARER, "").await;
    assert!(
        answer.contains("\r\n\r\n{\"schema\":\"lockgate.links/1\",\"links\":[{\"number\":1,"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_flood_of_bytes_or_a_huge_head_is_refused() {
    let (addr, client, _keep) = start().await;
    let head = send(addr, "GET /healthz", &format!("X: {}\r\n", "x".repeat(40_000)), "").await;
    assert!(head.starts_with("HTTP/1.1 431 "), "{head:.200}");
    let body = "x".repeat(BODY_BYTES_MAX + 1);
    let answer = send(addr, "POST /v1/enrol-local", JSON, &body).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer:.200}");
    client.status().await.expect("others go on");
}

#[tokio::test]
async fn it_listens_on_loopback_only_and_says_when_the_port_is_taken() {
    let bind = |addr: &str| {
        let addr = addr.parse().expect("valid");
        Server::bind(addr, Token::generate(), Arc::new(Sample))
    };
    let refused = bind("0.0.0.0:0").await.err().expect("refused");
    assert!(matches!(refused, ServerError::NotLoopback(_)), "{refused}");
    let (addr, _, _keep) = start().await;
    let taken = bind(&addr.to_string()).await.err().expect("taken");
    assert!(taken.to_string().contains(&addr.to_string()), "{taken}");
}

#[tokio::test]
async fn the_client_tells_apart_nobody_a_stranger_and_another_version() {
    let (addr, client, keep) = start().await;
    drop(keep);
    // Once the interface has ended, its port answers no more.
    while TcpStream::connect(addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let gone = client.status().await.expect_err("gone");
    assert!(matches!(gone, ClientError::Unreachable { .. }), "{gone}");

    for (answer, cause) in [
        ("SSH-2.0-OpenSSH_9.9\r\n", "not the admin interface"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "schema"),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{\"schema\":\"lockgate.status/2\"} ",
            "it speaks lockgate.status/2",
        ),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let addr = listener.local_addr().expect("known");
        let stranger = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            // Only SSH speaks before it is asked.
            if answer.starts_with("HTTP") {
                stream.read(&mut [0; 4096]).await.map(drop).expect("reads");
            }
            stream.write_all(answer.as_bytes()).await.expect("writes");
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        let error = Client::new(addr, Token::generate()).status().await.expect_err("no node");
        assert!(matches!(error, ClientError::Foreign { .. }), "{error}");
        assert!(error.to_string().contains(cause), "{cause}: {error}");
        stranger.await.expect("ends");
    }
}

#[tokio::test]
async fn facts_are_listed_asked_for_and_brought() {
    let (_, client, _keep) = start().await;
    assert_eq!(client.facts().await.unwrap().facts[0].name, "staff");
    let question = |name: &str| FactQuestion { name: name.into(), key: None };
    assert_eq!(client.ask_fact(&question("staff")).await.unwrap().used, fact_used());
    let refused = client.ask_fact(&question("ward")).await.unwrap_err();
    assert!(matches!(refused, ClientError::Refused(fault) if fault.code == "LG-F007"));
    let signed: &serde_json::value::RawValue = serde_json::from_str(r#"{"a": 1,"a":2}"#).unwrap();
    assert_eq!(client.push_fact(signed).await.unwrap().until_ms, 2);
    let other: &serde_json::value::RawValue = serde_json::from_str("{}").unwrap();
    assert!(matches!(client.push_fact(other).await.unwrap_err(), ClientError::Refused(_)));
}

/// Exchanges a ticket; gives status line and body.
async fn exchange(addr: SocketAddr, ticket: &str) -> String {
    let body = format!(r#"{{"ticket":"{ticket}"}}"#);
    send(addr, "POST /session", "Content-Type: application/json\r\n", &body).await
}

#[tokio::test]
async fn a_session_of_the_dashboard_looks_and_does_nothing_else() {
    let (addr, client, _keep) = start().await;
    let page = send(addr, "GET /", "", "").await;
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("content-security-policy: default-src 'none'"));
    let ticket = client.ticket(&TicketRequest { by: "ann".into() }).await.expect("a ticket");
    assert!(!ticket.write && !format!("{ticket:?}").contains(&ticket.ticket));
    assert!(exchange(addr, "guess").await.starts_with("HTTP/1.1 401"));
    let opened = exchange(addr, &ticket.ticket).await;
    assert!(opened.starts_with("HTTP/1.1 201") && opened.contains(r#""by":"ann""#), "{opened}");
    assert!(exchange(addr, &ticket.ticket).await.starts_with("HTTP/1.1 401"), "used up");
    let (_, token) = opened.split_once(r#""token":""#).expect("a token");
    let token = token.split('"').next().expect("its end");
    let bearer = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
    assert!(send(addr, "GET /v1/status", &bearer, "").await.starts_with("HTTP/1.1 200"));
    for (line, body) in [
        ("POST /v1/dashboard", r#"{"by":"ann"}"#),
        ("POST /v1/drain", ""),
        ("POST /v1/approvals/a1/approve", r#"{"by":"ann"}"#),
        ("POST /v1/threats/a1/approve", ""),
        ("DELETE /v1/invites/4f", ""),
        ("PUT /v1/approvals/a1/approve", "{}"),
    ] {
        let answer = send(addr, line, &bearer, body).await;
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("LG-N406"), "{line}: {answer}");
    }
    let odd = send(
        addr,
        "POST /session",
        "Origin: https://evil.example\r\nContent-Type: application/json\r\n",
        "{}",
    );
    assert!(odd.await.contains("LG-N403"));
}
