//! The address of a gateway, as a user writes it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The port of a URL that names none: the one that a gateway listens on by default.
pub(crate) const PORT_DEFAULT: u16 = 8443;

/// `https://HOST[:PORT][/PATH]`: where a gateway is and which of its servers is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Host name or IP address, without brackets.
    pub(crate) host: String,
    /// TCP port.
    pub(crate) port: u16,
    /// Absolute path; `/mcp` (all servers) where the URL names none.
    pub(crate) path: String,
}

impl Endpoint {
    /// `HOST:PORT`, with the brackets that an IPv6 address needs.
    pub(crate) fn authority(&self) -> String {
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(_)) => format!("[{}]:{}", self.host, self.port),
            _ => format!("{}:{}", self.host, self.port),
        }
    }

    /// `https://HOST:PORT`.
    pub(crate) fn origin(&self) -> String {
        format!("https://{}", self.authority())
    }

    /// Whether the host is this machine by its very address or by the reserved name `localhost` (RFC 6761).
    pub(crate) fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: http::Uri = text
            .parse()
            .map_err(|error| format!("not a URL ({error}); write https://HOST:PORT/servers/NAME/mcp"))?;
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") => {
                return Err("tunnels are https:// only; plain http:// would leave the tunnel out".to_owned());
            }
            _ => return Err("write https://HOST:PORT/servers/NAME/mcp".to_owned()),
        }
        let authority = uri.authority().ok_or("the URL names no host")?;
        if authority.as_str().contains('@') {
            return Err("a URL with a user name or password is not accepted: agents prove who they are by certificate".to_owned());
        }
        if uri.query().is_some() {
            return Err("a gateway's URL has no query".to_owned());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err("the URL names no host".to_owned());
        }
        let path = match uri.path() {
            "" | "/" => "/mcp",
            path => path,
        };
        Ok(Self {
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(PORT_DEFAULT),
            path: path.to_owned(),
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (text, back) in [
            ("https://gw.example:9/servers/a/mcp", "https://gw.example:9/servers/a/mcp"),
            ("https://gw.example", "https://gw.example:8443/mcp"),
            ("https://[::1]:1/", "https://[::1]:1/mcp"),
            ("https://127.0.0.1/servers/x/mcp", "https://127.0.0.1:8443/servers/x/mcp"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), back);
        }
        for bad in [
            "",
            "gw.example",
            "http://gw.example",
            "https://",
            "https://u:p@gw",
            "https://gw/?x=1",
            "ftp://gw",
        ] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
        assert!("https://localhost".parse::<Endpoint>().unwrap().is_loopback());
        assert!(!"https://10.0.0.1".parse::<Endpoint>().unwrap().is_loopback());
    }
}
