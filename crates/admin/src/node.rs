//! What a node must be able to tell and do to be administered.

use crate::api::{
    ApplyRequest, Approval, ApproveRequest, AuditFound, AuditQuestion, BanRequest, Certificate, Change,
    CryptoShow, Csr, Draining, Drill, DrillRequest, EraseRequest, ErasedView, ExportRequest, Exports,
    FactAnswer, FactQuestion, FactReceipt, Facts, HeldCall, HeldCalls, HoldRequest, HoldView, Holds,
    Identities, InventoryFormat, Invites, KnownView, LiftHoldRequest, LiftRequest, Links, MadeRevocation,
    Migration, MintedInvite, NewInvite, Pins, Plan, PlanRequest, RejectRequest, Reloaded, RestoreRequest,
    Restored, RetentionView, RevokeRequest, RollbackRequest, RotateRootRequest, RotatedRoot, Status,
    SuppressRequest, SuppressionView, Threats, Upstreams,
};
use crate::fault::Fault;
use lockgate_live::Recent;
use std::sync::Arc;

/// The node behind the interface.
///
/// Every method runs on a thread of its own where it may block: on a lock, on the disk, on a signature. None of them
/// may wait for a call to end.
pub trait Node: Send + Sync + 'static {
    /// Whether calls would be served now. The fault says why not: draining, no audit log.
    fn ready(&self) -> Result<(), Fault>;

    /// Figures in the Prometheus text format (or OpenMetrics 1.0, which ends in `# EOF`).
    fn metrics(&self) -> String;

    /// The node at a glance.
    fn status(&self) -> Status;

    /// What happened of late.
    fn live(&self) -> Arc<Recent>;

    /// Whether the dashboard may decide about what waits for a person: `admin.write` of the configuration.
    fn dashboard_writes(&self) -> bool;

    /// The live links.
    fn links(&self) -> Links;

    /// The servers behind the node.
    fn upstreams(&self) -> Upstreams;

    /// Makes an invite.
    ///
    /// # Errors
    /// 400 when the name or the lifetime is none that an agent can have.
    fn invite(&self, request: NewInvite) -> Result<MintedInvite, Fault>;

    /// The invites that are remembered.
    ///
    /// # Errors
    /// 503 when the store cannot be read.
    fn invites(&self) -> Result<Invites, Fault>;

    /// Makes an invite unusable.
    ///
    /// # Errors
    /// 404 when there is none of this id.
    fn revoke_invite(&self, id: &str) -> Result<(), Fault>;

    /// Who was seen, who is invited and who is locked out.
    ///
    /// # Errors
    /// 503 when the store cannot be read.
    fn identities(&self) -> Result<Identities, Fault>;

    /// Locks out an agent, key, role, token or certificate, and cuts its links. It is in force when this returns, also
    /// when the fault says that it could not be kept or recorded.
    ///
    /// # Errors
    /// 400 when the target is none, 409 when there are too many, 503 when it would not outlive a restart.
    fn revoke(&self, request: &RevokeRequest) -> Result<MadeRevocation, Fault>;

    /// Lifts a revocation.
    ///
    /// # Errors
    /// 404 when nothing is revoked under this target.
    fn restore(&self, request: &RestoreRequest) -> Result<Restored, Fault>;

    /// Calls that wait for a person.
    fn held_calls(&self) -> HeldCalls;

    /// One of them.
    ///
    /// # Errors
    /// 404 when nothing waits under this id.
    fn held_call(&self, id: &str) -> Result<HeldCall, Fault>;

    /// Lets it pass when it is made again: once, with the same arguments, within its time.
    ///
    /// # Errors
    /// 404 when nothing waits under this id, 409 when it was decided already.
    fn approve_call(&self, id: &str, request: &ApproveRequest) -> Result<HeldCall, Fault>;

    /// Has it refused when it is made again.
    ///
    /// # Errors
    /// As [`Node::approve_call`].
    fn reject_call(&self, id: &str, request: &RejectRequest) -> Result<HeldCall, Fault>;

    /// Issues a certificate for the agent of this machine's own user, who has shown the token.
    ///
    /// # Errors
    /// 400 when the request is none, or its key is of an algorithm that may not be used.
    fn enrol_local(&self, request: Csr) -> Result<Certificate, Fault>;

    /// Tool definitions that wait for an approval.
    fn threats(&self) -> Threats;

    /// Tool definitions that are trusted.
    ///
    /// # Errors
    /// The store cannot be read.
    fn pins(&self) -> Result<Pins, Fault>;

    /// Trusts one of them from now on, also after a restart.
    ///
    /// # Errors
    /// 404 when nothing waits under this id.
    fn approve_threat(&self, id: &str) -> Result<Approval, Fault>;

    /// Has detection be silent about a finding for a while, also after a restart.
    ///
    /// # Errors
    /// 400 when the request names no finding, no reason or no time that can be; 503 when it cannot be recorded or kept.
    fn suppress(&self, request: &SuppressRequest) -> Result<SuppressionView, Fault>;

    /// Has it speak again.
    ///
    /// # Errors
    /// 404 when nothing is suppressed under this id.
    fn unsuppress(&self, id: &str) -> Result<SuppressionView, Fault>;

    /// The newest lines of the audit log, oldest first, each as it was written.
    ///
    /// # Errors
    /// 503 when the log cannot be read.
    fn audit_tail(&self, count: usize) -> Result<Vec<String>, Fault>;

    /// The proof of the record with this number, a `.tlog-proof` (C2SP tlog-proof).
    ///
    /// # Errors
    /// 404 while no checkpoint covers it, 503 when the log cannot be read.
    fn audit_proof(&self, seq: u64) -> Result<String, Fault>;

    /// Records of the audit log that were asked for, the newest first. [`AuditQuestion::limit`] is always given.
    ///
    /// # Errors
    /// 400 when a name in it is none, 503 when the log cannot be read.
    fn audit_query(&self, question: &AuditQuestion) -> Result<AuditFound, Fault>;

    /// Reads configuration and policies again; on any error what was in force stays.
    ///
    /// # Errors
    /// 409 with every error of the configuration in the message.
    fn reload(&self) -> Result<Reloaded, Fault>;

    /// Begins to drain; the node ends when it is done. Asked again, it tells how far it is.
    fn drain(&self) -> Draining;

    /// What is in force, everywhere, and why.
    fn crypto(&self) -> CryptoShow;

    /// What a change of profile would do. Changes nothing.
    ///
    /// # Errors
    /// 404 when profile or place is unknown, 409 when the profile cannot be put in force.
    fn plan(&self, request: &PlanRequest) -> Result<Plan, Fault>;

    /// Puts a profile in force. When it returns, no new handshake is made under the old one; links follow.
    ///
    /// # Errors
    /// As [`Node::plan`], and 409 when peers would be cut off and that was not asked for. The old epoch stays.
    fn apply(&self, request: &ApplyRequest) -> Result<Change, Fault>;

    /// Takes the last change back, in a new epoch.
    ///
    /// # Errors
    /// 409 when there is nothing to take back, or what was before cannot be put in force any more.
    fn rollback(&self, request: &RollbackRequest) -> Result<Change, Fault>;

    /// Forbids an algorithm, or one implementation of it, from the moment it returns.
    ///
    /// # Errors
    /// 404 when it is unknown, 409 when some place would have nothing left.
    fn ban(&self, request: &BanRequest) -> Result<Change, Fault>;

    /// Lifts a ban.
    ///
    /// # Errors
    /// 404 when there is none of this target.
    fn lift(&self, request: &LiftRequest) -> Result<Change, Fault>;

    /// How far the links have followed the last change.
    fn migration(&self) -> Migration;

    /// Rehearses an emergency.
    ///
    /// # Errors
    /// As [`Node::plan`].
    fn drill(&self, request: &DrillRequest) -> Result<Drill, Fault>;

    /// Every link, key, certificate and algorithm in use, as JSON text of that form.
    ///
    /// # Errors
    /// 503 when it cannot be put together.
    fn inventory(&self, format: InventoryFormat) -> Result<String, Fault>;

    /// Replaces a root of the authority.
    ///
    /// # Errors
    /// 404 when the authority has no root of that algorithm, 409 when it cannot be replaced now.
    fn rotate_root(&self, request: &RotateRootRequest) -> Result<RotatedRoot, Fault>;

    /// Those whom records are about.
    fn subjects(&self) -> &dyn Subjects;

    /// Every export and how it stands.
    fn exports(&self) -> Exports;

    /// The last map of `lockgate discover`, as JSON text; none until somebody has looked around.
    ///
    /// # Errors
    /// 503 when it cannot be read.
    fn discovery(&self) -> Result<Option<String>, Fault>;

    /// Every fact and how it stands.
    fn facts(&self) -> Facts;

    /// Asks for a fact now, whatever is known of it.
    ///
    /// # Errors
    /// 404 when there is none of this name, 400 when the key cannot be.
    fn ask_fact(&self, question: &FactQuestion) -> Result<FactAnswer, Fault>;

    /// Takes a signed statement, given as its JSON text.
    ///
    /// # Errors
    /// 400 when it is none, 403 when another key signed it, 409 when it is not new, 404 when nobody waits for it.
    fn push_fact(&self, signed: &str) -> Result<FactReceipt, Fault>;
}

/// What can be asked about those whom records are about.
pub trait Subjects: Send + Sync {
    /// Erases a subject: destroys its keys, and records that.
    ///
    /// # Errors
    /// 400 when it is no subject, 409 when a hold keeps it, 503 when it cannot be recorded or its keys not be destroyed.
    fn erase(&self, request: &EraseRequest) -> Result<ErasedView, Fault>;

    /// Under which names records know a subject; that it was asked is recorded.
    ///
    /// # Errors
    /// 400 when it is no subject, 503 when it cannot be recorded.
    fn export(&self, request: &ExportRequest) -> Result<KnownView, Fault>;

    /// All holds.
    ///
    /// # Errors
    /// 503 when the store cannot be read.
    fn holds(&self) -> Result<Holds, Fault>;

    /// Puts a hold on a subject, or on everything.
    ///
    /// # Errors
    /// 400 when it is no subject, 409 when there are too many, 503 when it cannot be recorded.
    fn hold(&self, request: &HoldRequest) -> Result<HoldView, Fault>;

    /// Lifts a hold.
    ///
    /// # Errors
    /// 404 when there is none of this id, 503 when it cannot be recorded.
    fn lift(&self, id: &str, request: &LiftHoldRequest) -> Result<HoldView, Fault>;

    /// What goes when, by the configuration.
    ///
    /// # Errors
    /// 503 when log or keys cannot be read.
    fn retention(&self) -> Result<RetentionView, Fault>;

    /// Has go what is due now; gives what went.
    ///
    /// # Errors
    /// 503 when it cannot be recorded or taken away.
    fn retain(&self) -> Result<RetentionView, Fault>;
}
