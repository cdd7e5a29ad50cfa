//! Every way in which a call ends without its answer, ordered by blame, and the one place where such an end becomes a
//! response.
//!
//! A refusal is always a JSON-RPC error with a code, a sentence and a hint, also where HTTP alone would do: a bare 400
//! or 404 tells a modern client that it met a legacy server (MCP 2026-07-28, versioning).

use http::{HeaderValue, Response, StatusCode, header};
use lockgate_audit::AuditError;
use lockgate_detect::Finding;
use lockgate_identity::Revoked;
use lockgate_mcp::headers::{self, HeaderError};
use lockgate_mcp::reply::{self, code};
use lockgate_mcp::{DecodeError, Era, version};
use lockgate_policy::{Cause, Consequence, Denial, Refused};
use serde_json::json;

use crate::approvals::{ApprovalError, RETRY_MS};
use crate::bearer_answers::TokenProblem;
use crate::body::Body;
use crate::call::Call;
pub use crate::hold::Hold;
use crate::session::SessionError;
use crate::stage::Stage;
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
    /// The stage that refused.
    pub fn stage(&self) -> Stage {
        use Refusal as R;
        match self {
            R::Overloaded { .. } | R::Draining | R::Left => Stage::Accept,
            R::Host(_) | R::Origin(_) | R::Route { .. } | R::Verb(_) | R::MediaType | R::TooLarge { .. } => {
                Stage::Decode
            }
            R::Headers { .. } | R::Incomplete | R::Decode(_) | R::Header(_) | R::Version { .. } => {
                Stage::Decode
            }
            R::NoMethod { .. } | R::NoSubject { .. } | R::Unspoken { .. } => Stage::Decode,
            R::Session(_) | R::Unauthenticated(_) | R::Revoked(_) | R::Cut | R::Token(_) => Stage::Bind,
            R::Denied(_) | R::NotConnected(_) | R::Nowhere | R::Hold(_) | R::Unheld(_) => Stage::Permit,
            R::Unprojected { .. } => Stage::Permit,
            R::Held { .. } | R::Withheld(_) | R::Unpinned { .. } => Stage::Screen,
            R::Upstream { .. } => Stage::Forward,
            R::Unrecorded(_) => Stage::Record,
        }
    }

    /// The JSON-RPC error code. Our own codes stand outside the range that MCP reserves.
    pub fn code(&self) -> i64 {
        use Refusal as R;
        match self {
            R::Decode(error) => error.code(),
            R::Header(error) => error.code(),
            _ if self.kills() => code::KILLED,
            R::NotConnected(_) | R::Nowhere | R::Unprojected { .. } => code::POLICY_DENIED,
            R::Hold(_) => code::AWAITING_APPROVAL,
            R::Unheld(_) => code::AWAITING_APPROVAL,
            R::Denied(denial) => match denial.cause {
                Cause::UnknownMethod => code::METHOD_NOT_FOUND,
                Cause::NoSubject => code::INVALID_PARAMS,
                _ => code::POLICY_DENIED,
            },
            R::Unauthenticated(_) | R::Token(_) => code::POLICY_DENIED,
            R::Revoked(_) | R::Cut => code::REVOKED,
            R::NoMethod { .. } => code::METHOD_NOT_FOUND,
            R::NoSubject { .. } => code::INVALID_PARAMS,
            R::Unspoken { .. } => code::UNSUPPORTED_VERSION,
            R::Held { .. } | R::Withheld(_) | R::Unpinned { .. } => code::HELD,
            R::Upstream { .. } => code::UPSTREAM,
            R::Overloaded { .. } | R::Draining | R::Left => code::OVERLOADED,
            R::Unrecorded(_) => code::AUDIT,
            _ => code::INVALID_REQUEST,
        }
    }

    /// The HTTP status, for a peer that `asks` with a JSON-RPC request or only tells, listens or ends.
    ///
    /// Denials and holds of well-formed requests are answered 200 with a JSON-RPC error, as an upstream would answer a
    /// call that it refuses: clients treat 401 and 403 as a call to log in. Where no JSON-RPC answer is waited for, the
    /// status is all that is read, so there a 200 would say that all went well.
    pub fn status(&self, asks: bool) -> StatusCode {
        use Refusal as R;
        match self {
            R::Host(_) | R::Origin(_) | R::Revoked(_) | R::Cut => StatusCode::FORBIDDEN,
            R::Route { .. } | R::Session(SessionError::Unknown) => StatusCode::NOT_FOUND,
            R::Verb(_) => StatusCode::METHOD_NOT_ALLOWED,
            R::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            R::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            R::Headers { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            R::Incomplete => StatusCode::REQUEST_TIMEOUT,
            R::Header(error) => StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::BAD_REQUEST),
            R::Decode(_) | R::Session(SessionError::Missing) | R::Version { .. } => StatusCode::BAD_REQUEST,
            R::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            R::Token(problem) => problem.status(),
            R::NoMethod { era: Era::Modern, .. } => StatusCode::NOT_FOUND,
            R::Denied(denial) if is_unknown_to_modern(denial) => StatusCode::NOT_FOUND,
            R::Unspoken { .. } => StatusCode::BAD_REQUEST,
            R::NoMethod { .. } | R::NoSubject { .. } if asks => StatusCode::OK,
            R::NoMethod { .. } | R::NoSubject { .. } => StatusCode::BAD_REQUEST,
            R::Denied(_) | R::Held { .. } | R::Withheld(_) if asks => StatusCode::OK,
            R::Denied(_) | R::Held { .. } | R::Withheld(_) => StatusCode::FORBIDDEN,
            R::NotConnected(_) | R::Nowhere | R::Hold(_) | R::Unheld(_) | R::Unprojected { .. } => {
                if asks {
                    StatusCode::OK
                } else {
                    StatusCode::FORBIDDEN
                }
            }
            R::Upstream { error, .. } => upstream_status(error),
            R::Overloaded { .. } | R::Draining | R::Left | R::Unrecorded(_) | R::Unpinned { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// What the caller, or the operator, can do about it.
    pub fn hint(&self) -> String {
        use Refusal as R;
        match self {
            R::Host(_) => {
                "reach this node under a name that it serves, or add the name to `node.names`".into()
            }
            R::Origin(_) => "pages of other hosts may call only if `node.origins` lists their origin".into(),
            R::Route { served, .. } => format!("served here: {served}"),
            R::Verb(_) => "use POST; GET and DELETE belong to legacy sessions".into(),
            R::NoMethod { .. } => "call it at a server's own path: /servers/ID/mcp".into(),
            R::NoSubject { .. } => "list what there is; names here begin with the id of their server".into(),
            R::Unspoken { .. } => "use one of the supported versions".into(),
            R::MediaType => "send `Content-Type: application/json`".into(),
            R::TooLarge { .. } => "send less, or raise `limits.request_bytes_max`".into(),
            R::Headers { .. } => {
                "send fewer headers; `limits.header_count_max` and `limits.header_bytes_max` bound them"
                    .into()
            }
            R::Incomplete => "send the request again".into(),
            R::Decode(_) => "the message was refused as it stands; nothing was forwarded".into(),
            R::Header(_) => "headers that mirror the body must agree with it (MCP 2026-07-28)".into(),
            R::Session(SessionError::Unknown) => "start a new session with `initialize`".into(),
            R::Session(SessionError::Missing) => {
                "start with `initialize`, and send its `Mcp-Session-Id` from then on".into()
            }
            R::Version { .. } => "send the version that `initialize` agreed on".into(),
            R::Unauthenticated(_) => {
                "connect with `lockgate connect`; a first certificate comes by `lockgate identity invite`"
                    .into()
            }
            R::Revoked(_) => {
                "ask who runs this gateway: it lists what is revoked, and why, with `lockgate identity list`"
                    .into()
            }
            R::Cut => "ask who runs this gateway what happened on this link".into(),
            _ if self.kills() => {
                "this agent is locked out until a person restores it: lockgate identity restore AGENT".into()
            }
            R::Token(_) => {
                "get a new token where the challenge says (WWW-Authenticate), for this resource".into()
            }
            R::Denied(denial) => denial.hint.clone(),
            R::NotConnected(refused) => refused.hint.clone(),
            R::Nowhere => "ask who runs this gateway for a policy that names this agent".into(),
            R::Hold(hold) => hold.hint(),
            R::Unheld(_) => "a person can make room: lockgate approvals list".into(),
            R::Unprojected { .. } => {
                "the server must answer in JSON, or the policy must not restrict the fields of its results"
                    .into()
            }
            R::Held { hint, .. } => hint.clone(),
            R::Withheld(_) => {
                "look at it with `lockgate threats list`; nothing of the result was passed on".into()
            }
            R::Unpinned { .. } => "see what is wrong with the store: lockgate doctor".into(),
            R::Upstream { error, .. } => upstream_hint(error).into(),
            R::Overloaded { .. } => "try again in a moment, or raise `limits.calls_in_flight_max`".into(),
            R::Draining => "connect again: another node, or this one after its restart".into(),
            R::Left => "connect again, to a link of what is in force".into(),
            R::Unrecorded(_) => {
                "free space for the audit log; calls are refused until it can be written".into()
            }
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

/// A modern server answers a method that it does not know with 404 (MCP 2026-07-28); a legacy one must not, because
/// there 404 ends the session.
fn is_unknown_to_modern(denial: &Denial) -> bool {
    let era = denial.message.meta_protocol_version().and_then(version::era);
    denial.cause == Cause::UnknownMethod && era == Some(Era::Modern)
}

fn upstream_status(error: &UpstreamError) -> StatusCode {
    match error {
        UpstreamError::SessionLost => StatusCode::NOT_FOUND,
        UpstreamError::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
        UpstreamError::CircuitOpen { .. } | UpstreamError::TooManyChildren(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        UpstreamError::Unsupported(_) => StatusCode::BAD_REQUEST,
        _ => StatusCode::BAD_GATEWAY,
    }
}

fn upstream_hint(error: &UpstreamError) -> &'static str {
    match error {
        UpstreamError::SessionLost => "start a new session with `initialize`",
        UpstreamError::CircuitOpen { .. } => {
            "wait for the next try; `lockgate status` shows the server's state"
        }
        UpstreamError::Unreachable(_) => {
            "start the server, or correct its `--to`; other servers are not affected"
        }
        UpstreamError::CryptoRefused(_) => {
            "the server's TLS does not meet the profile of its upstream link; see `lockgate explain LG-K001`"
        }
        UpstreamError::Timeout { .. } => {
            "the server is slow or stuck; the call may still have taken effect there"
        }
        UpstreamError::Broken(_) => "the call may have taken effect at the server; look before you repeat it",
        UpstreamError::TooLarge { .. } => "ask for less, or raise `limits.result_bytes_max`",
        UpstreamError::Malformed(_) => "the server breaks the MCP specification; tell its maintainer",
        UpstreamError::Unauthorized(_) => {
            "give the gateway a credential for this server: `credential` in its [[server]]; see `lockgate secret --help`"
        }
        UpstreamError::NoCredential(_) => {
            "seal it: lockgate secret put NAME; the node's log says what is wrong"
        }
        UpstreamError::Unsupported(_) => "see the MCP revision that the client speaks",
        UpstreamError::Declined(_) => "the server's log says why",
        UpstreamError::TooManyChildren(_) => {
            "end sessions that are not needed, or raise `limits.children_max`"
        }
    }
}
