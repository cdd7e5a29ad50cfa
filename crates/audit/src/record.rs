//! What one line says: a flat set of facts, every one of them optional except the kind and the outcome.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use lockgate_crypto::Posture;

/// A text field: borrowed while a record is written, owned when it was read back.
pub type Text<'a> = Cow<'a, str>;

/// Longest text that a record keeps, in bytes. A caller chooses its own tool names and URIs; without a limit one caller
/// could fill the disk with names. Longer texts are cut and say so.
pub const TEXT_BYTES_MAX: usize = 2048;

/// Most entries that a list field (`policies`, `findings`) keeps. More are cut and the last entry says so.
pub const LIST_ENTRIES_MAX: usize = 32;

/// Largest arguments that a record keeps where they are recorded at all, in bytes: with the rest of the record they must
/// fit into an entry of 64 KiB, escaped. Arguments are for replaying a call against other policies, so that a part of them
/// is worth nothing: what does not fit is left out, and the names stay.
pub const ARGUMENTS_BYTES_MAX: usize = 32 << 10;

/// How much of a record is kept.
pub(crate) struct Cut {
    text_bytes: usize,
    list_entries: usize,
    arguments_bytes: usize,
}

/// How records are cut until they fit into a line. The last leaves room even where each byte is escaped.
pub(crate) const CUTS: [Cut; 4] = [
    Cut { text_bytes: TEXT_BYTES_MAX, list_entries: LIST_ENTRIES_MAX, arguments_bytes: ARGUMENTS_BYTES_MAX },
    Cut { text_bytes: TEXT_BYTES_MAX, list_entries: LIST_ENTRIES_MAX, arguments_bytes: 0 },
    Cut { text_bytes: 256, list_entries: 16, arguments_bytes: 0 },
    Cut { text_bytes: 64, list_entries: 4, arguments_bytes: 0 },
];

/// What a record is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One MCP call that was forwarded.
    #[default]
    Call,
    /// A link or a call that some stage turned down.
    Refusal,
    /// A tunnel that opened or closed.
    Link,
    /// A stream of events inside a call.
    Stream,
    /// A certificate, an invite or an authority: issued, used, renewed, revoked.
    Identity,
    /// A policy generation that was loaded or turned down.
    Policy,
    /// A finding, or an approval of one.
    Detect,
    /// The cryptography in force: a profile, a ban, a sunset, an exception or a signed document that came into force or
    /// was turned down, and what became of the links that had to move for it.
    Crypto,
    /// The node or the log itself: start, drain, reload, recovery.
    Lifecycle,
}

/// How it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As asked.
    #[default]
    Ok,
    /// Turned down on purpose, by policy, detection, cryptography or a limit.
    Refused,
    /// Tried, and did not work: an upstream error, a fault of ours.
    Failed,
    /// The caller went away or took it back.
    Cancelled,
}

/// A value that a record vouches for without holding it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commitment {
    /// Where it stands, like `patient.names[0]`; `$` is all of it.
    pub path: String,
    /// Its size: of a text without its quotes and escapes, of anything else as JSON text.
    pub bytes: u64,
    /// A tag under a key of those whom the record is about, lower-case hex; none where there was no key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// What was said in a call, encrypted under keys of those whom the record is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// What it may be used for, by the policy that had it kept.
    pub purpose: String,
    /// The ciphertext, base64.
    pub sealed: String,
}

/// The facts of one record. Build it with struct update syntax from [`Record::new`] and hand it to
/// [`Log::append`](crate::Log::append), which adds the schema, the sequence number, the hash of the line before, and the
/// time.
///
/// The format is flat and free of the types of policy, detection and cryptography on purpose: a log is read years
/// after the code that wrote it is gone. Absent facts are absent from the line. Values of arguments and results are never part
/// of a record in the open: they are committed to, and encrypted where policy opts in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record<'a> {
    /// What the record is about.
    pub kind: Kind,
    /// How it ended.
    pub outcome: Outcome,
    /// The stage that decided, one of the nine stage names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<Text<'a>>,
    /// Who called: a SPIFFE id, `local-user` or `anonymous`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<Text<'a>>,
    /// How the caller proved it, for example a certificate serial number or a user id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<Text<'a>>,
    /// Address of the peer's socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<Text<'a>>,
    /// Name of the MCP server (upstream) that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Text<'a>>,
    /// MCP method, for example `tools/call`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Text<'a>>,
    /// Subject of the method: a tool, prompt, URI or task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<'a>>,
    /// JSON-RPC id as the caller wrote it (raw JSON: a string id keeps its quotes).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Text<'a>>,
    /// Hash of the session id; the id itself is a credential and is never written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Text<'a>>,
    /// JSON-RPC error code or HTTP status of a refusal or failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    /// Why, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text<'a>>,
    /// Ids of the policies that decided.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub policies: Cow<'a, [String]>,
    /// Generation of the policy set that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_generation: Option<u64>,
    /// What a denial came to: `deny`, `hold` or `kill`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consequence: Option<Text<'a>>,
    /// Who approved the call, or rejected it, where a person was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<Text<'a>>,
    /// How policies in shadow mode would have decided, where they would have decided otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Text<'a>>,
    /// SHA-256 of the facts from outside that were decided on, hexadecimal; absent where none was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facts: Option<Text<'a>>,
    /// Roles of the caller by its registration. Those that policy files give it are not repeated here.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub roles: Cow<'a, [String]>,
    /// Names of the call's arguments, outermost ones only. What does not read like the name of a field is `*`.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub argument_names: Cow<'a, [String]>,
    /// The call's arguments as JSON text, byte for byte as they came, in logs of before; new ones have them in `content`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Text<'a>>,
    /// Pseudonyms of those whom the record is about, good for one month. Only the node's keys tie them to anybody.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub subjects: Cow<'a, [String]>,
    /// The arguments: paths, sizes and tags.
    #[serde(skip_serializing_if = "<[Commitment]>::is_empty")]
    pub committed: Cow<'a, [Commitment]>,
    /// The result: paths, sizes and tags.
    #[serde(skip_serializing_if = "<[Commitment]>::is_empty")]
    pub committed_result: Cow<'a, [Commitment]>,
    /// Arguments and result, encrypted, where policy has them kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Cow<'a, Content>>,
    /// What of arguments and result is missing above, and why.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub left_out: Cow<'a, [String]>,
    /// SHA-256 of the definition of the tool that was called, as it is pinned, lower-case hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_definition: Option<Text<'a>>,
    /// The `uid` of the event before this one on the same link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev_event: Option<Text<'a>>,
    /// Ids of the findings of detection.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub findings: Cow<'a, [String]>,
    /// Bytes of the request body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_in: Option<u64>,
    /// Bytes of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_out: Option<u64>,
    /// From the first byte of the request to the decision or the end of the answer, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_us: Option<u64>,
    /// Whether every part of the link holds against a quantum adversary. Absent when there was no tunnel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantum_safe: Option<bool>,
    /// TLS protocol version of the link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Text<'a>>,
    /// Key exchange group of the link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Text<'a>>,
    /// Cipher suite of the link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cipher: Option<Text<'a>>,
    /// Signature algorithm of the peer's certificate; absent when the peer showed none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_signature: Option<Text<'a>>,
    /// Signature algorithm of our own certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_signature: Option<Text<'a>>,
    /// Whether the link resumed an earlier session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumed: Option<bool>,
    /// Whether a HelloRetryRequest cost the link a round trip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hello_retry: Option<bool>,
    /// Duration of the link's handshake in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshake_us: Option<u64>,
    /// Bytes received during the link's handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshake_bytes_in: Option<u64>,
    /// Bytes sent during the link's handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshake_bytes_out: Option<u64>,
    /// Name of the crypto profile that the link was made under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Text<'a>>,
    /// Generation of that profile on this node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// How many of what `reason` speaks of: bytes that were cut off, records that were refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// What was in force before a change, one line a difference.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub before: Cow<'a, [String]>,
    /// What is in force after it, one line a difference.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub after: Cow<'a, [String]>,
}

impl<'a> Record<'a> {
    /// A record of this kind and outcome with no further facts.
    pub fn new(kind: Kind, outcome: Outcome) -> Self {
        Self { kind, outcome, ..Self::default() }
    }

    /// The same record with what its link negotiated.
    ///
    /// Calls repeat the part that a question about calls needs; records of kind [`Kind::Link`] also say what the
    /// handshake cost.
    pub fn on_link(self, posture: &'a Posture) -> Self {
        let Posture {
            protocol,
            group,
            // Whose code ran the exchange is the operator's choice and no fact of the link's strength; the inventory has it.
            provider: _,
            cipher,
            peer_signature,
            own_signature,
            resumed,
            hello_retry,
            handshake_us,
            bytes_in,
            bytes_out,
            epoch,
            profile,
        } = posture;
        let is_link = self.kind == Kind::Link;
        let text = |text: &'a str| Some(Cow::Borrowed(text));
        Self {
            quantum_safe: Some(posture.quantum_safe()),
            protocol: text(protocol),
            group: text(group),
            cipher: text(cipher),
            peer_signature: peer_signature.as_deref().and_then(text),
            own_signature: own_signature.as_deref().and_then(text),
            resumed: Some(*resumed),
            hello_retry: is_link.then_some(*hello_retry),
            handshake_us: is_link.then_some(*handshake_us),
            handshake_bytes_in: is_link.then_some(*bytes_in),
            handshake_bytes_out: is_link.then_some(*bytes_out),
            epoch: Some(*epoch),
            profile: text(profile),
            ..self
        }
    }

    /// How many bytes its texts have together.
    pub(crate) fn text_bytes(&self) -> usize {
        let Record {
            kind: _,
            outcome: _,
            stage,
            agent,
            principal,
            peer,
            server,
            method,
            name,
            request_id,
            session,
            code: _,
            reason,
            policies,
            policy_generation: _,
            consequence,
            approval,
            shadow,
            facts,
            roles,
            argument_names,
            arguments,
            subjects,
            committed,
            committed_result,
            content,
            left_out,
            tool_definition,
            prev_event,
            findings,
            bytes_in: _,
            bytes_out: _,
            duration_us: _,
            quantum_safe: _,
            protocol,
            group,
            cipher,
            peer_signature,
            own_signature,
            resumed: _,
            hello_retry: _,
            handshake_us: _,
            handshake_bytes_in: _,
            handshake_bytes_out: _,
            profile,
            epoch: _,
            count: _,
            before,
            after,
        } = self;
        let texts = [
            stage,
            agent,
            principal,
            peer,
            server,
            method,
            name,
            request_id,
            session,
            reason,
            consequence,
            approval,
            shadow,
            facts,
            arguments,
            tool_definition,
            prev_event,
            protocol,
            group,
            cipher,
            peer_signature,
            own_signature,
            profile,
        ];
        let lists = [policies, roles, argument_names, subjects, left_out, findings, before, after];
        let texts = texts.into_iter().flatten().map(|text| text.len());
        // Each entry costs a comma and quotes, even an empty one.
        let entries = lists.into_iter().flat_map(|list| list.iter()).map(|text| text.len() + 3);
        let committed = committed.iter().chain(committed_result.iter());
        let committed = committed.map(|one| one.path.len() + one.tag.as_ref().map_or(0, String::len) + 32);
        let content = content.iter().map(|content| content.purpose.len() + content.sealed.len());
        texts.chain(entries).chain(committed).chain(content).fold(0, usize::saturating_add)
    }

    /// The same record with every field within its limit.
    pub(crate) fn cut(&self, cut: &Cut) -> Record<'static> {
        let text = |text: &Option<Text<'a>>| text.as_ref().map(|text| Cow::Owned(cut_text(text, cut)));
        let cut_list = |list: &[String]| cut_list(list, cut);
        let keeps_content = cut.arguments_bytes > 0;
        let mut left_out = cut_list(&self.left_out);
        if self.content.is_some() && !keeps_content {
            left_out.push("content: the record has no room for it".to_owned());
        }
        Record {
            kind: self.kind,
            outcome: self.outcome,
            stage: text(&self.stage),
            agent: text(&self.agent),
            principal: text(&self.principal),
            peer: text(&self.peer),
            server: text(&self.server),
            method: text(&self.method),
            name: text(&self.name),
            request_id: text(&self.request_id),
            session: text(&self.session),
            code: self.code,
            reason: text(&self.reason),
            policies: Cow::Owned(cut_list(&self.policies)),
            policy_generation: self.policy_generation,
            consequence: text(&self.consequence),
            approval: text(&self.approval),
            shadow: text(&self.shadow),
            facts: text(&self.facts),
            roles: Cow::Owned(cut_list(&self.roles)),
            argument_names: Cow::Owned(cut_list(&self.argument_names)),
            arguments: whole(self.arguments.as_ref(), cut),
            subjects: Cow::Owned(cut_list(&self.subjects)),
            committed: Cow::Owned(cut_committed(&self.committed, cut)),
            committed_result: Cow::Owned(cut_committed(&self.committed_result, cut)),
            content: self
                .content
                .as_ref()
                .filter(|_| keeps_content)
                .map(|content| Cow::Owned((**content).clone())),
            left_out: Cow::Owned(left_out),
            tool_definition: text(&self.tool_definition),
            prev_event: text(&self.prev_event),
            findings: Cow::Owned(cut_list(&self.findings)),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            duration_us: self.duration_us,
            quantum_safe: self.quantum_safe,
            protocol: text(&self.protocol),
            group: text(&self.group),
            cipher: text(&self.cipher),
            peer_signature: text(&self.peer_signature),
            own_signature: text(&self.own_signature),
            resumed: self.resumed,
            hello_retry: self.hello_retry,
            handshake_us: self.handshake_us,
            handshake_bytes_in: self.handshake_bytes_in,
            handshake_bytes_out: self.handshake_bytes_out,
            profile: text(&self.profile),
            epoch: self.epoch,
            count: self.count,
            before: Cow::Owned(cut_list(&self.before)),
            after: Cow::Owned(cut_list(&self.after)),
        }
    }
}

fn cut_text(text: &str, cut: &Cut) -> String {
    if text.len() <= cut.text_bytes {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(cut.text_bytes);
    format!("{}[cut, {} bytes in all]", &text[..end], text.len())
}

fn cut_committed(list: &[Commitment], cut: &Cut) -> Vec<Commitment> {
    // The whole stands first. The texts of a commitment are short, unless somebody else made it.
    let short = |one: &Commitment| Commitment {
        path: cut_text(&one.path, cut),
        bytes: one.bytes,
        tag: one.tag.as_ref().map(|tag| cut_text(tag, cut)),
    };
    list.iter().take(cut.list_entries + 1).map(short).collect()
}

/// Arguments that fit, or none.
fn whole(arguments: Option<&Text<'_>>, cut: &Cut) -> Option<Text<'static>> {
    let fits = arguments.filter(|text| text.len() <= cut.arguments_bytes)?;
    Some(Cow::Owned(fits.clone().into_owned()))
}

fn cut_list(list: &[String], cut: &Cut) -> Vec<String> {
    let mut kept: Vec<String> = list.iter().take(cut.list_entries).map(|text| cut_text(text, cut)).collect();
    if list.len() > cut.list_entries {
        kept.push(format!("[cut, {} in all]", list.len()));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_whole_or_absent() {
        for (bytes, kept) in [(ARGUMENTS_BYTES_MAX, true), (ARGUMENTS_BYTES_MAX + 1, false)] {
            let arguments = Some(Cow::Owned("x".repeat(bytes)));
            let record = Record { arguments, ..Record::new(Kind::Call, Outcome::Ok) };
            assert_eq!(
                record.cut(&CUTS[0]).arguments.is_some_and(|text| text.len() == bytes),
                kept,
                "{bytes}"
            );
        }
    }

    #[test]
    fn a_line_of_before_is_read_and_says_nothing_of_what_is_new() {
        let old: Record<'_> =
            serde_json::from_str(r#"{"kind":"call","outcome":"ok","policies":["p"]}"#).unwrap();
        assert_eq!((old.policy_generation, old.arguments, old.roles.len()), (None, None, 0));
    }

    #[test]
    fn a_call_repeats_what_its_link_is_and_only_the_link_says_what_it_cost() {
        let posture = Posture {
            protocol: "TLSv1.3".into(),
            group: "X25519MLKEM768".into(),
            provider: "aws-lc".into(),
            cipher: "TLS_AES_256_GCM_SHA384".into(),
            peer_signature: Some("Ed25519".into()),
            own_signature: None,
            resumed: true,
            hello_retry: false,
            handshake_us: 900,
            bytes_in: 1500,
            bytes_out: 7000,
            epoch: 3,
            profile: "pq-kex@20261122".into(),
        };
        let call = Record::new(Kind::Call, Outcome::Ok).on_link(&posture);
        assert_eq!(call.quantum_safe, Some(posture.quantum_safe()));
        assert_eq!(call.peer_signature.as_deref(), Some("Ed25519"));
        assert_eq!((call.own_signature, call.resumed, call.epoch), (None, Some(true), Some(3)));
        assert_eq!((call.handshake_us, call.handshake_bytes_in), (None, None));
        let link = Record::new(Kind::Link, Outcome::Ok).on_link(&posture);
        assert_eq!((link.handshake_us, link.hello_retry), (Some(900), Some(false)));
        assert_eq!((link.handshake_bytes_in, link.handshake_bytes_out), (Some(1500), Some(7000)));
    }
}
