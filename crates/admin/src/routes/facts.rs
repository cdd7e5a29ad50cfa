//! The paths of facts.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::value::RawValue;

use super::{Access, Asked, body, document, on_node};
use crate::api::FactQuestion;
use crate::fault::Fault;

pub(super) fn routes() -> Router<Arc<Access>> {
    Router::new().route("/facts", get(facts)).route("/facts/ask", post(ask)).route("/facts/push", post(push))
}

async fn facts(State(access): Asked) -> Result<Response, Fault> {
    document(&on_node(access, |node| node.facts()).await?)
}

async fn ask(State(access): Asked, request: Request) -> Result<Response, Fault> {
    let question: FactQuestion = body(request).await?;
    document(&on_node(access, move |node| node.ask_fact(&question)).await??)
}

/// The statement is read by whoever checks its signature, from the very bytes that came.
async fn push(State(access): Asked, request: Request) -> Result<Response, Fault> {
    let signed: Box<RawValue> = body(request).await?;
    document(&on_node(access, move |node| node.push_fact(signed.get())).await??)
}
