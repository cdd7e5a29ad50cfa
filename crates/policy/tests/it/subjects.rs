//! Callers, links and messages to decide on.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use lockgate_crypto::Posture;
use lockgate_identity::{Caller, Principal, Role, SpiffeId, bind};
use lockgate_mcp::{Limits, Message};
use lockgate_policy::{Circumstances, Denial, Options, Permit, Policies, Query, RESPONSE, Source};

pub(crate) const AGENT: &str = "spiffe://example.org/agent/billing";

pub(crate) fn policies(text: &str) -> Policies {
    match Policies::parse(&[Source { name: "policy.cedar", text }], &Options::bare(7)) {
        Ok(policies) => policies,
        Err(errors) => panic!("{}", errors.iter().map(|e| format!("{e}\n")).collect::<String>()),
    }
}

pub(crate) fn agent(id: &str) -> Caller {
    bind(&Arc::new(Principal::Workload {
        id: SpiffeId::parse(id).unwrap(),
        role: Role::Agent,
        serial: "01".to_owned(),
        not_before: std::time::SystemTime::UNIX_EPOCH,
        not_after: SystemTime::UNIX_EPOCH,
        key_fingerprint: "00".repeat(32),
    }))
}

pub(crate) fn local_user() -> Caller {
    bind(&Arc::new(Principal::LocalUser { uid: 1000 }))
}

pub(crate) fn anonymous() -> Caller {
    bind(&Arc::new(Principal::Anonymous))
}

pub(crate) fn link(group: &str, own: &str, peer: Option<&str>) -> Posture {
    Posture {
        protocol: "TLSv1.3".to_owned(),
        provider: "aws-lc".to_owned(),
        group: group.to_owned(),
        cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
        peer_signature: peer.map(str::to_owned),
        own_signature: Some(own.to_owned()),
        resumed: false,
        hello_retry: false,
        handshake_us: 900,
        bytes_in: 1,
        bytes_out: 1,
        epoch: 1,
        profile: "pq-hybrid@20261122".to_owned(),
    }
}

/// Hybrid in key exchange and in both authentications.
pub(crate) fn hybrid() -> Posture {
    const COMPOSITE: &str = "MLDSA65-Ed25519-SHA512";
    link("X25519MLKEM768", COMPOSITE, Some(COMPOSITE))
}

/// Hybrid key exchange, classical server certificate, no client certificate.
pub(crate) fn foreign() -> Posture {
    link("X25519MLKEM768", "ECDSA-P256-SHA256", None)
}

/// Classical throughout.
pub(crate) fn classical() -> Posture {
    link("X25519", "ECDSA-P256-SHA256", Some("ECDSA-P256-SHA256"))
}

pub(crate) fn request(method: &str, name: Option<&str>) -> Message {
    let key = match method.split('/').next() {
        Some("resources") => "uri",
        Some("tasks") => "taskId",
        _ => "name",
    };
    let params = name.map_or(serde_json::json!({}), |name| serde_json::json!({ key: name }));
    let request = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    decode(&request)
}

/// A request with arguments.
pub(crate) fn request_with(method: &str, name: &str, arguments: serde_json::Value) -> Message {
    let params = serde_json::json!({"name": name, "arguments": arguments});
    decode(&serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
}

pub(crate) fn notification(method: &str) -> Message {
    decode(&serde_json::json!({"jsonrpc": "2.0", "method": method}))
}

pub(crate) fn response() -> Message {
    decode(&serde_json::json!({"jsonrpc": "2.0", "id": 1, "result": {}}))
}

fn decode(value: &serde_json::Value) -> Message {
    Message::decode(Bytes::from(value.to_string()), &Limits::default()).unwrap()
}

/// A call as the gateway asks it.
pub(crate) struct Call<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) server: &'a str,
    pub(crate) message: Message,
    pub(crate) posture: Option<&'a Posture>,
    pub(crate) loopback: bool,
}

impl Call<'_> {
    pub(crate) fn query(&self) -> Query<'_> {
        Query {
            caller: self.caller,
            server: self.server,
            method: self.message.method().unwrap_or(RESPONSE),
            name: self.message.name(),
            posture: self.posture,
            loopback: self.loopback,
        }
    }

    pub(crate) fn decide(&self, policies: &Policies) -> Result<Permit, Denial> {
        policies.decide(self.query(), &Circumstances::at(0), self.message.clone())
    }
}
