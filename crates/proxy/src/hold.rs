//! What a caller is told of a call that waits for a person.

use lockgate_mcp::Era;
use lockgate_policy::Denial;
use serde_json::{Value, json};

use crate::approvals::{HeldCall, RETRY_MS, Standing};

/// A call that waits, or was rejected.
#[derive(Debug)]
pub struct Hold {
    /// How it stands.
    pub call: HeldCall,
    /// What policy said of it.
    pub denial: Denial,
    /// The protocol era in which it is answered.
    pub era: Era,
}

impl std::fmt::Display for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = &self.call.id;
        match &self.call.standing {
            Standing::Pending => write!(f, "the call waits for a person's approval under the id {id}"),
            Standing::Approved { .. } => write!(f, "the call {id} was approved just now"),
            Standing::Rejected { reason, .. } if reason.is_empty() => {
                write!(f, "a person rejected the call {id}")
            }
            Standing::Rejected { reason, .. } => write!(f, "a person rejected the call {id}: {reason}"),
        }
    }
}

impl Hold {
    /// When it can help to ask again, in milliseconds; never, if it was rejected.
    pub fn retry_ms(&self) -> Option<u64> {
        match self.call.standing {
            Standing::Pending => Some(RETRY_MS),
            Standing::Approved { .. } => Some(0),
            Standing::Rejected { .. } => None,
        }
    }

    /// Who rejected it, if somebody has.
    pub(crate) fn decided_by(&self) -> Option<String> {
        match &self.call.standing {
            Standing::Rejected { by, .. } => Some(format!("rejected by {by}")),
            Standing::Pending | Standing::Approved { .. } => None,
        }
    }

    /// What the caller, or the operator, can do about it.
    pub fn hint(&self) -> String {
        match self.call.standing {
            Standing::Pending => format!(
                "ask again later with exactly the same arguments; who runs the gateway decides with: lockgate approvals show {}",
                self.call.id
            ),
            Standing::Approved { .. } => "ask again now, with exactly the same arguments".to_owned(),
            Standing::Rejected { .. } => "do not ask again with these arguments".to_owned(),
        }
    }

    /// The result of a tool call that waits (`CallToolResult`); none for other methods.
    pub(crate) fn tool_result(&self) -> Option<Value> {
        if self.call.question.method != "tools/call" {
            return None;
        }
        let mut result = json!({
            "content": [{ "type": "text", "text": self.for_models() }],
            "isError": true,
            "_meta": { "lockgate/hold": self.for_machines() },
        });
        if self.era == Era::Modern {
            result["resultType"] = "complete".into();
        }
        Some(result)
    }

    /// How it stands, for programs.
    pub(crate) fn for_machines(&self) -> Value {
        let mut hold = json!({
            "id": self.call.id,
            "state": self.call.standing.name(),
            "until_ms": self.call.until_ms,
        });
        if let Some(retry_ms) = self.retry_ms() {
            hold["retry_ms"] = retry_ms.into();
        }
        hold
    }

    fn for_models(&self) -> String {
        let (id, tool) = (&self.call.id, self.call.question.name.as_deref().unwrap_or("the tool"));
        match &self.call.standing {
            Standing::Pending => format!(
                "Nothing was done yet: this call waits for a person to approve it (id {id}). Tell the user, and call {tool} \
                 again later with exactly the same arguments; you will get the result once it is approved. Any other \
                 arguments would need an approval of their own. Asking more than once in {} seconds does not help.",
                RETRY_MS / 1000
            ),
            Standing::Approved { .. } => format!(
                "Nothing was done yet, but this call (id {id}) has just been approved. Call {tool} again now with exactly \
                 the same arguments."
            ),
            Standing::Rejected { reason, .. } => {
                let reason =
                    if reason.is_empty() { String::new() } else { format!(" The reason given: {reason}") };
                format!(
                    "A person looked at this call (id {id}) and rejected it. Nothing was done. Do not call {tool} with \
                     these arguments again.{reason}"
                )
            }
        }
    }
}
