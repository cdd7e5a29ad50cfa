//! What a node shows of itself, in the documents of the admin interface.

use http::StatusCode;
use lockgate_admin::{
    CheckpointView, Fault, FindingView, Invite as InviteView, Link, Listener, Threat, Upstream, UpstreamLink,
};
use lockgate_detect::Pending;
use lockgate_identity::invite::Invite;
use lockgate_proxy::Server;
use lockgate_proxy::link::LinkView;
use lockgate_proxy::node::ServerView;
use lockgate_proxy::upstream::http::HttpUpstream;

use super::faces::Served;
use crate::authority::{InviteError, id_of};

pub(super) fn link(link: LinkView) -> Link {
    Link {
        number: link.number,
        listener: link.listener,
        peer: link.peer,
        agent: link.agent,
        since_ms: link.since_ms,
        calls: link.calls,
        epoch: link.posture.as_ref().map(|_| link.epoch),
        weakest: link.posture.as_ref().and_then(lockgate_crypto::Posture::weakest),
        expires_at_ms: link.expires_at_ms,
        posture: link.posture,
        quantum_safe: link.quantum_safe,
    }
}

pub(super) fn upstream(server: &Server, view: ServerView) -> Upstream {
    let links = server.upstream.transport().http().map(HttpUpstream::links).unwrap_or_default();
    Upstream {
        id: view.id,
        address: view.upstream,
        circuit: view.circuit,
        retry_ms: view.retry_ms,
        last_error: view.last_error,
        children: view.children.and_then(|children| u64::try_from(children).ok()),
        links: links
            .into_iter()
            .map(|link| UpstreamLink {
                peer: link.peer.map(|peer| peer.to_string()),
                weakest: link.posture.as_deref().and_then(lockgate_crypto::Posture::weakest),
                posture: link.posture.map(|posture| (*posture).clone()),
                retired: link.retired,
            })
            .collect(),
    }
}

pub(super) fn listener(served: &Served) -> Listener {
    Listener {
        name: served.name.clone(),
        url: format!("https://{}", served.local),
        profile: Some(served.tls.suite().profile().name.to_owned()),
    }
}

pub(super) fn invite(invite: &Invite) -> InviteView {
    InviteView {
        id: id_of(invite),
        name: invite.name.clone(),
        agent: invite.id.to_string(),
        expires_at_ms: invite.expires_at_s * 1000,
        used_at_ms: invite.used_at_s.map(|used| used * 1000),
    }
}

pub(super) fn invite_fault(error: &InviteError) -> Fault {
    let (status, code, hint) = match error {
        InviteError::Identity(_) | InviteError::Reserved => {
            (StatusCode::BAD_REQUEST, "LG-U001", "choose another name or lifetime")
        }
        InviteError::Store(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "LG-S005", "see what is wrong: lockgate doctor")
        }
        InviteError::Unknown(_) => (StatusCode::NOT_FOUND, "LG-U002", "list them: lockgate identity list"),
    };
    Fault::new(status, code, error.to_string(), hint)
}

pub(super) fn threat(pending: Pending) -> Threat {
    Threat {
        id: pending.id,
        server: pending.server,
        tool: pending.tool,
        old_hash: pending.old_hash,
        new_hash: pending.new_hash,
        changes: pending.diff.iter().map(ToString::to_string).collect(),
        classes: pending.classes.iter().map(|class| class.name().to_owned()).collect(),
        findings: pending
            .findings
            .into_iter()
            .map(|finding| FindingView {
                id: finding.id.to_owned(),
                severity: format!("{:?}", finding.severity).to_lowercase(),
                reason: finding.reason,
                evidence: finding.evidence,
            })
            .collect(),
        definition: pending.definition,
        first_seen_ms: pending.first_seen_ms,
    }
}

/// What of the audit log is signed.
pub(super) fn checkpoint(state: lockgate_audit::LogState) -> Option<CheckpointView> {
    let newest = state.checkpoint?;
    let signers = newest.signed_by.into_iter();
    Some(CheckpointView {
        origin: newest.origin,
        size: newest.size,
        root: newest.root,
        covers_seq: newest.covers_seq,
        signed_at_ms: newest.time_s.map(|time| time.saturating_mul(1000)),
        signed_by: signers.map(|key| format!("{}+{} {}", key.name, key.id, key.algorithm)).collect(),
        cosigned_by: newest.cosigned_by,
    })
}
