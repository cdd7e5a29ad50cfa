//! SPIFFE ids: the names of agents and nodes.
//!
//! An id is a URI such as `spiffe://example.org/agent/claude`. Its limits come from the SPIFFE-ID
//! specification, section 2: a trust domain of 1 to 255 characters out of `a-z 0-9 . - _`, a path
//! of segments out of `a-z A-Z 0-9 . - _` that are neither empty nor `.` nor `..`, no query, no
//! fragment, no port, no user, and 2048 bytes in all. There is no escaping, so two ids are the
//! same name exactly if their bytes are the same.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{IdentityError, quoted};

/// Longest id in bytes, scheme included (SPIFFE-ID, section 2.3).
pub const SPIFFE_ID_BYTES_MAX: usize = 2048;
/// Longest trust domain in bytes (SPIFFE-ID, section 2.1).
pub const TRUST_DOMAIN_BYTES_MAX: usize = 255;

const SCHEME: &str = "spiffe://";

/// What a certificate lets its holder be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A node: it may serve tunnels and dial them. Ids under `/node/`, EKU serverAuth and clientAuth.
    Node,
    /// An agent: it may only dial. Any other path, EKU clientAuth alone, so that an agent's key can
    /// never stand in for a gateway.
    Agent,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Node => "node",
            Role::Agent => "agent",
        })
    }
}

/// A SPIFFE id, checked when it was parsed. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    text: Arc<str>,
    domain_end: usize,
}

impl SpiffeId {
    /// Parses an id. A path is optional: without one the id names the trust domain itself.
    ///
    /// # Errors
    /// [`IdentityError::SpiffeId`] with the rule that was broken.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        let fail = |reason| IdentityError::SpiffeId { text: quoted(text), reason };
        if text.len() > SPIFFE_ID_BYTES_MAX {
            return Err(fail("it is longer than 2048 bytes"));
        }
        let rest =
            text.strip_prefix(SCHEME).ok_or_else(|| fail("it must start with spiffe:// in lower case"))?;
        let (domain, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        check_trust_domain(domain).map_err(fail)?;
        check_path(path).map_err(fail)?;
        Ok(Self { text: text.into(), domain_end: SCHEME.len() + domain.len() })
    }

    /// The id of the trust domain itself, `spiffe://DOMAIN`.
    ///
    /// # Errors
    /// [`IdentityError::SpiffeId`] if the name is no trust domain.
    pub fn of_trust_domain(domain: &str) -> Result<Self, IdentityError> {
        check_trust_domain(domain)
            .map_err(|reason| IdentityError::SpiffeId { text: quoted(domain), reason })?;
        Self::parse(&format!("{SCHEME}{domain}"))
    }

    /// The id of a node, `spiffe://DOMAIN/node/NAME`.
    ///
    /// # Errors
    /// [`IdentityError::SpiffeId`] if a part breaks the rules.
    pub fn node(domain: &str, name: &str) -> Result<Self, IdentityError> {
        Self::parse(&format!("{SCHEME}{domain}/node/{name}"))
    }

    /// The id of an agent, `spiffe://DOMAIN/agent/NAME`.
    ///
    /// # Errors
    /// [`IdentityError::SpiffeId`] if a part breaks the rules.
    pub fn agent(domain: &str, name: &str) -> Result<Self, IdentityError> {
        Self::parse(&format!("{SCHEME}{domain}/agent/{name}"))
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The trust domain, such as `example.org`.
    pub fn trust_domain(&self) -> &str {
        &self.text[SCHEME.len()..self.domain_end]
    }

    /// The path with its leading slash, or the empty text.
    pub fn path(&self) -> &str {
        &self.text[self.domain_end..]
    }

    /// The role that this path may be issued for: `/node/…` is a node, every other path an agent,
    /// no path nobody.
    pub fn role(&self) -> Option<Role> {
        match self.path() {
            "" => None,
            path if path.starts_with("/node/") => Some(Role::Node),
            _ => Some(Role::Agent),
        }
    }
}

fn check_trust_domain(domain: &str) -> Result<(), &'static str> {
    if domain.is_empty() {
        return Err("the trust domain is empty");
    }
    if domain.len() > TRUST_DOMAIN_BYTES_MAX {
        return Err("the trust domain is longer than 255 bytes");
    }
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b);
    if !domain.bytes().all(allowed) {
        return Err("a trust domain has only a-z, 0-9, dot, dash and underscore");
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), &'static str> {
    let Some(segments) = path.strip_prefix('/') else {
        return Ok(());
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
    for segment in segments.split('/') {
        match segment {
            "" => return Err("a path has no empty segment and no slash at its end"),
            "." | ".." => return Err("a path has no `.` or `..` segment"),
            _ if !segment.bytes().all(allowed) => {
                return Err("a path segment has only a-z, A-Z, 0-9, dot, dash and underscore");
            }
            _ => {}
        }
    }
    Ok(())
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for SpiffeId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for SpiffeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for SpiffeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_what_the_specification_accepts() {
        for (text, domain, path, role) in [
            ("spiffe://example.org", "example.org", "", None),
            ("spiffe://a/node/gw-1", "a", "/node/gw-1", Some(Role::Node)),
            ("spiffe://local_1.x/agent/Claude.3", "local_1.x", "/agent/Claude.3", Some(Role::Agent)),
            ("spiffe://a/...", "a", "/...", Some(Role::Agent)),
            ("spiffe://a/nodes/x", "a", "/nodes/x", Some(Role::Agent)),
            ("spiffe://a/node", "a", "/node", Some(Role::Agent)),
        ] {
            let id = SpiffeId::parse(text).unwrap();
            assert_eq!((id.trust_domain(), id.path(), id.role()), (domain, path, role), "{text}");
            assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn refuses_the_rest_with_the_rule() {
        let long_domain = format!("spiffe://{}/x", "a".repeat(256));
        let long = format!("spiffe://a/{}", "a".repeat(2048));
        for (text, rule) in [
            ("", "start with"),
            ("SPIFFE://a/x", "start with"),
            ("https://a/x", "start with"),
            ("spiffe://", "is empty"),
            ("spiffe:///x", "is empty"),
            ("spiffe://A/x", "only a-z"),
            ("spiffe://a:8443/x", "only a-z"),
            ("spiffe://me@a/x", "only a-z"),
            ("spiffe://ä/x", "only a-z"),
            ("spiffe://a/", "empty segment"),
            ("spiffe://a/x/", "empty segment"),
            ("spiffe://a//x", "empty segment"),
            ("spiffe://a/./x", "`.`"),
            ("spiffe://a/x/..", "`..`"),
            ("spiffe://a/x?y", "only a-z"),
            ("spiffe://a/x#y", "only a-z"),
            ("spiffe://a/%41", "only a-z"),
            ("spiffe://a/x y", "only a-z"),
            (long_domain.as_str(), "255"),
            (long.as_str(), "2048"),
        ] {
            let error = SpiffeId::parse(text).unwrap_err().to_string();
            assert!(error.contains(rule), "{text:.40}: {error}");
        }
        assert!(SpiffeId::of_trust_domain("a/node/x").is_err());
        assert!(SpiffeId::agent("a", "../node/x").is_err());
    }

    #[test]
    fn the_longest_id_fits_and_one_byte_more_does_not() {
        let longest = format!("spiffe://a/{}", "b".repeat(SPIFFE_ID_BYTES_MAX - 11));
        assert_eq!(longest.len(), SPIFFE_ID_BYTES_MAX);
        assert!(SpiffeId::parse(&longest).is_ok());
        assert!(SpiffeId::parse(&format!("{longest}b")).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_kept_as_it_is(text in "(spiffe://)?[ -~äΩ]{0,40}") {
            if let Ok(id) = SpiffeId::parse(&text) {
                prop_assert_eq!(id.as_str(), text.as_str());
                let rebuilt = format!("spiffe://{}{}", id.trust_domain(), id.path());
                prop_assert_eq!(rebuilt, text);
            }
        }

        #[test]
        fn json_keeps_every_valid_id(domain in "[a-z0-9._-]{1,20}", name in "[a-zA-Z0-9_-]{1,20}") {
            let id = SpiffeId::agent(&domain, &name).unwrap();
            let json = serde_json::to_string(&id).unwrap();
            prop_assert_eq!(serde_json::from_str::<SpiffeId>(&json).unwrap(), id);
        }
    }
}
