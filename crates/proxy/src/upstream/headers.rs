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

/// The texts of a client's request that go to its server beside the message: names and values of headers. What is not
/// UTF-8 is read as far as it is.
pub(crate) fn carried(from: &HeaderMap, era: Era) -> Vec<String> {
    let mut passed = HeaderMap::new();
    pass_request_headers(from, era, &mut passed);
    // By name, so that the same headers are the same texts however a client orders them.
    let mut names: Vec<&header::HeaderName> = passed.keys().collect();
    names.sort_unstable_by_key(|name| name.as_str());
    let texts = |name: &header::HeaderName| {
        let values = passed.get_all(name).into_iter();
        let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        std::iter::once(name.as_str().to_owned()).chain(values).collect::<Vec<_>>()
    };
    names.into_iter().flat_map(texts).collect()
}

/// Such texts as people read them: each value with the name of its header. What is of no header stays as it is.
pub(crate) fn named(from: &HeaderMap, era: Era, texts: Vec<String>) -> Vec<String> {
    let mut passed = HeaderMap::new();
    pass_request_headers(from, era, &mut passed);
    let has = |value: &header::HeaderValue, text: &String| String::from_utf8_lossy(value.as_bytes()) == *text;
    let of_headers =
        |text: &String| passed.contains_key(text) || passed.values().any(|value| has(value, text));
    let (texts, mut lines): (Vec<String>, Vec<String>) = texts.into_iter().partition(of_headers);
    let counting = passed.iter().filter(|(_, value)| texts.iter().any(|text| has(value, text)));
    let of_names = lines.len();
    lines.extend(
        counting.map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))),
    );
    lines[of_names..].sort_unstable();
    lines
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
    fn what_goes_to_the_server_is_told_to_policy_and_nothing_else() {
        let mut from = HeaderMap::new();
        from.insert("authorization", "Bearer s3cret".parse().unwrap());
        from.insert("x-note", "caf\u{e9}".parse().unwrap());
        from.append("mcp-param-path", "a".parse().unwrap());
        from.append("mcp-param-path", "b".parse().unwrap());
        let texts = carried(&from, Era::Modern);
        assert_eq!(texts.iter().filter(|text| ["a", "b"].contains(&text.as_str())).count(), 2);
        let at = |name: &str| texts.iter().position(|text| text == name).unwrap();
        assert!(at("mcp-param-path") < at("x-note"), "in the order of names: {texts:?}");
        assert!(texts.contains(&"caf\u{e9}".to_owned()) && !texts.concat().contains("s3cret"), "{texts:?}");
        assert_eq!(carried(&from, Era::Legacy), ["x-note", "caf\u{e9}"]);
    }

    #[test]
    fn a_person_reads_values_with_the_names_of_their_headers() {
        let mut from = HeaderMap::new();
        from.insert("x-note", "please".parse().unwrap());
        from.append("x-tag", "a".parse().unwrap());
        from.append("x-tag", "b".parse().unwrap());
        from.insert("x-too", "please".parse().unwrap());
        let mut texts = vec![r#"{"inputResponses":1}"#.to_owned()];
        texts.extend(carried(&from, Era::Modern));
        let lines = named(&from, Era::Modern, texts);
        assert_eq!(
            lines,
            [r#"{"inputResponses":1}"#, "x-note: please", "x-tag: a", "x-tag: b", "x-too: please"]
        );
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
