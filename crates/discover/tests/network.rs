//! The survey against servers on bare sockets, kind and hostile.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use lockgate_discover::assemble::Seen;
use lockgate_discover::map::{Authentication, Confidence, Transport};
use lockgate_discover::network::{Depth, Limits, Probe, Surveyor};
use lockgate_discover::registry;

/// Method, path, session id and body of each request.
type Log = Arc<Mutex<Vec<(String, String, Option<String>, String)>>>;

/// A server that answers each request by a function of method, path and body; what begins with `HTTP/` is sent as it is.
fn serve(answer: impl Fn(&str, &str, &str) -> String + Send + Sync + 'static) -> (u16, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let log = Log::default();
    let (kept, answer) = (Arc::clone(&log), Arc::new(answer));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
            std::thread::spawn(move || one(stream, &kept, &*answer));
        }
    });
    (port, log)
}

fn one(
    stream: TcpStream,
    log: &Log,
    answer: &(dyn Fn(&str, &str, &str) -> String + Send + Sync),
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let mut words = line.split(' ').map(str::to_owned);
        let (method, path) = (words.next()?, words.next()?);
        let (mut length, mut session) = (0, None);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let Some((name, value)) = header.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                "mcp-session-id" => session = Some(value.to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body = String::from_utf8(body).ok()?;
        log.lock().unwrap().push((method.clone(), path.clone(), session, body.clone()));
        stream.write_all(answer(&method, &path, &body).as_bytes()).ok()?;
    }
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn json(body: &str) -> String {
    http("200 OK", "Content-Type: application/json\r\n", body)
}

fn not_found() -> String {
    http("404 Not Found", "", "")
}

async fn ask(port: u16) -> Option<Seen> {
    let limits = Limits { answer_ms_max: 1_000, answer_bytes_max: 64 << 10, ..Limits::default() };
    let surveyor = Arc::new(Surveyor::new(limits).unwrap());
    let place = Probe { host: "127.0.0.1".into(), port, path: None };
    surveyor.survey(&[place], Depth::Tools, &|_| ()).await.pop()
}

#[tokio::test]
async fn a_modern_server_is_confirmed_and_its_tools_are_listed() {
    let (port, log) = serve(|method, path, body| match (method, path) {
        ("POST", "/mcp") if body.contains("server/discover") => json(
            r#"{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"],"serverInfo":{"name":"m","version":"2"},"capabilities":{}}}"#,
        ),
        ("POST", "/mcp") if body.contains("tools/list") => json(
            r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"wipe","annotations":{"destructiveHint":true}}]}}"#,
        ),
        _ => not_found(),
    });
    let seen = ask(port).await.unwrap();
    assert_eq!(
        (seen.confidence, seen.authentication, seen.transport),
        (Confidence::Confirmed, Authentication::None, Transport::Http)
    );
    assert_eq!((seen.name.as_deref(), seen.version.as_deref()), (Some("m"), Some("2")));
    assert_eq!((seen.tools[0].name.as_str(), seen.tools[0].destructive), ("wipe", Some(true)));
    assert_eq!(seen.tls.unwrap().protocol, None);
    assert!(
        log.lock()
            .unwrap()
            .iter()
            .all(|(.., body)| !body.contains("tools/call") && !body.contains("initialize"))
    );
}

#[tokio::test]
async fn a_session_that_was_opened_is_closed() {
    let (port, log) = serve(|method, path, body| match (method, path) {
        ("POST", "/mcp") if body.contains("\"initialize\"") => http(
            "200 OK",
            "Content-Type: text/event-stream\r\nMcp-Session-Id: s-1\r\n",
            "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"2025-11-25\",\"serverInfo\":{\"name\":\"l\"}}}\n\n",
        ),
        ("POST", "/mcp") if body.contains("tools/list") => {
            json(r#"{"jsonrpc":"2.0","id":2,"result":{"tools":[{"name":"t"}]}}"#)
        }
        ("POST", "/mcp") if body.contains("initialized") => http("202 Accepted", "", ""),
        ("POST", "/mcp") => http(
            "400 Bad Request",
            "Content-Type: application/json\r\n",
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"x"}}"#,
        ),
        ("DELETE", "/mcp") => http("204 No Content", "", ""),
        _ => not_found(),
    });
    let seen = ask(port).await.unwrap();
    assert_eq!(
        (seen.confidence, seen.name.as_deref(), seen.tools.len()),
        (Confidence::Confirmed, Some("l"), 1)
    );
    let log = log.lock().unwrap();
    let deleted: Vec<_> = log
        .iter()
        .filter(|(method, ..)| method == "DELETE")
        .map(|(_, path, session, _)| (path.as_str(), session.as_deref()))
        .collect();
    assert_eq!(deleted, [("/mcp", Some("s-1"))]);
}

#[tokio::test]
async fn refusals_events_and_cards_are_told_apart() {
    let (port, _) = serve(|_, path, _| match path {
        "/mcp" => http("401 Unauthorized", "WWW-Authenticate: Bearer resource_metadata=\"http://x\"\r\n", ""),
        _ => not_found(),
    });
    let seen = ask(port).await.unwrap();
    assert_eq!((seen.confidence, seen.authentication), (Confidence::Likely, Authentication::OAuth));

    let (port, _) = serve(|method, path, _| match (method, path) {
        ("GET", "/sse") => {
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: endpoint\ndata: /messages\n\n"
                .into()
        }
        _ => not_found(),
    });
    assert_eq!(ask(port).await.unwrap().transport, Transport::Sse);

    let (port, _) = serve(|_, _, _| http("401 Unauthorized", "WWW-Authenticate: Basic\r\n", ""));
    assert_eq!(ask(port).await, None, "any web server may answer so");
    let (port, _) = serve(|_, _, _| http("200 OK", "Content-Type: text/html\r\n", "<html>"));
    assert_eq!(ask(port).await, None);
}

#[tokio::test]
async fn hostile_servers_cost_their_limit_and_no_more() {
    let endless = "x".repeat(1 << 20);
    for answer in [
        // Says nothing; closes at once; is no HTTP; never ends; lies about its length; floods with headers; redirects.
        String::new(),
        "SSH-2.0-x\r\n".into(),
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{endless}"),
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\nContent-Type: application/json\r\n\r\n{".into(),
        format!("HTTP/1.1 200 OK\r\n{}\r\n", format!("A: {}\r\n", &endless[..1000]).repeat(1000)),
        http("302 Found", "Location: http://127.0.0.1:1/\r\n", ""),
        json(&"[".repeat(60_000)),
        json(&format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"tools\":[{}]}}}}",
            "{},".repeat(20_000)
        )),
    ] {
        let (port, log) = serve(move |_, _, _| answer.clone());
        assert_eq!(ask(port).await, None);
        assert!(log.lock().unwrap().len() <= 40);
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(ask(nobody).await, None);
}

#[tokio::test]
async fn the_registry_is_read_page_by_page() {
    let (port, log) = serve(|_, path, _| match path.contains("cursor=") {
        false => json(r#"{"servers":[{"server":{"name":"io.github.o/a"}}],"metadata":{"nextCursor":"x:1"}}"#),
        true => json(r#"{"servers":[{"server":{"name":"io.github.o/b"}}],"metadata":{}}"#),
    });
    let (servers, complete) = registry::read(&format!("http://127.0.0.1:{port}")).await.unwrap();
    assert_eq!((servers.len(), complete), (2, true));
    assert!(log.lock().unwrap()[1].1.ends_with("cursor=x%3A1"));
    let (port, _) = serve(|_, _, _| json(r#"{"servers":[],"metadata":{"nextCursor":"same"}}"#));
    assert!(!registry::read(&format!("http://127.0.0.1:{port}")).await.unwrap().1, "a circle ends");
    assert!(registry::read("http://registry.example").await.is_err(), "plain HTTP is for this machine");
}
