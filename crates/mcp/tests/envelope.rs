//! What is a message, what is refused and why, and what each accessor says.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use bytes::Bytes;
use lockgate_mcp::{DecodeError, Kind, Limits, Message, Place, salvage_id};

fn decode(text: &str) -> Result<Message, DecodeError> {
    Message::decode(Bytes::copy_from_slice(text.as_bytes()), &Limits::default())
}

/// A `tools/call` with these params.
fn call(params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)
}

#[test]
fn kinds_and_ids() {
    let cases = [
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, Kind::Request, Some("1")),
        (r#"{"jsonrpc":"2.0","id":"","method":"ping","params":null}"#, Kind::Request, Some("\"\"")),
        (r#"{"id":1.0,"method":"ping","jsonrpc":"2.0"}"#, Kind::Request, Some("1.0")),
        (r#"{"jsonrpc":"2.0","id":-1e400,"result":{}}"#, Kind::Result, Some("-1e400")),
        (
            r#"{"jsonrpc":"2.0","id":36893488147419103232,"result":null}"#,
            Kind::Result,
            Some("36893488147419103232"),
        ),
        (r#"{"jsonrpc":"2.0","id":"\u0031","result":1}"#, Kind::Result, Some(r#""\u0031""#)),
        (r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, Kind::Notification, None),
        (r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m"}}"#, Kind::Error, None),
        (r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"m"}}"#, Kind::Error, None),
        (r#"{"jsonrpc":"2.0","id":7,"error":{"message":"m","code":1}}"#, Kind::Error, Some("7")),
    ];
    for (text, kind, id) in cases {
        let message = decode(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((message.kind(), message.id_raw()), (kind, id), "{text}");
        assert_eq!(message.bytes().as_ref(), text.as_bytes());
    }
}

#[test]
fn refusals() {
    let deep = call(&format!(r#"{{"name":"t","arguments":{}{}}}"#, "[".repeat(63), "]".repeat(63)));
    let cases = [
        ("", -32700),
        ("{", -32700),
        ("{}x", -32700),
        (r#"{"jsonrpc":"2.0","id":01,"method":"m"}"#, -32700),
        ("1", -32600),
        ("[]", -32600),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600),
        ("{}", -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"m"}"#, -32600),
        (r#"{"id":1,"method":"m"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (r#"{"jsonrpc":"2.0"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"m"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":[1],"method":"m"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":true,"method":"m"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"result":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","result":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"m","result":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"error":"no"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":""}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"a b"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"a\u000d\u000a"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"é"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[]}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":1}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"progressToken":{}}}}"#, -32600),
        (&deep, -32600),
        (&call("{}"), -32602),
        (&call(r#"{"name":null}"#), -32602),
        (&call(r#"{"name":["a"]}"#), -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"name":"x"}}"#, -32602),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"name":"a","uri":"b"}}}"#,
            -32602,
        ),
    ];
    for (text, code) in cases {
        let error = decode(text).expect_err(text);
        assert_eq!(error.code(), code, "{text}: {error}");
        assert_eq!(error.http_status(), 400);
    }
    let error = Message::decode(Bytes::from_static(b"{\"a\":\"\xff\"}"), &Limits::default()).unwrap_err();
    assert_eq!((error.clone(), error.code()), (DecodeError::NotUtf8 { at: 6 }, -32700));
}

/// CVE-2026-27896 and its kin: what one parser reads and another does not.
#[test]
fn names_that_read_two_ways() {
    let duplicate = |place| move |error: &DecodeError| matches!(error, DecodeError::Duplicate { place: p, .. } if *p == place);
    let variant = |place| move |error: &DecodeError| matches!(error, DecodeError::Variant { place: p, .. } if *p == place);
    let nul =
        |place| move |error: &DecodeError| matches!(error, DecodeError::Nul { place: p, .. } if *p == place);
    type Expected = Box<dyn Fn(&DecodeError) -> bool>;
    let cases: Vec<(String, Expected)> = vec![
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#.into(),
            Box::new(duplicate(Place::Envelope)),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","\u006dethod":"tools/call"}"#.into(),
            Box::new(duplicate(Place::Envelope)),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#.into(),
            Box::new(variant(Place::Envelope)),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","PARAMS":{}}"#.into(),
            Box::new(variant(Place::Envelope)),
        ),
        (
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"param\u{17f}\":{}}".into(),
            Box::new(variant(Place::Envelope)),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","method\u0000":"x"}"#.into(),
            Box::new(nul(Place::Envelope)),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","x":1,"X":2}"#.into(),
            Box::new(duplicate(Place::Envelope)),
        ),
        (call(r#"{"name":"a","name":"b"}"#), Box::new(duplicate(Place::Params))),
        (call(r#"{"name":"a","Name":"b"}"#), Box::new(variant(Place::Params))),
        (call(r#"{"name":"a","name\u0000":"b"}"#), Box::new(nul(Place::Params))),
        (
            call(r#"{"name":"a","_meta":{"progressToken":1,"ProgressToken":2}}"#),
            Box::new(variant(Place::Meta)),
        ),
        (call(r#"{"name":"a","_meta":{"v":1,"v":2}}"#), Box::new(duplicate(Place::Meta))),
        (call(r#"{"name":"a","arguments":{"p":1,"p":2}}"#), Box::new(duplicate(Place::Arguments))),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[],"Tools":[]}}"#.into(),
            Box::new(variant(Place::Result)),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"","code":2}}"#.into(),
            Box::new(duplicate(Place::Error)),
        ),
    ];
    for (text, expected) in cases {
        let error = decode(&text).expect_err(&text);
        assert!(expected(&error), "{text}: {error}");
        assert_eq!(error.code(), -32600);
    }
    for text in [
        // The tool's own names may differ by case, and what lies deeper is not the protocol's.
        call(r#"{"name":"a","arguments":{"p":1,"P":2,"o":{"x":1,"x":2}}}"#),
        call(r#"{"name":"a","vendor":1,"vendor2":{"Name":1}}"#),
        // One name in two objects, the inner one first.
        r#"{"params":{"_meta":{"id":1,"name":1},"id":1,"name":1},"id":1,"method":"ping","name":1,"jsonrpc":"2.0"}"#
            .into(),
    ] {
        assert!(decode(&text).is_ok(), "{text}");
    }
}

#[test]
fn limits_have_edges() {
    let text = call(r#"{"name":"four","arguments":{"a":1,"b":2}}"#);
    let size = text.len();
    let at_edge = Limits {
        message_bytes_max: size,
        depth_max: 3,
        members_max: 4,
        method_bytes_max: "tools/call".len(),
        id_bytes_max: 1,
        name_bytes_max: 4,
    };
    let decode = |limits| Message::decode(Bytes::copy_from_slice(text.as_bytes()), &limits);
    assert!(decode(at_edge).is_ok());
    for (limits, status) in [
        (Limits { message_bytes_max: size - 1, ..at_edge }, 413),
        (Limits { depth_max: 2, ..at_edge }, 400),
        (Limits { members_max: 3, ..at_edge }, 400),
        (Limits { method_bytes_max: 9, ..at_edge }, 400),
        (Limits { id_bytes_max: 0, ..at_edge }, 400),
        (Limits { name_bytes_max: 3, ..at_edge }, 400),
    ] {
        let error = decode(limits).unwrap_err();
        assert_eq!((error.http_status(), error.code()), (status, -32600), "{error}");
    }
}

#[test]
fn accessors() {
    let text = call(
        r#"{"_meta":{"io.modelcontextprotocol\/protocolVersion":"2026-07-28","progressToken":1.50,"k":[1]},"name":"a\"\u00e9","arguments":{"x" : 1},"extra":{"y":0}}"#,
    );
    let message = decode(&text).unwrap();
    assert_eq!(message.method(), Some("tools/call"));
    assert_eq!(message.name(), Some("a\"é"));
    assert_eq!(message.arguments_raw(), Some(r#"{"x" : 1}"#));
    assert_eq!(message.meta_protocol_version(), Some("2026-07-28"));
    assert_eq!(message.progress_token_raw(), Some("1.50"));
    assert_eq!(message.params_member_raw("extra"), Some(r#"{"y":0}"#));
    assert_eq!(message.meta_member_raw("k"), Some("[1]"));
    assert_eq!(message.params_member_raw("x"), None);
    assert_eq!((message.result_raw(), message.error_raw()), (None, None));

    let subject = |method: &str, params: &str| {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"params":{params},"method":"{method}"}}"#);
        decode(&text).unwrap().name().map(str::to_owned)
    };
    assert_eq!(subject("resources/read", r#"{"uri":"file:///x","name":"n"}"#).as_deref(), Some("file:///x"));
    assert_eq!(subject("tasks/get", r#"{"taskId":"7"}"#).as_deref(), Some("7"));
    assert_eq!(subject("prompts\\/get", r#"{"name":"p"}"#).as_deref(), Some("p"));
    assert_eq!(
        subject("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"p"}}"#).as_deref(),
        Some("p")
    );
    assert_eq!(subject("tools/list", r#"{"name":"p"}"#), None);

    let progress = decode(
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":1}}"#,
    )
    .unwrap();
    assert_eq!(progress.progress_token_raw(), Some("\"t\""));
    let error = decode(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"m"}}"#).unwrap();
    assert_eq!(error.error_code(), Some(-32601));
}

#[test]
fn an_answer_can_reach_whoever_sent_nonsense() {
    let limits = Limits::default();
    let id = |text: &str| salvage_id(text.as_bytes(), &limits);
    assert_eq!(id(&call(r#"{"name":"a","name":"b"}"#)).as_deref(), Some("1"));
    assert_eq!(id(r#"{"id":"x","method":5}"#).as_deref(), Some("\"x\""));
    for text in
        ["", "[]", "{\"id\":1", r#"{"id":1,"id":2}"#, r#"{"id":null}"#, r#"{"id":{}}"#, r#"{"a":{"id":1}}"#]
    {
        assert_eq!(id(text), None, "{text}");
    }
}

#[test]
fn logs_do_not_hold_contents() {
    let message = decode(&call(r#"{"name":"a","arguments":{"password":"hunter2"}}"#)).unwrap();
    assert!(!format!("{message:?}").contains("hunter2"));
}
