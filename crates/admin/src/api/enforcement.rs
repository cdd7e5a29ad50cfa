//! Who may not be let in any more, and calls that wait for a person.

use serde::{Deserialize, Serialize};

use super::Invite;

/// Asks for a revocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeRequest {
    /// `agent/NAME` or a SPIFFE id, both with `*` for anything, `local-user`, `key:FINGERPRINT`, `role:NAME`, `token:ID` or
    /// `serial:HEX`.
    pub target: String,
    /// Why; may be empty.
    #[serde(default)]
    pub reason: String,
    /// For how long, in seconds; until it is restored when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_s: Option<u64>,
    /// Who asks.
    pub by: String,
}

/// Asks for the end of a revocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreRequest {
    /// As in [`RevokeRequest`].
    pub target: String,
    /// Who asks.
    pub by: String,
}

/// A revocation in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationView {
    /// What is revoked, in full.
    pub target: String,
    /// Who revoked it: a person, or a policy that killed a call.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since_ms: u64,
    /// Until when; `None` is until it is restored.
    pub until_ms: Option<u64>,
    /// The target together with which it was revoked, and is restored.
    #[serde(default)]
    pub along_with: Option<String>,
}

/// A revocation that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeRevocation {
    /// The revocation.
    pub revocation: RevocationView,
    /// Whether its target was not revoked before.
    pub is_new: bool,
    /// Links that were cut for it.
    pub links_cut: u64,
}

/// Revocations that were lifted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The target, in full.
    pub target: String,
    /// All that was lifted with it.
    pub lifted: Vec<RevocationView>,
}

/// Who was seen, who is invited and who is locked out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identities {
    /// Agents that had a link since the node started, the last seen first.
    pub agents: Vec<AgentView>,
    /// Newest first.
    pub invites: Vec<Invite>,
    /// Newest first.
    pub revocations: Vec<RevocationView>,
}

/// An agent that had a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentView {
    /// Its id.
    pub agent: String,
    /// Its live links.
    pub links: u64,
    /// When its last link began.
    pub last_seen_ms: u64,
    /// When the certificate ends that it showed then; `None` if it showed none.
    pub expires_at_ms: Option<u64>,
    /// SHA-256 of the key that it proved then.
    pub key: Option<String>,
    /// The revocation that covers it, if one does.
    pub revoked_by: Option<String>,
}

/// Calls that wait for a person, or were decided and not made since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldCalls {
    /// Oldest first.
    pub calls: Vec<HeldCall>,
}

/// A call that waits for a person. Its texts come from the caller: show them escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldCall {
    /// What to approve or reject it by.
    pub id: String,
    /// `pending`, `approved` or `rejected`.
    pub state: String,
    /// Who called.
    pub agent: String,
    /// Id of the server.
    pub server: String,
    /// MCP method.
    pub method: String,
    /// The tool, prompt, resource or task; `None` where the method has none.
    pub name: Option<String>,
    /// The arguments, as they came; `None` where there are none.
    pub arguments: Option<String>,
    /// What goes to the server beside them and counts for the approval: headers that policies look into, and what the client
    /// answered to the server.
    #[serde(default)]
    pub beside: Vec<String>,
    /// The policies that ask for the approval.
    pub policies: Vec<String>,
    /// Why, in one sentence.
    pub reason: String,
    /// When it was first made.
    pub since_ms: u64,
    /// Until when it waits, or the decision on it is good.
    pub until_ms: u64,
    /// Who decided, once somebody has.
    pub by: Option<String>,
    /// Why it was rejected.
    pub rejection: Option<String>,
}

/// Approves a call that waits: once, for exactly its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApproveRequest {
    /// How long the approval can be used, in seconds; the node's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_s: Option<u64>,
    /// Who approves.
    pub by: String,
}

/// Rejects a call that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectRequest {
    /// Why; the caller is told.
    #[serde(default)]
    pub reason: String,
    /// Who rejects.
    pub by: String,
}
