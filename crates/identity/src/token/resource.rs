//! Canonical resource URIs (RFC 8707 section 2, MCP authorization): for whom a token is.
//!
//! Two spellings of one place must be one audience, and two places never. So a URI is brought to one form, and
//! what has no clear form (dot segments, escapes of plain letters, a user, a fragment) is refused.

use std::fmt;
use std::net::Ipv6Addr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::TokenRefused;

/// Longest URI, in bytes.
pub const RESOURCE_BYTES_MAX: usize = 2048;

/// A server, or a part of it, in canonical form: lower-case scheme and host, no default port, no slash
/// at the end, no query, no fragment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource(String);

impl Resource {
    /// Reads a resource indicator. `http` is read too: a gateway on loopback has no certificate.
    ///
    /// # Errors
    /// [`TokenRefused::Claim`] with the rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, TokenRefused> {
        match text.contains(['?', '#']) {
            true => Err(TokenRefused::claim("aud", "has a query or a fragment")),
            false => Self::of_target(text),
        }
    }

    /// The place that a request goes to: as [`Resource::parse`], and query and fragment are left out, as
    /// RFC 9449 section 4.3 has it for `htu`.
    ///
    /// # Errors
    /// [`TokenRefused::Claim`].
    pub fn of_target(text: &str) -> Result<Self, TokenRefused> {
        canonical(text).map(Self).map_err(|why| TokenRefused::claim("aud", why))
    }

    /// The URI.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `other` is this resource or lies beneath it.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        match other.0.strip_prefix(&self.0) {
            Some(rest) => rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Resource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Resource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

fn canonical(text: &str) -> Result<String, &'static str> {
    if text.len() > RESOURCE_BYTES_MAX {
        return Err("is longer than 2048 bytes");
    }
    if !text.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b)) {
        return Err("has characters that no URI has");
    }
    let (scheme, rest) = text.split_once("://").ok_or("is not an absolute URI")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "https" => 443,
        "http" => 80,
        _ => return Err("is neither https nor http"),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let authority = authority_of(authority, default_port)?;
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    check_path(path)?;
    Ok(format!("{scheme}://{authority}{}", path.trim_end_matches('/')))
}

/// Host, and the port unless it is the default.
fn authority_of(authority: &str, default_port: u16) -> Result<String, &'static str> {
    if authority.contains('@') {
        return Err("has a user in it");
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or("has half an address")?;
            let address: Ipv6Addr = address.parse().map_err(|_| "has no IPv6 address in its brackets")?;
            (format!("[{address}]"), after.strip_prefix(':').or(after.is_empty().then_some("")))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host.to_ascii_lowercase(), Some(port)),
            None => (authority.to_ascii_lowercase(), Some("")),
        },
    };
    let name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let bracketed = host.starts_with('[');
    if host.is_empty() || host.ends_with('.') || !(bracketed || host.bytes().all(name)) {
        return Err("has no plain host");
    }
    let port = port.ok_or("has something between host and port")?;
    if port.is_empty() {
        return match authority.ends_with(':') {
            true => Err("has an empty port"),
            false => Ok(host),
        };
    }
    let digits = port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0');
    let port: u16 = port.parse().ok().filter(|_| digits).ok_or("has no port from 1 to 65535")?;
    Ok(if port == default_port { host } else { format!("{host}:{port}") })
}

fn check_path(path: &str) -> Result<(), &'static str> {
    if path.contains("//") || path.split('/').any(|segment| segment == "." || segment == "..") {
        return Err("has an empty or a dot segment");
    }
    let bytes = path.as_bytes();
    for (at, _) in path.match_indices('%') {
        let hex = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        let byte = hex.and_then(|pair| {
            u8::from_str_radix(pair, 16)
                .ok()
                .filter(|_| pair.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()))
        });
        let byte = byte.ok_or("has an escape that is not two upper-case hexadecimal digits")?;
        // RFC 3986 section 2.3: these are the same with and without; a slash or a backslash means another path.
        if byte.is_ascii_alphanumeric() || b"-._~/\\%".contains(&byte) || byte < 0x20 {
            return Err("escapes what needs no escape, or hides a separator");
        }
    }
    Ok(())
}
