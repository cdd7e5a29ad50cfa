//! Where a call was refused, and the codes that say so.

use http::StatusCode;
use lockgate_mcp::reply::code;
use lockgate_mcp::{Era, version};
use lockgate_policy::{Cause, Denial};

use super::Refusal;
use crate::session::SessionError;
use crate::stage::Stage;
use crate::upstream::UpstreamError;

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
            R::NoMethod { .. }
            | R::NoSubject { .. }
            | R::NoTask { .. }
            | R::TasksUndeclared
            | R::Unspoken { .. } => Stage::Decode,
            R::Subscriptions { .. } => Stage::Decode,
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
            R::NoSubject { .. } | R::NoTask { .. } | R::Subscriptions { .. } => code::INVALID_PARAMS,
            R::Unspoken { .. } => code::UNSUPPORTED_VERSION,
            R::TasksUndeclared => code::MISSING_CLIENT_CAPABILITY,
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
            R::Unspoken { .. } | R::TasksUndeclared => StatusCode::BAD_REQUEST,
            R::NoMethod { .. } | R::NoSubject { .. } | R::NoTask { .. } | R::Subscriptions { .. } if asks => {
                StatusCode::OK
            }
            R::NoMethod { .. } | R::NoSubject { .. } | R::NoTask { .. } | R::Subscriptions { .. } => {
                StatusCode::BAD_REQUEST
            }
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
