//! The tools of a server that runs, asked for as a client does: opened, listed page by page, and left.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use lockgate_crypto::Profiles;
use lockgate_detect::scan::TEXT_BYTES_MAX;
use lockgate_identity::verifier::ForeignRoots;
use lockgate_mcp::version;
use lockgate_transport::child::{self, Spawner, Spec};
use lockgate_transport::http::{Limits as PoolLimits, Pool, Target as PoolTarget};
use lockgate_transport::{Dialer, Trust, dialer};
use serde_json::{Value, json};

use crate::config::Target;
use crate::diagnostic::{Diagnostic, Failure};
use crate::output::visible;

/// Pages of one list; the largest real servers have some ten.
const PAGES_MAX: usize = 1_000;

/// Bytes of one answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The list of the target's tools as JSON.
///
/// # Errors
/// Unreachable, or no MCP server.
pub(super) async fn tools(target: &Target, timeout_s: u64) -> Result<String, Failure> {
    let asking = async {
        match target {
            Target::Stdio { command } => pages(Talk::Child(start(command).await?)).await,
            Target::Http(uri) => pages(Talk::Http(open(uri)?)).await,
            // The command line has no words for one.
            Target::Api(_) => Err(unreachable("it is no MCP server but an API: lockgate deploy")),
        }
    };
    let limit = Duration::from_secs(timeout_s);
    let asked = tokio::time::timeout(limit, asking).await;
    asked.unwrap_or_else(|_| Err(unreachable(&format!("it did not answer within {timeout_s} s"))))
}

fn unreachable(why: &str) -> Failure {
    Diagnostic::new("LG-N001", format!("the server cannot be asked for its tools: {}", visible(why)))
        .hint("see whether it runs by itself, or give it more time: --timeout 60s")
        .into()
}

/// A conversation.
enum Talk {
    Child(Box<child::Child>),
    Http(Box<Web>),
}

struct Web {
    pool: Pool,
    uri: http::Uri,
    session: Option<HeaderValue>,
    version: Option<HeaderValue>,
}

async fn start(command: &[String]) -> Result<Box<child::Child>, Failure> {
    let spawner =
        Spawner::new(child::Limits { line_bytes_max: ANSWER_BYTES_MAX, ..child::Limits::default() });
    let (program, args) = command.split_first().expect("a target has a program");
    let spec =
        Spec { server: "scan".to_owned(), program: program.clone(), args: args.to_vec(), ..Spec::default() };
    spawner.spawn(&spec).await.map(Box::new).map_err(|error| unreachable(&error.to_string()))
}

fn open(uri: &http::Uri) -> Result<Box<Web>, Failure> {
    let dialer = match uri.scheme_str() {
        Some("https") => {
            let roots = ForeignRoots::system().map_err(|error| unreachable(&error.to_string()))?;
            // A scan reads what anybody may: servers of today have classical certificates.
            let profile = Profiles::shipped().find("pq-transition").expect("it is shipped");
            let suite = profile.compile(0).map_err(|error| unreachable(&error.to_string()))?;
            Dialer::new(suite, None, Trust::foreign(&roots), dialer::Limits::default())
                .map_err(|error| unreachable(&error.to_string()))?
        }
        _ => Dialer::plain(dialer::Limits::default()),
    };
    let target = PoolTarget::new(uri, Arc::new(dialer)).map_err(|error| unreachable(&error.to_string()))?;
    let pool = Pool::new(target, PoolLimits::default());
    Ok(Box::new(Web { pool, uri: uri.clone(), session: None, version: None }))
}

/// Opens a conversation, lists the tools, and ends it.
async fn pages(mut talk: Talk) -> Result<String, Failure> {
    let opening = json!({
        "protocolVersion": version::LATEST_LEGACY,
        "capabilities": {},
        "clientInfo": { "name": "lockgate-scan", "version": env!("CARGO_PKG_VERSION") },
    });
    let opened = talk.ask(0, "initialize", opening).await?;
    if let (Talk::Http(web), Some(version)) = (&mut talk, opened["protocolVersion"].as_str()) {
        web.version = HeaderValue::from_str(version).ok();
    }
    talk.tell("notifications/initialized").await?;
    let (mut tools, mut bytes, mut cursor) = (Vec::new(), 0, None);
    for page in 1..=PAGES_MAX {
        let params = cursor.as_ref().map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
        let mut result = talk.ask(page, "tools/list", params).await?;
        let Some(Value::Array(items)) = result.get_mut("tools").map(Value::take) else {
            return Err(unreachable("its answer to tools/list has no tools"));
        };
        bytes += items.iter().map(|item| item.to_string().len()).sum::<usize>();
        if bytes > TEXT_BYTES_MAX {
            return Err(unreachable("it lists more than is read"));
        }
        tools.extend(items);
        cursor = result["nextCursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            talk.leave().await;
            return Ok(json!({ "tools": tools }).to_string());
        }
    }
    Err(unreachable("its list does not end"))
}

impl Talk {
    async fn ask(&mut self, id: usize, method: &str, params: Value) -> Result<Value, Failure> {
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.send(&request).await?;
        let mut answer = match self {
            Talk::Child(child) => answer_of(child, id).await?,
            Talk::Http(web) => {
                web.post(&request, Some(id)).await?.ok_or_else(|| unreachable("it answers nothing"))?
            }
        };
        match answer.get_mut("result").map(Value::take) {
            Some(result) => Ok(result),
            None => Err(unreachable(&format!("it refuses {method}: {}", answer["error"]["message"]))),
        }
    }

    async fn tell(&mut self, method: &str) -> Result<(), Failure> {
        let note = json!({ "jsonrpc": "2.0", "method": method });
        self.send(&note).await?;
        if let Talk::Http(web) = self {
            web.post(&note, None).await?;
        }
        Ok(())
    }

    /// To a child; over HTTP question and answer are one.
    async fn send(&mut self, message: &Value) -> Result<(), Failure> {
        let Talk::Child(child) = self else { return Ok(()) };
        let sent = child.stdin.send(message.to_string().as_bytes()).await;
        sent.map_err(|error| unreachable(&format!("it does not read: {error}")))
    }

    /// A session is given back, a child is stopped.
    async fn leave(self) {
        let web = match self {
            Talk::Http(web) if web.session.is_some() => web,
            Talk::Http(_) => return,
            Talk::Child(child) => {
                child.handle.stop().await;
                return;
            }
        };
        if let Ok(request) = web.request(Method::DELETE, Bytes::new()) {
            // A server may refuse it, and forgets the session by itself then.
            let _ = web.pool.request(request).await;
        }
    }
}

async fn answer_of(child: &mut child::Child, id: usize) -> Result<Value, Failure> {
    loop {
        let line = child.stdout.next_line().await.map_err(|error| unreachable(&error.to_string()))?;
        let Some(line) = line else { return Err(unreachable("it ended")) };
        // What it says of its own accord, and what is no message at all, is passed over.
        let Ok(message) = serde_json::from_slice::<Value>(&line) else { continue };
        if message["id"] == json!(id) {
            return Ok(message);
        }
    }
}

impl Web {
    fn request(&self, method: Method, body: Bytes) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        if let Some(session) = &self.session {
            headers.insert("mcp-session-id", session.clone());
        }
        if let Some(version) = &self.version {
            headers.insert("mcp-protocol-version", version.clone());
        }
        let mut request = Request::builder().method(method).uri(self.uri.clone()).body(Full::new(body))?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// The message of this id in the answer.
    async fn post(&mut self, message: &Value, id: Option<usize>) -> Result<Option<Value>, Failure> {
        let request = self.request(Method::POST, message.to_string().into());
        let request = request.map_err(|error| unreachable(&error.to_string()))?;
        let response = self.pool.request(request).await.map_err(|error| unreachable(&error.to_string()))?;
        let (parts, body) = response.into_parts();
        if let Some(session) = parts.headers.get("mcp-session-id") {
            self.session = Some(session.clone());
        }
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| unreachable(&error.to_string()))?.to_bytes();
        let Some(id) = id else { return Ok(None) };
        if !parts.status.is_success() {
            return Err(unreachable(&format!("it answers with status {}", parts.status.as_u16())));
        }
        let text = String::from_utf8_lossy(&body);
        let events = text.lines().filter_map(|line| line.strip_prefix("data:"));
        let messages = std::iter::once(text.as_ref()).chain(events);
        let mut messages = messages.filter_map(|text| serde_json::from_str::<Value>(text.trim()).ok());
        Ok(messages.find(|message| message["id"] == json!(id)))
    }
}
