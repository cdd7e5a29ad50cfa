//! LG-D010 to LG-D014: what handshakes say about a peer over time.

mod continuity;
mod habits;
mod properties;
mod retries;

use std::net::IpAddr;

use lockgate_crypto::{Algorithm, Capabilities, Posture, catalog};
use lockgate_detect::links::{Continuity, Failed, InForce, LinkFinding, LinkWatch, Mode, Observation, Seen};

const DAY_MS: u64 = 24 * 3_600_000;
const AGENT: &str = "spiffe://example.org/agent/a";

const HYBRID: &str = "X25519MLKEM768";
const LARGE: &str = "SecP384r1MLKEM1024";
const PURE: &str = "MLKEM1024";
const CLASSICAL: &str = "X25519";
const COMPOSITE: &str = "MLDSA65-Ed25519-SHA512";
const ML_DSA: &str = "ML-DSA-65";
const ECDSA: &str = "ECDSA-P256-SHA256";

/// A gateway's lists, best first, as a profile for a transition would have them.
struct Lists {
    groups: Vec<&'static Algorithm>,
    signatures: Vec<&'static Algorithm>,
    ciphers: Vec<&'static Algorithm>,
}

impl Lists {
    fn all() -> Self {
        Lists {
            groups: rows(&[LARGE, HYBRID, PURE, CLASSICAL]),
            signatures: rows(&[COMPOSITE, ML_DSA, ECDSA]),
            ciphers: rows(&["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]),
        }
    }

    fn without(mut self, id: &str) -> Self {
        for list in [&mut self.groups, &mut self.signatures, &mut self.ciphers] {
            list.retain(|row| row.id != id);
        }
        self
    }

    fn in_force(&self) -> InForce<'_> {
        InForce { groups: &self.groups, signatures: &self.signatures, ciphers: &self.ciphers }
    }
}

fn rows(ids: &[&str]) -> Vec<&'static Algorithm> {
    ids.iter().map(|id| catalog::find(id).unwrap()).collect()
}

/// One handshake, as a test tells it.
#[derive(Clone, Debug)]
struct Shake {
    peer: String,
    address: Option<IpAddr>,
    listener: String,
    group: String,
    signature: Option<String>,
    hello_retry: bool,
    resumed: bool,
    took_us: u64,
    offered: Option<Capabilities>,
    epoch: u64,
    now_ms: u64,
}

fn shake(group: &str, signature: &str, now_ms: u64) -> Shake {
    Shake {
        peer: AGENT.to_owned(),
        address: Some([192, 0, 2, 7].into()),
        listener: "main".to_owned(),
        group: group.to_owned(),
        signature: Some(signature.to_owned()),
        hello_retry: false,
        resumed: false,
        took_us: 3_000,
        offered: None,
        epoch: 1,
        now_ms,
    }
}

impl Shake {
    fn posture(&self) -> Posture {
        serde_json::from_value(serde_json::json!({
            "protocol": "TLSv1.3",
            "group": self.group,
            "cipher": "TLS_AES_256_GCM_SHA384",
            "provider": "",
            "peer_signature": self.signature,
            "own_signature": COMPOSITE,
            "resumed": self.resumed,
            "hello_retry": self.hello_retry,
            "handshake_us": self.took_us,
            "bytes_in": 8_000,
            "bytes_out": 7_000,
            "epoch": self.epoch,
            "profile": "pq-transition@20261122",
        }))
        .unwrap()
    }

    fn seen_by(&self, watch: &LinkWatch, lists: &Lists) -> Observation {
        watch.observe(&Seen {
            peer: &self.peer,
            address: self.address,
            listener: &self.listener,
            posture: &self.posture(),
            offered: self.offered.as_ref(),
            in_force: lists.in_force(),
            epoch: self.epoch,
            now_ms: self.now_ms,
        })
    }
}

fn offer(groups: &[&str]) -> Capabilities {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Capabilities {
        groups: names(groups),
        signatures: names(&[COMPOSITE, ML_DSA, ECDSA]),
        ciphers: names(&["TLS_AES_256_GCM_SHA384"]),
    }
}

fn watch(mode: Mode) -> LinkWatch {
    LinkWatch::new(Vec::new(), Continuity { mode, ..Continuity::default() })
}

fn ids(findings: &[LinkFinding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.id).collect()
}

fn failed<'a>(address: [u8; 4], offered: &'a Capabilities, now_ms: u64) -> Failed<'a> {
    let quantum_safe_offered = offered.groups.iter().any(|id| id.contains("MLKEM"));
    Failed { address: address.into(), listener: "main", offered: Some(offered), quantum_safe_offered, now_ms }
}
