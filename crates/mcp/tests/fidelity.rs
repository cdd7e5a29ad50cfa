//! What passes through unchanged: everything, and around a splice everything else. The corpus is
//! what typed models of the protocol have been seen to lose, change or refuse.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use bytes::Bytes;
use lockgate_mcp::{Limits, Message, list};
use proptest::prelude::*;

const CORPUS: &[&str] = &[
    // Vendor fields on a result, in its content, on the envelope and on an error.
    r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"t","vendor":{"a":[1,2]}}],"x-vendor":"kept","isError":false}}"#,
    r#"{"jsonrpc":"2.0","id":1,"result":{},"trace":"top level"}"#,
    r#"{"jsonrpc":"2.0","id":1,"error":{"code":-31999,"message":"m","data":{"a":1},"retryAfter":3}}"#,
    r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}"#,
    // Fields of a revision other than the reader's.
    r#"{"jsonrpc":"2.0","id":2,"result":{"tools":[{"name":"t","inputSchema":{"type":"object"},"execution":{"taskSupport":"optional"},"vendor":1}],"nextCursor":"c==","vendor":true}}"#,
    r#"{"jsonrpc":"2.0","id":3,"result":{"protocolVersion":"2025-11-25","capabilities":{"tasks":{"list":{}},"holograms":{}},"serverInfo":{"name":"s","version":"1","build":7}}}"#,
    r#"{"jsonrpc":"2.0","id":4,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1","theme":"dark"}}}"#,
    r#"{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"t","arguments":{},"priority":"high"}}"#,
    // Numbers and ids as they are spelt.
    r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1,"total":3}}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1.0,"total":3e0}}"#,
    r#"{"jsonrpc":"2.0","id":1.0,"method":"ping"}"#,
    r#"{"jsonrpc":"2.0","id":18446744073709551615,"method":"ping"}"#,
    r#"{"jsonrpc":"2.0","id":18446744073709551616000000000000000,"result":{}}"#,
    r#"{"jsonrpc":"2.0","id":6,"result":{"structuredContent":{"big":0.1000000000000000055511151231257827,"huge":1e9999,"zero":-0}}}"#,
    // Types, methods and keys that nobody has heard of.
    r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"hologram","beam":3}],"resultType":"deferred"}}"#,
    r#"{"jsonrpc":"2.0","id":8,"method":"vendor/anything","params":{"deep":{"x":[[[]]]}}}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/vendor","params":{"_meta":{"com.example/k":"v"}}}"#,
    r#"{"jsonrpc":"2.0","id":9,"result":{"tools":[{"name":"q","inputSchema":{"type":"object","properties":{"r":{"type":"string","x-mcp-header":"Region"}}}}]}}"#,
    r#"{"jsonrpc":"2.0","id":10,"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"extensions":{"com.example/x":{}}},"traceparent":"00-0-0-01"},"name":"t","inputResponses":{"a":{"action":"accept"}},"requestState":"opaque=="}}"#,
    // Everything that a splice must keep track of, before and behind the id and the name.
    r#"{"jsonrpc":"2.0","id":11,"method":"tools/call","params":{"arguments":{"a":[1.0]},"name":"t","_meta":{"progressToken":"p","io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#,
    r#"{"params":{"_meta":{"io.modelcontextprotocol\/protocolVersion":"2026\u002d07-28","progressToken":0},"name":"t","arguments":null},"method":"tools\/call","id":"a","jsonrpc":"2.0"}"#,
    // Spelling: white space, order, escapes, an unpaired surrogate, both planes of Unicode.
    "\n { \"params\" : { } ,\t\"method\":\"ping\" , \"id\" : \"\\u0041\\/\" , \"jsonrpc\" : \"2.0\" } \r\n",
    "{\"jsonrpc\":\"2.0\",\"id\":\"é😀\",\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"cut \\ud83d here \u{2028}\"}]}}",
];

fn decode(text: &str) -> Message {
    Message::decode(Bytes::copy_from_slice(text.as_bytes()), &Limits::default())
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn every_byte_of_the_corpus_passes() {
    for text in CORPUS {
        let message = decode(text);
        assert_eq!(message.bytes().as_ref(), text.as_bytes());
        assert_eq!(message.clone().text(), *text);
    }
}

/// A splice and its reverse give the corpus back, and every accessor agrees with a message that
/// was read afresh.
#[test]
fn splices_touch_nothing_else() {
    for text in CORPUS {
        let message = decode(text);
        for id in ["7", "\"a much longer id than before \\u0000\"", "-0.0"] {
            let spliced = message.with_id(id);
            assert_same(&spliced, &decode(spliced.text()));
            if let Some(before) = message.id_raw() {
                assert_eq!(spliced.id_raw(), Some(id));
                assert_eq!(spliced.with_id(before).text(), *text);
            }
        }
        for name in ["x", "gateway.é\"\\\n😀"] {
            let spliced = message.with_name(name);
            assert_same(&spliced, &decode(spliced.text()));
            if let Some(before) = message.name() {
                assert_eq!(spliced.name(), Some(name));
                assert_eq!(spliced.with_name(before).text(), *text);
            }
        }
        let spliced = message.with_progress_token("\"other\"");
        assert_same(&spliced, &decode(spliced.text()));
        if let Some(before) = message.progress_token_raw() {
            assert_eq!(spliced.with_progress_token(before).text(), *text);
        }
        let private = list::mark_private(&message);
        assert_same(&private, &decode(private.text()));
        if message.result_raw().is_some() {
            assert_eq!(
                private.text().replacen(r#""cacheScope":"private","#, "", 1).replacen(
                    r#""cacheScope":"private""#,
                    "",
                    1
                ),
                *text
            );
        }
    }
}

fn assert_same(left: &Message, right: &Message) {
    let view = |message: &Message| {
        [
            message.method(),
            message.id_raw(),
            message.params_raw(),
            message.result_raw(),
            message.error_raw(),
            message.name(),
            message.arguments_raw(),
            message.meta_protocol_version(),
            message.progress_token_raw(),
        ]
        .map(|part| part.map(str::to_owned))
    };
    assert_eq!(left.bytes(), right.bytes());
    assert_eq!(view(left), view(right), "{}", left.text());
    assert_eq!(left.kind(), right.kind());
}

#[test]
fn members_are_set_or_added() {
    let set = |text: &str| {
        let message = decode(text).with_meta_member("k", "[1]").unwrap();
        assert_eq!(message.meta_member_raw("k"), Some("[1]"));
        assert_same(&message, &decode(message.text()));
        message.text().to_owned()
    };
    for (before, after) in [
        (
            r#"{"jsonrpc":"2.0","method":"m"}"#,
            r#"{"params":{"_meta":{"k":[1]}},"jsonrpc":"2.0","method":"m"}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"m","params":null}"#,
            r#"{"jsonrpc":"2.0","method":"m","params":{"_meta":{"k":[1]}}}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"m","params":{ }}"#,
            r#"{"jsonrpc":"2.0","method":"m","params":{"_meta":{"k":[1]} }}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"m","params":{"a":1}}"#,
            r#"{"jsonrpc":"2.0","method":"m","params":{"_meta":{"k":[1]},"a":1}}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"m","params":{"_meta":null}}"#,
            r#"{"jsonrpc":"2.0","method":"m","params":{"_meta":{"k":[1]}}}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"m","params":{"_meta":{"j":1, "k" : 2}}}"#,
            r#"{"jsonrpc":"2.0","method":"m","params":{"_meta":{"j":1, "k" : [1]}}}"#,
        ),
    ] {
        assert_eq!(set(before), after);
    }
    let message = decode(r#"{"jsonrpc":"2.0","method":"m"}"#);
    assert!(message.with_meta_member("k", "1,\"x\":2").is_err(), "a value cannot smuggle members in");
    assert!(message.with_params_member("_meta", "5").is_err());
    let token = message.with_meta_member("progressToken", "7").unwrap();
    assert_eq!(token.progress_token_raw(), Some("7"));
    let result = decode(r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18"}}"#);
    let result = result.with_result_member("protocolVersion", "\"2025-11-25\"").unwrap();
    assert_eq!(result.result_raw(), Some(r#"{"protocolVersion":"2025-11-25"}"#));
}

#[test]
fn an_id_cannot_smuggle_members_in() {
    let message = decode(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    for raw in ["1,\"method\":\"tools/call\"", "", "null", "{}", "tok\"en"] {
        let spliced = message.with_id(raw);
        assert_eq!(spliced.id_raw(), Some(serde_json::to_string(raw).unwrap().as_str()));
        assert_same(&spliced, &decode(spliced.text()));
    }
}

proptest! {
    #[test]
    fn decode_never_panics(bytes in any::<Vec<u8>>()) {
        let _ = Message::decode(bytes.into(), &Limits::default());
    }

    /// Damaged messages either fail or still stand as one JSON value whose bytes are unchanged.
    #[test]
    fn damaged_messages(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = which.get(CORPUS).as_bytes().to_vec();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(message) = Message::decode(Bytes::from(bytes.clone()), &Limits::default()) {
            prop_assert_eq!(message.bytes().as_ref(), &bytes[..]);
            prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok());
            let spliced = message.with_id("\"new\"").with_name("new");
            assert_same(&spliced, &decode(spliced.text()));
        }
    }

    #[test]
    fn any_name_comes_back(name in any::<String>(), id in any::<String>()) {
        let message = decode(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"n","a":1.0}}"#);
        let id = serde_json::to_string(&id).unwrap();
        let spliced = message.with_name(&name).with_id(&id);
        prop_assert_eq!(spliced.name(), Some(&*name));
        prop_assert_eq!(spliced.id_raw(), Some(&*id));
        let back = spliced.with_name("n").with_id("1");
        prop_assert_eq!(back.text(), message.text());
    }
}
