//! What can be done about a refusal.

use super::Refusal;
use crate::session::SessionError;
use crate::upstream::UpstreamError;

impl Refusal {
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
            R::TasksUndeclared => "declare it in the client's capabilities, under `extensions`".into(),
            R::NoTask { .. } => {
                "make the call again; a task is for the agent whose call it is, on the node that it called"
                    .into()
            }
            R::Subscriptions { .. } => "open a subscription for each part of them".into(),
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
        UpstreamError::NotExchanged(_) => {
            "whoever runs the gateway finds the reason in its log; try again later"
        }
        UpstreamError::Unsupported(_) => "see the MCP revision that the client speaks",
        UpstreamError::Declined(_) => "the server's log says why",
        UpstreamError::TooManyChildren(_) => {
            "end sessions that are not needed, or raise `limits.children_max`"
        }
    }
}
