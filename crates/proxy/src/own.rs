//! Tools that this node calls in its own name, to find facts out.
//!
//! Such a call takes the way of every other: it is permitted, screened, forwarded, judged and recorded. Its caller is the
//! node, which has no rights of its own either: all that permits it are policies made out of the configuration, one for
//! each tool that a fact comes from ([`OwnTool`]). Policies about agents say nothing about it, and no fact is needed for it,
//! so that a question cannot lead to another.
//!
//! It is spoken to a server as a client of its own, in a session that is nobody else's: first in the legacy era, which most
//! servers know, and if that is declined in the modern one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use http::HeaderMap;
use lockgate_facts::{Answer, Tools};
use lockgate_identity::{Principal, Role, SpiffeId, bind};
use lockgate_mcp::{Era, Kind, Message, headers, reply, version};
use lockgate_policy::{Options, Policies, Source};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::answer::{finish, judge};
use crate::call::Call;
use crate::link::LinkContext;
use crate::node::{Node, Server};
use crate::permit::Asked;
use crate::pipeline::summary;
use crate::recover::{exchange_in_session, open_at, say_initialized, session_headers};
use crate::refusal::Refusal;
use crate::screen::screen;
use crate::session::Session;
use crate::upstream::{Exchange, UpstreamError, Verb};

/// The generation that records show for the policies on the node's own calls.
const GENERATION: u64 = 0;

/// Far enough for a principal that ends with its process, in seconds from the Unix epoch.
const NEVER_S: u64 = 1 << 40;

/// A tool that a fact comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnTool {
    /// The fact.
    pub fact: String,
    /// Id of the server.
    pub server: String,
    /// Name of the tool.
    pub tool: String,
}

/// Names of tools that no policy can be made for.
#[derive(Debug, thiserror::Error)]
#[error("no policy can be made for the tools of facts: {0}")]
pub struct Unpermitted(String);

/// Calls tools in the name of a node.
pub struct OwnTools {
    node: Weak<Node>,
    id: SpiffeId,
    /// What stands for the link that such calls come in on, with the policies on them.
    link: ArcSwap<LinkContext>,
    places: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Spoken>>>>>,
    next: AtomicU64,
}

/// How a server is spoken to.
#[derive(Clone)]
enum Spoken {
    Legacy(Arc<Session>),
    Modern,
}

impl OwnTools {
    /// Calls of `node` as `id`, to none but these tools.
    ///
    /// # Errors
    /// [`Unpermitted`].
    pub fn new(node: &Arc<Node>, id: SpiffeId, tools: &[OwnTool]) -> Result<Arc<Self>, Unpermitted> {
        let link = ArcSwap::new(link(&id, tools)?);
        let node = Arc::downgrade(node);
        Ok(Arc::new(Self { node, id, link, places: Mutex::default(), next: AtomicU64::new(1) }))
    }

    /// Calls these tools from now on, and no others.
    ///
    /// # Errors
    /// [`Unpermitted`]; then it is as it was.
    pub fn allow(&self, tools: &[OwnTool]) -> Result<(), Unpermitted> {
        self.link.store(link(&self.id, tools)?);
        Ok(())
    }

    async fn ask(&self, server: &str, tool: &str, arguments: Map<String, Value>) -> Result<String, String> {
        let node = self.node.upgrade().ok_or("this node is ending")?;
        let server = node.server(server).ok_or_else(|| format!("there is no server {server}"))?;
        let mut call = Call::open(&node, &self.link.load_full());
        call.note_server(&server.id);
        let question = Question { id: self.next.fetch_add(1, Ordering::Relaxed), tool, arguments };
        match self.attempt(&mut call, &server, &question).await {
            Ok(message) => {
                let (outcome, code, bytes) = summary(http::StatusCode::OK, Some(&message));
                call.note_result(&message);
                call.record(outcome, code, bytes).await.map_err(|unrecorded| unrecorded.to_string())?;
                let failed = || format!("the server answered with error {}", code.unwrap_or_default());
                message.result_raw().map(str::to_owned).ok_or_else(failed)
            }
            Err(refusal) => {
                call.record_refusal(&refusal).await.map_err(|unrecorded| unrecorded.to_string())?;
                Err(refusal.to_string())
            }
        }
    }

    async fn attempt(
        &self,
        call: &mut Call,
        server: &Arc<Server>,
        question: &Question<'_>,
    ) -> Result<Message, Refusal> {
        call.note_message(&question.message(Era::Legacy)?);
        if call.node.draining.is_cancelled() {
            return Err(Refusal::Draining);
        }
        call.node.audit.available().map_err(Refusal::Unrecorded)?;
        let place = Arc::clone(self.places.lock().entry(server.id.clone()).or_default());
        let spoken = Self::conversation(call, server, &place).await?;
        let asked = Self::exchange(call, server, question, &spoken).await;
        match (&asked, spoken) {
            // Only who answers in an era speaks it.
            (Ok(_), Spoken::Modern) => *place.lock().await = Some(Spoken::Modern),
            (Err(Refusal::Session(_)), _) => *place.lock().await = None,
            _ => {}
        }
        asked
    }

    /// The conversation with a server; opened first, if there is none.
    async fn conversation(
        call: &mut Call,
        server: &Arc<Server>,
        place: &tokio::sync::Mutex<Option<Spoken>>,
    ) -> Result<Spoken, Refusal> {
        let mut place = place.lock().await;
        if let Some(spoken) = &*place {
            return Ok(spoken.clone());
        }
        match open(call, server).await {
            Ok(session) => Ok(place.insert(Spoken::Legacy(session)).clone()),
            Err(Refusal::Upstream {
                error:
                    UpstreamError::Declined(_) | UpstreamError::Malformed(_) | UpstreamError::Unsupported(_),
                ..
            }) => Ok(Spoken::Modern),
            Err(refusal) => Err(refusal),
        }
    }

    async fn exchange(
        call: &mut Call,
        server: &Arc<Server>,
        question: &Question<'_>,
        spoken: &Spoken,
    ) -> Result<Message, Refusal> {
        (call.era, call.session) = match spoken {
            Spoken::Legacy(session) => (Era::Legacy, Some(Arc::clone(session))),
            Spoken::Modern => (Era::Modern, None),
        };
        let message = question.message(call.era)?;
        let version = call.session.as_ref().and_then(|session| session.version());
        let mut headers: HeaderMap = session_headers(version.as_deref());
        let params = server.param_headers(question.tool);
        headers.extend(headers::mirror(&message, params.as_deref()));
        let permit = Asked::by(call, &server.id, &headers).decide(message).await.result?;
        call.note_permit(&permit);
        let screened = screen(call, permit).await?;
        let link = Arc::clone(&call.link);
        let exchange = Exchange {
            verb: Verb::Post,
            screened: &screened,
            headers: &headers,
            era: call.era,
            agent: link.party(),
            caller: &link.caller,
        };
        let answer = exchange_in_session(call, server, &exchange).await?;
        let upstream_error = |error| Refusal::Upstream { server: server.id.clone(), error };
        let message = finish(answer, call.id_raw()).await.map_err(upstream_error)?;
        judge(call, server, message).await
    }
}

impl Tools for OwnTools {
    fn call<'a>(&'a self, server: &'a str, tool: &'a str, arguments: Map<String, Value>) -> Answer<'a> {
        Box::pin(self.ask(server, tool, arguments))
    }
}

/// One call of a tool.
struct Question<'a> {
    id: u64,
    tool: &'a str,
    arguments: Map<String, Value>,
}

impl Question<'_> {
    fn message(&self, era: Era) -> Result<Message, Refusal> {
        let mut params = json!({ "name": self.tool, "arguments": self.arguments });
        if era == Era::Modern {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": version::LATEST_MODERN,
                "io.modelcontextprotocol/clientInfo": own_info(),
                "io.modelcontextprotocol/clientCapabilities": {},
            });
        }
        written(Some(&self.id.to_string()), "tools/call", &params)
    }
}

/// Opens a session with a server of the legacy era.
async fn open(call: &mut Call, server: &Arc<Server>) -> Result<Arc<Session>, Refusal> {
    let params = json!({
        "protocolVersion": version::LATEST_LEGACY,
        "capabilities": {},
        "clientInfo": own_info(),
    });
    let init = written(Some("0"), "initialize", &params)?;
    let (upstream, version) = open_at(call, server, init.clone()).await?;
    let initialized = written(None, "notifications/initialized", &json!({}))?;
    say_initialized(call, server, initialized.clone(), (&upstream, &version)).await?;
    let node = &call.node;
    let (_, session) = node.sessions.open(&call.link.caller.agent, &server.id, init, node.now_ms());
    session.set_upstream(&server.id, upstream, None);
    session.set_version(&version);
    session.set_initialized(initialized);
    Ok(session)
}

fn written(id_raw: Option<&str>, method: &str, params: &Value) -> Result<Message, Refusal> {
    let bytes = reply::call(id_raw, method, Some(&params.to_string()));
    let message = Message::decode(bytes, &lockgate_mcp::Limits::requests()).map_err(Refusal::Decode)?;
    debug_assert!(matches!(message.kind(), Kind::Request | Kind::Notification));
    Ok(message)
}

fn own_info() -> Value {
    json!({ "name": "lockgate", "version": env!("CARGO_PKG_VERSION") })
}

/// What stands for a link, with the policies on what comes over it.
fn link(id: &SpiffeId, tools: &[OwnTool]) -> Result<Arc<LinkContext>, Unpermitted> {
    let text = policies(id, tools);
    let parsed = Policies::parse(&[Source { name: "facts.cedar", text: &text }], &Options::bare(GENERATION));
    let policies = parsed.map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Unpermitted(errors.join("; "))
    })?;
    let principal = Principal::Workload {
        id: id.clone(),
        role: Role::Node,
        serial: String::new(),
        not_before: SystemTime::UNIX_EPOCH,
        not_after: SystemTime::UNIX_EPOCH + Duration::from_secs(NEVER_S),
        key_fingerprint: String::new(),
    };
    Ok(LinkContext::of_node(bind(&Arc::new(principal)), Arc::new(policies)))
}

/// Permits for exactly these tools, and for the sessions that they take.
fn policies(id: &SpiffeId, tools: &[OwnTool]) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.escape_default());
    let agent = quoted(id.as_str());
    let mut text = String::new();
    for OwnTool { fact, server, tool } in tools {
        let (fact, tool) = (quoted(&format!("fact.{fact}")), quoted(&format!("{server}/{tool}")));
        text.push_str(&format!(
            "@id({fact}) permit(principal == Lockgate::Agent::{agent}, action in Lockgate::Action::\"tools/call\", \
             resource == Lockgate::Tool::{tool});\n"
        ));
    }
    let servers: std::collections::BTreeSet<&str> = tools.iter().map(|tool| tool.server.as_str()).collect();
    for server in servers {
        let (name, server) = (quoted(&format!("facts-of.{server}")), quoted(server));
        text.push_str(&format!(
            "@id({name}) permit(principal == Lockgate::Agent::{agent}, action in Lockgate::Action::\"session\", \
             resource == Lockgate::Server::{server});\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use lockgate_policy::Query;

    use super::*;

    #[test]
    fn the_node_may_call_the_tools_of_its_facts_and_nothing_else() {
        let id = SpiffeId::node("test.example", "gw").unwrap();
        let odd = "a\"); permit(principal, action, resource); // \\ é*";
        let tools: Vec<OwnTool> = [("one", "his", "appointments"), ("two", "his", odd)]
            .map(|(fact, server, tool)| OwnTool {
                fact: fact.into(),
                server: server.into(),
                tool: tool.into(),
            })
            .into();
        let link = link(&id, &tools).unwrap();
        let policies = link.own.as_ref().unwrap();
        assert_eq!(policies.len(), 3);
        let query = |server, method, name| Query {
            caller: &link.caller,
            server,
            method,
            name,
            posture: None,
            loopback: false,
        };
        for (server, method, name, may) in [
            ("his", "tools/call", Some("appointments"), true),
            ("his", "tools/call", Some(odd), true),
            ("his", "initialize", None, true),
            ("his", "tools/call", Some("delete"), false),
            ("his", "resources/read", Some("file:///a"), false),
            ("other", "tools/call", Some("appointments"), false),
            ("other", "initialize", None, false),
        ] {
            assert_eq!(policies.allows(&query(server, method, name)), may, "{server} {method} {name:?}");
        }
    }
}
