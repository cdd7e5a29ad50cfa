//! The path of the map.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};

use super::{Asked, on_node};
use crate::fault::Fault;

/// The map as it was written: its schema is its own. `null` until there is one.
pub(super) async fn discovery(State(access): Asked) -> Result<Response, Fault> {
    let text = on_node(access, |node| node.discovery()).await??.unwrap_or_else(|| "null".to_owned());
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}
