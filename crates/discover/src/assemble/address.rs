//! When two URLs mean the same place.

use std::net::{IpAddr, SocketAddr};

/// Scheme, host and port, and path, in one form: loopback has one name, and what only one caller has is left out.
pub(super) fn normal(url: &str) -> String {
    match parts(url) {
        Some((scheme, host, port, path)) => format!("{scheme}://{host}:{port}/{path}"),
        None => url.to_owned(),
    }
}

/// Whether two URLs are of the same host and port.
#[must_use]
pub fn same_place(one: &str, other: &str) -> bool {
    match (parts(one), parts(other)) {
        (Some((_, host, port, _)), Some((_, other_host, other_port, _))) => {
            host == other_host && port == other_port
        }
        _ => false,
    }
}

/// Whether a URL leads to a socket of this machine that listens at `address`.
pub(super) fn is_local_port(url: &str, address: SocketAddr) -> bool {
    parts(url).is_some_and(|(_, host, port, _)| {
        port == address.port()
            && (host == LOOPBACK || host.parse::<IpAddr>().is_ok_and(|ip| ip == address.ip()))
    })
}

/// Whether a URL stays on this machine.
pub(crate) fn is_loopback(url: &str) -> bool {
    parts(url).is_some_and(|(_, host, ..)| host == LOOPBACK)
}

/// Origin, host and port of a URL with TLS.
pub(super) fn https(url: &str) -> Option<(String, String, u16)> {
    let (scheme, host, port, _) = parts(url).filter(|(scheme, ..)| *scheme == "https")?;
    let shown = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    Some((format!("{scheme}://{shown}:{port}"), host, port))
}

const LOOPBACK: &str = "127.0.0.1";

fn parts(url: &str) -> Option<(&str, String, u16, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = authority.rsplit('@').next().unwrap_or(authority).to_ascii_lowercase();
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host.to_owned(), port.strip_prefix(':').and_then(|port| port.parse().ok())),
        None => match authority.split_once(':') {
            Some((host, port)) => (host.to_owned(), port.parse().ok()),
            None => (authority, None),
        },
    };
    let local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let host = if local { LOOPBACK.to_owned() } else { host };
    Some((scheme, host, port.unwrap_or(default), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_place_in_other_words() {
        for (one, other) in [
            ("https://H.example/mcp", "https://h.example:443/mcp/"),
            ("http://localhost:3000/mcp", "http://127.0.0.1:3000/mcp?x=1"),
            ("http://[::1]:80/", "http://localhost"),
            ("https://u:p@h/x#y", "https://h/x"),
        ] {
            assert_eq!(normal(one), normal(other));
        }
        assert_ne!(normal("https://h/a"), normal("https://h/b"));
        assert!(same_place("https://h/a", "http://h:443/b"));
        assert!(!same_place("nonsense", "nonsense"));
        assert!(is_local_port("http://localhost:9/x", "[::]:9".parse().expect("an address")));
        assert!(!is_local_port("http://10.0.0.1:9/x", "127.0.0.1:9".parse().expect("an address")));
    }
}
