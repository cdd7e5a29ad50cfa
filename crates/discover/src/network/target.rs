//! What the user names: `HOST`, `HOST:PORT`, a URL, or a range like `10.0.0.0/24:8080`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Ports of an address that names none: those that servers of MCP are found at.
const PORTS: &[u16] = &[443, 80, 8443, 8080, 8000, 3000, 3001];

/// One place to ask.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probe {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path that a URL named.
    pub path: Option<String>,
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Why a text is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It has another form.
    #[error("write HOST, HOST:PORT, a URL, or a range like 10.0.0.0/24 or 10.0.0.0/24:8080")]
    Form,
    /// It is too many places.
    #[error("it is more than {places_max} places (places_max); name a smaller range, or one port")]
    TooMany {
        /// The limit.
        places_max: usize,
    },
}

/// Reads a target; at most `places_max` places.
///
/// # Errors
/// [`TargetError`].
pub fn parse(text: &str, places_max: usize) -> Result<Vec<Probe>, TargetError> {
    if let Some((scheme, rest)) = text.split_once("://") {
        return url(scheme, rest).map(|probe| vec![probe]);
    }
    if let Some((address, rest)) = text.split_once('/') {
        return range(address, rest, places_max);
    }
    let (host, port) = host_and_port(text)?;
    let ports = port.map_or(PORTS, |_| &[]);
    Ok(ports.iter().copied().chain(port).map(|port| Probe { host: host.clone(), port, path: None }).collect())
}

fn url(scheme: &str, rest: &str) -> Result<Probe, TargetError> {
    let default = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return Err(TargetError::Form),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, port) = host_and_port(&rest[..end])?;
    let path = rest[end..].split(['?', '#']).next().filter(|path| !path.is_empty());
    let plain = |path: &&str| path.bytes().all(|byte| byte.is_ascii_graphic());
    Ok(Probe { host, port: port.unwrap_or(default), path: path.filter(plain).map(str::to_owned) })
}

fn host_and_port(text: &str) -> Result<(String, Option<u16>), TargetError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(TargetError::Form)?;
            let _: Ipv6Addr = host.parse().map_err(|_| TargetError::Form)?;
            (
                host,
                if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(TargetError::Form)?) },
            )
        }
        None if text.parse::<Ipv6Addr>().is_ok() => (text, None),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port =
        port.map(|port| port.parse().ok().filter(|port| *port > 0).ok_or(TargetError::Form)).transpose()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
    if host.is_empty() || host.len() > 253 || !host.chars().all(plain) {
        return Err(TargetError::Form);
    }
    Ok((host.to_owned(), port))
}

/// A range of addresses (RFC 4632); network and broadcast address of IPv4 are left out.
fn range(address: &str, rest: &str, places_max: usize) -> Result<Vec<Probe>, TargetError> {
    let (bits, port) = rest.split_once(':').map_or((rest, None), |(bits, port)| (bits, Some(port)));
    let port: Option<u16> = port.map(|port| port.parse().map_err(|_| TargetError::Form)).transpose()?;
    let bits: u32 = bits.parse().map_err(|_| TargetError::Form)?;
    let address: IpAddr = address.trim_matches(['[', ']']).parse().map_err(|_| TargetError::Form)?;
    let (first, width): (u128, u32) = match address {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
        IpAddr::V6(v6) => (u128::from(v6), 128),
    };
    let free = width.checked_sub(bits).filter(|_| bits > 0).ok_or(TargetError::Form)?;
    let ports: Vec<u16> = port.map_or_else(|| PORTS.to_vec(), |port| vec![port]);
    let count = 1_u128.checked_shl(free).ok_or(TargetError::TooMany { places_max })?;
    if count.saturating_mul(ports.len() as u128) > places_max as u128 {
        return Err(TargetError::TooMany { places_max });
    }
    let first = first & !(count - 1);
    let skips = width == 32 && free > 1;
    let (from, to) = if skips { (first + 1, first + count - 1) } else { (first, first + count) };
    let named = |number: u128| match width {
        32 => Ipv4Addr::from(u32::try_from(number).unwrap_or(0)).to_string(),
        _ => Ipv6Addr::from(number).to_string(),
    };
    Ok((from..to)
        .flat_map(|number| {
            ports.iter().map(move |port| Probe { host: named(number), port: *port, path: None })
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let read = |text: &str| {
            parse(text, 1024).map(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(read("h:1"), Ok(vec!["h:1".into()]));
        assert_eq!(read("[::1]:9"), Ok(vec!["[::1]:9".into()]));
        assert_eq!(read("https://h/x/mcp?y"), Ok(vec!["h:443".into()]));
        assert_eq!(
            parse("https://h/x/mcp?y", 9).map(|found| found[0].path.clone()),
            Ok(Some("/x/mcp".into()))
        );
        assert_eq!(read("h").map(|found| found.len()), Ok(PORTS.len()));
        assert_eq!(read("10.0.0.9/30:80"), Ok(vec!["10.0.0.9:80".into(), "10.0.0.10:80".into()]));
        assert_eq!(read("10.0.0.9/32:80"), Ok(vec!["10.0.0.9:80".into()]));
        assert_eq!(read("10.0.0.0/24:80").map(|found| found.len()), Ok(254));
        assert_eq!(read("fd00::/127:80"), Ok(vec!["[fd00::]:80".into(), "[fd00::1]:80".into()]));
        for bad in [
            "",
            ":1",
            "h:0",
            "h:99999",
            "ftp://h",
            "a b",
            "u@h",
            "h\u{1b}",
            "10.0.0.0/33",
            "10.0.0.0/0",
            "10.0.0.0/x",
            "h/24",
            "[::1",
            "https://",
        ] {
            assert!(matches!(parse(bad, 1024), Err(TargetError::Form)), "{bad}");
        }
        for big in ["10.0.0.0/8", "10.0.0.0/16:80", "10.0.0.0/24", "::/1", "fd00::/64:1"] {
            assert!(matches!(parse(big, 1024), Err(TargetError::TooMany { .. })), "{big}");
        }
    }
}
