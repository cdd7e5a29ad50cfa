//! A call that is asked about: everything that a decision reads, written by hand, by a test or taken from the log.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use lockgate_crypto::{Kind, Posture, catalog};
use lockgate_identity::{Caller, Principal, SpiffeId, bind};
use lockgate_mcp::{Limits, Message};
use lockgate_policy::{Circumstances, Consequence, FactValues, Policies, Query, RESPONSE};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::AnalysisError;

/// The link that a call comes over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// Key exchange and both signatures hold against a quantum computer.
    #[default]
    QuantumSafe,
    /// The key exchange holds, so that what is recorded today stays secret; the signatures do not.
    QuantumSafeGroup,
    /// Encrypted, by key exchange and signatures that a quantum computer breaks.
    Classical,
    /// Not encrypted.
    Plain,
}

impl LinkKind {
    /// The name that is written in cases and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            LinkKind::QuantumSafe => "quantum-safe",
            LinkKind::QuantumSafeGroup => "quantum-safe-group",
            LinkKind::Classical => "classical",
            LinkKind::Plain => "plain",
        }
    }

    /// A posture of this kind, made of rows of the catalog.
    fn posture(self) -> Option<Posture> {
        let (group_holds, signatures_hold) = match self {
            LinkKind::QuantumSafe => (true, true),
            LinkKind::QuantumSafeGroup => (true, false),
            LinkKind::Classical => (false, false),
            LinkKind::Plain => return None,
        };
        let pick = |kind: Kind, is_safe: bool| {
            let row = catalog::all()
                .iter()
                .find(|row| row.kind == kind && row.is_usable() && row.is_quantum_safe() == is_safe);
            row.map_or_else(|| "none".to_owned(), |row| row.id.to_owned())
        };
        let signature = Some(pick(Kind::Signature, signatures_hold));
        Some(Posture {
            protocol: "TLSv1.3".to_owned(),
            group: pick(Kind::Group, group_holds),
            provider: String::new(),
            cipher: pick(Kind::Cipher, true),
            peer_signature: signature.clone(),
            own_signature: signature,
            resumed: false,
            hello_retry: false,
            handshake_us: 0,
            bytes_in: 0,
            bytes_out: 0,
            epoch: 1,
            profile: if group_holds { "pq-hybrid".to_owned() } else { "pq-transition".to_owned() },
        })
    }
}

/// A call with its circumstances.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Who: a whole SPIFFE id, a path in `trust_domain` like `agent/retail-1`, `local-user` or `anonymous`.
    pub agent: String,
    /// Roles that the caller's registration gives it, beside those of role files.
    pub roles: Vec<String>,
    /// The id of the server.
    pub server: String,
    /// The MCP method.
    pub method: String,
    /// The tool, prompt, URI or task; `None` where the method is about the server.
    pub name: Option<String>,
    /// `params.arguments`; for methods without arguments it stays empty.
    pub arguments: Map<String, Value>,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Over which link.
    pub link: LinkKind,
    /// Both ends of the link are on one machine.
    pub loopback: bool,
    /// The facts that are known; what is absent is missing or stale.
    pub facts: FactValues,
}

/// How a decision came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It may pass.
    Allow,
    /// It may pass once a person has approved it.
    Hold,
    /// It may not.
    Deny,
    /// It may not, and its caller is cut off.
    Kill,
}

impl Outcome {
    /// As written in cases.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Allow => "allow",
            Outcome::Hold => "hold",
            Outcome::Deny => "deny",
            Outcome::Kill => "kill",
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A decision with its reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// How it came out.
    pub outcome: Outcome,
    /// The policies that decided; empty where none spoke.
    pub by: Vec<String>,
    /// Why not; empty for a call that is allowed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What would allow it; empty for a call that is allowed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// What policies in shadow mode would have changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<String>,
}

/// The parts of a call in the types that policy asks for.
pub(crate) struct Prepared {
    pub(crate) caller: Caller,
    pub(crate) posture: Option<Posture>,
    pub(crate) message: Message,
}

impl Call {
    /// A call of a tool at a point in time, over a quantum-safe link, with nothing else known.
    pub fn tool(agent: &str, server: &str, tool: &str, at_ms: u64) -> Self {
        Call {
            agent: agent.to_owned(),
            roles: Vec::new(),
            server: server.to_owned(),
            method: TOOLS_CALL.to_owned(),
            name: Some(tool.to_owned()),
            arguments: Map::new(),
            at_ms,
            link: LinkKind::QuantumSafe,
            loopback: false,
            facts: FactValues::default(),
        }
    }

    /// Decides the call under a set.
    ///
    /// # Errors
    /// [`AnalysisError::Call`] when the call cannot be made at all, such as for an agent whose id is none.
    pub fn decide(&self, policies: &Policies, trust_domain: &str) -> Result<Decided, AnalysisError> {
        let prepared = self.prepare(trust_domain)?;
        let query = self.query(&prepared);
        if self.method == CONNECT {
            return Ok(connected(policies, &query, self.at_ms));
        }
        let circumstances = self.circumstances();
        Ok(match policies.decide(query, &circumstances, prepared.message.clone()) {
            Ok(permit) => Decided {
                outcome: Outcome::Allow,
                by: permit.policies().to_vec(),
                reason: String::new(),
                hint: String::new(),
                shadow: permit.shadow().map(str::to_owned),
            },
            Err(denial) => Decided {
                outcome: match denial.consequence {
                    Consequence::Deny => Outcome::Deny,
                    Consequence::Hold { .. } => Outcome::Hold,
                    Consequence::Kill => Outcome::Kill,
                },
                by: denial.policies,
                reason: denial.reason,
                hint: denial.hint,
                shadow: denial.shadow,
            },
        })
    }

    /// The roles that the caller has under a set.
    ///
    /// # Errors
    /// As [`Call::decide`].
    pub fn roles_under(&self, policies: &Policies, trust_domain: &str) -> Result<Vec<String>, AnalysisError> {
        Ok(policies.roles(&caller(&self.agent, &self.roles, trust_domain)?))
    }

    pub(crate) fn prepare(&self, trust_domain: &str) -> Result<Prepared, AnalysisError> {
        Ok(Prepared {
            caller: caller(&self.agent, &self.roles, trust_domain)?,
            posture: self.link.posture(),
            message: self.message()?,
        })
    }

    pub(crate) fn query<'a>(&'a self, prepared: &'a Prepared) -> Query<'a> {
        Query {
            caller: &prepared.caller,
            server: &self.server,
            method: &self.method,
            name: prepared.message.name(),
            posture: prepared.posture.as_ref(),
            loopback: self.loopback,
        }
    }

    pub(crate) fn circumstances(&self) -> Circumstances<'_> {
        Circumstances { now_ms: self.at_ms, facts: &self.facts, carried: &[], approval: None }
    }

    /// The message that such a call is.
    fn message(&self) -> Result<Message, AnalysisError> {
        let name = self.name.clone().unwrap_or_default();
        let params = match self.method.as_str() {
            TOOLS_CALL | "prompts/get" => json!({"name": name, "arguments": self.arguments}),
            method if method.starts_with("resources/") && !method.ends_with("list") => json!({"uri": name}),
            method if method.starts_with("tasks/") && method != "tasks/list" => json!({"taskId": name}),
            "completion/complete" => {
                json!({"ref": {"type": "ref/prompt", "name": name}, "argument": {"name": "", "value": ""}})
            }
            _ => json!({}),
        };
        let message = match self.method.as_str() {
            RESPONSE => json!({"jsonrpc": "2.0", "id": 1, "result": {}}),
            method if method.starts_with("notifications/") => {
                json!({"jsonrpc": "2.0", "method": method, "params": params})
            }
            method => json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}),
        };
        Message::decode(Bytes::from(message.to_string()), &Limits::default()).map_err(|error| {
            AnalysisError::call(
                format!("such a call would not be read: {error}"),
                "check the arguments against the limits of messages",
            )
        })
    }

    /// `SERVER/TOOL`, or method, server and name of what is no tool.
    pub fn what(&self) -> String {
        match (&self.name, self.method.as_str()) {
            (Some(name), TOOLS_CALL) => format!("{}/{name}", self.server),
            (Some(name), method) => format!("{method} {}/{name}", self.server),
            (None, method) => format!("{method} {}", self.server),
        }
    }

    /// The command that explains this call, to be pasted into a shell.
    pub fn command(&self) -> String {
        let mut words =
            vec!["lockgate policy explain".to_owned(), "--agent".to_owned(), shell_word(&self.agent)];
        for role in &self.roles {
            words.push(format!("--role {}", shell_word(role)));
        }
        match (&self.name, self.method.as_str()) {
            (Some(name), TOOLS_CALL) => {
                words.push(format!("--tool {}", shell_word(&format!("{}/{name}", self.server))));
            }
            (name, method) => {
                words.push(format!("--method {method} --server {}", shell_word(&self.server)));
                words.extend(name.iter().map(|name| format!("--name {}", shell_word(name))));
            }
        }
        if !self.arguments.is_empty() {
            words.push(format!(
                "--arguments {}",
                shell_word(&Value::from(self.arguments.clone()).to_string())
            ));
        }
        words.push(format!("--at {}", crate::moment::text(self.at_ms)));
        for (name, record) in self.facts.iter() {
            words.push(format!("--fact {}", shell_word(&format!("{name}={}", Value::from(record.clone())))));
        }
        words.push(format!("--link {}", self.link.name()));
        words.extend(self.loopback.then(|| "--loopback".to_owned()));
        words.join(" ")
    }
}

/// Whether a caller may reach a server at all, as a decision.
fn connected(policies: &Policies, query: &Query<'_>, now_ms: u64) -> Decided {
    let Query { caller, server, posture, loopback, .. } = *query;
    match policies.connect(caller, server, posture, loopback, now_ms) {
        Ok(by) => Decided {
            outcome: Outcome::Allow,
            by: by.to_vec(),
            reason: String::new(),
            hint: String::new(),
            shadow: None,
        },
        Err(refused) => Decided {
            outcome: match refused.consequence {
                Consequence::Kill => Outcome::Kill,
                Consequence::Deny | Consequence::Hold { .. } => Outcome::Deny,
            },
            by: refused.policy.into_iter().collect(),
            reason: refused.reason,
            hint: refused.hint,
            shadow: None,
        },
    }
}

/// What is asked before a server is dialled; no method of MCP, and decided by itself.
pub(crate) const CONNECT: &str = "connect";

/// The method whose subject is a tool.
pub(crate) const TOOLS_CALL: &str = "tools/call";

/// A caller of this name, as the pipeline would make it.
///
/// # Errors
/// [`AnalysisError::Call`] when the name is none.
pub(crate) fn caller(agent: &str, roles: &[String], trust_domain: &str) -> Result<Caller, AnalysisError> {
    let principal = match agent {
        "anonymous" => Principal::Anonymous,
        "local-user" => Principal::LocalUser { uid: LOCAL_UID },
        path_or_id => workload(&whole_id(path_or_id, trust_domain))?,
    };
    let mut caller = bind(&Arc::new(principal));
    caller.roles = roles.iter().cloned().collect();
    Ok(caller)
}

/// The user id of the `local-user` of a question. Role files speak of the local user without its number, and raw
/// policies that name a number are asked about by `local-user:NUMBER`, which is not needed so far.
const LOCAL_UID: u32 = 1000;

/// The whole SPIFFE id of an agent that may be written by its path alone.
pub fn whole_id(agent: &str, trust_domain: &str) -> String {
    match agent {
        "anonymous" | "local-user" => agent.to_owned(),
        _ if agent.starts_with("spiffe://") => agent.to_owned(),
        path => format!("spiffe://{trust_domain}/{}", path.trim_start_matches('/')),
    }
}

fn workload(id: &str) -> Result<Principal, AnalysisError> {
    const HINT: &str = "write agent/NAME, spiffe://DOMAIN/agent/NAME, local-user or anonymous";
    let id = SpiffeId::parse(id).map_err(|error| AnalysisError::call(error.to_string(), HINT))?;
    let role = id.role().ok_or_else(|| AnalysisError::call(format!("{id} names no workload"), HINT))?;
    Ok(Principal::Workload {
        id,
        role,
        serial: "00".to_owned(),
        not_before: SystemTime::UNIX_EPOCH,
        not_after: SystemTime::UNIX_EPOCH + Duration::from_secs(LIFE_S),
        key_fingerprint: String::new(),
    })
}

/// How long the certificate of a made-up caller lasts, in seconds: past every question (to 2106).
const LIFE_S: u64 = 0xffff_ffff;

/// A word for a POSIX shell: as it is, or in single quotes.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_agents() {
        for (written, whole) in [
            ("agent/a", "spiffe://d.example/agent/a"),
            ("/agent/a", "spiffe://d.example/agent/a"),
            ("spiffe://x/agent/a", "spiffe://x/agent/a"),
            ("local-user", "local-user"),
            ("anonymous", "anonymous"),
        ] {
            assert_eq!(whole_id(written, "d.example"), whole);
            assert!(caller(written, &[], "d.example").is_ok(), "{written}");
        }
        for wrong in ["", "a b", "spiffe://", "agent//a", "agent/é"] {
            assert!(caller(wrong, &[], "d.example").is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn links_are_what_they_are_called() {
        assert!(LinkKind::QuantumSafe.posture().unwrap().quantum_safe());
        assert!(!LinkKind::Classical.posture().unwrap().quantum_safe());
        let group_only = LinkKind::QuantumSafeGroup.posture().unwrap();
        assert!(
            !group_only.quantum_safe() && group_only.group == LinkKind::QuantumSafe.posture().unwrap().group
        );
        assert!(LinkKind::Plain.posture().is_none());
    }

    #[test]
    fn a_command_survives_the_shell() {
        let mut call = Call::tool("agent/it's", "crm", "get; rm -rf /", 0);
        call.arguments.insert("q".into(), json!("a'b"));
        let command = call.command();
        assert!(command.contains(r"'agent/it'\''s'"), "{command}");
        assert!(command.contains("--tool 'crm/get; rm -rf /'"), "{command}");
        assert!(command.contains(r#"--arguments '{"q":"a'\''b"}'"#), "{command}");
        assert!(command.contains("--at 1970-01-01T00:00:00Z"), "{command}");
    }

    #[test]
    fn every_method_makes_a_message_of_its_name() {
        for method in ["tools/call", "prompts/get", "resources/read", "tasks/get", "tools/list", "ping"] {
            let mut call = Call::tool("agent/a", "crm", "x", 0);
            call.method = method.to_owned();
            let message = call.message().unwrap();
            assert_eq!(message.method(), Some(method));
            assert_eq!(message.name().is_some(), !matches!(method, "tools/list" | "ping"), "{method}");
        }
    }
}
