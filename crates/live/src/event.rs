//! One thing that happened.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::trace::Trace;

/// Longest text that is kept of a caller, a server or a policy, in bytes: what fits on a screen. The audit log has more.
pub const TEXT_BYTES_MAX: usize = 512;

/// The stages in the order of [`StageTimes`], under the names that everything else uses.
pub const STAGES: [&str; 9] =
    ["accept", "secure", "verify", "decode", "bind", "permit", "screen", "forward", "record"];

/// `text`, within [`TEXT_BYTES_MAX`].
pub fn cut(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(TEXT_BYTES_MAX)])
}

/// Something that happened, as it is sent and stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When it ended, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Number of its record in the audit log; none if it has none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// An event with its number in the ring of this launch, from 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Numbered<E = Event> {
    /// The number; the next event has the next one.
    pub id: u64,
    /// The event.
    #[serde(flatten)]
    pub event: E,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// A call ended: answered, refused, failed or taken back.
    Call(Box<Call>),
    /// A link began, ended or was refused.
    Link(Box<LinkChange>),
    /// Everything else that has a record: a finding, a change of policy, cryptography or identity, the node's life.
    Note(Box<Note>),
}

/// How a call ended, for those who scan a list of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It went through.
    Ok,
    /// Policy does not let it pass.
    Denied,
    /// It waits for a person.
    Held,
    /// Policy refused it, cut its link and locked its agent out.
    Killed,
    /// Detection holds it, or withholds its result.
    Screened,
    /// Another stage refused it: malformed, too large, no identity, no log.
    Refused,
    /// The server behind the node failed, or answered with an error.
    Failed,
    /// Its client went away before the answer.
    Cancelled,
}

impl Verdict {
    /// All of them, the good one first.
    pub const ALL: [Self; 8] = [
        Self::Ok,
        Self::Denied,
        Self::Held,
        Self::Killed,
        Self::Screened,
        Self::Refused,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Denied => "denied",
            Self::Held => "held",
            Self::Killed => "killed",
            Self::Screened => "screened",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether this node turned it down.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::Denied | Self::Held | Self::Killed | Self::Screened | Self::Refused)
    }
}

/// Time spent in each of the nine stages, in microseconds, in the order of [`STAGES`]; `None` for a stage that it did not
/// reach, or that is not timed. The first three are those of the link, once for all of its calls.
pub type StageTimes = [Option<u32>; 9];

/// A call that ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// How.
    pub verdict: Verdict,
    /// The link that it came in on.
    pub link: Arc<LinkFacts>,
    /// Who called, where that is not the link's own agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<String>,
    /// Id of the server; empty when it got as far as none.
    #[serde(default)]
    pub server: String,
    /// MCP method; empty when the message had none.
    #[serde(default)]
    pub method: String,
    /// The tool, prompt, URI or task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// From the first byte of the request to its record, in microseconds.
    pub duration_us: u64,
    /// The waterfall.
    pub stages: StageTimes,
    /// How much of `forward` passed until the server's answer began, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_us: Option<u32>,
    /// The stage that refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// JSON-RPC error code or HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    /// Why, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What would have to change; of a denial, the nearest permit and what it lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Ids of the policies that decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// Generation of the policies that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_generation: Option<u64>,
    /// Who approved it, or rejected it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// How policies in shadow mode would have decided, where otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<String>,
    /// What detection found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Found>,
    /// Bytes of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_in: Option<u64>,
    /// Bytes of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_out: Option<u64>,
    /// The trace that it is kept in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
}

impl Call {
    /// Who called.
    pub fn agent(&self) -> &str {
        self.bearer.as_deref().unwrap_or(&self.link.agent)
    }
}

/// A finding of detection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Code for `lockgate explain`, like `LG-D002`.
    pub id: String,
    /// How bad it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// In one sentence.
    pub reason: String,
    /// Where it was seen.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub evidence: String,
}

/// What stages 1 to 3 established about a link, once for all that happens on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkFacts {
    /// Number of the link on this node, from 1; 0 if it never became one.
    #[serde(default)]
    pub number: u64,
    /// The listener that accepted it.
    pub listener: String,
    /// Who is at the other end; empty if nobody knows.
    #[serde(default)]
    pub agent: String,
    /// How that was proved.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub principal: String,
    /// The peer's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Whether every part of it holds against a quantum adversary; none without a tunnel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantum_safe: Option<bool>,
    /// What keeps it from that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weakest: Option<String>,
    /// Key exchange group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Signature algorithm of the peer's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_signature: Option<String>,
    /// Signature algorithm of our own certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_signature: Option<String>,
    /// Whether an earlier session was resumed.
    #[serde(default)]
    pub resumed: bool,
    /// Whether a second hello cost a round trip.
    #[serde(default)]
    pub hello_retry: bool,
    /// Duration of the handshake in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshake_us: Option<u64>,
    /// Profile under which it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Epoch under which it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// A link that began, ended or was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkChange {
    /// `opened`, `closed` or `refused`.
    pub state: String,
    /// The link.
    pub link: Arc<LinkFacts>,
    /// The stage that refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A record that is neither a call nor a link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// `identity`, `policy`, `detect`, `crypto`, `lifecycle`, or another kind of record.
    pub topic: String,
    /// `ok`, `refused`, `failed` or `cancelled`.
    pub outcome: String,
    /// The stage that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Who did it, or whom it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Id of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// What was done, like `identity/revoke`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// To what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Ids of findings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// Epoch that a change made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// What was in force before a change, one line a difference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
    /// What is in force after it, one line a difference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        let long = "é".repeat(TEXT_BYTES_MAX);
        let kept = cut(&long);
        assert!(kept.len() <= TEXT_BYTES_MAX + '…'.len_utf8() && kept.ends_with('…'), "{}", kept.len());
        assert_eq!(cut("short"), "short");
    }

    #[test]
    fn verdicts_have_the_names_that_are_sent() {
        for verdict in Verdict::ALL {
            assert_eq!(serde_json::to_string(&verdict).unwrap(), format!("\"{}\"", verdict.name()));
        }
    }

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let link = Arc::new(LinkFacts { number: 3, agent: "a".into(), ..LinkFacts::default() });
        let change = LinkChange { state: "opened".into(), link, stage: None, reason: None };
        let event = Event { at_ms: 1, seq: None, what: What::Link(Box::new(change)) };
        let written = serde_json::to_string(&Numbered { id: 7, event: &event }).unwrap();
        assert!(written.starts_with(r#"{"id":7,"at_ms":1,"kind":"link","state":"opened""#), "{written}");
        let read: Numbered = serde_json::from_str(&written).unwrap();
        assert_eq!((read.id, read.event), (7, event));
    }
}
