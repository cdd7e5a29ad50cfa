//! What can be revoked, and how it is written.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::RevocationError;
use crate::error::quoted;
use crate::{SPIFFE_ID_BYTES_MAX, SpiffeId};

/// Longest name of a role or token in bytes.
const NAME_BYTES_MAX: usize = 256;

/// What is revoked.
///
/// As text: a SPIFFE id or `agent/NAME` (`*` stands for anything), `local-user`, `key:FINGERPRINT`, `role:NAME`,
/// `token:ID`, `serial:HEX`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// An agent by its whole id, or all whose id a pattern with `*` fits.
    Agent(String),
    /// Whoever holds this key: SHA-256 of its subject public key info, lower-case hexadecimal.
    Key(String),
    /// Whoever has this role.
    Role(String),
    /// One token, by its id (`jti`).
    Token(String),
    /// One certificate, by its serial number in lower-case hexadecimal.
    Certificate(String),
}

impl Target {
    /// Reads a target. `agent/NAME` and `node/NAME` are meant in `trust_domain`.
    ///
    /// # Errors
    /// [`RevocationError::Target`] with what is wrong.
    pub fn parse(text: &str, trust_domain: &str) -> Result<Self, RevocationError> {
        let fail = |reason| RevocationError::Target { text: quoted(text), reason };
        let named = |name: &str| match name {
            "" => Err(fail("the name is empty")),
            name if name.len() > NAME_BYTES_MAX => Err(fail("the name is longer than 256 bytes")),
            name if name.chars().any(char::is_control) => Err(fail("the name has control characters")),
            name => Ok(name.to_owned()),
        };
        if text == "local-user" || text.starts_with("spiffe://") {
            return agent(text).map_err(fail);
        }
        if text.starts_with("agent/") || text.starts_with("node/") {
            return agent(&format!("spiffe://{trust_domain}/{text}")).map_err(fail);
        }
        match text.split_once(':') {
            Some(("key", hex)) => match hexadecimal(hex) {
                Some(hex) if hex.len() == 64 => Ok(Self::Key(hex)),
                _ => Err(fail("a key's fingerprint is SHA-256 in 64 hexadecimal digits")),
            },
            Some(("serial", hex)) => match hexadecimal(hex) {
                Some(hex) if hex.len() <= 40 => Ok(Self::Certificate(hex)),
                _ => Err(fail("a serial number is up to 40 hexadecimal digits (RFC 5280, section 4.1.2.2)")),
            },
            Some(("role", name)) => named(name).map(Self::Role),
            Some(("token", id)) => named(id).map(Self::Token),
            _ => Err(fail(
                "name it as agent/NAME, spiffe://…, key:FINGERPRINT, role:NAME, token:ID or serial:HEX",
            )),
        }
    }

    pub(super) fn is_pattern(&self) -> bool {
        matches!(self, Self::Agent(id) if id.contains('*'))
    }
}

fn agent(id: &str) -> Result<Target, &'static str> {
    if id.len() > SPIFFE_ID_BYTES_MAX {
        return Err("it is longer than 2048 bytes");
    }
    // A star can stand where the specification has letters; everything else must be as in an id.
    let plain = id.replace('*', "x");
    if id != "local-user" && SpiffeId::parse(&plain).is_err() {
        return Err("it is no SPIFFE id");
    }
    // `spiffe://*` is everybody: one slip must not lock out a fleet and its operator.
    let fixed = id.split('*').next().unwrap_or_default();
    if fixed != id && fixed.trim_start_matches("spiffe://").matches('/').count() < 2 {
        return Err("the pattern must name the trust domain and the first part of the path");
    }
    Ok(Target::Agent(id.to_owned()))
}

fn hexadecimal(text: &str) -> Option<String> {
    let is_hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| text.to_ascii_lowercase())
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Agent(id) => f.write_str(id),
            Target::Key(hex) => write!(f, "key:{hex}"),
            Target::Role(name) => write!(f, "role:{name}"),
            Target::Token(id) => write!(f, "token:{id}"),
            Target::Certificate(hex) => write!(f, "serial:{hex}"),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // Written in full, so the trust domain does not matter.
        Self::parse(&text, "").map_err(serde::de::Error::custom)
    }
}

/// Whether `pattern`, in which `*` stands for any run of characters, fits the whole of `text`. Takes time in proportion to
/// the product of both at most.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(before) = last.replace(part) {
            let Some(at) = rest.find(before) else { return false };
            rest = &rest[at + before.len()..];
        }
    }
    last.map_or(rest.is_empty(), |last| rest.len() >= last.len() && rest.ends_with(last))
}
