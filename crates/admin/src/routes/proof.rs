//! The path of proofs.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};

use super::{Asked, on_node, unreadable};
use crate::fault::Fault;

pub(super) async fn proof(
    State(access): Asked,
    seq: Result<Path<u64>, PathRejection>,
) -> Result<Response, Fault> {
    let Path(seq) = seq.map_err(|error| unreadable(error.body_text()))?;
    let text = on_node(access, move |node| node.audit_proof(seq)).await??;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}
