//! What a probe found, as data.
//!
//! Algorithms have their catalog ids here; a code point that the catalog does not know is written `0x1a2b`. Times
//! are in microseconds, dates RFC 3339.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::verdict::Verdict;

/// Value of [`Report::schema`].
pub const SCHEMA: &str = "lockgate.probe/1";

/// What one endpoint supports and how it chooses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// Host as it was asked for.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The address that was probed, one of the host's.
    pub address: SocketAddr,
    /// Name sent in the server_name extension; none is sent for an address.
    pub name: Option<String>,
    /// When the probe began, milliseconds since 1970.
    pub at_ms: u64,
    /// Whether key exchange is quantum-safe with a client that can do it, and authentication with one that asks.
    pub quantum_safe: QuantumSafe,
    /// What it means and what to do, the worst first.
    pub verdicts: Vec<Verdict>,
    /// Protocol versions, the newest first.
    pub versions: Vec<Version>,
    /// Whether the server refuses a client that says that it fell back from a newer version (RFC 7507). `None`: it
    /// speaks one version alone, or was not asked.
    pub fallback_refused: Option<bool>,
    /// Key exchange groups of the catalog, in its order.
    pub groups: Vec<Group>,
    /// Whose order of groups decides for a client that shares none. Some servers take what a client does share,
    /// whatever else it lists: see [`Report::traditional_share`].
    pub group_order: Order,
    /// Groups that the server supports and the catalog does not know.
    pub groups_unknown: Vec<String>,
    /// What becomes of a client that shares a traditional group and lists a quantum-safe one too.
    pub traditional_share: Option<TraditionalShare>,
    /// TLS 1.3 cipher suites of the catalog, in its order.
    pub ciphers: Vec<Offer>,
    /// Whose order of cipher suites decides.
    pub cipher_order: Order,
    /// Signature algorithms for handshakes of the catalog, in its order, each offered alone.
    pub signatures: Vec<Signature>,
    /// The distinct chains that were presented.
    pub chains: Vec<Chain>,
    /// Application protocols, each offered alone.
    pub alpn: Vec<Protocol>,
    /// Whether the server asks its clients for certificates.
    pub client_certificate: Option<ClientCertificate>,
    /// Session resumption.
    pub resumption: Option<Resumption>,
    /// What the server stands.
    pub tolerance: Tolerance,
    /// Full handshakes that offered everything, one after the other.
    pub handshakes: Vec<Handshake>,
    /// TCP connections that the probe made.
    pub connections: u32,
    /// Duration of the probe, milliseconds.
    pub took_ms: u64,
}

/// The two gates, each at its best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuantumSafe {
    /// A quantum-safe group is supported.
    pub key_exchange: bool,
    /// A quantum-safe signature is supported.
    pub authentication: bool,
}

/// What came of one question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// The server agreed.
    Yes,
    /// The server refused.
    No {
        /// Name of its alert; `None` if it just closed the connection.
        alert: Option<String>,
    },
    /// It did neither, or was not asked.
    Unclear {
        /// Why.
        why: String,
    },
}

impl Answer {
    /// Whether the server agreed.
    #[must_use]
    pub fn is_yes(&self) -> bool {
        *self == Self::Yes
    }

    /// Whether the server refused.
    #[must_use]
    pub fn is_no(&self) -> bool {
        matches!(self, Self::No { .. })
    }

    pub(super) fn unclear(why: impl Into<String>) -> Self {
        Self::Unclear { why: why.into() }
    }
}

/// An algorithm offered alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Catalog id.
    pub id: String,
    /// Code point, `0x1a2b`.
    pub code_point: String,
    /// `hybrid`, `post_quantum` or `traditional`.
    pub nature: String,
    /// NIST security category, 0 for traditional public-key algorithms.
    pub nist_level: u8,
    /// What the server said.
    #[serde(flatten)]
    pub answer: Answer,
}

impl Offer {
    /// Whether a quantum adversary gains nothing decisive.
    #[must_use]
    pub fn is_quantum_safe(&self) -> bool {
        self.nature != super::catalogued::TRADITIONAL
    }

    pub(super) fn is_agreed_and_quantum_safe(&self) -> bool {
        self.answer.is_yes() && self.is_quantum_safe()
    }
}

/// A key exchange group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The group and what the server said to it.
    #[serde(flatten)]
    pub offer: Offer,
    /// A full handshake with this group alone, if the server supports it and this build has it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub handshake: Option<Handshake>,
}

/// A signature algorithm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The algorithm and what the server said to it. Yes means that its signature was verified.
    #[serde(flatten)]
    pub offer: Offer,
    /// Fingerprint of the leaf that it presented, as in [`Chain::fingerprint`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub leaf: Option<String>,
}

/// A protocol version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// `TLSv1.3`.
    pub version: String,
    /// What the server said.
    #[serde(flatten)]
    pub answer: Answer,
    /// The cipher suite that it chose.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cipher: Option<String>,
    /// Whether its random warns a client that could do better (RFC 9846 section 4.1.3). Only for versions below 1.3
    /// of a server that speaks 1.3.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sentinel: Option<bool>,
}

/// Whose order of preference decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// The server's: it answers the same however the client lists.
    Server,
    /// The client's: the server takes the first that it knows.
    Client,
    /// Quantum-safe before traditional, whatever the client says; within each the client's.
    QuantumSafeFirst,
    /// Neither.
    Mixed,
    /// There is nothing to choose between.
    Single,
    /// It could not be found out.
    Unclear,
}

/// An order of preference, found by elimination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Whose it is.
    pub whose: Whose,
    /// What the server chose out of everything, then out of the rest, and so on.
    pub order: Vec<String>,
}

/// What becomes of a client that sends a share of a traditional group only, and lists a quantum-safe one too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraditionalShare {
    /// The group shared.
    pub shared: String,
    /// When the client lists the shared group first, as clients without post-quantum shares do.
    pub listed_first: Moved,
    /// When the client lists the quantum-safe groups first, as clients that save bytes do.
    pub listed_last: Moved,
}

/// Where such a client ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "moved", rename_all = "snake_case")]
pub enum Moved {
    /// A HelloRetryRequest asks for a quantum-safe group.
    QuantumSafe {
        /// The group.
        group: String,
    },
    /// The link is traditional, although both sides could do better.
    Traditional {
        /// The group.
        group: String,
    },
    /// Neither; it says what happened.
    Unclear {
        /// Why.
        why: String,
    },
}

/// A certificate chain as the server sent it. Nothing of it was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// SHA-256 of the leaf, hexadecimal.
    pub fingerprint: String,
    /// All certificates together, bytes.
    pub bytes: u64,
    /// The leaf first.
    pub certificates: Vec<Certificate>,
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Subject, RFC 4514.
    pub subject: String,
    /// Issuer, RFC 4514.
    pub issuer: String,
    /// DNS names, addresses and URIs of the subject alternative name, at most 32.
    pub names: Vec<String>,
    /// Catalog id of the key's algorithm, else its object identifier.
    pub key: String,
    /// Catalog id of the algorithm that the certificate is signed with, else its object identifier.
    pub signature: String,
    /// Whether key and signature are both quantum-safe.
    pub quantum_safe: bool,
    /// First moment of validity.
    pub not_before: String,
    /// Last moment of validity.
    pub not_after: String,
    /// The same in milliseconds since 1970.
    pub not_after_ms: u64,
    /// From the first moment to the last, milliseconds.
    pub lifetime_ms: u64,
    /// Size, bytes.
    pub bytes: u64,
}

impl Certificate {
    /// Whether it lives for days only, so that some program renews it.
    pub(super) fn is_short_lived(&self) -> bool {
        self.lifetime_ms <= 10 * 24 * 60 * 60 * 1000
    }
}

/// An application protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protocol {
    /// Its registered name.
    pub name: String,
    /// No without an alert: the server ignores the extension.
    #[serde(flatten)]
    pub answer: Answer,
}

/// Whether clients have to present a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificate {
    /// The server does not ask.
    NotAsked,
    /// It asks, and goes on without.
    Asked,
    /// It ends links without one.
    Required,
}

/// Session resumption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumption {
    /// Tickets after one full handshake.
    pub tickets: u32,
    /// Whether the server resumed when it was asked to; `None` without a ticket.
    pub resumed: Option<bool>,
    /// The resumed handshake.
    pub handshake: Option<Handshake>,
}

/// What the server stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tolerance {
    /// It passes over values that it does not know (RFC 8701).
    pub unknown_values: Answer,
    /// If not: where it does not.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub intolerant_of: Vec<String>,
    /// It answers a ClientHello with a post-quantum share, in one piece.
    pub large_hello: Answer,
    /// It answers the same in two TCP segments: some middleboxes expect a hello in one.
    pub split_hello: Answer,
    /// Bytes of that hello; 0 if it was not sent.
    pub large_hello_bytes: u64,
}

/// One full or resumed handshake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handshake {
    /// Group.
    pub group: String,
    /// Cipher suite.
    pub cipher: String,
    /// Signature of the server; `None` when resumed.
    pub signature: Option<String>,
    /// Whether a HelloRetryRequest cost a round trip.
    pub hello_retry: bool,
    /// TCP connection, microseconds.
    pub connect_us: u64,
    /// From the ClientHello to our Finished, microseconds.
    pub handshake_us: u64,
    /// Bytes received during the handshake.
    pub bytes_in: u64,
    /// Bytes sent during the handshake.
    pub bytes_out: u64,
}
