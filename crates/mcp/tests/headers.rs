//! Headers against bodies: the rules of MCP 2026-07-28, "Request Metadata".
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use lockgate_mcp::headers::{ParamError, ParamHeaders, check, mirror};
use lockgate_mcp::{Era, Limits, Message};
use proptest::prelude::*;

const TOOL: &str = r#"{"name":"sql","inputSchema":{"type":"object","properties":{
    "region":{"type":"string","x-mcp-header":"Region"},
    "limit":{"type":"integer","x-mcp-header":"Limit"},
    "options":{"type":"object","properties":{"dry":{"type":"boolean","x-mcp-header":"Dry-Run"}}},
    "query":{"type":"string"}}}}"#;

fn decode(text: &str) -> Message {
    Message::decode(Bytes::copy_from_slice(text.as_bytes()), &Limits::default())
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Header lines.
type Lines<'a> = &'a [(&'a str, &'a str)];

fn headers(pairs: Lines<'_>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

fn modern(method: &str, params: &str) -> Message {
    decode(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{META}{params}}}}}"#))
}

fn call(arguments: &str) -> Message {
    modern("tools/call", &format!(r#","name":"sql","arguments":{arguments}"#))
}

fn outcome(pairs: Lines<'_>, message: &Message, tool: Option<&ParamHeaders>) -> Result<Era, i64> {
    check(&headers(pairs), message, tool).map_err(|error| {
        assert_eq!(error.http_status(), 400);
        assert_eq!(error.data().is_some(), error.code() == -32022, "{error}");
        error.code()
    })
}

/// Found by the conformance suite: removed methods are unknown, whatever else is wrong with them.
#[test]
fn methods_removed_in_the_modern_era_are_unknown_before_anything_else() {
    let version = ("mcp-protocol-version", "2026-07-28");
    for method in ["initialize", "ping", "logging/setLevel", "resources/subscribe", "tasks/result"] {
        for message in
            [modern(method, ""), decode(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#))]
        {
            let error = check(&headers(&[version]), &message, None).unwrap_err();
            assert_eq!((error.code(), error.http_status()), (-32601, 404), "{method}: {error}");
        }
        let legacy = decode(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#));
        assert_eq!(
            check(&headers(&[("mcp-protocol-version", "2025-11-25")]), &legacy, None),
            Ok(Era::Legacy)
        );
    }
}

#[test]
fn versions_and_eras() {
    let meta = |version: &str| {
        decode(&format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":{version},"io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
        ))
    };
    let bare = decode(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    let initialize =
        decode(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#);
    let answer = decode(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    let notification = decode(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    let v = "MCP-Protocol-Version";
    let m = ("Mcp-Method", "tools/list");
    let cases: &[(Lines<'_>, &Message, Result<Era, i64>)] = &[
        (&[], &bare, Ok(Era::Legacy)),
        (&[(v, "2025-06-18")], &bare, Ok(Era::Legacy)),
        (&[(v, "2025-06-18"), ("Mcp-Method", "something/else")], &bare, Ok(Era::Legacy)),
        (&[(v, "2026-07-28"), m], &bare, Err(-32602)),
        (&[(v, "1999-01-01")], &bare, Err(-32022)),
        (&[(v, "2025-06-18"), (v, "2025-06-18")], &bare, Err(-32020)),
        (&[(v, "\u{e9}")], &bare, Err(-32020)),
        (&[(v, "2026-07-28"), m], &meta("\"2026-07-28\""), Ok(Era::Modern)),
        (&[m], &meta("\"2026-07-28\""), Err(-32020)),
        (&[(v, "2025-11-25"), m], &meta("\"2026-07-28\""), Err(-32020)),
        (&[(v, "2026-07-28"), m], &meta("\"2025-11-25\""), Err(-32020)),
        (&[(v, "2099-01-01"), m], &meta("\"2099-01-01\""), Err(-32022)),
        (&[(v, "2026-07-28"), m], &meta("7"), Err(-32602)),
        (&[], &initialize, Ok(Era::Legacy)),
        (&[(v, "2025-11-25")], &initialize, Ok(Era::Legacy)),
        (&[(v, "bogus")], &initialize, Err(-32022)),
        (&[(v, "2025-11-25")], &answer, Ok(Era::Legacy)),
        (&[(v, "2026-07-28")], &answer, Err(-32600)),
        (&[(v, "2026-07-28")], &notification, Ok(Era::Modern)),
        (&[(v, "2026-07-28"), ("Mcp-Method", "notifications/other")], &notification, Err(-32020)),
    ];
    for (pairs, message, expected) in cases {
        assert_eq!(outcome(pairs, message, None), *expected, "{pairs:?} {}", message.text());
    }
    let error = check(&headers(&[(v, "2099-01-01")]), &bare, None).unwrap_err();
    let data = error.data().unwrap();
    assert_eq!(data["requested"], "2099-01-01");
    assert!(data["supported"].as_array().unwrap().contains(&"2026-07-28".into()));
}

#[test]
fn capabilities_are_required() {
    for capabilities in ["", r#","io.modelcontextprotocol/clientCapabilities":null"#] {
        let message = decode(&format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28"{capabilities}}}}}}}"#
        ));
        let pairs = [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", "tools/list")];
        assert_eq!(outcome(&pairs, &message, None), Err(-32602));
    }
}

#[test]
fn method_and_name() {
    let v = ("mcp-protocol-version", "2026-07-28");
    let call = modern("tools/call", r#","name":"sql""#);
    let odd = modern("tools/call", r#","name":" sql é""#);
    let read = modern("resources/read", r#","uri":"file:///x""#);
    let task = modern("tasks/cancel", r#","taskId":"t-1""#);
    let complete = modern("completion/complete", r#","ref":{"type":"ref/prompt","name":"p"}"#);
    let (tc, name) = (("MCP-METHOD", "tools/call"), "mcp-name");
    let cases: &[(Lines<'_>, &Message, bool)] = &[
        (&[v, tc, (name, "sql")], &call, true),
        (&[v, tc, (name, "=?base64?c3Fs?=")], &call, true),
        (&[v, tc, (name, "=?BASE64?c3Fs?=")], &call, false),
        (&[v, tc, (name, "=?base64?c3F?=")], &call, false),
        (&[v, tc, (name, "SQL")], &call, false),
        (&[v, tc, (name, "\u{e9}")], &call, false),
        (&[v, tc], &call, false),
        (&[v, (name, "sql")], &call, false),
        (&[v, ("mcp-method", "Tools/call"), (name, "sql")], &call, false),
        (&[v, tc, (name, "sql"), (name, "sql")], &call, false),
        (&[v, tc, tc, (name, "sql")], &call, false),
        (&[v, tc, (name, "sql"), ("mcp-param-x", "1"), ("mcp-param-x", "2")], &call, false),
        (&[v, tc, (name, "sql"), ("mcp-param-unknown", "1")], &call, true),
        (&[v, tc, (name, "=?base64?IHNxbCDDqQ==?=")], &odd, true),
        (&[v, ("mcp-method", "resources/read"), (name, "file:///x")], &read, true),
        (&[v, ("mcp-method", "resources/read")], &read, false),
        (&[v, ("mcp-method", "tasks/cancel"), (name, "t-2")], &task, false),
        (&[v, ("mcp-method", "completion/complete")], &complete, true),
    ];
    for (pairs, message, passes) in cases {
        let expected = if *passes { Ok(Era::Modern) } else { Err(-32020) };
        assert_eq!(outcome(pairs, message, None), expected, "{pairs:?} {}", message.text());
    }
}

#[test]
fn params() {
    let tool = ParamHeaders::from_tool_raw(TOOL).unwrap();
    let (region, limit, dry) = ("Mcp-Param-Region", "mcp-param-limit", "MCP-PARAM-DRY-RUN");
    let cases: &[(&str, Lines<'_>, bool)] = &[
        (r#"{"query":"q"}"#, &[], true),
        ("null", &[], true),
        (r#"{"region":"us","query":"q"}"#, &[(region, "us")], true),
        (r#"{"region":"us"}"#, &[], false),
        (r#"{"region":"us"}"#, &[(region, "eu")], false),
        (r#"{"region":"us"}"#, &[(region, "US")], false),
        (r#"{"region":"\u0075s"}"#, &[(region, "us")], true),
        (r#"{"region":"世"}"#, &[(region, "=?base64?5LiW?=")], true),
        (r#"{"region":"us"}"#, &[(region, "=?base64?dXM?=")], false),
        (r#"{"region":null}"#, &[], true),
        (r#"{"region":null}"#, &[(region, "null")], false),
        (r#"{}"#, &[(region, "us")], false),
        (r#"{"region":["us"]}"#, &[(region, "us")], false),
        (r#"{"limit":42}"#, &[(limit, "42")], true),
        (r#"{"limit":42}"#, &[(limit, "42.0")], true),
        (r#"{"limit":4.2e1}"#, &[(limit, "42")], true),
        (r#"{"limit":42}"#, &[(limit, "43")], false),
        (r#"{"limit":42}"#, &[(limit, "042")], false),
        (r#"{"limit":9007199254740993}"#, &[(limit, "9007199254740992")], false),
        (r#"{"options":{"dry":true}}"#, &[(dry, "true")], true),
        (r#"{"options":{"dry":true}}"#, &[(dry, "True")], false),
        (r#"{"options":{"dry":true}}"#, &[], false),
        (r#"{"dry":true,"options":{}}"#, &[], true),
        (r#"{"options":{"dry":false,"dry":true}}"#, &[(dry, "true")], false),
    ];
    for (arguments, extra, passes) in cases {
        let standard =
            [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", "tools/call"), ("Mcp-Name", "sql")];
        let pairs = [&standard[..], *extra].concat();
        let expected = if *passes { Ok(Era::Modern) } else { Err(-32020) };
        assert_eq!(outcome(&pairs, &call(arguments), Some(&tool)), expected, "{arguments} {extra:?}");
    }
}

#[test]
fn annotations() {
    let properties = |schema: &str| {
        ParamHeaders::from_tool_raw(&format!(
            r#"{{"name":"t","inputSchema":{{"type":"object","properties":{schema}}}}}"#
        ))
    };
    assert!(!properties(r#"{"a":{"type":"string","x-mcp-header":"A"}}"#).unwrap().is_empty());
    assert!(!properties(r#"{"a":{"type":"string","x\u002dmcp-header":"A"}}"#).unwrap().is_empty());
    assert!(properties(r#"{"a":{"type":"string"}}"#).unwrap().is_empty());
    // A property, or a default, may be called like the annotation.
    assert!(properties(r#"{"x-mcp-header":{"type":"string"}}"#).unwrap().is_empty());
    assert!(properties(r#"{"a":{"type":"object","default":{"x-mcp-header":"A"}}}"#).unwrap().is_empty());
    assert!(ParamHeaders::from_tool_raw(r#"{"name":"t"}"#).unwrap().is_empty());

    for name in [r#""""#, r#""a b""#, r#""é""#, r#""a\r\nb""#, r#""a:b""#, "1", "null"] {
        let error = properties(&format!(r#"{{"a":{{"type":"string","x-mcp-header":{name}}}}}"#)).unwrap_err();
        assert!(matches!(error, ParamError::Name { .. }), "{name}: {error}");
    }
    for kind in [r#""number""#, r#""object""#, r#""array""#, r#"["string","null"]"#] {
        let error = properties(&format!(r#"{{"a":{{"type":{kind},"x-mcp-header":"A"}}}}"#)).unwrap_err();
        assert!(matches!(error, ParamError::Type { .. }), "{kind}: {error}");
    }
    let taken = r#"{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}"#;
    assert!(matches!(properties(taken).unwrap_err(), ParamError::Taken { .. }));
    let leaf = r#"{"type":"string","x-mcp-header":"A"}"#;
    for schema in [
        format!(r#"{{"a":{{"type":"array","items":{leaf}}}}}"#),
        format!(r#"{{"a":{{"anyOf":[{leaf}]}}}}"#),
        format!(r#"{{"a":{{"$defs":{{"d":{leaf}}}}}}}"#),
        format!(r#"{{"a":{{"if":{{"properties":{{"b":{leaf}}}}}}}}}"#),
        format!(r#"{{"a":{{"additionalProperties":{leaf}}}}}"#),
    ] {
        let error = properties(&schema).unwrap_err();
        assert!(matches!(error, ParamError::Unreachable { .. }), "{schema}: {error}");
    }
    let root = r#"{"name":"t","inputSchema":{"type":"object","x-mcp-header":"A"}}"#;
    assert!(matches!(ParamHeaders::from_tool_raw(root).unwrap_err(), ParamError::Unreachable { .. }));
    let twice = r#"{"name":"t","inputSchema":{"x-mcp-header":1,"x-mcp-header":2}}"#;
    assert!(matches!(ParamHeaders::from_tool_raw(twice).unwrap_err(), ParamError::Definition(_)));
}

#[test]
fn a_legacy_message_is_not_mirrored() {
    let message = decode(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"sql"}}"#);
    assert!(mirror(&message, None).is_empty());
}

proptest! {
    /// What we mirror, a server that checks accepts, whatever the contents.
    #[test]
    fn what_is_mirrored_checks(
        name in any::<String>(),
        region in any::<Option<String>>(),
        limit in prop::option::of("-?(0|[1-9][0-9]{0,20})(\\.0{1,3})?(e[0-9])?"),
        dry in any::<Option<bool>>(),
    ) {
        let tool = ParamHeaders::from_tool_raw(TOOL).unwrap();
        let text = |text: &str| serde_json::to_string(text).unwrap();
        let arguments = format!(
            r#"{{"region":{},"limit":{},"options":{{"dry":{}}}}}"#,
            region.as_deref().map_or("null".to_owned(), text),
            limit.as_deref().unwrap_or("null"),
            dry.map_or("null".to_owned(), |dry| dry.to_string()),
        );
        let message = modern("tools/call", &format!(r#","name":{},"arguments":{arguments}"#, text(&name)));
        let map: HeaderMap = mirror(&message, Some(&tool)).into_iter().collect();
        prop_assert_eq!(check(&map, &message, Some(&tool)), Ok(Era::Modern));
        let given = 3 + usize::from(region.is_some()) + usize::from(limit.is_some()) + usize::from(dry.is_some());
        prop_assert_eq!(map.len(), given);
        // Another name needs another header.
        let renamed = message.with_name(&format!("{name}!"));
        prop_assert_eq!(check(&map, &renamed, Some(&tool)).map_err(|error| error.code()), Err(-32020));
    }
}
