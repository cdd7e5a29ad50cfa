//! What a node must be able to tell and do to be administered.

use crate::api::{
    Approval, Certificate, Csr, Draining, Invites, Links, MintedInvite, NewInvite, Reloaded, Status, Threats,
    Upstreams,
};
use crate::fault::Fault;

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

    /// Issues a certificate for the agent of this machine's own user, who has shown the token.
    ///
    /// # Errors
    /// 400 when the request is none, or its key is of a family that the profile forbids.
    fn enrol_local(&self, request: Csr) -> Result<Certificate, Fault>;

    /// Tool definitions that wait for an approval.
    fn threats(&self) -> Threats;

    /// Trusts one of them from now on, also after a restart.
    ///
    /// # Errors
    /// 404 when nothing waits under this id.
    fn approve_threat(&self, id: &str) -> Result<Approval, Fault>;

    /// The newest lines of the audit log, oldest first, each as it was written.
    ///
    /// # Errors
    /// 503 when the log cannot be read.
    fn audit_tail(&self, count: usize) -> Result<Vec<String>, Fault>;

    /// Reads configuration and policies again; on any error what was in force stays.
    ///
    /// # Errors
    /// 409 with every error of the configuration in the message.
    fn reload(&self) -> Result<Reloaded, Fault>;

    /// Begins to drain; the node ends when it is done. Asked again, it tells how far it is.
    fn drain(&self) -> Draining;
}
