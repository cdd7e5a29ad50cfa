//! Who may ask: the token of this launch, and the `Host` and `Origin` of a request.

use std::fmt;
use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, StatusCode, Uri, header};
use lockgate_crypto::{digest, random};
use zeroize::Zeroizing;

use crate::fault::Fault;

/// Random bytes of a token: 256 bits cannot be guessed, whatever the rate.
const TOKEN_BYTES: usize = 32;

/// The bearer token of one launch. Prints as `[redacted]`, is wiped when dropped.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// A fresh one.
    pub fn generate() -> Self {
        Self(Zeroizing::new(random::token_base64url(TOKEN_BYTES)))
    }

    /// The text, for the file that only the node's own user can read.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Compares in a time that depends on neither text. Hashes are compared, so that lengths do not matter either.
    fn is(&self, given: &str) -> bool {
        same(&digest::sha256(self.0.as_bytes()), &digest::sha256(given.as_bytes()))
    }
}

/// Compares two hashes in a time that does not depend on them.
pub(crate) fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let difference = one.iter().zip(other).fold(0, |difference, (a, b)| black_box(difference | (a ^ b)));
    difference == 0
}

impl From<String> for Token {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Somebody with the token of the launch, who may do everything.
    Owner,
    /// A session of the dashboard.
    Dashboard,
}

/// Refuses a request with neither the token of the launch nor that of a session, which `is_session` knows.
pub(crate) fn check_token(
    headers: &HeaderMap,
    token: &Token,
    is_session: impl Fn(&str) -> bool,
) -> Result<Asker, Fault> {
    let given = single(headers, header::AUTHORIZATION)
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, given)| given.trim());
    match given {
        Some(given) if token.is(given) => Ok(Asker::Owner),
        Some(given) if is_session(given) => Ok(Asker::Dashboard),
        _ => Err(Fault::new(
            StatusCode::UNAUTHORIZED,
            "LG-N401",
            "the token of this launch is missing or wrong",
            "send `Authorization: Bearer TOKEN` with the token from run/node.json in the state directory; it changes with every start",
        )),
    }
}

/// Refuses a request that a web page of another site could have made a browser send.
///
/// A page can rebind its own name to 127.0.0.1, but the browser then still sends that name as `Host`.
pub(crate) fn check_site(uri: &Uri, headers: &HeaderMap, local: SocketAddr) -> Result<(), Fault> {
    let host = single(headers, header::HOST).is_some_and(|host| is_own(host, local));
    let target = uri.authority().is_none_or(|authority| is_own(authority.as_str(), local));
    if !(host && target) {
        return Err(Fault::new(
            StatusCode::FORBIDDEN,
            "LG-N403",
            "the Host header does not name this interface",
            format!("address it as http://{local}"),
        ));
    }
    let is_foreign = headers.contains_key(header::ORIGIN)
        && !single(headers, header::ORIGIN)
            .and_then(|origin| origin.strip_prefix("http://"))
            .is_some_and(|origin| is_own(origin, local));
    if is_foreign {
        return Err(Fault::new(
            StatusCode::FORBIDDEN,
            "LG-N403",
            "requests from web pages of other sites are refused",
            "use the lockgate command, or a client that sends no Origin header",
        ));
    }
    Ok(())
}

/// Whether `HOST:PORT` is a name of the interface: `localhost` or an address, and the port that it listens on.
fn is_own(authority: &str, local: SocketAddr) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (authority, Some(80)),
    };
    let address =
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse::<IpAddr>();
    let is_named = host.eq_ignore_ascii_case("localhost") || address == Ok(local.ip());
    is_named && port == Some(local.port())
}

/// The value of a header that is there once.
fn single(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    match values.next() {
        None => value.to_str().ok(),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_the_interfaces_own_names_pass_as_host() {
        let v4: SocketAddr = "127.0.0.1:7000".parse().expect("valid");
        let v6: SocketAddr = "[::1]:7000".parse().expect("valid");
        for (host, local, passes) in [
            ("127.0.0.1:7000", v4, true),
            ("localhost:7000", v4, true),
            ("LocalHost:7000", v4, true),
            ("[::1]:7000", v6, true),
            ("localhost:7000", v6, true),
            ("127.0.0.1", v4, false),
            ("127.0.0.1:7001", v4, false),
            ("127.0.0.2:7000", v4, false),
            ("[::1]:7000", v4, false),
            ("[::1]", v6, false),
            ("evil.example:7000", v4, false),
            ("localhost.evil.example:7000", v4, false),
            ("127.0.0.1:7000@evil.example", v4, false),
            ("127.0.0.1:7000:7000", v4, false),
            (":7000", v4, false),
            ("", v4, false),
        ] {
            let found = check_site(&Uri::from_static("/"), &headers(&[(header::HOST, host)]), local);
            assert_eq!(found.is_ok(), passes, "{host:?} at {local}");
        }
        let none = check_site(&Uri::from_static("/"), &HeaderMap::new(), v4);
        assert_eq!(none.expect_err("no Host").code, "LG-N403");
    }

    #[test]
    fn a_second_host_or_a_foreign_origin_is_refused() {
        let local: SocketAddr = "127.0.0.1:7000".parse().expect("valid");
        let own = (header::HOST, "127.0.0.1:7000");
        for (more, passes) in [
            ((header::HOST, "127.0.0.1:7000"), false),
            ((header::HOST, "evil.example"), false),
            ((header::ORIGIN, "http://127.0.0.1:7000"), true),
            ((header::ORIGIN, "http://localhost:7000"), true),
            ((header::ORIGIN, "https://127.0.0.1:7000"), false),
            ((header::ORIGIN, "http://127.0.0.1:9"), false),
            ((header::ORIGIN, "https://evil.example"), false),
            ((header::ORIGIN, "null"), false),
        ] {
            let found = check_site(&Uri::from_static("/"), &headers(&[own.clone(), more.clone()]), local);
            assert_eq!(found.is_ok(), passes, "{more:?}");
        }
        let absolute = Uri::from_static("http://evil.example/v1/status");
        assert!(check_site(&absolute, &headers(&[own]), local).is_err());
    }

    #[test]
    fn only_the_whole_token_passes() {
        let token = Token::from("secret".to_owned());
        for (value, passes) in [
            ("Bearer secret", true),
            ("bearer secret", true),
            ("Bearer  secret", true),
            ("Bearer secre", false),
            ("Bearer secrets", false),
            ("Bearer Secret", false),
            ("Bearer ", false),
            ("Bearer", false),
            ("Basic secret", false),
            ("secret", false),
        ] {
            let found = check_token(&headers(&[(header::AUTHORIZATION, value)]), &token, |_| false);
            assert_eq!(found.is_ok(), passes, "{value:?}");
        }
        let session = headers(&[(header::AUTHORIZATION, "Bearer other")]);
        let found = check_token(&session, &token, |given| given == "other");
        assert_eq!(found.expect("a session"), Asker::Dashboard);
        assert!(check_token(&HeaderMap::new(), &token, |_| true).is_err());
        let bearer = (header::AUTHORIZATION, "Bearer secret");
        assert!(check_token(&headers(&[bearer.clone(), bearer]), &token, |_| true).is_err());
    }

    #[test]
    fn a_token_is_long_differs_and_does_not_print() {
        let (one, two) = (Token::generate(), Token::generate());
        assert!(one.reveal().len() >= 43);
        assert_ne!(one.reveal(), two.reveal());
        assert_eq!(format!("{one:?}"), "[redacted]");
    }
}
