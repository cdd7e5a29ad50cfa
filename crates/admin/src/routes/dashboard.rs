//! The dashboard's files, its sessions, and what a session may do.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::{Access, Asked, body, document, on_node};
use crate::api::{Session, SessionRequest, Ticket, TicketRequest};
use crate::assets::ASSETS;
use crate::fault::Fault;
use crate::session::TICKET_S_MAX;

/// What is served without a token: the files, which hold no secret, and the exchange of a ticket.
pub(super) fn open() -> Router<Arc<Access>> {
    let mut files = Router::new().route("/session", post(exchange));
    for asset in &ASSETS {
        files = files.route(asset.path, get(move |headers: HeaderMap| async move { asset.serve(&headers) }));
    }
    files
}

/// What asks for the token of the launch.
pub(super) fn routes() -> Router<Arc<Access>> {
    Router::new().route("/dashboard", post(ticket))
}

async fn ticket(State(access): Asked, request: Request) -> Result<Response, Fault> {
    let TicketRequest { by } = body(request).await?;
    let ticket = access.sessions.ticket(&by, Instant::now());
    let write = on_node(access, |node| node.dashboard_writes()).await?;
    let ticket = Ticket { ticket: ticket.as_str().to_owned(), lifetime_s: TICKET_S_MAX, write };
    Ok((StatusCode::CREATED, document(&ticket)?).into_response())
}

async fn exchange(State(access): Asked, request: Request) -> Result<Response, Fault> {
    let SessionRequest { ticket } = body(request).await?;
    let Some((token, by)) = access.sessions.exchange(&ticket, Instant::now()) else {
        let message = "the ticket of this dashboard is used up, too old, or none";
        let hint = "get a fresh one: lockgate dashboard";
        return Err(Fault::new(StatusCode::UNAUTHORIZED, "LG-N401", message, hint));
    };
    let session = Session { token: token.reveal().to_owned(), by };
    Ok((StatusCode::CREATED, document(&session)?).into_response())
}

/// What a session may ask for: to look at everything, and, where the configuration lets it write, to decide about what
/// waits for a person. Nothing else, however it is configured.
pub(super) async fn check(access: Arc<Access>, method: Method, path: String) -> Result<(), Fault> {
    if matches!(method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let hint = "use the lockgate command";
    if method != Method::POST || !is_decision(&path) {
        let message = "the dashboard may not do this";
        return Err(Fault::new(StatusCode::FORBIDDEN, "LG-N406", message, hint));
    }
    if on_node(access, |node| node.dashboard_writes()).await? {
        return Ok(());
    }
    let message = "the dashboard may look and not decide";
    let hint = "set `write = true` in [admin] of the configuration, or use the lockgate command";
    Err(Fault::new(StatusCode::FORBIDDEN, "LG-N406", message, hint))
}

/// Whether a path below `/v1` decides about something that waits.
fn is_decision(path: &str) -> bool {
    let path = path.strip_prefix("/v1").unwrap_or(path);
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        ["", "approvals", id, "approve" | "reject"] | ["", "threats", id, "approve"] => !id.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_decisions_are_decisions() {
        for (path, is) in [
            ("/v1/approvals/a1/approve", true),
            ("/approvals/a1/reject", true),
            ("/threats/7/approve", true),
            ("/threats/7/reject", false),
            ("/approvals//approve", false),
            ("/approvals/a/b/approve", false),
            ("/approvals/a/approve/", false),
            ("/identity/revoke", false),
            ("/dashboard", false),
            ("/drain", false),
            ("/crypto/apply", false),
        ] {
            assert_eq!(is_decision(path), is, "{path}");
        }
    }
}
