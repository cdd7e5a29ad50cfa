//! The paths of those whom records are about.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{get, post};

use super::{Access, Asked, body, document, on_node, unreadable};
use crate::api::{EraseRequest, ExportRequest, HoldRequest, LiftHoldRequest};
use crate::fault::Fault;

pub(super) fn routes() -> Router<Arc<Access>> {
    Router::new()
        .route("/audit/subjects/erase", post(erase))
        .route("/audit/subjects/export", post(export))
        .route("/audit/holds", get(holds).post(hold))
        .route("/audit/holds/{id}/lift", post(lift))
        .route("/audit/retention", get(retention))
        .route("/audit/retention/apply", post(retain))
}

async fn erase(State(access): Asked, request: Request) -> Result<Response, Fault> {
    let request: EraseRequest = body(request).await?;
    document(&on_node(access, move |node| node.subjects().erase(&request)).await??)
}

async fn export(State(access): Asked, request: Request) -> Result<Response, Fault> {
    let request: ExportRequest = body(request).await?;
    document(&on_node(access, move |node| node.subjects().export(&request)).await??)
}

async fn holds(State(access): Asked) -> Result<Response, Fault> {
    document(&on_node(access, |node| node.subjects().holds()).await??)
}

async fn hold(State(access): Asked, request: Request) -> Result<Response, Fault> {
    let request: HoldRequest = body(request).await?;
    document(&on_node(access, move |node| node.subjects().hold(&request)).await??)
}

async fn lift(
    State(access): Asked,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Fault> {
    let Path(id) = id.map_err(|error| unreadable(error.body_text()))?;
    let request: LiftHoldRequest = body(request).await?;
    document(&on_node(access, move |node| node.subjects().lift(&id, &request)).await??)
}

async fn retention(State(access): Asked) -> Result<Response, Fault> {
    document(&on_node(access, |node| node.subjects().retention()).await??)
}

async fn retain(State(access): Asked) -> Result<Response, Fault> {
    document(&on_node(access, |node| node.subjects().retain()).await??)
}
