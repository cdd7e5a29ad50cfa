//! Every way in which a call ends without its answer, ordered by blame, and the one place where such an end becomes a
//! response.
//!
//! A refusal is always a JSON-RPC error with a code, a sentence and a hint, also where HTTP alone would do: a bare 400
//! or 404 tells a modern client that it met a legacy server (MCP 2026-07-28, versioning).

mod hint;
mod status;

use http::{HeaderValue, Response, header};
use lockgate_audit::AuditError;
use lockgate_detect::Finding;
use lockgate_identity::Revoked;
use lockgate_mcp::headers::{self, HeaderError};
use lockgate_mcp::reply;
use lockgate_mcp::{DecodeError, Era};
use lockgate_policy::{Consequence, Denial, Refused};
use serde_json::json;

use crate::approvals::{ApprovalError, RETRY_MS};
use crate::bearer_answers::TokenProblem;
use crate::body::Body;
use crate::call::Call;
pub use crate::hold::Hold;
use crate::results::Cuts;
use crate::session::SessionError;
use crate::upstream::UpstreamError;

/// Why a call was not answered by its upstream.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The `Host` header names a host that this listener does not serve (DNS rebinding).
    #[error("the Host header names `{0}`, which is not served here")]
    Host(String),
    /// The `Origin` header names a site that may not call this node.
    #[error("requests from the origin `{0}` are not accepted")]
    Origin(String),
    /// No server under this path.
    #[error("nothing is served at `{path}`")]
    Route {
        /// The path.
        path: String,
        /// What is served instead.
        served: String,
    },
    /// An HTTP method that this path does not know.
    #[error("the method {0} means nothing here")]
    Verb(http::Method),
    /// An MCP method that is not offered for all servers together.
    #[error("the method `{method}` is not offered for all servers together")]
    NoMethod {
        /// The method.
        method: String,
        /// The protocol era, which decides on the status.
        era: Era,
    },
    /// A name that belongs to no server here.
    #[error("`{name}` belongs to no server here")]
    NoSubject {
        /// The name as it came.
        name: String,
    },
    /// A task of another agent, or one that this node does not know.
    #[error("no call of this agent has become a task `{task}` that is known here")]
    NoTask {
        /// Its id as it came.
        task: String,
    },
    /// A request about a task from a client that has not declared the extension of tasks (SEP-2663).
    #[error("tasks are for clients that declare the extension {}", crate::tasks::EXTENSION)]
    TasksUndeclared,
    /// A protocol version that none of the servers speaks.
    #[error("no server here speaks protocol version {requested}")]
    Unspoken {
        /// The version asked for.
        requested: String,
        /// The versions that some server may speak.
        supported: Vec<&'static str>,
    },
    /// A body that is not JSON.
    #[error("the content type must be application/json")]
    MediaType,
    /// A body over the limit.
    #[error("the request is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Too many header lines, or too long ones.
    #[error("the request has more than {count_max} headers or {bytes_max} bytes of them")]
    Headers {
        /// The limit in lines.
        count_max: usize,
        /// The limit in bytes.
        bytes_max: usize,
    },
    /// The body did not arrive whole.
    #[error("the request body broke off or took too long")]
    Incomplete,
    /// The body is no MCP message.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The headers disagree with the body.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A session that is not there.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The version header is not the one that the session agreed on.
    #[error("this session speaks {agreed}, and the request says {said}")]
    Version {
        /// What `initialize` agreed on.
        agreed: String,
        /// What the header says.
        said: String,
    },
    /// The link carries no identity that this listener accepts.
    #[error("{0}")]
    Unauthenticated(String),
    /// The caller proved who it is, and may not be let in any more.
    #[error("{} ({})", .0, .0.code())]
    Revoked(#[from] Revoked),
    /// The link was cut because of what another call on it did, or because its peer was revoked.
    #[error("this link is cut off")]
    Cut,
    /// A token that does not hold. What this shows may go to the caller; which check failed is in
    /// [`Refusal::in_full`].
    #[error("{0}")]
    Token(Box<TokenProblem>),
    /// Policy says no.
    #[error("{}", .0.reason)]
    Denied(Box<Denial>),
    /// Policy does not let the caller connect with the server at all.
    #[error("{}", .0.reason)]
    NotConnected(Box<Refused>),
    /// None of the servers is for this caller, or the one that it used is not any more.
    #[error("nothing that this goes to is open to this caller")]
    Nowhere,
    /// The call waits for a person, or a person rejected it.
    #[error("{0}")]
    Hold(Box<Hold>),
    /// The call would have to wait for a person, and cannot.
    #[error("the call needs an approval, and cannot wait for it: {0}")]
    Unheld(ApprovalError),
    /// Policy lets only a part of results pass, and what a server says beside them cannot be cut.
    #[error("withheld, because only certain fields of results may pass: {why}")]
    Unprojected {
        /// Why it cannot be cut.
        why: String,
    },
    /// Detection holds the call.
    #[error("{reason}")]
    Held {
        /// The finding's id.
        finding: String,
        /// Why.
        reason: String,
        /// What to do.
        hint: String,
        /// Whether its caller is cut off for it.
        kills: bool,
    },
    /// Detection withholds the result.
    #[error("the result was withheld: {}", .0.reason)]
    Withheld(Box<Finding>),
    /// The definitions of a server's tools were trusted just now, and that cannot be kept.
    #[error("the tool definitions of {server} cannot be pinned: {why}")]
    Unpinned {
        /// The server's id.
        server: String,
        /// What the store says.
        why: String,
    },
    /// The upstream gave no usable answer.
    #[error("{server}: {error}")]
    Upstream {
        /// The server's id.
        server: String,
        /// What happened.
        error: UpstreamError,
    },
    /// More to be told of than one subscription may name.
    #[error("a subscription names at most {limit} resources and tasks")]
    Subscriptions {
        /// The limit.
        limit: usize,
    },
    /// More at once than this node takes.
    #[error("this node already has {limit} calls in flight, its limit")]
    Overloaded {
        /// The limit.
        limit: usize,
    },
    /// The node is shutting down.
    #[error("this node is draining")]
    Draining,
    /// The link may not stay under the cryptography that is in force now.
    #[error("this link ends: its cryptography is not in force any more")]
    Left,
    /// The call could not be recorded, so it is not answered.
    #[error("the call cannot be recorded: {0}")]
    Unrecorded(AuditError),
}

impl Refusal {
    /// As the caller is told it. Where only a part of results may pass, what is wrong with an answer is not told in words
    /// that may be the server's.
    pub(crate) fn for_caller(self, cuts: &Cuts) -> Self {
        match self {
            Refusal::Upstream { server, error: UpstreamError::Malformed(_) } if !cuts.is_empty() => {
                let error = UpstreamError::Malformed("it cannot be read".to_owned());
                Refusal::Upstream { server, error }
            }
            other => other,
        }
    }

    /// In full, for records and logs: a caller is not told which check of its token failed.
    pub fn in_full(&self) -> String {
        match self {
            Refusal::Token(problem) => format!("the token was refused: {}", problem.refused),
            other => other.to_string(),
        }
    }

    /// The policy or finding that decided.
    pub fn rule(&self) -> Option<String> {
        match self {
            Refusal::Denied(denial) => denial.policy.clone(),
            Refusal::NotConnected(refused) => refused.policy.clone(),
            Refusal::Hold(hold) => hold.denial.policy.clone(),
            Refusal::Held { finding, .. } => Some(finding.clone()),
            Refusal::Revoked(revoked) => Some(revoked.code().to_owned()),
            Refusal::Withheld(finding) => Some(finding.id.to_string()),
            Refusal::Header(error) if error.code() == reply::code::HEADER_MISMATCH => {
                Some(lockgate_detect::HEADER.to_owned())
            }
            _ => None,
        }
    }

    /// Whether trying the same again later may work, and after how many milliseconds at the earliest.
    pub fn retry_ms(&self) -> Option<u64> {
        match self {
            Refusal::Overloaded { .. } | Refusal::Draining | Refusal::Left => Some(1000),
            Refusal::Unrecorded(_) | Refusal::Unpinned { .. } => Some(1000),
            Refusal::Denied(denial) => denial.retry_ms,
            Refusal::Hold(hold) => hold.retry_ms(),
            Refusal::Unheld(_) => Some(RETRY_MS),
            Refusal::Upstream { error: UpstreamError::CircuitOpen { retry_ms, .. }, .. } => Some(*retry_ms),
            Refusal::Upstream { error, .. } if error.counts() => Some(1000),
            _ => None,
        }
    }

    /// Whether its caller is to be cut off for it.
    pub fn kills(&self) -> bool {
        match self {
            Refusal::Denied(denial) => denial.consequence == Consequence::Kill,
            Refusal::NotConnected(refused) => refused.consequence == Consequence::Kill,
            Refusal::Held { kills, .. } => *kills,
            _ => false,
        }
    }

    /// What policy decided, for the record; none where it was not policy that refused.
    pub(crate) fn decision(&self) -> Option<Decision> {
        let of = |denial: &Denial, consequence, approval| Decision {
            policies: denial.policies.clone(),
            generation: Some(denial.generation),
            consequence,
            shadow: denial.shadow.clone(),
            approval,
        };
        match self {
            Refusal::Denied(denial) if self.kills() => Some(of(denial, "kill", None)),
            Refusal::Denied(denial) => Some(of(denial, "deny", None)),
            Refusal::Hold(hold) => Some(of(&hold.denial, "hold", hold.decided_by())),
            Refusal::NotConnected(refused) => Some(Decision {
                policies: refused.policy.iter().cloned().collect(),
                generation: None,
                consequence: if self.kills() { "kill" } else { "deny" },
                shadow: None,
                approval: None,
            }),
            _ => None,
        }
    }

    /// The JSON-RPC answer to the request `id_raw`: an error, but for a tool call that waits. Its model is to read that it
    /// waits, and what clients make of errors is up to them.
    pub fn message(&self, id_raw: Option<&str>) -> bytes::Bytes {
        if let (Refusal::Hold(hold), Some(id_raw)) = (self, id_raw)
            && let Some(result) = hold.tool_result()
        {
            return reply::result(id_raw, &result.to_string());
        }
        let mut data = json!({ "stage": self.stage().name(), "hint": self.hint() });
        if let Some(rule) = self.rule() {
            data["rule"] = rule.into();
        }
        if let Some(retry_ms) = self.retry_ms() {
            data["retry_ms"] = retry_ms.into();
        }
        let extra = match self {
            Refusal::Header(error) => error.data(),
            Refusal::Hold(hold) => Some(json!({ "hold": hold.for_machines() })),
            Refusal::TasksUndeclared => Some(crate::tasks::required()),
            Refusal::Unspoken { requested, supported } => {
                Some(headers::unsupported_data(supported, requested))
            }
            _ => None,
        };
        for (key, value) in extra.iter().filter_map(|d| d.as_object()).flatten() {
            data[key] = value.clone();
        }
        reply::error(id_raw, self.code(), &self.to_string(), Some(&data))
    }

    /// The whole response to `call`.
    pub fn response(&self, call: &Call) -> Response<Body> {
        self.answer(call.id_raw(), call.asks())
    }

    /// The whole response to something that is no MCP call.
    pub fn plain_response(&self) -> Response<Body> {
        self.answer(None, false)
    }

    fn answer(&self, id_raw: Option<&str>, asks: bool) -> Response<Body> {
        let mut response = Response::new(Body::whole(self.message(id_raw)));
        *response.status_mut() = self.status(asks);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(retry_ms) = self.retry_ms() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_ms.div_ceil(1000)));
        }
        if matches!(self, Refusal::Verb(_)) {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST, GET, DELETE"));
        }
        if let Refusal::Token(problem) = self {
            problem.write(headers);
        }
        if matches!(self, Refusal::Unauthenticated(_)) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"lockgate\""));
        }
        response
    }
}

/// What policy decided, as records say it.
pub(crate) struct Decision {
    pub(crate) policies: Vec<String>,
    pub(crate) generation: Option<u64>,
    pub(crate) consequence: &'static str,
    pub(crate) shadow: Option<String>,
    pub(crate) approval: Option<String>,
}
