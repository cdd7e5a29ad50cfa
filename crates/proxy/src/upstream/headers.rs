//! Which headers pass between a client and its server.

use http::header::{self, HeaderMap};
use lockgate_mcp::Era;

/// Headers of a client's request that are ours, the connection's or the client's secrets, or that make servers take a
/// request for another one: never passed on.
const WITHHELD_FROM_SERVER: [&str; 30] = [
    "accept-encoding",
    "authorization",
    "client-ip",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "dpop",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "mcp-session-id",
    "origin",
    "proxy-authorization",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "x-client-ip",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];

/// The headers of a client's request that its server may see.
pub(super) fn pass_request_headers(from: &HeaderMap, era: Era, to: &mut HeaderMap) {
    for (name, value) in from {
        let name_text = name.as_str();
        let mirrored = name_text.starts_with("mcp-") && name_text != "mcp-protocol-version";
        let withheld = WITHHELD_FROM_SERVER.binary_search(&name_text).is_ok()
            || ["sec-", "proxy-", "x-forwarded-"].iter().any(|prefix| name_text.starts_with(prefix))
            || (era == Era::Legacy && mirrored);
        if !withheld {
            to.append(name.clone(), value.clone());
        }
    }
    // What `Connection` names is for the next hop alone (RFC 9110, section 7.6.1). It cannot name what was checked against
    // the body: a server must see that as it was checked.
    for named in from.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok()) {
        for name in
            named.split(',').map(str::trim).filter(|name| !name.to_ascii_lowercase().starts_with("mcp-"))
        {
            to.remove(name);
        }
    }
}

/// Response headers that mean something to an MCP client and nothing about our connection to the server.
pub(super) fn pass_response_headers(from: &HeaderMap, to: &mut HeaderMap) {
    for (name, value) in from {
        let passed = matches!(
            name.as_str(),
            "cache-control" | "x-accel-buffering" | "retry-after" | "allow" | "mcp-protocol-version"
        );
        if passed {
            to.append(name.clone(), value.clone());
        }
    }
}

/// The media type that an answer says it has, without its parameters.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_withheld_name_is_found() {
        assert!(WITHHELD_FROM_SERVER.is_sorted(), "it is searched by halves");
        let mut from = HeaderMap::new();
        for name in WITHHELD_FROM_SERVER {
            from.insert(name, "x".parse().unwrap());
        }
        for name in ["sec-fetch-site", "proxy-x", "x-forwarded-for"] {
            from.insert(name, "x".parse().unwrap());
        }
        for era in [Era::Legacy, Era::Modern] {
            let mut to = HeaderMap::new();
            pass_request_headers(&from, era, &mut to);
            assert!(to.is_empty(), "{to:?}");
        }
    }

    #[test]
    fn mirrored_headers_pass_in_the_era_that_checks_them() {
        let names = ["mcp-protocol-version", "mcp-method", "mcp-param-region"];
        let from: HeaderMap =
            names.iter().map(|name| (name.parse().unwrap(), "x".parse().unwrap())).collect();
        for (era, count) in [(Era::Legacy, 1), (Era::Modern, 3)] {
            let mut to = HeaderMap::new();
            pass_request_headers(&from, era, &mut to);
            assert_eq!(to.len(), count, "{era:?}");
        }
    }
}
