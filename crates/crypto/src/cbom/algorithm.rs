//! A catalog row as a `CycloneDX` component.
//!
//! Everything is derived from the row, so that an algorithm that is added appears in the CBOM
//! without a change here; what cannot be derived is left out.

use serde_json::{Map, Value, json};

use super::{identifiers, properties, reference};
use crate::catalog::{Algorithm, Kind, Nature};

/// How ids begin, and the family of the `CycloneDX` cryptography registry that it means.
const FAMILIES: [(&str, &str); 12] = [
    ("ML-DSA-", "ML-DSA"),
    ("SLH-DSA-", "SLH-DSA"),
    ("MLKEM", "ML-KEM"),
    ("ECDSA-", "ECDSA"),
    ("Ed25519", "EdDSA"),
    ("RSA-PSS-", "RSASSA-PSS"),
    ("RSA-PKCS1-", "RSASSA-PKCS1"),
    ("X25519", "ECDH"),
    ("secp", "ECDH"),
    ("TLS_AES_", "AES"),
    ("AES-", "AES"),
    ("TLS_CHACHA20_", "ChaCha20"),
];

/// How ids begin, the curve of the registry that it means, and its classical strength in bits.
const CURVES: [(&str, &str, u32); 6] = [
    ("X25519", "other/Curve25519", 128),
    ("Ed25519", "other/Ed25519", 128),
    ("secp256r1", "secg/secp256r1", 128),
    ("secp384r1", "secg/secp384r1", 192),
    ("ECDSA-P256", "nist/P-256", 128),
    ("ECDSA-P384", "nist/P-384", 192),
];

/// A catalog row as a component of type `cryptographic-asset`. `in_use` says that something
/// uses it now; otherwise it is only permitted, or known.
#[must_use]
pub fn component(row: &Algorithm, in_use: bool) -> Value {
    let mut crypto = json!({ "assetType": "algorithm", "algorithmProperties": algorithm(row) });
    if let Some(oid) = row.oid {
        crypto["oid"] = json!(oid);
    }
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    json!({
        "type": "cryptographic-asset",
        "bom-ref": reference(row.id),
        "name": row.id,
        "cryptoProperties": crypto,
        "properties": properties(&[
            ("in-use", in_use.to_string()),
            ("nature", nature(row.nature).to_owned()),
            ("status", format!("{:?}", row.status).to_lowercase()),
            ("providers", row.providers.join(", ")),
            ("components", row.components.join(", ")),
            ("code-point", identifiers(row).join(" ")),
            ("not-before", text(row.not_before)),
            ("warn-after", text(row.warn_after)),
            ("not-after", text(row.not_after)),
            ("advisory", text(row.advisory)),
        ]),
    })
}

fn algorithm(row: &Algorithm) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut set = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    set("primitive", json!(primitive(row)));
    set("executionEnvironment", json!("software-plain-ram"));
    set("implementationPlatform", json!(platform()));
    set("certificationLevel", json!(["none"]));
    set("cryptoFunctions", json!(functions(row)));
    set("nistQuantumSecurityLevel", json!(row.nist_level));
    if let Some(bits) = classical_bits(row) {
        set("classicalSecurityLevel", json!(bits));
    }
    if let Some(family) = family(row) {
        set("algorithmFamily", json!(family.1));
    }
    if let Some(parameters) = parameters(row) {
        set("parameterSetIdentifier", json!(parameters));
    }
    if let Some((_, curve, _)) = curve(row) {
        set("ellipticCurve", json!(curve));
    }
    if row.kind == Kind::Cipher && row.id.contains("GCM") {
        // GCM-SIV has no name of its own in the schema.
        set("mode", json!(if row.id.contains("SIV") { "other" } else { "gcm" }));
    }
    if row.id.starts_with("RSA-PKCS1") {
        set("padding", json!("pkcs1v15"));
    }
    fields
}

/// A hybrid is a combiner in the terms of the schema: of two candidates it makes one.
fn primitive(row: &Algorithm) -> &'static str {
    match (row.kind, row.nature) {
        (Kind::Group | Kind::Signature, Nature::Hybrid) => "combiner",
        (Kind::Group, Nature::PostQuantum) => "kem",
        (Kind::Group, Nature::Traditional) => "key-agree",
        (Kind::Signature, _) => "signature",
        (Kind::Cipher, _) => "ae",
    }
}

fn functions(row: &Algorithm) -> &'static [&'static str] {
    match (row.kind, row.nature) {
        (Kind::Group, Nature::Traditional) => &["keygen", "keyderive"],
        (Kind::Group, _) => &["keygen", "encapsulate", "decapsulate"],
        (Kind::Signature, _) => &["keygen", "sign", "verify"],
        (Kind::Cipher, _) => &["keygen", "encrypt", "decrypt"],
    }
}

fn platform() -> &'static str {
    if cfg!(target_arch = "x86_64") {
        "x86_64"
    } else if cfg!(target_arch = "aarch64") {
        "armv8-a"
    } else {
        "generic"
    }
}

fn family(row: &Algorithm) -> Option<(&'static str, &'static str)> {
    let alone = row.components.is_empty();
    FAMILIES.into_iter().find(|(start, _)| alone && row.id.starts_with(start))
}

fn curve(row: &Algorithm) -> Option<(&'static str, &'static str, u32)> {
    let alone = row.components.is_empty();
    CURVES.into_iter().find(|(start, ..)| alone && row.id.starts_with(start))
}

/// What an id says beyond its family: `65` of ML-DSA-65; the components of a hybrid.
fn parameters(row: &Algorithm) -> Option<String> {
    if !row.components.is_empty() {
        return Some(row.components.join("+"));
    }
    let rest = row.id.strip_prefix(family(row)?.0)?;
    let rest = match row.kind {
        // The length of the key; the schema has mode and hash elsewhere.
        Kind::Cipher => rest.split(|c: char| !c.is_ascii_digit()).next()?,
        Kind::Group | Kind::Signature => rest,
    };
    (!rest.is_empty()).then(|| rest.to_owned())
}

/// Bits of strength against classical attacks: the curve's, or what the NIST category equals.
/// A key of RSA has as many as its size gives, which the row does not know.
fn classical_bits(row: &Algorithm) -> Option<u32> {
    match row.nist_level {
        0 => curve(row).map(|(.., bits)| bits),
        1 | 2 => Some(128),
        3 | 4 => Some(192),
        _ => Some(256),
    }
}

/// How an algorithm stands against a quantum adversary, in the words of RFC 9794.
fn nature(nature: Nature) -> &'static str {
    match nature {
        Nature::Traditional => "traditional",
        Nature::PostQuantum => "post-quantum",
        Nature::Hybrid => "hybrid",
    }
}
