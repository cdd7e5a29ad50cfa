//! Facts over HTTP: one GET, one JSON document.

use std::fmt;
use std::net::IpAddr;

use bytes::{Buf as _, Bytes};
use http::header::{ACCEPT, AGE, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use lockgate_transport::http::{Body, Pool, PoolError};

use crate::absence::{Absence, shown};
use crate::document::{self, Told};

/// Largest answer in bytes: one record.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Where the key stands in a URL.
const PLACE: &str = "{key}";

/// A URL, perhaps with a place for the key in its path or query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    /// Scheme, host and port, with some path.
    origin: Uri,
    /// Path and query, before and after the key.
    before: String,
    after: Option<String>,
    in_path: bool,
}

impl Template {
    /// Reads `https://HOST/PATH?x={key}`, or `http://` on loopback.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (first, rest) = text.split_once(PLACE).map_or((text, None), |(first, rest)| (first, Some(rest)));
        if rest.is_some_and(|rest| rest.contains(PLACE)) {
            return Err(format!("{PLACE} stands in it twice"));
        }
        let host_ends = |rest: &str| rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (scheme, named) =
            text.split_once("://").map_or((text, ""), |(scheme, rest)| (scheme, &rest[..host_ends(rest)]));
        if scheme.contains(PLACE) || named.contains(PLACE) {
            return Err(format!(
                "{PLACE} stands in path or query only, so that whoever calls cannot choose the host"
            ));
        }
        // Something that can stand anywhere in a URL but in a host: so that the parts can be told apart.
        let probe = text.replacen(PLACE, "%6B", 1);
        let origin: Uri = probe.parse().map_err(|error| format!("it is no URL: {error}"))?;
        let host = origin.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let authority = origin.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        if authority.contains('@') {
            return Err("a URL with a user name or password would end up in logs; it is not accepted".into());
        }
        match origin.scheme_str() {
            Some("https") => {}
            Some("http") if is_loopback(&host) => {}
            Some("http") => {
                return Err("http:// has no TLS, so it is for loopback addresses; write https://".into());
            }
            _ => return Err("write https://HOST/PATH, or http:// on loopback".into()),
        }
        if host.is_empty() {
            return Err("it names no host".into());
        }
        let path_at = scheme.len() + "://".len() + authority.len();
        let first = first.get(path_at..).unwrap_or_default();
        let before = if first.starts_with('/') { first.to_owned() } else { format!("/{first}") };
        Ok(Self {
            in_path: !before.contains('?'),
            text: text.to_owned(),
            origin,
            before,
            after: rest.map(str::to_owned),
        })
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> &Uri {
        &self.origin
    }

    /// Whether it has a place for a key.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.after.is_some()
    }

    /// Path and query for a key.
    fn path_and_query(&self, key: Option<&str>) -> Result<Uri, Absence> {
        let mut text = self.before.clone();
        if let (Some(after), Some(key)) = (&self.after, key) {
            // Servers decode before they route, so that encoding does not keep a key within its segment.
            if self.in_path && (key.contains(['/', '\\']) || key.chars().all(|c| c == '.')) {
                let why = "it would lead to another path of the provider";
                return Err(Absence::BadKey { argument: "key".into(), why });
            }
            encode(key, &mut text);
            text.push_str(after);
        }
        text.parse().map_err(|error| Absence::Unreachable(shown(error)))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Percent-encodes all but the unreserved characters (RFC 3986, section 2.3).
fn encode(key: &str, out: &mut String) {
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b'.' => out.push(byte.into()),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// Asks for the record of a key.
pub(crate) async fn fetch(pool: &Pool, url: &Template, key: Option<&str>) -> Result<Told, Absence> {
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.uri_mut() = url.path_and_query(key)?;
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("lockgate"));
    let (parts, body) = pool.request(request).await.map_err(unreachable)?.into_parts();
    match parts.status {
        StatusCode::OK => {}
        StatusCode::NO_CONTENT | StatusCode::NOT_FOUND | StatusCode::GONE => return Err(Absence::NoRecord),
        status if status.is_redirection() => {
            return Err(Absence::Refused(format!("it answered {status}, and redirects are not followed")));
        }
        status => return Err(Absence::Refused(format!("it answered {status}"))),
    }
    if !is_plain_json(&parts.headers) {
        return Err(Absence::malformed("its Content-Type is not application/json, or it is compressed"));
    }
    let told = document::record(document::read(&collect(body).await?)?)?;
    Ok(told.or_older(&parts.headers))
}

impl Told {
    /// A cache on the way says how old its copy is (RFC 9111, section 5.1).
    fn or_older(mut self, headers: &HeaderMap) -> Self {
        let age =
            headers.get(AGE).and_then(|age| age.to_str().ok()).and_then(|age| age.trim().parse::<u64>().ok());
        self.age_ms = age.map_or(0, |age| age.saturating_mul(1_000));
        self
    }
}

fn is_plain_json(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = text(CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let encoding = text(CONTENT_ENCODING).trim();
    (media == "application/json" || (media.starts_with("application/") && media.ends_with("+json")))
        && (encoding.is_empty() || encoding.eq_ignore_ascii_case("identity"))
}

async fn collect(mut body: Body) -> Result<Vec<u8>, Absence> {
    let too_large = || Absence::TooLarge { bytes_max: ANSWER_BYTES_MAX };
    if body.size_hint().lower() > ANSWER_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(unreachable)?.into_data() else { continue };
        if bytes.len() + data.remaining() > ANSWER_BYTES_MAX {
            return Err(too_large());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

fn unreachable(error: PoolError) -> Absence {
    Absence::Unreachable(shown(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_stays_where_it_stands() {
        let url = Template::parse("https://his.internal:8443/appointments?patient={key}&x=1").unwrap();
        assert_eq!(url.origin().authority().unwrap().as_str(), "his.internal:8443");
        for (key, expected) in [
            ("p-1", "/appointments?patient=p-1&x=1"),
            ("a&b=c#d", "/appointments?patient=a%26b%3Dc%23d&x=1"),
            ("../é {key}", "/appointments?patient=..%2F%C3%A9%20%7Bkey%7D&x=1"),
        ] {
            assert_eq!(url.path_and_query(Some(key)).unwrap().to_string(), expected);
        }
        let url = Template::parse("http://127.0.0.1:9/staff/{key}/now").unwrap();
        assert_eq!(url.path_and_query(Some("a b")).unwrap().to_string(), "/staff/a%20b/now");
        for bad in ["..", ".", "a/b", "..\\x", "..."] {
            assert!(matches!(url.path_and_query(Some(bad)), Err(Absence::BadKey { .. })), "{bad}");
        }
        assert_eq!(Template::parse("https://h").unwrap().path_and_query(None).unwrap().to_string(), "/");
    }

    #[test]
    fn urls_that_cannot_be() {
        for (bad, why) in [
            ("http://his.internal/x", "loopback"),
            ("ftp://h/x", "https://"),
            ("https://u:p@h/x", "logs"),
            ("https://{key}/x", "path or query"),
            ("https://h.{key}.example/x", "path or query"),
            ("https://h:{key}/x", ""),
            ("{key}://h/x", ""),
            ("https://h/{key}/{key}", "twice"),
            ("https:///x", ""),
            ("", ""),
        ] {
            let error = Template::parse(bad).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
        for good in ["http://[::1]:1/x", "http://localhost/x", "https://h/x{key}"] {
            Template::parse(good).unwrap();
        }
    }
}
