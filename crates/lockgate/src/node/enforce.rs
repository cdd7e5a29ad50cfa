//! Revocation and approvals, as the admin interface asks for them.

use http::StatusCode;
use lockgate_admin::{
    AgentView, ApproveRequest, Fault, HeldCall as HeldCallView, HeldCalls, Identities, MadeRevocation,
    RejectRequest, RestoreRequest, Restored, RevocationView, RevokeRequest,
};
use lockgate_audit::{Durability, Kind, Outcome, Record};
use lockgate_identity::{Revocation, RevocationError, Subject, Target};
use lockgate_proxy::agility::PeerView;
use lockgate_proxy::approvals::{ApprovalError, HeldCall, Standing};
use lockgate_proxy::revoke::RevokeError;

use super::control::Control;
use super::views;

/// Longest name of who decides, in bytes.
const BY_BYTES_MAX: usize = 128;

impl Control {
    pub(super) fn identities_shown(&self) -> Result<Identities, Fault> {
        let node = self.node();
        let now_ms = node.now_ms();
        let invites = self.registrar().invites().map_err(|error| views::invite_fault(&error))?;
        Ok(Identities {
            agents: node.peers().into_iter().map(|peer| self.agent(peer, now_ms)).collect(),
            invites: invites.iter().map(views::invite).collect(),
            revocations: node.revocations.list(now_ms).into_iter().map(revocation).collect(),
        })
    }

    fn agent(&self, peer: PeerView, now_ms: u64) -> AgentView {
        let subject =
            Subject { agent: &peer.agent, key: peer.key_fingerprint.as_deref(), ..Subject::default() };
        let revoked = self.node().revocations.check(&subject, now_ms).err();
        AgentView {
            links: u64::try_from(peer.live_links).unwrap_or(u64::MAX),
            last_seen_ms: peer.last_seen_ms,
            expires_at_ms: peer.expires_at_ms,
            revoked_by: revoked.map(|revoked| revoked.revocation.target.to_string()),
            key: peer.key_fingerprint,
            agent: peer.agent,
        }
    }

    pub(super) fn lock_out(&self, request: &RevokeRequest) -> Result<MadeRevocation, Fault> {
        let (target, now_ms) = (self.target(&request.target)?, self.node().now_ms());
        let until_ms = match request.lifetime_s {
            Some(0) => return Err(bad("a revocation lasts for a second at least")),
            Some(seconds) => Some(now_ms.saturating_add(seconds.saturating_mul(1000))),
            None => None,
        };
        let made =
            Revocation { until_ms, ..Revocation::new(target, by(&request.by), &request.reason, now_ms) };
        let cut = self.node().revoke(made.clone()).map_err(|error| unrevoked(&error))?;
        let links_cut = u64::try_from(cut.links).unwrap_or(u64::MAX);
        Ok(MadeRevocation { revocation: revocation(made), is_new: cut.is_new, links_cut })
    }

    pub(super) fn let_in_again(&self, request: &RestoreRequest) -> Result<Restored, Fault> {
        let target = self.target(&request.target)?;
        let lifted = self.node().restore(&target, by(&request.by)).map_err(|error| unrevoked(&error))?;
        Ok(Restored { target: target.to_string(), lifted: lifted.into_iter().map(revocation).collect() })
    }

    fn target(&self, text: &str) -> Result<Target, Fault> {
        let trust_domain = self.changing().lock().settings.trust_domain.clone();
        Target::parse(text, &trust_domain).map_err(|error| bad(&error.to_string()))
    }

    pub(super) fn held(&self) -> HeldCalls {
        let calls = self.node().approvals.list(self.node().now_ms());
        HeldCalls { calls: calls.into_iter().map(held_call).collect() }
    }

    pub(super) fn held_one(&self, id: &str) -> Result<HeldCallView, Fault> {
        let found = self.node().approvals.get(id, self.node().now_ms());
        found.map(held_call).map_err(|error| undecided(&error))
    }

    pub(super) fn approve(&self, id: &str, request: &ApproveRequest) -> Result<HeldCallView, Fault> {
        let node = self.node();
        self.note_decision(id, "approvals/approve", by(&request.by), "")?;
        let decided = node.approvals.approve(id, by(&request.by), request.lifetime_s, node.now_ms());
        node.count_held();
        decided.map(held_call).map_err(|error| undecided(&error))
    }

    pub(super) fn reject(&self, id: &str, request: &RejectRequest) -> Result<HeldCallView, Fault> {
        let node = self.node();
        self.note_decision(id, "approvals/reject", by(&request.by), &request.reason)?;
        let decided = node.approvals.reject(id, by(&request.by), &request.reason, node.now_ms());
        node.count_held();
        decided.map(held_call).map_err(|error| undecided(&error))
    }

    /// Records a decision on a call that waits. What cannot be recorded is not decided.
    fn note_decision(&self, id: &str, method: &'static str, by: &str, reason: &str) -> Result<(), Fault> {
        let call = self.node().approvals.get(id, self.node().now_ms()).map_err(|error| undecided(&error))?;
        if call.standing != Standing::Pending {
            // It will be refused, and nothing happened.
            return Ok(());
        }
        let record = Record {
            agent: Some(call.question.agent.as_str().into()),
            server: Some(call.question.server.as_str().into()),
            method: Some(method.into()),
            name: Some(id.into()),
            reason: (!reason.is_empty()).then(|| reason.into()),
            policies: call.question.policies.as_slice().into(),
            approval: Some(by.into()),
            ..Record::new(Kind::Policy, Outcome::Ok)
        };
        let appended = self.node().append(&record, Durability::Durable).map(drop);
        appended.map_err(|error| {
            let hint = "free space for the audit log";
            Fault::new(StatusCode::SERVICE_UNAVAILABLE, "LG-A002", error.to_string(), hint)
        })
    }
}

/// Who decides, as they call themselves, within bounds.
fn by(name: &str) -> &str {
    let name = &name[..name.floor_char_boundary(BY_BYTES_MAX)];
    if name.is_empty() { "admin" } else { name }
}

fn bad(what: &str) -> Fault {
    let hint = "write it like agent/NAME, spiffe://…, key:FINGERPRINT, role:NAME, token:ID or serial:HEX";
    Fault::new(StatusCode::BAD_REQUEST, "LG-U001", what, hint)
}

fn revocation(revocation: Revocation) -> RevocationView {
    RevocationView {
        target: revocation.target.to_string(),
        by: revocation.by,
        reason: revocation.reason,
        since_ms: revocation.since_ms,
        until_ms: revocation.until_ms,
        along_with: revocation.along_with.map(|target| target.to_string()),
    }
}

fn unrevoked(error: &RevokeError) -> Fault {
    let (status, code, hint) = match error {
        RevokeError::Revocation(RevocationError::TooMany { .. }) => {
            (StatusCode::CONFLICT, "LG-I415", "lift some: lockgate identity restore TARGET")
        }
        RevokeError::Revocation(_) => (StatusCode::BAD_REQUEST, "LG-U001", "shorten the reason"),
        RevokeError::Unknown(_) => (StatusCode::NOT_FOUND, "LG-U002", "list them: lockgate identity list"),
        RevokeError::Unkept(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "LG-S005", "mend the store, then do it again: lockgate doctor")
        }
        RevokeError::Unrecorded(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "LG-A002", "free space for the audit log")
        }
    };
    Fault::new(status, code, error.to_string(), hint)
}

fn held_call(call: HeldCall) -> HeldCallView {
    let state = call.standing.name().to_owned();
    let (by, rejection) = match call.standing {
        Standing::Pending => (None, None),
        Standing::Approved { by } => (Some(by), None),
        Standing::Rejected { by, reason } => (Some(by), Some(reason)),
    };
    HeldCallView {
        id: call.id,
        state,
        agent: call.question.agent,
        server: call.question.server,
        method: call.question.method,
        name: call.question.name,
        arguments: call.question.arguments,
        beside: call.question.beside,
        policies: call.question.policies,
        reason: call.question.reason,
        since_ms: call.since_ms,
        until_ms: call.until_ms,
        by,
        rejection,
    }
}

fn undecided(error: &ApprovalError) -> Fault {
    let (status, code, hint) = match error {
        ApprovalError::Unknown(_) => {
            (StatusCode::NOT_FOUND, "LG-P013", "list what waits: lockgate approvals list")
        }
        ApprovalError::Decided { .. } => {
            (StatusCode::CONFLICT, "LG-P014", "what was decided stays: lockgate approvals list")
        }
        ApprovalError::Unkept(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "LG-S005", "see what is wrong: lockgate doctor")
        }
        ApprovalError::Bounds(_) | ApprovalError::TooMany { .. } | ApprovalError::TooLarge => {
            (StatusCode::BAD_REQUEST, "LG-U001", "use a shorter time or reason")
        }
    };
    Fault::new(status, code, error.to_string(), hint)
}
