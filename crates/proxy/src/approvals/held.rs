//! A call that waits, and why one cannot.

use lockgate_store::StoreError;
use serde::{Deserialize, Serialize};

use super::ARGUMENTS_BYTES_MAX;

/// How a call that waits stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Standing {
    /// Nobody has decided.
    Pending,
    /// It may be made once.
    Approved {
        /// Who approved it.
        by: String,
    },
    /// It may not be made.
    Rejected {
        /// Who rejected it.
        by: String,
        /// Why; may be empty.
        reason: String,
    },
}

impl Standing {
    /// In one word.
    pub fn name(&self) -> &'static str {
        match self {
            Standing::Pending => "pending",
            Standing::Approved { .. } => "approved",
            Standing::Rejected { .. } => "rejected",
        }
    }
}

/// What a held call is made of.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The digest by which policy knows the call.
    pub digest: String,
    /// Who called.
    pub agent: String,
    /// Id of the server.
    pub server: String,
    /// MCP method.
    pub method: String,
    /// The tool, prompt, resource or task.
    pub name: Option<String>,
    /// The arguments, as they came.
    pub arguments: Option<String>,
    /// What goes to the server beside them and counts for the approval: headers that policies look into, and what the client
    /// answered to the server.
    #[serde(default)]
    pub beside: Vec<String>,
    /// The policies that ask for the approval.
    pub policies: Vec<String>,
    /// Why, in one sentence.
    pub reason: String,
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question")
            .field("digest", &self.digest)
            .field("agent", &self.agent)
            .field("server", &self.server)
            .field("method", &self.method)
            .field("name", &self.name)
            .field("arguments", &self.arguments.as_ref().map(|_| "[redacted]"))
            .field("beside", &self.beside.len())
            .field("policies", &self.policies)
            .finish_non_exhaustive()
    }
}

/// A call that waits, or was decided and not made since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldCall {
    /// What it is approved or rejected by.
    pub id: String,
    /// The call.
    #[serde(flatten)]
    pub question: Question,
    /// When it was first made, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Until when it waits, or the decision on it is good, in milliseconds since the Unix epoch.
    pub until_ms: u64,
    /// How it stands.
    #[serde(flatten)]
    pub standing: Standing,
}

/// Why a call cannot wait, or nothing can be decided about it.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// Too many wait.
    #[error("{limit} calls {whose} wait for approval, which is the limit")]
    TooMany {
        /// Whose.
        whose: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Nobody could read it.
    #[error(
        "its arguments and headers are larger than {ARGUMENTS_BYTES_MAX} bytes, more than a person would read"
    )]
    TooLarge,
    /// Nothing waits under this id.
    #[error("no call waits under {0:?}")]
    Unknown(String),
    /// It was decided.
    #[error("{id} was {was} already by {by}")]
    Decided {
        /// Its id.
        id: String,
        /// `approved` or `rejected`.
        was: &'static str,
        /// By whom.
        by: String,
    },
    /// A lifetime or reason beyond its limit.
    #[error("{0}")]
    Bounds(&'static str),
    /// The store.
    #[error("it cannot be kept: {0}")]
    Unkept(#[from] StoreError),
}
