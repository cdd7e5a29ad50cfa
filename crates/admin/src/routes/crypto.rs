//! The paths of cryptographic agility.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Access, Asked, body, document, on_node, unreadable};
use crate::api::{
    ApplyRequest, BanRequest, Document, DrillRequest, InventoryFormat, LiftRequest, PlanRequest,
    RollbackRequest, RotateRootRequest,
};
use crate::fault::Fault;
use crate::node::Node;

pub(super) fn routes() -> Router<Arc<Access>> {
    Router::new()
        .route("/crypto", get(show))
        .route("/crypto/migration", get(migration))
        .route("/crypto/inventory", get(inventory))
        .route("/crypto/plan", post(plan))
        .route("/crypto/apply", post(apply))
        .route("/crypto/rollback", post(rollback))
        .route("/crypto/ban", post(ban))
        .route("/crypto/lift", post(lift))
        .route("/crypto/drill", post(drill))
        .route("/identity/rotate-root", post(rotate_root))
}

async fn show(State(access): Asked) -> Result<Response, Fault> {
    document(&on_node(access, |node| node.crypto()).await?)
}

async fn migration(State(access): Asked) -> Result<Response, Fault> {
    document(&on_node(access, |node| node.migration()).await?)
}

/// In which form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(default)]
    format: InventoryFormat,
}

async fn inventory(
    State(access): Asked,
    form: Result<Query<Form>, QueryRejection>,
) -> Result<Response, Fault> {
    let Query(Form { format }) = form.map_err(|error| unreadable(error.body_text()))?;
    let text = on_node(access, move |node| node.inventory(format)).await??;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

async fn plan(State(access): Asked, request: Request) -> Result<Response, Fault> {
    asked(access, request, |node, request: PlanRequest| node.plan(&request)).await
}

async fn apply(State(access): Asked, request: Request) -> Result<Response, Fault> {
    asked(access, request, |node, request: ApplyRequest| node.apply(&request)).await
}

async fn rollback(State(access): Asked, request: Request) -> Result<Response, Fault> {
    asked(access, request, |node, request: RollbackRequest| node.rollback(&request)).await
}

async fn ban(State(access): Asked, request: Request) -> Result<Response, Fault> {
    asked(access, request, |node, request: BanRequest| node.ban(&request)).await
}

async fn lift(State(access): Asked, request: Request) -> Result<Response, Fault> {
    asked(access, request, |node, request: LiftRequest| node.lift(&request)).await
}

async fn drill(State(access): Asked, request: Request) -> Result<Response, Fault> {
    asked(access, request, |node, request: DrillRequest| node.drill(&request)).await
}

async fn rotate_root(State(access): Asked, request: Request) -> Result<Response, Fault> {
    asked(access, request, |node, request: RotateRootRequest| node.rotate_root(&request)).await
}

/// Reads the body, asks the node, writes the document.
async fn asked<R, D, F>(access: Arc<Access>, request: Request, ask: F) -> Result<Response, Fault>
where
    R: DeserializeOwned + Send + 'static,
    D: Document + Send + 'static,
    F: FnOnce(&dyn Node, R) -> Result<D, Fault> + Send + 'static,
{
    let request: R = body(request).await?;
    document(&on_node(access, move |node| ask(node, request)).await??)
}
