//! The inventory of a node's cryptography, and its form as a CBOM.
//!
//! A CBOM (cryptography bill of materials, `CycloneDX` 1.7, ECMA-424) lists what a system uses
//! as components of type `cryptographic-asset`: algorithms, certificates, keys and protocols.
//! [`Inventory`] is plain data that a node fills in; [`Inventory::cyclonedx`] turns it into a
//! document that the published schema accepts. What the schema has no field for stands in
//! properties named `lockgate:…`.

mod algorithm;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::algorithm::component;
use crate::Posture;
use crate::catalog::{self, Algorithm, Kind};
use crate::digest::{hex, sha256};
use crate::posture::TLS13;

/// Version of `CycloneDX` that is written.
pub const SPEC_VERSION: &str = "1.7";

/// What a node uses at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Identity of the node, such as its SPIFFE id.
    pub node: String,
    /// Version of Lockgate that it runs.
    pub version: String,
    /// When the inventory was taken, RFC 3339 date-time.
    pub timestamp: String,
    /// The epoch in force.
    pub epoch: u64,
    /// Catalog ids that any listener or upstream permits now.
    pub algorithms_in_force: Vec<String>,
    /// Roots that are trusted and leaves that are presented.
    pub certificates: Vec<CertificateFact>,
    /// Keys that the node holds.
    pub keys: Vec<KeyFact>,
    /// Links that are up.
    pub links: Vec<LinkFact>,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFact {
    /// What it is for: `root` or `leaf`.
    pub role: String,
    /// Catalog id of the algorithm of its key.
    pub key_algorithm: String,
    /// Catalog id of the algorithm of the signature on it.
    pub signature_algorithm: String,
    /// Whom it names.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// First moment of validity, RFC 3339 date-time.
    pub not_before: String,
    /// Last moment of validity, RFC 3339 date-time.
    pub not_after: String,
    /// SHA-256 of its DER, lower-case hexadecimal; unique in an inventory.
    pub fingerprint: String,
}

/// A key. Never its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFact {
    /// What it is for, such as `audit signing`; unique in an inventory.
    pub name: String,
    /// Whether it is half of a pair.
    pub kind: KeyKind,
    /// Catalog id.
    pub algorithm: String,
    /// When it was made, RFC 3339 date-time; tells its age.
    pub created: Option<String>,
    /// When it will be replaced at the latest, RFC 3339 date-time.
    pub expires: Option<String>,
    /// SHA-256 of its public half, lower-case hexadecimal.
    pub fingerprint: Option<String>,
}

/// What sort of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// Signs.
    PrivateKey,
    /// Verifies, and its private half is elsewhere.
    PublicKey,
    /// Seals.
    SecretKey,
}

/// A link that is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkFact {
    /// Identifier, unique in an inventory.
    pub id: String,
    /// Who is at the other end.
    pub peer: String,
    /// Listener or upstream to which it belongs.
    pub place: String,
    /// Epoch under which it was last found fit to stay.
    pub epoch: u64,
    /// When it came up, RFC 3339 date-time; its session keys are as old.
    pub opened: String,
    /// What it negotiated.
    pub posture: Posture,
}

impl Inventory {
    /// The inventory as a `CycloneDX` document. The same inventory gives the same document.
    #[must_use]
    pub fn cyclonedx(&self) -> Value {
        let used = self.used();
        let mut rows = used.clone();
        rows.extend(with_parts(self.algorithms_in_force.iter().map(String::as_str)));
        let algorithms = rows.iter().filter_map(|id| catalog::find(id));
        let mut assets: BTreeMap<String, Asset> = BTreeMap::new();
        let found = algorithms
            .map(|row| Asset::algorithm(row, used.contains(row.id)))
            .chain(self.certificates.iter().map(CertificateFact::asset))
            .chain(self.keys.iter().map(KeyFact::asset))
            .chain(self.links.iter().map(LinkFact::asset))
            .chain([self.tls13()]);
        for asset in found {
            assets.insert(asset.reference.clone(), asset);
        }
        let known: BTreeSet<String> = assets.keys().cloned().collect();
        let mut dependencies = vec![json!({ "ref": NODE, "dependsOn": known })];
        dependencies.extend(assets.values().filter_map(|asset| asset.dependency(&known)));
        json!({
            "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": SPEC_VERSION,
            "serialNumber": self.serial_number(),
            "version": 1,
            "metadata": {
                "timestamp": self.timestamp,
                "lifecycles": [{ "phase": "operations" }],
                "component": {
                    "type": "application",
                    "bom-ref": NODE,
                    "name": "lockgate",
                    "version": self.version,
                    "properties": properties(&[
                        ("node", self.node.clone()),
                        ("epoch", self.epoch.to_string()),
                    ]),
                },
            },
            "components": assets.into_values().map(|asset| asset.component).collect::<Vec<_>>(),
            "dependencies": dependencies,
        })
    }

    /// Ids of what runs now: of links, certificates and keys, and the parts of these.
    fn used(&self) -> BTreeSet<&'static str> {
        let certificates = self.certificates.iter().flat_map(CertificateFact::algorithms);
        let keys = self.keys.iter().map(|key| key.algorithm.as_str());
        let links = self.links.iter().flat_map(LinkFact::algorithms);
        with_parts(certificates.chain(keys).chain(links))
    }

    /// TLS 1.3 as the node is ready to speak it, whether or not a link is up.
    fn tls13(&self) -> Asset {
        let rows = || self.algorithms_in_force.iter().filter_map(|id| catalog::find(id));
        let of = |kind| rows().filter(move |row| row.kind == kind && row.code_point.is_some());
        let names = |kind| of(kind).map(|row| row.id).collect::<Vec<_>>();
        let suites: Vec<Value> = of(Kind::Cipher)
            .map(|row| {
                json!({
                    "name": row.id,
                    "algorithms": [reference(row.id)],
                    "identifiers": identifiers(row),
                    "tlsGroups": names(Kind::Group),
                    "tlsSignatureSchemes": names(Kind::Signature),
                })
            })
            .collect();
        Asset {
            reference: "protocol/tls-1.3".to_owned(),
            depends_on: rows().map(|row| reference(row.id)).collect(),
            component: json!({
                "type": "cryptographic-asset",
                "bom-ref": "protocol/tls-1.3",
                "name": "TLS 1.3",
                "cryptoProperties": {
                    "assetType": "protocol",
                    "protocolProperties": { "type": "tls", "version": "1.3", "cipherSuites": suites },
                },
            }),
        }
    }

    /// A UUID (RFC 9562 version 8) out of the contents.
    fn serial_number(&self) -> String {
        let mut bytes = sha256(json!(self).to_string().as_bytes());
        bytes[6] = (bytes[6] & 0x0f) | 0x80;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let digits = hex(&bytes[..16]);
        let groups = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
        format!("urn:uuid:{}", groups.join("-"))
    }
}

/// `bom-ref` of the node itself.
const NODE: &str = "lockgate";

/// A component and what it refers to.
struct Asset {
    reference: String,
    /// References, some of which may be to what the catalog does not know.
    depends_on: Vec<String>,
    component: Value,
}

impl Asset {
    fn algorithm(row: &Algorithm, in_use: bool) -> Self {
        Self {
            reference: reference(row.id),
            depends_on: row.components.iter().map(|part| reference(part)).collect(),
            component: component(row, in_use),
        }
    }

    fn dependency(&self, known: &BTreeSet<String>) -> Option<Value> {
        let found: BTreeSet<_> = self.depends_on.iter().filter(|id| known.contains(*id)).collect();
        (!found.is_empty()).then(|| json!({ "ref": self.reference, "dependsOn": found }))
    }
}

impl CertificateFact {
    fn algorithms(&self) -> [&str; 2] {
        [&self.key_algorithm, &self.signature_algorithm]
    }

    fn asset(&self) -> Asset {
        let reference = format!("certificate/{}", self.fingerprint);
        Asset {
            depends_on: references(self.algorithms()),
            component: json!({
                "type": "cryptographic-asset",
                "bom-ref": reference,
                "name": self.subject,
                "cryptoProperties": {
                    "assetType": "certificate",
                    "certificateProperties": {
                        "serialNumber": self.serial,
                        "subjectName": self.subject,
                        "issuerName": self.issuer,
                        "notValidBefore": self.not_before,
                        "notValidAfter": self.not_after,
                        "certificateFormat": "X.509",
                        "fingerprint": { "alg": "SHA-256", "content": self.fingerprint },
                        "certificateState": [{ "state": "active" }],
                        "relatedCryptographicAssets": related(&[
                            ("algorithm", &self.signature_algorithm),
                            ("algorithm", &self.key_algorithm),
                        ]),
                    },
                },
                "properties": properties(&[("role", self.role.clone())]),
            }),
            reference,
        }
    }
}

impl KeyFact {
    fn asset(&self) -> Asset {
        let reference = format!("key/{}", self.name);
        let mut material = json!({
            "type": self.kind,
            "state": "active",
            "relatedCryptographicAssets": related(&[("algorithm", &self.algorithm)]),
        });
        for (key, date) in [("creationDate", &self.created), ("expirationDate", &self.expires)] {
            if let Some(date) = date {
                material[key] = json!(date);
            }
        }
        if let Some(content) = &self.fingerprint {
            material["fingerprint"] = json!({ "alg": "SHA-256", "content": content });
        }
        Asset {
            depends_on: references([&self.algorithm]),
            component: json!({
                "type": "cryptographic-asset",
                "bom-ref": reference,
                "name": self.name,
                "cryptoProperties": {
                    "assetType": "related-crypto-material",
                    "relatedCryptoMaterialProperties": material,
                },
            }),
            reference,
        }
    }
}

impl LinkFact {
    fn algorithms(&self) -> impl Iterator<Item = &str> {
        let Posture { group, cipher, peer_signature, own_signature, .. } = &self.posture;
        let signatures = peer_signature.iter().chain(own_signature);
        [group, cipher].into_iter().chain(signatures).map(String::as_str)
    }

    fn asset(&self) -> Asset {
        let reference = format!("link/{}", self.id);
        let posture = &self.posture;
        let signatures: BTreeSet<_> =
            posture.peer_signature.iter().chain(&posture.own_signature).cloned().collect();
        let (kind, version) = match posture.protocol.as_str() {
            TLS13 => ("tls", "1.3"),
            other => ("unknown", other),
        };
        let suite = json!({
            "name": posture.cipher,
            "algorithms": references(self.algorithms()).into_iter().collect::<BTreeSet<_>>(),
            "identifiers": catalog::find(&posture.cipher).map(identifiers).unwrap_or_default(),
            "tlsGroups": [posture.group],
            "tlsSignatureSchemes": signatures,
        });
        Asset {
            depends_on: references(self.algorithms()),
            component: json!({
                "type": "cryptographic-asset",
                "bom-ref": reference,
                "name": format!("link with {}", self.peer),
                "cryptoProperties": {
                    "assetType": "protocol",
                    "protocolProperties": { "type": kind, "version": version, "cipherSuites": [suite] },
                },
                "properties": properties(&[
                    ("peer", self.peer.clone()),
                    ("place", self.place.clone()),
                    ("epoch", self.epoch.to_string()),
                    ("opened", self.opened.clone()),
                    ("profile", posture.profile.clone()),
                    ("provider", posture.provider.clone()),
                    ("peer-signature", posture.peer_signature.clone().unwrap_or_default()),
                    ("own-signature", posture.own_signature.clone().unwrap_or_default()),
                    ("resumed", posture.resumed.to_string()),
                    ("quantum-safe", posture.quantum_safe().to_string()),
                ]),
            }),
            reference,
        }
    }
}

/// `bom-ref` of an algorithm.
fn reference(id: &str) -> String {
    format!("algorithm/{id}")
}

/// Those that the catalog knows: a reference must lead somewhere.
fn references<'a>(ids: impl IntoIterator<Item = &'a (impl AsRef<str> + ?Sized + 'a)>) -> Vec<String> {
    let rows = ids.into_iter().filter_map(|id| catalog::find(id.as_ref()));
    rows.map(|row| reference(row.id)).collect()
}

fn related(assets: &[(&str, &String)]) -> Vec<Value> {
    let known = assets.iter().filter(|(_, id)| catalog::find(id).is_some());
    known.map(|(kind, id)| json!({ "type": kind, "ref": reference(id) })).collect()
}

/// The rows of these ids and what they are composed of; unknown ids fall away.
fn with_parts<'a>(ids: impl Iterator<Item = &'a str>) -> BTreeSet<&'static str> {
    let rows = ids.filter_map(catalog::find);
    rows.flat_map(|row| row.components.iter().copied().chain([row.id])).collect()
}

/// The code point, byte by byte, as the schema's examples have it.
fn identifiers(row: &Algorithm) -> Vec<String> {
    let bytes = row.code_point.map(u16::to_be_bytes).into_iter().flatten();
    bytes.map(|byte| format!("0x{byte:02X}")).collect()
}

/// Properties of ours; empty ones fall away.
fn properties(pairs: &[(&str, String)]) -> Vec<Value> {
    let given = pairs.iter().filter(|(_, value)| !value.is_empty());
    given.map(|(name, value)| json!({ "name": format!("lockgate:{name}"), "value": value })).collect()
}

#[cfg(test)]
mod tests;
