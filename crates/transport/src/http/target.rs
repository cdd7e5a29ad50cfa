//! Where a pool connects to.

use std::fmt;
use std::sync::Arc;

use http::header::HOST;
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Uri};

use crate::dialer::Dialer;
use crate::link::Alpn;

/// One origin (RFC 6454: scheme, host, port) and how to reach it.
#[derive(Clone)]
pub struct Target {
    scheme: Scheme,
    authority: Authority,
    host_header: HeaderValue,
    host: Box<str>,
    port: u16,
    dialer: Arc<Dialer>,
}

/// A URL that is not a target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Neither `http` nor `https`.
    #[error("'{url}' is not a target: its scheme must be http or https, as in https://host:8443/mcp")]
    Scheme {
        /// The URL as given.
        url: String,
    },
    /// No host.
    #[error("'{url}' is not a target: it names no host")]
    Host {
        /// The URL as given.
        url: String,
    },
    /// User name and password in the URL: they would end in logs.
    #[error(
        "the target at {host} has a user name or password in its URL; configure credentials as a header instead"
    )]
    Credentials {
        /// The host, without what stood before it.
        host: String,
    },
    /// The scheme and the dialer do not fit: TLS would silently be added or left out.
    #[error("'{url}' is reached with {have}, but its scheme asks for {want}")]
    Dialer {
        /// The URL as given.
        url: String,
        /// What the dialer speaks.
        have: &'static str,
        /// What the scheme means.
        want: &'static str,
    },
}

impl Target {
    /// The origin of `url`, reached by `dialer`: [`Dialer::plain`] for `http`, one with TLS for `https`.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn new(url: &Uri, dialer: Arc<Dialer>) -> Result<Self, TargetError> {
        let authority = url.authority().filter(|authority| !authority.host().is_empty());
        let Some(authority) = authority else {
            return Err(TargetError::Host { url: url.to_string() });
        };
        if authority.as_str().contains('@') {
            let host = authority.host().to_owned();
            return Err(TargetError::Credentials { host });
        }
        let (scheme, default_port, tls) = match url.scheme_str() {
            Some("http") => (Scheme::HTTP, 80, false),
            Some("https") => (Scheme::HTTPS, 443, true),
            _ => return Err(TargetError::Scheme { url: url.to_string() }),
        };
        if dialer.is_tls() != tls {
            let name = |tls: bool| if tls { "TLS" } else { "plain TCP" };
            return Err(TargetError::Dialer {
                url: url.to_string(),
                have: name(dialer.is_tls()),
                want: name(tls),
            });
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        Ok(Self {
            scheme,
            authority: authority.clone(),
            host_header: HeaderValue::from_str(authority.as_str())
                .map_err(|_| TargetError::Host { url: url.to_string() })?,
            host: host.into(),
            port: authority.port_u16().unwrap_or(default_port),
            dialer,
        })
    }

    /// The host name or address, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How the target is dialled.
    pub fn dialer(&self) -> &Arc<Dialer> {
        &self.dialer
    }

    /// Gives `request` the form that the protocol wants: origin form and `Host` for HTTP/1.1 (RFC 9112,
    /// section 3.2), scheme and authority for HTTP/2 (RFC 9113, section 8.3.1). Only its path and query are
    /// kept of its URI.
    pub(super) fn address<B>(&self, request: &mut Request<B>, protocol: Alpn) {
        let path = request.uri().path_and_query().cloned();
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        let mut parts = Parts::default();
        parts.path_and_query = Some(path);
        match protocol {
            Alpn::Http11 => {
                let host = self.host_header.clone();
                request.headers_mut().insert(HOST, host);
            }
            Alpn::H2 => {
                request.headers_mut().remove(HOST);
                parts.scheme = Some(self.scheme.clone());
                parts.authority = Some(self.authority.clone());
            }
        }
        *request.uri_mut() =
            Uri::from_parts(parts).expect("a path, with scheme and authority or with neither");
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialer;

    fn target(url: &str) -> Result<Target, TargetError> {
        let dialer = Arc::new(Dialer::plain(dialer::Limits::default()));
        Target::new(&url.parse().unwrap(), dialer)
    }

    #[test]
    fn a_target_is_an_origin() {
        let cases = [
            ("http://example.org/mcp", "example.org", 80),
            ("http://127.0.0.1:3001", "127.0.0.1", 3001),
            ("http://[::1]:3001/a?b", "::1", 3001),
        ];
        for (url, host, port) in cases {
            let target = target(url).unwrap();
            assert_eq!((target.host(), target.port()), (host, port), "{url}");
        }
    }

    #[test]
    fn what_is_no_target_is_explained() {
        let cases = [
            ("/mcp", "names no host"),
            ("ftp://example.org/", "http or https"),
            ("http://user:secret@example.org/", "as a header instead"),
            ("https://example.org/", "plain TCP"),
        ];
        for (url, says) in cases {
            let error = target(url).unwrap_err().to_string();
            assert!(error.contains(says), "{url}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn requests_are_addressed_by_protocol() {
        let target = target("http://example.org:8080/ignored").unwrap();
        let mut request =
            Request::get("http://elsewhere/mcp?x=1").header(HOST, "elsewhere").body(()).unwrap();
        target.address(&mut request, Alpn::Http11);
        assert_eq!(request.uri().to_string(), "/mcp?x=1");
        assert_eq!(request.headers()[HOST], "example.org:8080");
        target.address(&mut request, Alpn::H2);
        assert_eq!(request.uri().to_string(), "http://example.org:8080/mcp?x=1");
        assert!(!request.headers().contains_key(HOST));
    }
}
