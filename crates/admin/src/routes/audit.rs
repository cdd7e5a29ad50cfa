//! Questions to the audit log: its end, and its index.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use super::{Access, Asked, document, on_node, raw, unreadable};
use crate::api::{AuditQuestion, AuditTail};
use crate::fault::Fault;

/// Records that `/v1/audit/tail` gives when it is not told how many.
pub const AUDIT_TAIL_DEFAULT: usize = 20;

/// Most records that it gives: enough for a screen that scrolls; whoever needs more reads the files.
pub const AUDIT_TAIL_MAX: usize = 1000;

/// Records that `/v1/audit/query` gives when it is not told how many.
pub const AUDIT_QUERY_DEFAULT: usize = 100;

/// Most records that it gives at a time.
pub const AUDIT_QUERY_MAX: usize = 500;

/// Questions that are answered at a time. Each may read the disk for a second or two, and the node needs it.
pub const AUDIT_QUERIES_MAX: usize = 2;

pub(super) fn routes() -> Router<Arc<Access>> {
    Router::new().route("/audit/tail", get(tail)).route("/audit/query", get(query))
}

/// How many records.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tail {
    #[serde(default = "Tail::default_n")]
    n: usize,
}

impl Tail {
    fn default_n() -> usize {
        AUDIT_TAIL_DEFAULT
    }
}

async fn tail(State(access): Asked, tail: Result<Query<Tail>, QueryRejection>) -> Result<Response, Fault> {
    let Query(Tail { n }) = tail.map_err(|error| unreadable(error.body_text()))?;
    if n > AUDIT_TAIL_MAX {
        return Err(unreadable(format!("n is {n}, at most {AUDIT_TAIL_MAX} records are given")));
    }
    let lines = on_node(access, move |node| node.audit_tail(n)).await??;
    let records = lines.into_iter().map(raw).collect();
    document(&AuditTail { records })
}

async fn query(
    State(access): Asked,
    question: Result<Query<AuditQuestion>, QueryRejection>,
) -> Result<Response, Fault> {
    let Query(mut question) = question.map_err(|error| unreadable(error.body_text()))?;
    let limit = *question.limit.get_or_insert(AUDIT_QUERY_DEFAULT);
    if limit > AUDIT_QUERY_MAX {
        return Err(unreadable(format!("limit is {limit}, at most {AUDIT_QUERY_MAX} records are given")));
    }
    let Ok(place) = Arc::clone(&access.questions).try_acquire_owned() else {
        let message = format!("{AUDIT_QUERIES_MAX} questions to the audit log are being answered already");
        let hint = "ask again in a moment, or on the machine itself: lockgate audit query";
        return Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, "LG-N429", message, hint));
    };
    let ask = move |node: &dyn crate::Node| {
        // Held until the answer is there, also where whoever asked has gone.
        let _place = place;
        node.audit_query(&question)
    };
    document(&on_node(access, ask).await??)
}
