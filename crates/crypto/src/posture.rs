//! Posture: what a link negotiated, as a value that travels with each call.
//!
//! Policy requires it, the audit log signs it, the dashboard shows it. Nothing in it is
//! what a peer claims: every field is what this side saw or did.

use std::time::Duration;

use rustls::{CommonState, HandshakeKind, ProtocolVersion};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use webpki::EndEntityCert;

use crate::catalog::{self, Algorithm, Kind, Nature};
use crate::{Suite, verify};

/// The facts of one link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posture {
    /// Protocol version: `TLSv1.3`.
    pub protocol: String,
    /// Catalog id of the key exchange group, or its code point as `0x1a2b`.
    pub group: String,
    /// Which library ran the key exchange on this side: a provider of the group's catalog
    /// row. Empty in records of versions that did not say.
    #[serde(default)]
    pub provider: String,
    /// Catalog id of the cipher suite, or its code point as `0x1a2b`.
    pub cipher: String,
    /// Catalog id of the peer's signature algorithm, from the key in its leaf; its dotted
    /// OID if the catalog does not know it. `None`: the peer presented no certificate.
    pub peer_signature: Option<String>,
    /// Catalog id of our signature algorithm. `None`: we presented no certificate.
    pub own_signature: Option<String>,
    /// Whether the link resumed an earlier session. Key exchange ran all the same
    /// (psk_dhe_ke); authentication is that of the first handshake.
    pub resumed: bool,
    /// Whether a HelloRetryRequest cost a round trip.
    pub hello_retry: bool,
    /// Duration of the handshake in microseconds.
    pub handshake_us: u64,
    /// Bytes that we received during the handshake.
    pub bytes_in: u64,
    /// Bytes that we sent during the handshake.
    pub bytes_out: u64,
    /// Generation of the configuration under which the link was made.
    pub epoch: u64,
    /// Dated name of the profile under which the link was made.
    pub profile: String,
}

/// What rustls does not tell and the owner of the socket saw.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// Algorithm of the leaf that we presented, if we presented one.
    pub own_signature: Option<&'static Algorithm>,
    /// From the first byte to the end of the handshake.
    pub handshake: Duration,
    /// Bytes received during the handshake.
    pub bytes_in: u64,
    /// Bytes sent during the handshake.
    pub bytes_out: u64,
    /// The suite under which the link was made.
    pub suite: &'a Suite,
}

impl Posture {
    /// Reads the posture off a completed handshake.
    ///
    /// Called earlier, fields that are not negotiated yet read `none`, which is not
    /// quantum-safe.
    #[must_use]
    pub fn from_rustls(conn: &CommonState, observed: Observed<'_>) -> Self {
        const NONE: &str = "none";
        let group = conn.negotiated_key_exchange_group();
        let row = group.and_then(|group| catalog::by_code_point(Kind::Group, group.name().into()));
        let provider = row.and_then(|row| observed.suite.provider_of(row)).unwrap_or_default();
        let group = group.map(|group| catalog::name(Kind::Group, group.name().into()));
        let cipher = conn.negotiated_cipher_suite();
        let cipher = cipher.map(|suite| catalog::name(Kind::Cipher, suite.suite().into()));
        let leaf = conn.peer_certificates().and_then(<[_]>::first);
        let kind = conn.handshake_kind();
        Self {
            protocol: match conn.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => TLS13.to_owned(),
                Some(other) => format!("{other:?}"),
                None => NONE.to_owned(),
            },
            group: group.unwrap_or_else(|| NONE.to_owned()),
            provider: provider.to_owned(),
            cipher: cipher.unwrap_or_else(|| NONE.to_owned()),
            peer_signature: leaf.map(signature_of_leaf),
            own_signature: observed.own_signature.map(|row| row.id.to_owned()),
            resumed: kind == Some(HandshakeKind::Resumed),
            hello_retry: kind == Some(HandshakeKind::FullWithHelloRetryRequest),
            handshake_us: u64::try_from(observed.handshake.as_micros()).unwrap_or(u64::MAX),
            bytes_in: observed.bytes_in,
            bytes_out: observed.bytes_out,
            epoch: observed.suite.epoch(),
            profile: observed.suite.profile().name.to_owned(),
        }
    }

    /// Whether a quantum adversary, now or with a recording, gains nothing: the minimum
    /// over everything negotiated.
    ///
    /// A side that presented no certificate does not lower it: who may stay anonymous is
    /// for policy to say.
    #[must_use]
    pub fn quantum_safe(&self) -> bool {
        self.weakest().is_none()
    }

    /// What keeps the link from being quantum-safe, such as `group X25519`; of several, the
    /// first in the order of the fields. `None` if nothing does.
    #[must_use]
    pub fn weakest(&self) -> Option<String> {
        // Exhaustive, so that a new field makes whoever adds it decide what it means here.
        let Self {
            protocol,
            group,
            cipher,
            peer_signature,
            own_signature,
            // Whose code it was, not how strong.
            provider: _,
            // A resumed link ran a key exchange again, and inherits a peer that is named
            // in `peer_signature`.
            resumed: _,
            // Costs and circumstances, not strength.
            hello_retry: _,
            handshake_us: _,
            bytes_in: _,
            bytes_out: _,
            epoch: _,
            profile: _,
        } = self;
        let protocol_nature = match protocol.as_str() {
            TLS13 => Nature::Hybrid,
            _ => Nature::Traditional,
        };
        let mut parts = vec![
            ("protocol", protocol, protocol_nature),
            ("group", group, nature(Kind::Group, group)),
            ("cipher", cipher, nature(Kind::Cipher, cipher)),
        ];
        let signatures = [("peer signature", peer_signature), ("own signature", own_signature)];
        for (part, name) in signatures {
            if let Some(name) = name {
                parts.push((part, name, nature(Kind::Signature, name)));
            }
        }
        let weakest = parts.into_iter().min_by_key(|(_, _, nature)| *nature);
        weakest
            .filter(|(_, _, nature)| *nature < Nature::PostQuantum)
            .map(|(part, name, _)| format!("{part} {name}"))
    }
}

pub(crate) const TLS13: &str = "TLSv1.3";

/// What the catalog does not know, or no longer allows, is not safe.
fn nature(kind: Kind, id: &str) -> Nature {
    catalog::find(id)
        .filter(|row| row.kind == kind && row.is_usable())
        .map_or(Nature::Traditional, |row| row.nature)
}

/// The signature algorithm of a leaf, which is a certificate or a raw public key.
fn signature_of_leaf(leaf: &CertificateDer<'_>) -> String {
    let certificate = EndEntityCert::try_from(leaf);
    let spki = match &certificate {
        Ok(certificate) => certificate.subject_public_key_info().as_ref().to_vec(),
        Err(_) => leaf.as_ref().to_vec(),
    };
    match verify::algorithm_of_spki(&spki) {
        Ok(row) => row.id.to_owned(),
        Err(crate::CryptoError::UnsupportedKey { oid, .. }) => oid,
        Err(_) => "unreadable".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn safe() -> Posture {
        Posture {
            protocol: TLS13.to_owned(),
            group: "X25519MLKEM768".to_owned(),
            provider: "aws-lc".to_owned(),
            cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
            peer_signature: Some("MLDSA65-Ed25519-SHA512".to_owned()),
            own_signature: Some("ML-DSA-65".to_owned()),
            resumed: false,
            hello_retry: false,
            handshake_us: 900,
            bytes_in: 8_000,
            bytes_out: 7_000,
            epoch: 1,
            profile: "pq-hybrid@20261122".to_owned(),
        }
    }

    #[test]
    fn the_weakest_part_decides() {
        let text = |text: &str| text.to_owned();
        let table = [
            (safe(), None),
            (Posture { resumed: true, hello_retry: true, ..safe() }, None),
            (Posture { peer_signature: None, own_signature: None, ..safe() }, None),
            (Posture { protocol: text("TLSv1.2"), ..safe() }, Some("protocol TLSv1.2")),
            (Posture { group: text("X25519"), ..safe() }, Some("group X25519")),
            (Posture { cipher: text("TLS_RC4"), ..safe() }, Some("cipher TLS_RC4")),
            (
                Posture { peer_signature: Some(text("ECDSA-P256-SHA256")), ..safe() },
                Some("peer signature ECDSA-P256-SHA256"),
            ),
            (Posture { own_signature: Some(text("1.2.3.4")), ..safe() }, Some("own signature 1.2.3.4")),
            // An id of another kind, or one without code, counts for nothing.
            (Posture { group: text("ML-DSA-65"), ..safe() }, Some("group ML-DSA-65")),
            (
                Posture { group: text("HQC-192"), peer_signature: Some(text("Ed25519")), ..safe() },
                Some("group HQC-192"),
            ),
        ];
        for (posture, weakest) in table {
            assert_eq!(posture.weakest().as_deref(), weakest);
            assert_eq!(posture.quantum_safe(), weakest.is_none());
        }
    }

    #[test]
    fn survives_json() {
        let text = serde_json::to_string(&safe()).unwrap();
        assert_eq!(serde_json::from_str::<Posture>(&text).unwrap(), safe());
        assert!(text.contains(r#""peer_signature":"MLDSA65-Ed25519-SHA512""#), "{text}");
    }

    #[test]
    fn a_leaf_is_a_certificate_a_raw_key_or_unreadable() {
        let key = crate::PrivateKey::generate_algorithm("ECDSA-P384-SHA384").unwrap();
        let leaf = CertificateDer::from(key.spki_der());
        assert_eq!(signature_of_leaf(&leaf), "ECDSA-P384-SHA384");
        let mut unknown = key.spki_der();
        let oid = unknown.windows(2).position(|w| w == [0x06, 0x07]).unwrap();
        unknown[oid + 8] = 0x2d;
        assert_eq!(signature_of_leaf(&unknown.into()), "1.2.840.10045.2.45");
        assert_eq!(signature_of_leaf(&b"noise".to_vec().into()), "unreadable");
    }
}
