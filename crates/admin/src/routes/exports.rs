//! The path of exports.

use axum::extract::State;
use axum::response::Response;

use super::{Asked, document, on_node};
use crate::fault::Fault;

pub(super) async fn exports(State(access): Asked) -> Result<Response, Fault> {
    document(&on_node(access, |node| node.exports()).await?)
}
