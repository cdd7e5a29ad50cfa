//! What nodes do for each other's audit logs, under `/.well-known/lockgate/`: cosign a checkpoint (C2SP tlog-witness), and compare
//! the log with what a peer saw of it before.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use lockgate_audit::tlog::checkpoint::Signed;
use lockgate_audit::witness::{COSIGNED, Outcome as Said, Seen, Shown, Witness, is_beginning};
use lockgate_audit::{AuditError, Durability, Kind, Outcome, Record};
use lockgate_crypto::note::NoteKey;
use tokio::sync::Semaphore;

use crate::body::Body;
use crate::link::LinkContext;
use crate::node::Node;
use crate::refusal::Refusal;

/// Checkpoints that are judged at a time: each costs signatures and a sync.
const AT_ONCE_MAX: usize = 4;

/// Least time between two records that a peer saw another history, in milliseconds.
const TOLD_MS_MIN: u64 = 60_000;

/// The witness of a node, once it is there, and places for those who ask it.
pub struct Place {
    witness: OnceLock<Arc<Witness>>,
    turns: Semaphore,
    /// Public keys of this node's own log, the active ones first, and how many of them these are.
    keys: ArcSwap<(Vec<NoteKey>, usize)>,
    /// What peers saw of it.
    seen: OnceLock<Seen>,
    /// When it was told last that a peer had seen something else, in milliseconds since the Unix epoch.
    told_ms: AtomicU64,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            witness: OnceLock::new(),
            turns: Semaphore::new(AT_ONCE_MAX),
            keys: ArcSwap::default(),
            seen: OnceLock::new(),
            told_ms: AtomicU64::new(0),
        }
    }
}

impl Place {
    /// Begins to witness, once.
    pub fn offer(&self, witness: Arc<Witness>) {
        // A node has one witness; a second one would be a second state.
        let _ = self.witness.set(witness);
    }

    /// Shows peers the log from now on: by the keys that sign, and those that did; what they saw of it is kept in this folder.
    pub fn show(&self, active: Vec<NoteKey>, retired: Vec<NoteKey>, seen: &Path) {
        let count = active.len();
        self.keys.store(Arc::new(([active, retired].concat(), count)));
        let _ = self.seen.set(Seen::at(seen));
    }

    /// The witness, if there is one.
    pub fn get(&self) -> Option<&Arc<Witness>> {
        self.witness.get()
    }
}

/// Judges a checkpoint. Anybody may send one: what counts is who signed it.
pub(crate) async fn add(node: &Arc<Node>, link: &LinkContext, body: Bytes) -> Response<Body> {
    let Some(witness) = node.witness.get().cloned() else {
        return respond(Said::Unknown);
    };
    let Ok(_turn) = node.witness.turns.try_acquire() else {
        return Refusal::Overloaded { limit: AT_ONCE_MAX }.plain_response();
    };
    let now_s = node.now_ms() / 1000;
    let said = tokio::task::spawn_blocking(move || {
        let said = witness.add(&body, now_s);
        let is_told = witness.is_to_be_told(&said, now_s);
        (said, is_told)
    });
    let Ok((said, is_told)) = said.await else {
        return respond(Said::Unable("this is a bug in Lockgate; its log says more".to_owned()));
    };
    if is_told && let Err(error) = record(node, link, &said).await {
        return Refusal::Unrecorded(error).plain_response();
    }
    respond(said)
}

/// Shows a peer the newest checkpoint, with the proof that it goes on from the one that the peer saw, and finds out
/// whether it does.
pub(crate) async fn show(node: &Arc<Node>, link: &LinkContext, body: Bytes) -> Response<Body> {
    let plain = |status, text: &'static str| {
        let mut response = Response::new(Body::whole(Bytes::from_static(text.as_bytes())));
        *response.status_mut() = status;
        response
    };
    if !crate::wellknown::is_proven(link) {
        return plain(StatusCode::UNAUTHORIZED, "only a link that proves a certificate is shown the log\n");
    }
    let seen = match body.is_empty() {
        true => None,
        false => match Signed::parse(&body) {
            Ok(seen) => Some(seen),
            Err(_) => return plain(StatusCode::BAD_REQUEST, "the body is no checkpoint\n"),
        },
    };
    let Ok(_turn) = node.witness.turns.try_acquire() else {
        return Refusal::Overloaded { limit: AT_ONCE_MAX }.plain_response();
    };
    let (asked, shown_to) = (Arc::clone(node), seen.clone());
    let looked = tokio::task::spawn_blocking(move || look(&asked, shown_to.as_ref())).await;
    let (is_beginning, shown) = match looked {
        Ok(Ok(looked)) => looked,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the audit log cannot be shown to a peer");
            return plain(StatusCode::SERVICE_UNAVAILABLE, "the log cannot be shown at the moment\n");
        }
        Err(_) => return plain(StatusCode::INTERNAL_SERVER_ERROR, "this is a bug in Lockgate\n"),
    };
    if let Some(seen) = seen.filter(|_| is_beginning == Some(false)) {
        tell_other_history(node, link, &seen);
    }
    match shown {
        Some(shown) => {
            let text = serde_json::to_vec(&shown).expect("strings always serialise");
            let mut response = Response::new(Body::whole(text.into()));
            let kind = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        None => plain(StatusCode::NOT_FOUND, "there is no checkpoint yet\n"),
    }
}

/// Whether what a peer saw is the beginning of the log, and what the peer is shown.
fn look(node: &Node, seen: Option<&Signed>) -> Result<(Option<bool>, Option<Shown>), AuditError> {
    let keys = node.witness.keys.load();
    let (all, active) = (&keys.0, keys.1);
    let dir = node.audit.dir();
    let judged = seen.map(|seen| is_beginning(dir, all, seen)).transpose()?.flatten();
    if let (Some(true), Some(seen), Some(kept)) = (judged, seen, node.witness.seen.get()) {
        kept.remember(seen)?;
    }
    Ok((judged, Shown::of(dir, &all[..active], seen)?))
}

/// Says loudly, once a minute, that a peer holds a checkpoint of this log that is not its beginning.
fn tell_other_history(node: &Node, link: &LinkContext, seen: &Signed) {
    let now_ms = node.now_ms();
    if now_ms.saturating_sub(node.witness.told_ms.swap(now_ms, Ordering::Relaxed)) < TOLD_MS_MIN {
        return;
    }
    let reason = "a peer holds a checkpoint that this log signed and that is not its beginning: the log was put back to an \
                  older state, or its key signed two histories";
    let (origin, agent) = (&seen.checkpoint.origin, &link.caller.agent);
    tracing::error!(code = "LG-A006", log = %origin, peer = %agent, "{reason}");
    let record = Record {
        method: Some("audit/forked".into()),
        name: Some(origin.as_str().into()),
        agent: Some(agent.as_str().into()),
        findings: vec!["LG-A006".to_owned()].into(),
        reason: Some(reason.into()),
        count: Some(seen.checkpoint.head.size),
        ..Record::new(Kind::Detect, Outcome::Failed)
    };
    if let Err(error) = node.append(&record, Durability::Durable) {
        tracing::error!(%error, "and that cannot be recorded");
    }
}

/// Records how far a log was cosigned, or that one shows two histories, before the answer leaves.
async fn record(node: &Arc<Node>, link: &LinkContext, said: &Said) -> Result<(), lockgate_audit::AuditError> {
    let (origin, size) = match said {
        Said::Cosigned { origin, size, .. }
        | Said::Forked { origin, size }
        | Said::Unproven { origin, size } => (origin, *size),
        _ => return Ok(()),
    };
    let about = Record {
        name: Some(origin.as_str().into()),
        peer: link.peer.map(|peer| peer.to_string().into()),
        count: Some(size),
        ..Record::default()
    };
    let record = match said {
        Said::Cosigned { .. } => Record {
            method: Some(COSIGNED.into()),
            reason: Some("a log of another node was cosigned up to this size".into()),
            kind: Kind::Lifecycle,
            outcome: Outcome::Ok,
            ..about
        },
        _ => {
            let reason = match said {
                Said::Forked { .. } => "the log signed two trees of this size: it shows two histories",
                _ => "the log does not go on from the tree of this size, which was cosigned",
            };
            tracing::error!(log = origin, size, "{reason}");
            Record {
                method: Some("witness/forked".into()),
                findings: vec!["LG-A006".to_owned()].into(),
                reason: Some(reason.into()),
                kind: Kind::Detect,
                outcome: Outcome::Refused,
                ..about
            }
        }
    };
    let receipt = node.append(&record, Durability::Durable)?;
    node.audit.synced(&receipt).await
}

fn respond(said: Said) -> Response<Body> {
    let (status, kind, body) = said.answer();
    let mut response = Response::new(Body::whole(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).expect("the standard's own numbers");
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
