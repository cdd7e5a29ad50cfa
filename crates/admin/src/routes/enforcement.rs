//! The paths of revocation and of approvals.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{get, post};

use super::{Access, Asked, body, document, on_node, unreadable};
use crate::api::{ApproveRequest, RejectRequest, RestoreRequest, RevokeRequest};
use crate::fault::Fault;

type Id = Result<Path<String>, PathRejection>;

pub(super) fn routes() -> Router<Arc<Access>> {
    Router::new()
        .route("/identities", get(identities))
        .route("/identity/revoke", post(revoke))
        .route("/identity/restore", post(restore))
        .route("/approvals", get(held_calls))
        .route("/approvals/{id}", get(held_call))
        .route("/approvals/{id}/approve", post(approve))
        .route("/approvals/{id}/reject", post(reject))
}

fn read(id: Id) -> Result<String, Fault> {
    id.map(|Path(id)| id).map_err(|error| unreadable(error.body_text()))
}

async fn identities(State(access): Asked) -> Result<Response, Fault> {
    document(&on_node(access, |node| node.identities()).await??)
}

async fn revoke(State(access): Asked, request: Request) -> Result<Response, Fault> {
    let request: RevokeRequest = body(request).await?;
    document(&on_node(access, move |node| node.revoke(&request)).await??)
}

async fn restore(State(access): Asked, request: Request) -> Result<Response, Fault> {
    let request: RestoreRequest = body(request).await?;
    document(&on_node(access, move |node| node.restore(&request)).await??)
}

async fn held_calls(State(access): Asked) -> Result<Response, Fault> {
    document(&on_node(access, |node| node.held_calls()).await?)
}

async fn held_call(State(access): Asked, id: Id) -> Result<Response, Fault> {
    let id = read(id)?;
    document(&on_node(access, move |node| node.held_call(&id)).await??)
}

async fn approve(State(access): Asked, id: Id, request: Request) -> Result<Response, Fault> {
    let (id, request): (_, ApproveRequest) = (read(id)?, body(request).await?);
    document(&on_node(access, move |node| node.approve_call(&id, &request)).await??)
}

async fn reject(State(access): Asked, id: Id, request: Request) -> Result<Response, Fault> {
    let (id, request): (_, RejectRequest) = (read(id)?, body(request).await?);
    document(&on_node(access, move |node| node.reject_call(&id, &request)).await??)
}
