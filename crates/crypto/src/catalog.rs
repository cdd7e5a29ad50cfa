//! The catalog: each algorithm is one row of data.
//!
//! Everything else in Lockgate speaks of algorithms by their catalog id. Adding one means
//! adding a row here and, unless it is composed of parts that exist, one file of code.
//! Code points and object identifiers live here too, so that a registration at IANA is a
//! change of data.

use jiff::civil::Date;
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use serde::{Deserialize, Serialize};

use crate::code::{Code, SignatureCode};
use crate::note::{NoteType, Signs};
use crate::{composite, library, slh_dsa};

/// What an algorithm is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Key exchange: a TLS 1.3 named group (RFC 9846 section 4.3.7).
    Group,
    /// Authentication: a TLS 1.3 signature scheme and an X.509 signature algorithm.
    Signature,
    /// Record protection: a TLS 1.3 cipher suite, or the cipher of [`crate::seal`].
    Cipher,
}

/// How an algorithm stands against a quantum adversary (terms of RFC 9794), weakest first.
///
/// Symmetric ciphers count as [`Nature::PostQuantum`]: Grover's search is answered by
/// their key size, which [`Algorithm::nist_level`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Nature {
    /// Rests on factoring or discrete logarithms alone: a quantum computer breaks it.
    Traditional,
    /// Believed to resist a quantum computer, alone.
    PostQuantum,
    /// Holds while either its traditional or its post-quantum component holds.
    Hybrid,
}

/// Where an algorithm stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// First choice for new use.
    Preferred,
    /// Fine where a profile lists it.
    Allowed,
    /// Only for peers that know nothing better; each use is worth a report.
    Legacy,
    /// Must not be used, by any profile.
    Disabled,
    /// Named so that it is recognised; no code behind it yet.
    Reserved,
}

/// Where a day falls in an algorithm's dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before `not_before`.
    Early,
    /// In use.
    Current,
    /// In use, but after `warn_after`: plan its replacement.
    Warned,
    /// After `not_after`.
    Ended,
}

/// One row of the catalog.
#[derive(Clone, Debug, Serialize)]
pub struct Algorithm {
    /// Name used in profiles, logs, policy and the dashboard: IANA's or the draft's.
    pub id: &'static str,
    /// What it is for.
    pub kind: Kind,
    /// How it stands against a quantum adversary.
    pub nature: Nature,
    /// Ids of the components of a hybrid **in wire order**: shares, secrets, keys and
    /// signatures are concatenated in this order. Empty for everything else.
    pub components: &'static [&'static str],
    /// TLS code point. Composite signatures have none assigned yet and use the range for
    /// private use (0xFE00 and up).
    pub code_point: Option<u16>,
    /// Dotted object identifier, where X.509 or CMS have one.
    pub oid: Option<&'static str>,
    /// NIST security category 1 to 5; 0 for traditional public-key algorithms.
    pub nist_level: u8,
    /// Which libraries provide it, the default first; `composed` means that this crate
    /// builds it out of [`Algorithm::components`]. Of several, a profile may choose one,
    /// and one can be banned while the others go on.
    pub providers: &'static [&'static str],
    /// Where it stands in its life.
    pub status: Status,
    /// First day of use, RFC 3339 full-date.
    pub not_before: Option<&'static str>,
    /// From the day after this one, each use is worth a warning.
    pub warn_after: Option<&'static str>,
    /// Last day of use: after it the algorithm leaves every profile by itself.
    pub not_after: Option<&'static str>,
    /// What a reader should know, with its source.
    pub advisory: Option<&'static str>,
    /// Names in tokens and JSON Web Keys (IANA's registry of JOSE `alg` values), the one that
    /// we write first. Empty where JOSE has none: then nothing in a token can be of it.
    #[serde(skip)]
    pub jose: &'static [&'static str],
    /// Types in signed notes (C2SP signed-note and tlog-cosignature) that are assigned to it. An algorithm
    /// without one signs under a private type; see [`crate::note`].
    #[serde(skip)]
    pub note: &'static [NoteType],
    /// What runs it.
    #[serde(skip)]
    pub(crate) code: Code,
}

/// Identifiers are unique, so that two rows are the same if their ids are.
impl PartialEq for Algorithm {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Algorithm {}

impl Algorithm {
    /// Whether this crate has code behind the row and is allowed to run it.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        !matches!(self.status, Status::Disabled | Status::Reserved)
    }

    /// The code of a signature algorithm that may run.
    pub(crate) fn signature(&self) -> Option<&'static dyn SignatureCode> {
        match self.code {
            Code::Signature(code) if self.is_usable() => Some(code),
            _ => None,
        }
    }

    /// Whether this crate builds it out of its components.
    pub(crate) fn is_composed(&self) -> bool {
        self.providers == COMPOSED
    }

    /// Where `date` falls in the algorithm's dates. Each date counts as a whole day, UTC.
    #[must_use]
    pub fn phase_on(&self, date: Date) -> Phase {
        phase(date, self.not_before, self.warn_after, self.not_after)
    }

    /// Whether a quantum adversary gains nothing decisive: post-quantum or hybrid.
    #[must_use]
    pub fn is_quantum_safe(&self) -> bool {
        self.nature >= Nature::PostQuantum
    }
}

/// All rows.
#[must_use]
pub fn all() -> &'static [Algorithm] {
    CATALOG
}

/// The row with this id, if there is one.
#[must_use]
pub fn find(id: &str) -> Option<&'static Algorithm> {
    CATALOG.iter().find(|row| row.id == id)
}

/// The row of this kind with this TLS code point.
#[must_use]
pub fn by_code_point(kind: Kind, code_point: u16) -> Option<&'static Algorithm> {
    CATALOG.iter().find(|row| row.kind == kind && row.code_point == Some(code_point))
}

/// The row with this dotted object identifier.
#[must_use]
pub fn by_oid(oid: &str) -> Option<&'static Algorithm> {
    CATALOG.iter().find(|row| row.oid == Some(oid))
}

/// The row that JOSE calls so. Names are matched whole and in their case (RFC 7515 section 4.1.1).
#[must_use]
pub fn by_jose_name(name: &str) -> Option<&'static Algorithm> {
    CATALOG.iter().find(|row| row.jose.contains(&name))
}

/// The name of a code point as people should see it: the catalog's id, else `0x1a2b`.
pub(crate) fn name(kind: Kind, code_point: u16) -> String {
    match by_code_point(kind, code_point) {
        Some(row) => row.id.to_owned(),
        None => format!("{code_point:#06x}"),
    }
}

/// Where `date` falls between these dates. Each counts as a whole day, UTC.
pub(crate) fn phase(
    date: Date,
    not_before: Option<&str>,
    warn_after: Option<&str>,
    not_after: Option<&str>,
) -> Phase {
    let after = |limit: Option<&str>| limit.is_some_and(|limit| date > parse_date(limit));
    if not_before.is_some_and(|first| date < parse_date(first)) {
        Phase::Early
    } else if after(not_after) {
        Phase::Ended
    } else if after(warn_after) {
        Phase::Warned
    } else {
        Phase::Current
    }
}

/// Reads a date of the catalog or of a profile.
pub(crate) fn parse_date(date: &str) -> Date {
    date.parse().expect("dates in the catalog and in profiles are RFC 3339 full-dates")
}

/// Value of [`Algorithm::providers`] for what this crate builds out of components.
pub(crate) const COMPOSED: &[&str] = &["composed"];
/// AWS-LC, through aws-lc-rs and rustls.
pub(crate) const AWS_LC: &str = "aws-lc";
/// Graviola, through rustls-graviola.
pub(crate) const GRAVIOLA: &str = "graviola";
const RUST_CRYPTO: &[&str] = &["rustcrypto"];

/// NIST IR 8547 (initial public draft) and the EU's coordinated roadmap agree on the
/// course: stop relying on quantum-vulnerable public keys by 2030 where it matters, and
/// everywhere by 2035.
const TRADITIONAL_WARN_AFTER: Option<&str> = Some("2030-12-31");
const TRADITIONAL_NOT_AFTER: Option<&str> = Some("2035-12-31");

const COMPOSITE_ADVISORY: Option<&str> =
    Some("draft-ietf-lamps-pq-composite-sigs-19; TLS code point for private use until IANA assigns one");
const PURE_GROUP_ADVISORY: Option<&str> =
    Some("no traditional half: holds only while ML-KEM (FIPS 203) holds");

/// What rows have in common unless they say otherwise.
const ROW: Algorithm = Algorithm {
    id: "",
    kind: Kind::Group,
    nature: Nature::Traditional,
    components: &[],
    code_point: None,
    oid: None,
    nist_level: 0,
    providers: &[AWS_LC],
    status: Status::Allowed,
    not_before: None,
    warn_after: None,
    not_after: None,
    advisory: None,
    jose: &[],
    note: &[],
    code: Code::Group,
};
const HYBRID_GROUP: Algorithm = Algorithm { nature: Nature::Hybrid, status: Status::Preferred, ..ROW };
const PURE_GROUP: Algorithm = Algorithm { nature: Nature::PostQuantum, advisory: PURE_GROUP_ADVISORY, ..ROW };
const TRADITIONAL_GROUP: Algorithm = Algorithm {
    status: Status::Legacy,
    warn_after: TRADITIONAL_WARN_AFTER,
    not_after: TRADITIONAL_NOT_AFTER,
    ..ROW
};
const COMPOSITE: Algorithm = Algorithm {
    kind: Kind::Signature,
    nature: Nature::Hybrid,
    providers: COMPOSED,
    status: Status::Preferred,
    advisory: COMPOSITE_ADVISORY,
    ..ROW
};
const ML_DSA: Algorithm = Algorithm { kind: Kind::Signature, nature: Nature::PostQuantum, ..ROW };
const SLH_DSA: Algorithm = Algorithm {
    kind: Kind::Signature,
    nature: Nature::PostQuantum,
    providers: RUST_CRYPTO,
    advisory: Some(
        "FIPS 205; signatures of 17 kB (f) or 8 kB (s, slow to make); TLS code point for private use",
    ),
    ..ROW
};
const TRADITIONAL_SIGNATURE: Algorithm = Algorithm { kind: Kind::Signature, ..TRADITIONAL_GROUP };
const CHAIN_ONLY: Algorithm = Algorithm {
    advisory: Some("signs certificates in foreign chains; TLS 1.3 forbids it in handshakes"),
    ..TRADITIONAL_SIGNATURE
};
const CIPHER: Algorithm = Algorithm {
    kind: Kind::Cipher,
    nature: Nature::PostQuantum,
    status: Status::Preferred,
    nist_level: 5,
    ..ROW
};
const RESERVED: Algorithm = Algorithm {
    kind: Kind::Signature,
    nature: Nature::PostQuantum,
    providers: &[],
    code: Code::None,
    status: Status::Reserved,
    ..ROW
};

static CATALOG: &[Algorithm] = &[
    // Key exchange. RFC 10024 puts ML-KEM first with X25519 and second with the NIST curves.
    Algorithm {
        id: "X25519MLKEM768",
        components: &["MLKEM768", "X25519"],
        code_point: Some(0x11ec),
        nist_level: 3,
        providers: &[AWS_LC, GRAVIOLA],
        ..HYBRID_GROUP
    },
    Algorithm {
        id: "SecP256r1MLKEM768",
        components: &["secp256r1", "MLKEM768"],
        code_point: Some(0x11eb),
        nist_level: 3,
        ..HYBRID_GROUP
    },
    Algorithm {
        id: "SecP384r1MLKEM1024",
        components: &["secp384r1", "MLKEM1024"],
        code_point: Some(0x11ed),
        nist_level: 5,
        providers: COMPOSED,
        ..HYBRID_GROUP
    },
    // Level 5 at half the price of P-384. Not registered: a code point for private use.
    Algorithm {
        id: "X25519MLKEM1024",
        components: &["MLKEM1024", "X25519"],
        code_point: Some(0xfe11),
        nist_level: 5,
        providers: COMPOSED,
        status: Status::Allowed,
        advisory: Some("by the construction of RFC 10024; no code point is registered, so a private one"),
        ..HYBRID_GROUP
    },
    Algorithm {
        id: "MLKEM768",
        code_point: Some(0x0201),
        oid: Some("2.16.840.1.101.3.4.4.2"),
        nist_level: 3,
        ..PURE_GROUP
    },
    Algorithm {
        id: "MLKEM1024",
        code_point: Some(0x0202),
        oid: Some("2.16.840.1.101.3.4.4.3"),
        nist_level: 5,
        ..PURE_GROUP
    },
    Algorithm { id: "X25519", code_point: Some(0x001d), oid: Some("1.3.101.110"), ..TRADITIONAL_GROUP },
    Algorithm {
        id: "secp256r1",
        code_point: Some(0x0017),
        oid: Some("1.2.840.10045.3.1.7"),
        ..TRADITIONAL_GROUP
    },
    Algorithm { id: "secp384r1", code_point: Some(0x0018), oid: Some("1.3.132.0.34"), ..TRADITIONAL_GROUP },
    // Composite signatures. The low byte of the private code point is the last arc of the
    // object identifier; 0x00 to 0x02 would be mistaken for TLS 1.2 schemes by rustls.
    Algorithm {
        id: "MLDSA65-Ed25519-SHA512",
        components: &["ML-DSA-65", "Ed25519"],
        code_point: Some(0xfe30),
        oid: Some("1.3.6.1.5.5.7.6.48"),
        nist_level: 3,
        code: Code::Signature(&composite::MLDSA65_ED25519_SHA512),
        ..COMPOSITE
    },
    Algorithm {
        id: "MLDSA65-ECDSA-P256-SHA512",
        components: &["ML-DSA-65", "ECDSA-P256-SHA256"],
        code_point: Some(0xfe2d),
        oid: Some("1.3.6.1.5.5.7.6.45"),
        nist_level: 3,
        code: Code::Signature(&composite::MLDSA65_ECDSA_P256_SHA512),
        ..COMPOSITE
    },
    Algorithm {
        id: "MLDSA44-Ed25519-SHA512",
        components: &["ML-DSA-44", "Ed25519"],
        code_point: Some(0xfe27),
        oid: Some("1.3.6.1.5.5.7.6.39"),
        nist_level: 2,
        code: Code::Signature(&composite::MLDSA44_ED25519_SHA512),
        ..COMPOSITE
    },
    Algorithm {
        id: "MLDSA44-ECDSA-P256-SHA256",
        components: &["ML-DSA-44", "ECDSA-P256-SHA256"],
        code_point: Some(0xfe28),
        oid: Some("1.3.6.1.5.5.7.6.40"),
        nist_level: 2,
        code: Code::Signature(&composite::MLDSA44_ECDSA_P256_SHA256),
        ..COMPOSITE
    },
    // Pure ML-DSA (FIPS 204, RFC 9881).
    Algorithm {
        id: "ML-DSA-44",
        code_point: Some(0x0904),
        oid: Some("2.16.840.1.101.3.4.3.17"),
        nist_level: 2,
        jose: &["ML-DSA-44"],
        note: &[NoteType { byte: 0x06, signs: Signs::Subtree }],
        code: Code::Signature(&library::ML_DSA_44),
        ..ML_DSA
    },
    Algorithm {
        id: "ML-DSA-65",
        code_point: Some(0x0905),
        oid: Some("2.16.840.1.101.3.4.3.18"),
        nist_level: 3,
        jose: &["ML-DSA-65"],
        code: Code::Signature(&library::ML_DSA_65),
        ..ML_DSA
    },
    Algorithm {
        id: "ML-DSA-87",
        code_point: Some(0x0906),
        oid: Some("2.16.840.1.101.3.4.3.19"),
        nist_level: 5,
        jose: &["ML-DSA-87"],
        code: Code::Signature(&library::ML_DSA_87),
        ..ML_DSA
    },
    // SLH-DSA (FIPS 205, RFC 9909): rests on hashes alone, the spare for a break of lattices.
    Algorithm {
        id: "SLH-DSA-SHA2-128f",
        code_point: Some(0xfe15),
        oid: Some("2.16.840.1.101.3.4.3.21"),
        nist_level: 1,
        code: Code::Signature(&slh_dsa::SHA2_128F),
        ..SLH_DSA
    },
    Algorithm {
        id: "SLH-DSA-SHA2-128s",
        code_point: Some(0xfe14),
        oid: Some("2.16.840.1.101.3.4.3.20"),
        nist_level: 1,
        code: Code::Signature(&slh_dsa::SHA2_128S),
        ..SLH_DSA
    },
    // Traditional signatures.
    Algorithm {
        id: "ECDSA-P256-SHA256",
        code_point: Some(0x0403),
        oid: Some("1.2.840.10045.4.3.2"),
        jose: &["ES256"],
        code: Code::Signature(&library::ECDSA_P256),
        ..TRADITIONAL_SIGNATURE
    },
    Algorithm {
        id: "ECDSA-P384-SHA384",
        code_point: Some(0x0503),
        oid: Some("1.2.840.10045.4.3.3"),
        jose: &["ES384"],
        code: Code::Signature(&library::ECDSA_P384),
        ..TRADITIONAL_SIGNATURE
    },
    Algorithm {
        id: "Ed25519",
        code_point: Some(0x0807),
        oid: Some("1.3.101.112"),
        jose: &["EdDSA", "Ed25519"],
        note: &[
            NoteType { byte: 0x01, signs: Signs::Text },
            NoteType { byte: 0x04, signs: Signs::TimedText },
        ],
        code: Code::Signature(&library::ED25519),
        ..TRADITIONAL_SIGNATURE
    },
    // RSA keys do not say which hash they are used with; the first of these names them.
    Algorithm {
        id: "RSA-PSS-SHA256",
        code_point: Some(0x0804),
        oid: Some("1.2.840.113549.1.1.10"),
        jose: &["PS256"],
        code: Code::Signature(&library::RSA_PSS_SHA256_CODE),
        ..TRADITIONAL_SIGNATURE
    },
    Algorithm {
        id: "RSA-PSS-SHA384",
        code_point: Some(0x0805),
        code: Code::Signature(&library::RSA_PSS_SHA384_CODE),
        ..TRADITIONAL_SIGNATURE
    },
    Algorithm {
        id: "RSA-PSS-SHA512",
        code_point: Some(0x0806),
        code: Code::Signature(&library::RSA_PSS_SHA512_CODE),
        ..TRADITIONAL_SIGNATURE
    },
    Algorithm {
        id: "RSA-PKCS1-SHA256",
        code_point: Some(0x0401),
        oid: Some("1.2.840.113549.1.1.11"),
        jose: &["RS256"],
        code: Code::Signature(&library::RSA_PKCS1_SHA256_CODE),
        ..CHAIN_ONLY
    },
    Algorithm {
        id: "RSA-PKCS1-SHA384",
        code_point: Some(0x0501),
        oid: Some("1.2.840.113549.1.1.12"),
        code: Code::Signature(&library::RSA_PKCS1_SHA384_CODE),
        ..CHAIN_ONLY
    },
    Algorithm {
        id: "RSA-PKCS1-SHA512",
        code_point: Some(0x0601),
        oid: Some("1.2.840.113549.1.1.13"),
        code: Code::Signature(&library::RSA_PKCS1_SHA512_CODE),
        ..CHAIN_ONLY
    },
    // Record protection.
    Algorithm {
        id: "TLS_AES_256_GCM_SHA384",
        code_point: Some(0x1302),
        code: Code::Cipher(&TLS13_AES_256_GCM_SHA384),
        ..CIPHER
    },
    Algorithm {
        id: "TLS_CHACHA20_POLY1305_SHA256",
        code_point: Some(0x1303),
        code: Code::Cipher(&TLS13_CHACHA20_POLY1305_SHA256),
        ..CIPHER
    },
    Algorithm {
        id: "TLS_AES_128_GCM_SHA256",
        code_point: Some(0x1301),
        nist_level: 1,
        status: Status::Allowed,
        code: Code::Cipher(&TLS13_AES_128_GCM_SHA256),
        ..CIPHER
    },
    Algorithm {
        id: "AES-256-GCM-SIV",
        advisory: Some("RFC 8452; seals values at rest and in hand, never a TLS record"),
        code: Code::Sealing,
        ..CIPHER
    },
    // Recognised, not run.
    Algorithm { id: "FN-DSA-512", nist_level: 1, advisory: Some("FIPS 206 is not final"), ..RESERVED },
    Algorithm {
        id: "HQC-192",
        kind: Kind::Group,
        nist_level: 3,
        advisory: Some("selected by NIST in 2025 as the code-based spare for ML-KEM; not final"),
        ..RESERVED
    },
];

#[cfg(test)]
mod tests;
