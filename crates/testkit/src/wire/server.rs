//! The server: sessions, methods, and the player of scripts.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Barrier,
};

use super::{
    call::Call,
    http::{Reader, Request},
    observed::{Observed, Ticket},
    script::{Framing, Head, Step, TOOLS, error, result, script},
};

/// Longest that `GET /observed` waits.
const OBSERVED_WAIT_MS_MAX: u64 = 60_000;
/// First revision without sessions.
const STATELESS_SINCE: &str = "2026-07-28";
/// Revisions that `initialize` may agree on, newest first.
const SESSION_VERSIONS: [&str; 3] = ["2025-11-25", "2025-06-18", "2025-03-26"];

/// Everything that connections share.
pub(super) struct Server {
    observed: Observed,
    connections: AtomicU64,
    sessions: Mutex<HashSet<String>>,
    sessions_made: AtomicU64,
    redefined: AtomicU64,
    meetings: Mutex<HashMap<String, Arc<Barrier>>>,
}

/// Binds `address` and returns the address that it got, and the server to be awaited.
///
/// # Errors
/// When the address cannot be bound.
pub async fn listen(address: SocketAddr) -> io::Result<(SocketAddr, impl Future<Output = io::Result<()>>)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let server = Arc::new(Server::new());
    Ok((bound, async move {
        loop {
            let (stream, _) = listener.accept().await?;
            let server = Arc::clone(&server);
            tokio::spawn(async move { server.serve(stream).await });
        }
    }))
}

/// Whether the connection can carry another request.
#[derive(PartialEq, Eq)]
enum Then {
    KeepOpen,
    Close,
}

impl Server {
    /// A server without clients.
    pub(super) fn new() -> Self {
        Self {
            observed: Observed::new(),
            connections: AtomicU64::new(0),
            sessions: Mutex::default(),
            sessions_made: AtomicU64::new(0),
            redefined: AtomicU64::new(0),
            meetings: Mutex::default(),
        }
    }

    async fn serve(&self, stream: TcpStream) {
        // Small events must leave at once; a failure only makes the server slower.
        let _ = stream.set_nodelay(true);
        let connection = self.connections.fetch_add(1, Relaxed);
        let (source, mut sink) = stream.into_split();
        let mut reader = Reader::new(source);
        // A broken connection ends here; what it carried is in the list already.
        while let Ok(Some(request)) = reader.request().await {
            let then = if request.path() == "/mcp" {
                let ticket = self.observed.seen(connection, &request);
                self.play(&self.answer(&request), &mut reader, &mut sink, ticket).await
            } else {
                let body = self.about(&request).await;
                let (status, kind) = (if body.is_some() { 200 } else { 404 }, "application/json");
                let steps = whole(status, &[("content-type", kind)], body.unwrap_or_default());
                let sent = write(&steps, &mut sink).await;
                if sent.is_ok() { Then::KeepOpen } else { Then::Close }
            };
            if then == Then::Close {
                return;
            }
        }
    }

    /// `/observed` and `/forget`.
    async fn about(&self, request: &Request) -> Option<String> {
        match (request.method.as_str(), request.path()) {
            ("GET", "/observed") => {
                let number = |name| request.query_number(name).unwrap_or(0);
                let wait = number("wait_ms").min(OBSERVED_WAIT_MS_MAX);
                let wait = Duration::from_millis(wait);
                Some(self.observed.report(number("requests"), number("disconnects"), wait).await)
            }
            ("POST", "/forget") => {
                self.observed.forget();
                Some("{}".to_owned())
            }
            _ => None,
        }
    }

    /// Plays `steps`, watching the client all the while.
    async fn play(
        &self,
        steps: &[Step],
        reader: &mut Reader<impl AsyncRead + Unpin>,
        sink: &mut (impl AsyncWrite + Unpin),
        ticket: Ticket,
    ) -> Then {
        let played = tokio::select! {
            played = self.perform(steps, sink) => played,
            () = reader.closed() => Err(io::ErrorKind::ConnectionAborted.into()),
        };
        match played {
            Ok(then) => then,
            Err(_) => {
                self.observed.gone(ticket);
                Then::Close
            }
        }
    }

    async fn perform(&self, steps: &[Step], sink: &mut (impl AsyncWrite + Unpin)) -> io::Result<Then> {
        let mut chunked = false;
        for step in steps {
            match step {
                Step::Begin(head) => {
                    chunked = head.chunked;
                    sink.write_all(&head_bytes(head)).await?;
                }
                Step::Send(bytes) => send(sink, bytes, chunked).await?,
                Step::Repeat(bytes, times) => {
                    for _ in 0..*times {
                        send(sink, bytes, chunked).await?;
                    }
                }
                Step::Pause(pause) => tokio::time::sleep(*pause).await,
                Step::Meet(key, count) => self.meet(key, *count).await,
                Step::Hang => std::future::pending().await,
                Step::Close => {
                    sink.shutdown().await?;
                    return Ok(Then::Close);
                }
            }
        }
        if chunked {
            sink.write_all(b"0\r\n\r\n").await?;
        }
        Ok(Then::KeepOpen)
    }

    /// Waits for the other clients that gave the same key.
    pub(super) async fn meet(&self, key: &str, count: usize) {
        let meeting = {
            let mut meetings = self.meetings.lock().unwrap_or_else(PoisonError::into_inner);
            let meeting = meetings.entry(key.to_owned());
            Arc::clone(meeting.or_insert_with(|| Arc::new(Barrier::new(count))))
        };
        if meeting.wait().await.is_leader() {
            self.meetings.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        }
    }

    fn answer(&self, request: &Request) -> Vec<Step> {
        let session = request.header("mcp-session-id").map(str::to_owned);
        let version = request.header("mcp-protocol-version").unwrap_or_default();
        let stateless = version >= STATELESS_SINCE;
        match request.method.as_str() {
            "GET" if !stateless && self.knows(session.as_ref()) => resumed(request),
            "DELETE" if !stateless && self.knows(session.as_ref()) => {
                self.forget_sessions(session.as_deref());
                whole(204, &[], String::new())
            }
            "GET" | "DELETE" if stateless => whole(405, &[("allow", "POST")], String::new()),
            "GET" | "DELETE" => whole(404, &[], String::new()),
            "POST" => self.post(request, stateless, session),
            _ => whole(405, &[("allow", "GET, POST, DELETE")], String::new()),
        }
    }

    fn post(&self, request: &Request, stateless: bool, session: Option<String>) -> Vec<Step> {
        let Ok(call) = serde_json::from_slice::<Call<'_>>(&request.body) else {
            return json_body(400, error("null", -32700, "this is not a JSON-RPC message"));
        };
        let id = call.id.map_or("null", |id| id.get());
        if call.method.as_deref() == Some("initialize") {
            let body = result(id, &self.initialized(call.protocol_version()));
            let made = format!("wire-{}", self.sessions_made.fetch_add(1, Relaxed));
            self.sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(made.clone());
            let headers = [("content-type", "application/json"), ("mcp-session-id", &made)];
            return whole(200, &headers, body);
        }
        if !stateless && !self.knows(session.as_ref()) {
            let status = if session.is_some() { 404 } else { 400 };
            return json_body(status, error(id, -32001, "this session does not exist"));
        }
        if call.id.is_none() || call.method.is_none() {
            return whole(202, &[], String::new());
        }
        match self.reply(&call, Framing::Http, &arrived(request)) {
            Ok(steps) => steps,
            Err((code, reason)) => {
                let status = if stateless && code == -32601 { 404 } else { 200 };
                json_body(status, error(id, code, &reason))
            }
        }
    }

    /// The steps for a request with an id, in either framing.
    pub(super) fn reply(
        &self,
        call: &Call<'_>,
        framing: Framing,
        arrived: &str,
    ) -> Result<Vec<Step>, (i64, String)> {
        let id = call.id.map_or("null", |id| id.get());
        let message = match call.method.as_deref().unwrap_or_default() {
            "initialize" => result(id, &self.initialized(call.protocol_version())),
            "server/discover" => result(id, &discovered()),
            "ping" | "logging/setLevel" => result(id, "{}"),
            "tools/list" => result(id, &self.tools()),
            "tools/call" => {
                match call.tool() {
                    Some("expire") => self.forget_sessions(None),
                    Some("redefine") => drop(self.redefined.fetch_add(1, Relaxed)),
                    _ => {}
                }
                return script(call, framing, arrived).map_err(|reason| (-32602, reason));
            }
            method => return Err((-32601, format!("there is no method `{method}`"))),
        };
        Ok(match framing {
            Framing::Http => json_body(200, message),
            Framing::Lines => vec![Step::Send(format!("{message}\n").into_bytes())],
        })
    }

    fn initialized(&self, asked: Option<&str>) -> String {
        let known = SESSION_VERSIONS.iter().find(|version| asked == Some(**version));
        let version = known.unwrap_or(&SESSION_VERSIONS[0]);
        let version = json!(version);
        format!(
            r#"{{"protocolVersion":{version},"capabilities":{{"tools":{{"listChanged":true}},"logging":{{}},"x-new":{{"kept":1.0}}}},"serverInfo":{{"name":"lockgate-wire-fixture","version":"1","x-vendor":true}}}}"#
        )
    }

    /// `tools/list`, with members that no typed model knows.
    fn tools(&self) -> String {
        let redefined = self.redefined.load(Relaxed);
        let tools = TOOLS.map(|(name, about)| {
            let about = match (name, redefined) {
                ("redefine", times) if times > 0 => format!("{about} It did so {times} times."),
                _ => about.to_owned(),
            };
            let (name, about) = (json!(name), json!(about));
            format!(
                r#"{{"name":{name},"description":{about},"inputSchema":{{"type":"object"}},"execution":{{"taskSupport":"forbidden"}},"x-vendor":{{"weight":1.0}}}}"#
            )
        });
        format!(
            r#"{{"tools":[{}],"x-list":{{"kept":[1.0]}},"ttlMs":1000,"cacheScope":"public","resultType":"complete"}}"#,
            tools.join(",")
        )
    }

    fn knows(&self, session: Option<&String>) -> bool {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        session.is_some_and(|session| sessions.contains(session))
    }

    fn forget_sessions(&self, only: Option<&str>) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|session| only.is_some_and(|only| only != session));
    }
}

fn discovered() -> String {
    let versions = json!([STATELESS_SINCE, SESSION_VERSIONS[0], SESSION_VERSIONS[1]]);
    format!(
        r#"{{"supportedVersions":{versions},"capabilities":{{"tools":{{}}}},"_meta":{{"io.modelcontextprotocol/serverInfo":{{"name":"lockgate-wire-fixture","version":"1"}}}},"ttlMs":0,"cacheScope":"private","resultType":"complete"}}"#
    )
}

/// The stream of a `GET`: it says which event it was resumed after, and then stays open.
fn resumed(request: &Request) -> Vec<Step> {
    let after = json!(request.header("last-event-id"));
    let event = format!(
        ": the stream is open\nid: get-1\nretry: 1234\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{{\"level\":\"info\",\"data\":{{\"resumedAfter\":{after}}}}}}}\n\n"
    );
    let headers = vec![("content-type".to_owned(), "text/event-stream".to_owned())];
    let head = Head { status: 200, headers, chunked: true };
    vec![Step::Begin(head), Step::Send(event.into_bytes()), Step::Hang]
}

/// The request as it came, for `echo`: names and values in their order and case, and the body.
fn arrived(request: &Request) -> String {
    let body = String::from_utf8_lossy(&request.body);
    let line = format!("{} {}", request.method, request.target);
    json!({ "line": line, "headers": request.headers, "body": body }).to_string()
}

fn json_body(status: u16, body: String) -> Vec<Step> {
    whole(status, &[("content-type", "application/json")], body)
}

fn whole(status: u16, headers: &[(&str, &str)], body: String) -> Vec<Step> {
    let mut headers: Vec<(String, String)> =
        headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    if status != 204 {
        headers.push(("content-length".to_owned(), body.len().to_string()));
    }
    let head = Head { status, headers, chunked: false };
    vec![Step::Begin(head), Step::Send(body.into_bytes())]
}

fn head_bytes(head: &Head) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {} fixture\r\n", head.status);
    for (name, value) in &head.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if head.chunked {
        text.push_str("transfer-encoding: chunked\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

async fn send(sink: &mut (impl AsyncWrite + Unpin), bytes: &[u8], chunked: bool) -> io::Result<()> {
    if !chunked {
        return sink.write_all(bytes).await;
    }
    if bytes.is_empty() {
        return Ok(());
    }
    sink.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).await?;
    sink.write_all(bytes).await?;
    sink.write_all(b"\r\n").await
}

async fn write(steps: &[Step], sink: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    for step in steps {
        match step {
            Step::Begin(head) => sink.write_all(&head_bytes(head)).await?,
            Step::Send(bytes) => sink.write_all(bytes).await?,
            _ => {}
        }
    }
    Ok(())
}
