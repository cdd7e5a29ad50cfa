//! The path of the map.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};

use super::{Asked, on_node};
use crate::fault::Fault;

/// The map as it was written: its schema is its own.
pub(super) async fn discovery(State(access): Asked) -> Result<Response, Fault> {
    let text = on_node(access, |node| node.discovery()).await??;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}
